"""The shared emitter for C-like languages: kernel functions in, source text out. A target supplies a `Language`."""

from rlx_backends.c_like.emitter import emit_module
from rlx_backends.c_like.function import FunctionEmitter
from rlx_backends.c_like.language import Language

__all__ = ["FunctionEmitter", "Language", "emit_module"]
