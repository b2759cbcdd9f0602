"""Math of PTX under its exact names."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import Operation

from rlx_backends.gpu.llvm_math import by_element
from rlx_backends.llvm.function import FunctionEmitter
from rlx_dialects.cuda import math

HANDLERS: dict[type[Operation], Callable[[FunctionEmitter, Operation], None]] = {
    math.Ex2ApproxOp: by_element("llvm.nvvm.ex2.approx.f"),
    math.Lg2ApproxOp: by_element("llvm.nvvm.lg2.approx.f"),
    math.RcpApproxOp: by_element("llvm.nvvm.rcp.approx.ftz.f"),
    math.RsqrtApproxOp: by_element("llvm.nvvm.rsqrt.approx.f"),
    math.SqrtApproxOp: by_element("llvm.nvvm.sqrt.approx.f"),
    math.TanhApproxOp: by_element("tanh.approx.f32 $0, $1;"),
}
