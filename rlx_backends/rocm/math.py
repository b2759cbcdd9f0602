"""Math of AMD's instructions under their exact names."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import Operation

from rlx_backends.gpu.llvm_math import by_element
from rlx_backends.llvm.function import FunctionEmitter
from rlx_dialects.rocm import math

HANDLERS: dict[type[Operation], Callable[[FunctionEmitter, Operation], None]] = {
    math.Exp2Op: by_element("llvm.amdgcn.exp2.f32"),
    math.Log2Op: by_element("llvm.amdgcn.log.f32"),
    math.RcpOp: by_element("llvm.amdgcn.rcp.f32"),
    math.RsqOp: by_element("llvm.amdgcn.rsq.f32"),
    math.SqrtOp: by_element("llvm.amdgcn.sqrt.f32"),
}
