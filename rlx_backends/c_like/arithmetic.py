"""Element-wise ops, one piece at a time: `arith`, `math`, `kernel.cmp/select/cast/apply`.

Each function gets the op, the kind to compute in, the width of the piece (0: a scalar) and the operand registers, and returns an
expression. Shapes of the op do not matter, so that the same code serves scalar regions over vectors.

What the languages leave open is settled here: integers wrap; division by zero gives zero, and so does its remainder; a shift by
the width or more moves all bits out; the sign of a zero that `maximumf` and its kin return is either's; `fastmath<nnan>` on them
drops a NaN on the left instead of keeping it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from xdsl.dialects import arith, math
from xdsl.dialects.utils.fast_math import FastMathFlag
from xdsl.ir import Operation

from rlx_backends.c_like import casts
from rlx_backends.c_like.function import FunctionEmitter
from rlx_backends.c_like.language import is_literal
from rlx_backends.c_like.values import bits_of, kind_of
from rlx_dialects.dims import DimExpr
from rlx_dialects.kernel.elementwise import ApplyOp, CastOp, CmpOp, SelectOp
from rlx_dialects.kernel.types import element_of, shape_of

Elementwise: TypeAlias = "Callable[[FunctionEmitter, Operation, str, int, list[str]], str]"

_BOOL = {"+": "^", "-": "^", "*": "&"}
_PROMOTED = ("u8", "u16")
"""Scalars of these kinds compute as `int`, which can overflow."""


def _integer(f: FunctionEmitter, operator: str, kind: str, width: int, x: str, y: str) -> str:
    """Arithmetic that wraps."""
    if kind == "bool":
        return f"{x} {_BOOL.get(operator, operator)} {y}" if width > 1 else f"bool({x} {_BOOL.get(operator, operator)} {y})"
    if width <= 1 and kind in _PROMOTED:
        return f.construct(kind, 0, f"{f.construct('u32', 0, x)} {operator} {f.construct('u32', 0, y)}")
    return f"{x} {operator} {y}"


def binary(operator: str) -> Elementwise:
    def emit(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
        return _integer(f, operator, kind, width, r[0], r[1])

    return emit


def float_binary(operator: str) -> Elementwise:
    def emit(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
        return f"{r[0]} {operator} {r[1]}"

    return emit


def call(name: str) -> Elementwise:
    """A function of the language, whose arguments and result have one type."""

    def emit(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
        return f"{name}({', '.join(r)})"

    return emit


def negf(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
    return f"-{r[0]}"


# -- maxima


def extremum(greater: bool, keep_nan: bool) -> Elementwise:
    operator = ">" if greater else "<"

    def emit(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
        x, y = r
        fastmath = op.properties.get("fastmath")
        quick = isinstance(fastmath, arith.FastMathFlagsAttr) and FastMathFlag.NO_NANS in fastmath.data
        if is_literal(x):  # a constant is no NaN: where the other side is, one choice decides
            x, y = y, x
        # y > x ? y : x is x where x is NaN; x > y ? x : y is y where x is NaN.
        left, right = (y, x) if keep_nan else (x, y)
        chosen = f.choose(width, f.compare(width, operator, left, right), left, right)
        if is_literal(y) or quick:
            return chosen
        other = y if keep_nan else x
        return f.choose(width, f.compare(width, "!=", y, y), other, f.let(kind, width, chosen))

    return emit


def int_extremum(operator: str, is_signed: bool) -> Elementwise:
    def emit(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
        first = _ordered(f, operator, is_signed, kind, width, r[0], r[1])
        return f.choose(width, f.let("bool", width, first), r[0], r[1])

    return emit


# -- integers


def division(operator: str, is_signed: bool) -> Elementwise:
    def emit(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
        n, d = r
        zero, one, minus = (f.integer(value, kind, width) for value in (0, 1, -1))
        seen = (lambda x: f.as_signed(x, kind, width)) if is_signed else (lambda x: _as_unsigned(f, x, kind, width))
        if is_literal(d) and d not in (zero, minus):
            return f.construct(kind, width, f"{seen(n)} {operator} {seen(d)}")
        no_divisor = f.compare(width, "==", d, zero)
        special, negative = no_divisor, ""
        if is_signed:  # the smallest integer over -1 leaves the range: divide by 1 and negate
            negative = f.compare(width, "==", d, minus)
            special = f.let("bool", width, f"{no_divisor} | {negative}")
        safe = f.let(kind, width, f.choose(width, special, one, d))
        result = f.let(kind, width, f.construct(kind, width, f"{seen(n)} {operator} {seen(safe)}"))
        if is_signed and operator == "/":
            result = f.let(kind, width, f.choose(width, negative, _wrapping_negation(f, n, kind, width), result))
        return f.choose(width, no_divisor, zero, result)

    return emit


def _as_unsigned(f: FunctionEmitter, x: str, kind: str, width: int) -> str:
    return f.construct("u64", width, x) if kind == "i64" else x


def _wrapping_negation(f: FunctionEmitter, x: str, kind: str, width: int) -> str:
    if kind == "i64":  # by way of unsigned, where the smallest integer is its own negative
        return f.let(kind, width, f.construct(kind, width, f"{f.integer(0, 'u64', width)} - {f.construct('u64', width, x)}"))
    return f.let(kind, width, _integer(f, "-", kind, width, f.integer(0, kind, width), x))


def rounded_division(up: bool) -> Elementwise:
    """Signed division rounded to minus (or plus) infinity."""

    def emit(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
        n, d = r
        zero = f.integer(0, kind, width)
        quotient = f.let(kind, width, division("/", True)(f, op, kind, width, r))
        product = f.let(kind, width, _integer(f, "*", kind, width, quotient, d))
        inexact = f.compare(width, "!=", product, n)
        nonzero = f.compare(width, "!=", d, zero)
        signs = f.as_signed(f.let(kind, width, _integer(f, "^", kind, width, n, d)), kind, width)
        wrong = f.compare(width, ">=" if up else "<", signs, f.as_signed(zero, kind, width))
        step = f.let("bool", width, f"{inexact} & {wrong} & {nonzero}")
        unit = f.let(kind, width, f.construct(kind, width, step))
        return _integer(f, "+" if up else "-", kind, width, quotient, unit)

    return emit


def ceildivui(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
    quotient = f.let(kind, width, division("/", False)(f, op, kind, width, r))
    product = f.let(kind, width, _integer(f, "*", kind, width, quotient, r[1]))
    inexact = f.compare(width, "!=", product, r[0])
    nonzero = f.compare(width, "!=", r[1], f.integer(0, kind, width))
    unit = f.let(kind, width, f.construct(kind, width, f"{inexact} & {nonzero}"))
    return _integer(f, "+", kind, width, quotient, unit)


def shift(left: bool, arithmetic: bool = False) -> Elementwise:
    def emit(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
        x, amount = r
        bits = bits_of(kind)
        unsigned = "u64" if kind == "i64" else kind
        value = f.as_signed(x, kind, width) if arithmetic else _as_unsigned(f, x, kind, width)
        by = _as_unsigned(f, amount, kind, width)
        if kind in _PROMOTED and width <= 1 and not arithmetic:
            value = f.construct("u32", 0, value)
        operator = "<<" if left else ">>"
        if is_literal(amount):
            known = int("".join(c for c in amount.split("(")[-1] if c.isdigit()))
            if known < bits:
                return f.construct(kind, width, f"{value} {operator} {by}")
        limit = f.integer(bits - 1, unsigned, width)
        fits = f.compare(width, "<=", by, limit)
        safe = f.let(unsigned, width, f.choose(width, fits, by, limit))
        moved = f.construct(kind, width, f"{value} {operator} {safe}")
        return moved if arithmetic else f.choose(width, fits, f.let(kind, width, moved), f.integer(0, kind, width))

    return emit


def absi(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
    negative = f.compare(width, "<", f.as_signed(r[0], kind, width), f.as_signed(f.integer(0, kind, width), kind, width))
    return f.choose(width, negative, _wrapping_negation(f, r[0], kind, width), r[0])


def count_bits(name: str) -> Elementwise:
    def emit(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
        return f.construct(kind, width, f"{name}({r[0]})")

    return emit


def ipowi(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
    """Square and multiply; a negative exponent gives 1/x truncated, and 0 for x = 0."""
    one, zero, minus = (f.integer(value, kind, width) for value in (1, 0, -1))
    type_ = f.language.type_name(kind, width)
    power, rest = f.variable(type_, r[0]), f.variable(type_, r[1])
    result = f.variable(type_, one)
    bit = f.fresh("i")
    f.open(f.language.loop(f.language.type_name("i32"), bit, "0", str(bits_of(kind) - 1), "1"))
    odd = f.compare(width, "!=", f"({rest} & {one})", zero)
    product = f.let(kind, width, _integer(f, "*", kind, width, result, power))
    f.line(f"{result} = {f.choose(width, odd, product, result)};")
    f.line(f"{power} = {_integer(f, '*', kind, width, power, power)};")
    f.line(f"{rest} = {shift(left=False)(f, op, kind, width, [rest, f.language.integer_literal(1, kind)])};")
    f.close()
    negative = f.compare(width, "<", f.as_signed(r[1], kind, width), f.as_signed(zero, kind, width))
    odd = f.compare(width, "!=", f"({r[1]} & {one})", zero)
    sign = f.let(kind, width, f.choose(width, odd, minus, one))
    inverse = f.let(kind, width, f.choose(width, f.compare(width, "==", r[0], minus), sign, zero))
    inverse = f.let(kind, width, f.choose(width, f.compare(width, "==", r[0], one), one, inverse))
    return f.choose(width, negative, inverse, result)


# -- comparison and selection

_INT_OPERATORS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
# Ordered comparisons are the language's; an unordered one is the negation of the opposite.
_ORDERED = {"oeq": "==", "ogt": ">", "oge": ">=", "olt": "<", "ole": "<="}
_UNORDERED = {"ugt": "<=", "uge": "<", "ult": ">=", "ule": ">"}


def _ordered(f: FunctionEmitter, operator: str, is_signed: bool, kind: str, width: int, x: str, y: str) -> str:
    if kind == "bool":
        first, second = (y, x) if is_signed else (x, y)  # true is -1 where it is signed
        return _bool_comparison(f, operator, width, first, second)
    if is_signed:
        x, y = f.as_signed(x, kind, width), f.as_signed(y, kind, width)
    else:
        x, y = _as_unsigned(f, x, kind, width), _as_unsigned(f, y, kind, width)
    return f.language.compare(width, operator, x, y)


def _bool_comparison(f: FunctionEmitter, operator: str, width: int, x: str, y: str) -> str:
    def no(mask: str) -> str:
        return f.let("bool", width, f.language.negate_mask(width, mask))

    text = {
        "==": lambda: f"{no(x)} ^ {y}",
        "!=": lambda: f"{x} ^ {y}",
        "<": lambda: f"{no(x)} & {y}",
        "<=": lambda: f"{no(x)} | {y}",
        ">": lambda: f"{x} & {no(y)}",
        ">=": lambda: f"{x} | {no(y)}",
    }[operator]()
    return text if width > 1 else f"bool({text})"


def compare_integers(f: FunctionEmitter, predicate: str, kind: str, width: int, r: list[str]) -> str:
    is_signed = predicate[0] == "s"
    operator = _INT_OPERATORS[predicate if predicate in ("eq", "ne") else predicate[1:]]
    if kind != "bool" and predicate in ("eq", "ne"):
        return f.language.compare(width, operator, r[0], r[1])
    return _ordered(f, operator, is_signed, kind, width, r[0], r[1])


def compare_floats(f: FunctionEmitter, predicate: str, width: int, r: list[str]) -> str:
    x, y = r
    if predicate in _ORDERED:
        return f.language.compare(width, _ORDERED[predicate], x, y)
    if predicate in _UNORDERED:
        return f.language.negate_mask(width, f.compare(width, _UNORDERED[predicate], x, y))
    if predicate == "une":
        return f.language.compare(width, "!=", x, y)
    if predicate in ("one", "ueq"):
        different = f"{f.compare(width, '<', x, y)} | {f.compare(width, '>', x, y)}"
        if predicate == "one":
            return different if width > 1 else f"bool({different})"
        return f.language.negate_mask(width, f.let("bool", width, different))
    if predicate in ("true", "false"):
        return f.splat(predicate, "bool", width)
    nan = f"{f.compare(width, '!=', x, x)} | {f.compare(width, '!=', y, y)}"
    if predicate == "uno":
        return nan if width > 1 else f"bool({nan})"
    return f.language.negate_mask(width, f.let("bool", width, nan))


def cmpi(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
    assert isinstance(op, arith.CmpiOp)
    return compare_integers(f, arith.CMPI_COMPARISON_OPERATIONS[op.predicate.value.data], kind, width, r)


def cmpf(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
    assert isinstance(op, arith.CmpfOp)
    return compare_floats(f, arith.CMPF_COMPARISON_OPERATIONS[op.predicate.value.data], width, r)


def cmp(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
    assert isinstance(op, CmpOp)
    if kind == "f32":
        return compare_floats(f, op.predicate.data, width, r)
    return compare_integers(f, op.predicate.data, kind, width, r)


def select(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
    return f.choose(width, r[0], r[1], r[2])


# -- math


def function(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
    """A function of the language's math table."""
    code = f.language.math.get(type(op))
    if code is None:
        raise f.error(op, f"the target has no such function of {element_of(op.results[0].type)}")
    return code(f, width, *r)


def rsqrt(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
    root = f.let("f32", width, function(f, math.SqrtOp(op.operands[0]), kind, width, r))
    return f"{f.real(1.0, width)} / {root}"


# -- index arithmetic


def apply(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
    assert isinstance(op, ApplyOp)
    return expand(f, op.expr.data, dict(zip((name.data for name in op.names.data), r)), width)


def expand(f: FunctionEmitter, expr: DimExpr, registers: dict[str, str], width: int) -> str:
    """An expression for a dim expression; symbols come from `registers`."""
    total = ""
    for monomial, scale in expr.terms:
        factors = [registers[atom[1]] if atom[0] == "sym" else _atom(f, atom, registers, width) for atom in monomial]
        if not factors or abs(scale) != 1:
            factors.append(f.integer(abs(scale), "i64", width))
        term = " * ".join(factors)
        if not total:
            total = term if scale >= 0 else f"-{factors[0]}" if len(factors) == 1 else f"-({term})"
        else:
            total += f" {'+' if scale >= 0 else '-'} {term}"
    return total or f.integer(0, "i64", width)


def _atom(f: FunctionEmitter, atom: tuple[str, DimExpr, DimExpr], registers: dict[str, str], width: int) -> str:
    """A name for a quotient, a remainder, a minimum or a maximum."""
    kind, x, y = atom
    a = f.let("i64", width, expand(f, x, registers, width))
    b = f.let("i64", width, expand(f, y, registers, width))
    zero = f.integer(0, "i64", width)
    if kind in ("min", "max"):
        return f.let("i64", width, f.choose(width, f.compare(width, "<" if kind == "min" else ">", a, b), a, b))
    if y.is_const and y.value & (y.value - 1) == 0:  # arithmetic shift and mask round towards minus infinity
        if kind == "mod":
            return f.let("i64", width, f"{a} & {f.integer(y.value - 1, 'i64', width)}")
        return f.let("i64", width, f"{a} >> {f.integer(y.value.bit_length() - 1, 'i64', width)}")
    if not y.is_const:
        # A divisor is positive where its result is used; elsewhere (an empty extent) it must not trap.
        one = f.integer(1, "i64", width)
        b = f.let("i64", width, f.choose(width, f.compare(width, ">", b, one), b, one))
    rest = f.let("i64", width, f"{a} % {b}")
    negative = f.compare(width, "<", rest, zero)
    if kind == "mod":
        wrapped = f.let("i64", width, f"{rest} + {b}")
        return f.let("i64", width, f.choose(width, negative, wrapped, rest))
    return f.let("i64", width, f"{a} / {b} - {f.construct('i64', width, negative)}")


def cast(f: FunctionEmitter, op: Operation, kind: str, width: int, r: list[str]) -> str:
    name = op.kind.data if isinstance(op, CastOp) else op.name.removeprefix("arith.")
    source, result = element_of(op.operands[0].type), element_of(op.results[0].type)
    if name == "index_cast":
        wide, same = bits_of(kind_of(result)), bits_of(kind_of(source))
        name = "bitcast" if wide == same else "extsi" if wide > same else "trunci"
    return casts.convert(f, name, r[0], source, result, width)


def emit_elementwise(f: FunctionEmitter, op: Operation, width: int, registers: list[str]) -> str:
    """A name for one element-wise op on pieces of one width. Narrow floats compute in f32 and round once."""
    emit = ELEMENTWISE.get(type(op)) or function
    result = element_of(op.results[0].type)
    operand = element_of(op.operands[-1].type) if op.operands else result
    if emit is cast or emit is select or not casts.is_narrow(operand):
        element = result if emit is select else operand
        return f.let(kind_of(result), width, emit(f, op, kind_of(element), width, registers))
    wide = [f.let("f32", width, casts.widen(f, register, operand, width)) for register in registers]
    value = emit(f, op, "f32", width, wide)
    if not casts.is_narrow(result):
        return f.let(kind_of(result), width, value)
    return f.let(kind_of(result), width, casts.narrow(f, f.let("f32", width, value), result, width))


def elementwise(f: FunctionEmitter, op: Operation) -> None:
    """An element-wise op on all pieces of its operands; scalars beside vectors are repeated."""
    _, shape, widths = f.form(op.results[0])
    whole = isinstance(op, arith.SelectOp) and bool(shape) and not shape_of(op.cond.type)
    count = len(widths) * (shape[0] if len(shape) == 2 else 1)
    splats: dict[tuple[int, int], str] = {}
    registers: list[str] = []
    for i in range(count):
        width = widths[i % len(widths)]
        pieces: list[str] = []
        for position, operand in enumerate(op.operands):
            known = f.packed(operand)
            if f[operand].shape or not shape:
                pieces.append(known[i if f[operand].shape else 0])
                continue
            key = (position, width)
            if key not in splats:
                splats[key] = f.let(f[operand].kind, width, f.splat(known[0], f[operand].kind, width))
            pieces.append(splats[key])
        if whole:
            pieces[0] = f.scalar(op.operands[0])
            registers.append(f.let(f.form(op.results[0])[0], width, f"{pieces[0]} ? {pieces[1]} : {pieces[2]}"))
        else:
            registers.append(emit_elementwise(f, op, width, pieces))
    f.define(op.results[0], registers)


ELEMENTWISE: dict[type[Operation], Elementwise] = {
    arith.AddiOp: binary("+"),
    arith.SubiOp: binary("-"),
    arith.MuliOp: binary("*"),
    arith.AndIOp: binary("&"),
    arith.OrIOp: binary("|"),
    arith.XOrIOp: binary("^"),
    arith.ShLIOp: shift(left=True),
    arith.ShRUIOp: shift(left=False),
    arith.ShRSIOp: shift(left=False, arithmetic=True),
    arith.DivSIOp: division("/", True),
    arith.DivUIOp: division("/", False),
    arith.RemSIOp: division("%", True),
    arith.RemUIOp: division("%", False),
    arith.FloorDivSIOp: rounded_division(up=False),
    arith.CeilDivSIOp: rounded_division(up=True),
    arith.CeilDivUIOp: ceildivui,
    arith.MinSIOp: int_extremum("<", True),
    arith.MaxSIOp: int_extremum(">", True),
    arith.MinUIOp: int_extremum("<", False),
    arith.MaxUIOp: int_extremum(">", False),
    arith.AddfOp: float_binary("+"),
    arith.SubfOp: float_binary("-"),
    arith.MulfOp: float_binary("*"),
    arith.DivfOp: float_binary("/"),
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
    math.FmaOp: call("fma"),
    math.RsqrtOp: rsqrt,
    math.AbsFOp: call("fabs"),
    math.CopySignOp: call("copysign"),
    math.FloorOp: call("floor"),
    math.CeilOp: call("ceil"),
    math.TruncOp: call("trunc"),
    math.RoundOp: call("round"),
    math.RoundEvenOp: call("rint"),
    math.AbsIOp: absi,
    math.CountLeadingZerosOp: count_bits("clz"),
    math.CountTrailingZerosOp: count_bits("ctz"),
    math.CtPopOp: count_bits("popcount"),
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
            math.SqrtOp, math.ExpOp, math.Exp2Op, math.ExpM1Op, math.LogOp, math.Log2Op, math.Log10Op, math.Log1pOp,
            math.PowFOp, math.TanhOp, math.ErfOp, math.SinOp, math.CosOp, math.TanOp, math.AtanOp, math.Atan2Op,
            math.AsinOp, math.AcosOp, math.SinhOp, math.CoshOp, math.AsinhOp, math.AcoshOp, math.AtanhOp, math.CbrtOp,
        ),
        function,
    ),
}  # fmt: skip
HANDLERS: dict[type[Operation], Callable[..., None]] = dict.fromkeys(ELEMENTWISE, elementwise)
