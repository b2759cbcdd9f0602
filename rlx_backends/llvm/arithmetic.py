"""Element-wise ops, one native register at a time: `arith`, `math`, `kernel.cmp/select/cast/apply`.

Each function gets the op, the LLVM element type to compute in, the width of the register (0: a scalar) and the operand registers,
and returns the result register. Shapes of the op do not matter, so that the same code serves scalar regions over vectors.

Where the IR leaves a choice: the sign of a zero that `maximumf` and its kin return is either's; `fastmath<nnan>` on them drops a
NaN on the left instead of keeping it; integer division by zero gives zero instead of a trap, and so does its remainder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from xdsl.dialects import arith, math
from xdsl.dialects.utils.fast_math import FastMathFlag
from xdsl.ir import Operation

from rlx_backends.llvm import casts
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import float_literal, is_literal, llvm_type, register_type, splat, suffix
from rlx_dialects.dims import DimExpr
from rlx_dialects.kernel.elementwise import ApplyOp, CastOp, CmpOp, SelectOp
from rlx_dialects.kernel.types import element_of

Elementwise: TypeAlias = "Callable[[FunctionEmitter, Operation, str, int, list[str]], str]"


def binary(instruction: str) -> Elementwise:
    def emit(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
        return f.emit(f"{instruction} {register_type(element, width)} {r[0]}, {r[1]}")

    return emit


def _flags(op: Operation) -> str:
    fastmath = op.properties.get("fastmath")
    if not isinstance(fastmath, arith.FastMathFlagsAttr) or not fastmath.data:
        return ""
    return " ".join(sorted(flag.value for flag in fastmath.data)) + " "


def float_binary(instruction: str) -> Elementwise:
    def emit(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
        return f.emit(f"{instruction} {_flags(op)}{register_type(element, width)} {r[0]}, {r[1]}")

    return emit


def negf(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
    return f.emit(f"fneg {_flags(op)}{register_type(element, width)} {r[0]}")


def intrinsic(name: str, poison_flag: bool = False) -> Elementwise:
    """`llvm.<name>`; with `poison_flag` the intrinsic takes a last `i1 false` (no operand makes the result poison)."""

    def emit(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
        result = register_type(element, width)
        arguments = [(result, register) for register in r] + ([("i1", "false")] if poison_flag else [])
        return f.intrinsic(f"llvm.{name}.{suffix(element, width)}", result, arguments)

    return emit


# -- maxima


def extremum(greater: bool, keep_nan: bool) -> Elementwise:
    predicate = "ogt" if greater else "olt"

    def emit(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
        type_ = register_type(element, width)
        mask = register_type("i1", width)
        x, y = r
        fastmath = op.properties.get("fastmath")
        quick = isinstance(fastmath, arith.FastMathFlagsAttr) and FastMathFlag.NO_NANS in fastmath.data
        if is_literal(x):  # a constant is no NaN: where the other side is, one select decides
            x, y = y, x
        if keep_nan:
            # y > x ? y : x is x where x is NaN.
            chosen = f.emit(f"select {mask} {f.emit(f'fcmp {predicate} {type_} {y}, {x}')}, {type_} {y}, {type_} {x}")
            if is_literal(y) or quick:
                return chosen
            return f.emit(f"select {mask} {f.emit(f'fcmp uno {type_} {y}, {y}')}, {type_} {y}, {type_} {chosen}")
        # x > y ? x : y is y where x is NaN.
        chosen = f.emit(f"select {mask} {f.emit(f'fcmp {predicate} {type_} {x}, {y}')}, {type_} {x}, {type_} {y}")
        if is_literal(y) or quick:
            return chosen
        return f.emit(f"select {mask} {f.emit(f'fcmp uno {type_} {y}, {y}')}, {type_} {x}, {type_} {chosen}")

    return emit


# -- integers


def division(instruction: str) -> Elementwise:
    signed = instruction[0] == "s"
    remainder = instruction.endswith("rem")

    def emit(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
        type_, mask = register_type(element, width), register_type("i1", width)
        zero, one = splat("0", element, width), splat("1", element, width)
        n, d = r
        if is_literal(d) and d[0] != "<" and d not in (zero, splat("-1", element, width)):
            return f.emit(f"{instruction} {type_} {n}, {d}")
        no_divisor = f.emit(f"icmp eq {type_} {d}, {zero}")
        if signed:
            # The smallest integer over -1 traps too: divide by 1 and negate.
            minus = f.emit(f"icmp eq {type_} {d}, {splat('-1', element, width)}")
            special = f.emit(f"or {mask} {no_divisor}, {minus}")
        else:
            minus, special = "", no_divisor
        safe = f.emit(f"select {mask} {special}, {type_} {one}, {type_} {d}")
        result = f.emit(f"{instruction} {type_} {n}, {safe}")
        if signed and not remainder:
            negated = f.emit(f"sub {type_} {zero}, {n}")
            result = f.emit(f"select {mask} {minus}, {type_} {negated}, {type_} {result}")
        return f.emit(f"select {mask} {no_divisor}, {type_} {zero}, {type_} {result}")

    return emit


def rounded_division(up: bool) -> Elementwise:
    """Signed division rounded to minus (or plus) infinity."""

    def emit(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
        type_, mask = register_type(element, width), register_type("i1", width)
        zero = splat("0", element, width)
        quotient = division("sdiv")(f, op, element, width, r)
        product = f.emit(f"mul {type_} {quotient}, {r[1]}")
        inexact = f.emit(f"icmp ne {type_} {product}, {r[0]}")
        nonzero = f.emit(f"icmp ne {type_} {r[1]}, {zero}")
        signs = f.emit(f"xor {type_} {r[0]}, {r[1]}")
        wrong = f.emit(f"icmp {'sge' if up else 'slt'} {type_} {signs}, {zero}")
        step = f.emit(f"and {mask} {f.emit(f'and {mask} {inexact}, {wrong}')}, {nonzero}")
        extended = f.emit(f"zext {mask} {step} to {type_}")
        return f.emit(f"{'add' if up else 'sub'} {type_} {quotient}, {extended}")

    return emit


def ceildivui(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
    type_, mask = register_type(element, width), register_type("i1", width)
    quotient = division("udiv")(f, op, element, width, r)
    product = f.emit(f"mul {type_} {quotient}, {r[1]}")
    inexact = f.emit(f"icmp ne {type_} {product}, {r[0]}")
    nonzero = f.emit(f"icmp ne {type_} {r[1]}, {splat('0', element, width)}")
    step = f.emit(f"and {mask} {inexact}, {nonzero}")
    return f.emit(f"add {type_} {quotient}, {f.emit(f'zext {mask} {step} to {type_}')}")


def ipowi(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
    """Square and multiply over the bits of the exponent; a negative exponent gives 1/x truncated, and 0 for x = 0."""
    bits = int(element[1:])
    type_, mask = register_type(element, width), register_type("i1", width)
    zero, one, minus = (splat(n, element, width) for n in ("0", "1", "-1"))
    base, exponent = r
    result = one
    power, rest = base, exponent
    for bit in range(bits - 1):
        odd = f.emit(f"trunc {type_} {rest} to {mask}")
        product = f.emit(f"mul {type_} {result}, {power}")
        result = f.emit(f"select {mask} {odd}, {type_} {product}, {type_} {result}")
        if bit < bits - 2:
            power = f.emit(f"mul {type_} {power}, {power}")
            rest = f.emit(f"lshr {type_} {rest}, {one}")
    negative = f.emit(f"icmp slt {type_} {exponent}, {zero}")
    odd = f.emit(f"trunc {type_} {exponent} to {mask}")
    is_one = f.emit(f"icmp eq {type_} {base}, {one}")
    is_minus = f.emit(f"icmp eq {type_} {base}, {minus}")
    sign = f.emit(f"select {mask} {odd}, {type_} {minus}, {type_} {one}")
    inverse = f.emit(f"select {mask} {is_minus}, {type_} {sign}, {type_} {zero}")
    inverse = f.emit(f"select {mask} {is_one}, {type_} {one}, {type_} {inverse}")
    return f.emit(f"select {mask} {negative}, {type_} {inverse}, {type_} {result}")


# -- comparison and selection


def cmpi(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
    assert isinstance(op, arith.CmpiOp)
    predicate = arith.CMPI_COMPARISON_OPERATIONS[op.predicate.value.data]
    return f.emit(f"icmp {predicate} {register_type(element, width)} {r[0]}, {r[1]}")


def cmpf(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
    assert isinstance(op, arith.CmpfOp)
    predicate = arith.CMPF_COMPARISON_OPERATIONS[op.predicate.value.data]
    return f.emit(f"fcmp {predicate} {register_type(element, width)} {r[0]}, {r[1]}")


def cmp(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
    assert isinstance(op, CmpOp)
    instruction = "fcmp" if element in ("float", "double") else "icmp"
    return f.emit(f"{instruction} {op.predicate.data} {register_type(element, width)} {r[0]}, {r[1]}")


def select(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
    type_ = register_type(element, width)
    return f.emit(f"select {register_type('i1', width)} {r[0]}, {type_} {r[1]}, {type_} {r[2]}")


def select_whole(f: FunctionEmitter, op: Operation, width: int, r: list[str]) -> str:
    """`arith.select` of vectors by one scalar condition."""
    type_ = register_type(llvm_type(element_of(op.results[0].type)), width)
    return f.emit(f"select i1 {r[0]}, {type_} {r[1]}, {type_} {r[2]}")


# -- math


def fma(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
    return f.elementwise_intrinsic("fma", element, width, *r)


def rsqrt(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
    root = f.elementwise_intrinsic("sqrt", element, width, *r)
    return f.emit(f"fdiv {register_type(element, width)} {splat(float_literal(1.0, element), element, width)}, {root}")


def function(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
    """A function of the target's math table, on registers of the native width or on one lane after the other."""
    code = f.target.math.get((type(op), element))
    if code is None:
        raise f.error(op, f"the target has no such function of {element_of(op.results[0].type)}")
    if f.target.scalar_math:
        return by_lane(f, code, element, width, r)
    native = f.target.lanes
    result = code(f, *(f.repeat(register, element, width, native) for register in r))
    if width == 0:
        return f.emit(f"extractelement {register_type(element, native)} {result}, i64 0")
    return f.resize(result, element, native, width)


def by_lane(f: FunctionEmitter, code: Callable[..., str], element: str, width: int, r: list[str]) -> str:
    """A function of scalars on every lane of registers."""
    if width == 0:
        return code(f, *r)
    type_ = register_type(element, width)
    result = "poison"
    for lane in range(width):
        scalars = [f.emit(f"extractelement {type_} {register}, i64 {lane}") for register in r]
        result = f.emit(f"insertelement {type_} {result}, {element} {code(f, *scalars)}, i64 {lane}")
    return result


# -- index arithmetic


def apply(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
    assert isinstance(op, ApplyOp)
    registers = dict(zip((name.data for name in op.names.data), r))
    return expand(f, op.expr.data, registers, width)


def expand(f: FunctionEmitter, expr: DimExpr, registers: dict[str, str], width: int) -> str:
    """The value of a dim expression in i64 arithmetic; symbols come from `registers`."""
    type_ = register_type("i64", width)
    total: str | None = None
    for monomial, scale in expr.terms:
        product: str | None = None
        for atom in monomial:
            factor = registers[atom[1]] if atom[0] == "sym" else _atom(f, atom, registers, width)
            product = factor if product is None else f.emit(f"mul nsw {type_} {product}, {factor}")
        if product is None:
            product = splat(str(scale), "i64", width)
        elif scale != 1:
            product = f.emit(f"mul nsw {type_} {product}, {splat(str(scale), 'i64', width)}")
        total = product if total is None else f.emit(f"add nsw {type_} {total}, {product}")
    return splat("0", "i64", width) if total is None else total


def _atom(f: FunctionEmitter, atom: tuple[str, DimExpr, DimExpr], registers: dict[str, str], width: int) -> str:
    kind, x, y = atom
    type_, mask = register_type("i64", width), register_type("i1", width)
    a = expand(f, x, registers, width)
    if kind in ("min", "max"):
        return f.elementwise_intrinsic("s" + kind, "i64", width, a, expand(f, y, registers, width))
    zero = splat("0", "i64", width)
    if y.is_const and y.value & (y.value - 1) == 0:  # arithmetic shift and mask round towards minus infinity
        if kind == "mod":
            return f.emit(f"and {type_} {a}, {splat(str(y.value - 1), 'i64', width)}")
        return f.emit(f"ashr {type_} {a}, {splat(str(y.value.bit_length() - 1), 'i64', width)}")
    b = expand(f, y, registers, width)
    if not y.is_const:
        # A divisor is positive where its result is used; elsewhere (an empty extent) it must not trap.
        b = f.elementwise_intrinsic("smax", "i64", width, b, splat("1", "i64", width))
    rest = f.emit(f"srem {type_} {a}, {b}")
    negative = f.emit(f"icmp slt {type_} {rest}, {zero}")
    if kind == "mod":
        wrapped = f.emit(f"add {type_} {rest}, {b}")
        return f.emit(f"select {mask} {negative}, {type_} {wrapped}, {type_} {rest}")
    quotient = f.emit(f"sdiv {type_} {a}, {b}")
    return f.emit(f"add {type_} {quotient}, {f.emit(f'sext {mask} {negative} to {type_}')}")


def cast(f: FunctionEmitter, op: Operation, element: str, width: int, r: list[str]) -> str:
    kind = op.kind.data if isinstance(op, CastOp) else op.name.removeprefix("arith.")
    source, result = element_of(op.operands[0].type), element_of(op.results[0].type)
    if kind == "index_cast":
        kind = "extsi" if llvm_type(result) == "i64" else "trunci"
    return casts.convert(f, kind, r[0], source, result, width)


def emit_elementwise(f: FunctionEmitter, op: Operation, width: int, registers: list[str]) -> str:
    """One element-wise op on registers of one width. Narrow floats compute in f32 and round once."""
    emit = ELEMENTWISE[type(op)]
    result = element_of(op.results[0].type)
    operand = element_of(op.operands[-1].type) if op.operands else result
    if emit is cast or emit is select or not casts.is_narrow(operand):
        element = result if emit is select else operand
        return emit(f, op, f.type_of(element), width, registers)
    wide = [casts.widen(f, register, operand, width) for register in registers]
    value = emit(f, op, "float", width, wide)
    return casts.narrow(f, value, result, width) if casts.is_narrow(result) else value


ELEMENTWISE: dict[type[Operation], Elementwise] = {
    arith.AddiOp: binary("add"),
    arith.SubiOp: binary("sub"),
    arith.MuliOp: binary("mul"),
    arith.AndIOp: binary("and"),
    arith.OrIOp: binary("or"),
    arith.XOrIOp: binary("xor"),
    arith.ShLIOp: binary("shl"),
    arith.ShRUIOp: binary("lshr"),
    arith.ShRSIOp: binary("ashr"),
    arith.DivSIOp: division("sdiv"),
    arith.DivUIOp: division("udiv"),
    arith.RemSIOp: division("srem"),
    arith.RemUIOp: division("urem"),
    arith.FloorDivSIOp: rounded_division(up=False),
    arith.CeilDivSIOp: rounded_division(up=True),
    arith.CeilDivUIOp: ceildivui,
    arith.MinSIOp: intrinsic("smin"),
    arith.MaxSIOp: intrinsic("smax"),
    arith.MinUIOp: intrinsic("umin"),
    arith.MaxUIOp: intrinsic("umax"),
    arith.AddfOp: float_binary("fadd"),
    arith.SubfOp: float_binary("fsub"),
    arith.MulfOp: float_binary("fmul"),
    arith.DivfOp: float_binary("fdiv"),
    arith.NegfOp: negf,
    arith.MaximumfOp: extremum(greater=True, keep_nan=True),
    arith.MinimumfOp: extremum(greater=False, keep_nan=True),
    arith.MaxnumfOp: extremum(greater=True, keep_nan=False),
    arith.MinnumfOp: extremum(greater=False, keep_nan=False),
    arith.CmpiOp: cmpi,
    arith.CmpfOp: cmpf,
    arith.SelectOp: select,
    CmpOp: cmp,
    SelectOp: select,
    CastOp: cast,
    ApplyOp: apply,
    math.FmaOp: fma,
    math.SqrtOp: intrinsic("sqrt"),
    math.RsqrtOp: rsqrt,
    math.AbsFOp: intrinsic("fabs"),
    math.CopySignOp: intrinsic("copysign"),
    math.FloorOp: intrinsic("floor"),
    math.CeilOp: intrinsic("ceil"),
    math.TruncOp: intrinsic("trunc"),
    math.RoundOp: intrinsic("round"),
    math.RoundEvenOp: intrinsic("roundeven"),
    math.AbsIOp: intrinsic("abs", poison_flag=True),
    math.CountLeadingZerosOp: intrinsic("ctlz", poison_flag=True),
    math.CountTrailingZerosOp: intrinsic("cttz", poison_flag=True),
    math.CtPopOp: intrinsic("ctpop"),
    math.IPowIOp: ipowi,
    **dict.fromkeys(
        (
            arith.ExtFOp, arith.TruncFOp, arith.SIToFPOp, arith.UIToFPOp, arith.FPToSIOp, arith.FPToUIOp,
            arith.ExtSIOp, arith.ExtUIOp, arith.TruncIOp, arith.BitcastOp, arith.IndexCastOp,
        ),
        cast,
    ),
    **dict.fromkeys(
        (
            math.ExpOp, math.Exp2Op, math.ExpM1Op, math.LogOp, math.Log2Op, math.Log10Op, math.Log1pOp, math.PowFOp, math.TanhOp,
            math.ErfOp, math.SinOp, math.CosOp, math.TanOp, math.AtanOp, math.Atan2Op, math.AsinOp, math.AcosOp, math.SinhOp,
            math.CoshOp, math.AsinhOp, math.AcoshOp, math.AtanhOp, math.CbrtOp,
        ),
        function,
    ),
}  # fmt: skip
