"""The shared LLVM text emitter: kernel functions in, LLVM IR text (opaque pointers) out. Targets supply a `TargetEmission`."""

from rlx_backends.llvm.emitter import emit_module
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.target import TargetEmission

__all__ = ["FunctionEmitter", "TargetEmission", "emit_module"]
