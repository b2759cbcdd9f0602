"""Models from configuration dicts, with parameters named as their published weight files name them."""

from rlx_frontends.models.bert import bert
from rlx_frontends.models.gpt2 import gpt2
from rlx_frontends.models.llama import llama
from rlx_frontends.models.random import random_weights
from rlx_frontends.models.vit import vit

__all__ = ["bert", "gpt2", "llama", "random_weights", "vit"]
