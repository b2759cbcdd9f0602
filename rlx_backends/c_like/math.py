"""Math functions as functions of the emitted text: the CPU's polynomials in f32, with the CPU's error bounds.

Each is written once per module and width. Powers and circular functions need f64 on the way, so they are the target's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xdsl.dialects import math
from xdsl.ir import Operation

from rlx_backends.c_like.function import FunctionEmitter
from rlx_backends.c_like.lanes import CF, CLanes
from rlx_backends.c_like.language import MathFunction
from rlx_backends.llvm.math import circular, exponential, special
from rlx_backends.llvm.math.lanes import F

_FUNCTIONS: dict[type[Operation], Callable[..., F]] = {
    math.ExpOp: exponential.exp,
    math.Exp2Op: exponential.exp2,
    math.ExpM1Op: exponential.expm1,
    math.LogOp: exponential.log,
    math.Log2Op: exponential.log2,
    math.Log10Op: exponential.log10,
    math.Log1pOp: exponential.log1p,
    math.CbrtOp: exponential.cbrt,
    math.TanhOp: exponential.tanh,
    math.SinhOp: exponential.sinh,
    math.CoshOp: exponential.cosh,
    math.AsinhOp: exponential.asinh,
    math.AcoshOp: exponential.acosh,
    math.AtanhOp: exponential.atanh,
    math.ErfOp: special.erf,
    math.AsinOp: circular.asin,
    math.AcosOp: circular.acos,
    math.AtanOp: circular.atan,
    math.Atan2Op: circular.atan2,
}


def polynomials() -> Mapping[type[Operation], MathFunction]:
    """Op class -> a call of its function, which is written where it is first needed."""
    return {op: _called(op.name.replace("math.", "rlx_"), code) for op, code in _FUNCTIONS.items()}


def _called(name: str, code: Callable[..., F]) -> MathFunction:
    def emit(f: FunctionEmitter, width: int, *registers: str) -> str:
        f.module.helper(f"{name} {max(1, width)}", lambda: _text(f, name, code, width, len(registers)))
        return f"{name}({', '.join(registers)})"

    return emit


def _text(f: FunctionEmitter, name: str, code: Callable[..., F], width: int, arguments: int) -> str:
    inner = FunctionEmitter(f.module)
    lanes = CLanes(inner, width)
    names = "xyz"[:arguments]
    result = code(lanes, *(CF(lanes, each) for each in names))
    type_ = f.language.type_name("f32", width)
    parameters = ", ".join(f"{type_} {each}" for each in names)
    return "\n".join([f"inline {type_} {name}({parameters}) {{", *inner.lines, f"  return {result.r};", "}"]) + "\n"
