"""Models from configuration dicts, with parameters named as their published weight files name them."""

from rlx_frontends.models.bert import bert
from rlx_frontends.models.llama import llama
from rlx_frontends.models.random import random_weights

__all__ = ["bert", "llama", "random_weights"]
