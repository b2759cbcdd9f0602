"""Math under the names that a target has for it: the simulator computes it as exactly as any other math."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import Float32Type, FloatAttr, ModuleOp
from xdsl.ir import Operation, SSAValue

from rlx_dialects.gpu.math import UnaryMathOp
from rlx_dialects.kernel.types import shape_of
from rlx_dialects.kernel.vector import BroadcastOp


def _inverse(value: SSAValue) -> list[Operation]:
    one = arith.ConstantOp(FloatAttr(1.0, Float32Type()))
    shape = shape_of(value.type)
    ops: list[Operation] = [one, BroadcastOp(one.result, shape)] if shape else [one]
    return [*ops, arith.DivfOp(ops[-1].results[0], value)]


_MEANINGS: dict[str, Callable[[SSAValue], list[Operation]]] = {
    "exp2": lambda x: [math.Exp2Op(x)],
    "log2": lambda x: [math.Log2Op(x)],
    "rcp": _inverse,
    "rsqrt": lambda x: [math.RsqrtOp(x)],
    "sqrt": lambda x: [math.SqrtOp(x)],
    "tanh": lambda x: [math.TanhOp(x)],
}

_NAMES = {
    "cuda.ex2_approx": "exp2", "cuda.lg2_approx": "log2", "cuda.rcp_approx": "rcp", "cuda.rsqrt_approx": "rsqrt",
    "cuda.sqrt_approx": "sqrt", "cuda.tanh_approx": "tanh",
    "rocm.exp2": "exp2", "rocm.log2": "log2", "rocm.rcp": "rcp", "rocm.rsq": "rsqrt", "rocm.sqrt": "sqrt",
    "metal.fast_exp2": "exp2", "metal.fast_log2": "log2", "metal.fast_divide_one": "rcp", "metal.fast_rsqrt": "rsqrt",
    "metal.fast_sqrt": "sqrt",
}  # fmt: skip


def expand_math(module: ModuleOp) -> None:
    """Replace the targets' functions in a module by those of the math dialect."""
    for op in list(module.walk()):
        if isinstance(op, UnaryMathOp) and op.name in _NAMES:
            made = _MEANINGS[_NAMES[op.name]](op.value)
            block = op.parent
            assert block is not None
            block.insert_ops_before(made, op)
            op.result.replace_all_uses_with(made[-1].results[0])
            block.erase_op(op)
