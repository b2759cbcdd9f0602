"""The math table: which op is computed by which function, and how exactly.

Everything is computed on registers, vectors or scalars, from polynomials and a few tables: no call of a math library, the same
results on every machine with the same vector width, and denormals, infinities, NaN and signed zeros as IEEE 754 asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xdsl.dialects import math
from xdsl.ir import Operation

from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.math import circular, exponential, special
from rlx_backends.llvm.math.lanes import F, Lanes
from rlx_backends.llvm.target import MathFunction

ULP_BOUNDS: dict[str, tuple[float, float]] = {
    "math.exp": (1.5, 1.5),
    "math.exp2": (1.5, 1.5),
    "math.expm1": (2, 2),
    "math.log": (1, 1),
    "math.log2": (2.5, 2),
    "math.log10": (2.5, 3),
    "math.log1p": (2, 1.5),
    "math.powf": (1, 8),
    "math.cbrt": (1, 1),
    "math.tanh": (6, 3),
    "math.erf": (6, 3),
    "math.sinh": (4, 3),
    "math.cosh": (4, 3),
    "math.asinh": (3, 2),
    "math.acosh": (3, 2),
    "math.atanh": (3, 2),
    "math.sin": (2, 1),
    "math.cos": (2, 1),
    "math.tan": (4, 2),
    "math.asin": (3, 2),
    "math.acos": (2, 2),
    "math.atan": (2, 2),
    "math.atan2": (3, 2),
}
"""Op -> largest error of its f32 and of its f64 results, in units in the last place, over the whole range."""

_FUNCTIONS: dict[type[Operation], Callable[..., F]] = {
    math.ExpOp: exponential.exp,
    math.Exp2Op: exponential.exp2,
    math.ExpM1Op: exponential.expm1,
    math.LogOp: exponential.log,
    math.Log2Op: exponential.log2,
    math.Log10Op: exponential.log10,
    math.Log1pOp: exponential.log1p,
    math.PowFOp: exponential.powf,
    math.CbrtOp: exponential.cbrt,
    math.TanhOp: exponential.tanh,
    math.SinhOp: exponential.sinh,
    math.CoshOp: exponential.cosh,
    math.AsinhOp: exponential.asinh,
    math.AcoshOp: exponential.acosh,
    math.AtanhOp: exponential.atanh,
    math.ErfOp: special.erf,
    math.SinOp: circular.sin,
    math.CosOp: circular.cos,
    math.TanOp: circular.tan,
    math.AsinOp: circular.asin,
    math.AcosOp: circular.acos,
    math.AtanOp: circular.atan,
    math.Atan2Op: circular.atan2,
}


def math_table(width: int) -> Mapping[tuple[type[Operation], str], MathFunction]:
    """Op class and LLVM element type -> code on registers of `width` lanes; 0 for scalars."""

    def on_registers(function: Callable[..., F], element: str) -> MathFunction:
        def emit(f: FunctionEmitter, *registers: str) -> str:
            lanes = Lanes(f, element, width)
            return function(lanes, *(F(lanes, register) for register in registers)).r

        return emit

    return {(op, element): on_registers(code, element) for op, code in _FUNCTIONS.items() for element in ("float", "double")}
