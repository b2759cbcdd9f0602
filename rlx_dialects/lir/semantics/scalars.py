"""`arith` and `math` on whole arrays.

Values of f16, bf16 and f8 are computed in f32 and rounded once per operation; with `wide` every float is f64. Integers inside
regions are signless: arrays are signed, and the operations that read them as unsigned view them so. `i4` values live in int8 and
wrap at 4 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, FloatAttr, IndexType, IntegerAttr, IntegerType
from xdsl.ir import Attribute, Operation

from rlx_dialects.rlx import dtypes

Array = np.ndarray[Any, Any]

_FLOATS: dict[str, Any] = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f8e4m3fn": ml_dtypes.float8_e4m3fn,
    "f8e5m2": ml_dtypes.float8_e5m2,
}


def storage_dtype(element_type: Attribute, wide: bool = False) -> np.dtype[Any]:
    """How an element lies in a buffer. Bools are bytes; `i4` is a byte here, though buffers pack two."""
    name = dtypes.dtype_name(element_type)
    if name in _FLOATS:
        return np.dtype(np.float64 if wide else _FLOATS[name])
    if name in ("bool", "i4"):
        return np.dtype(np.uint8)
    return np.dtype(f"{'uint' if name.startswith('u') else 'int'}{name[1:]}")


def scalar_dtype(kind: Attribute, wide: bool = False) -> np.dtype[Any]:
    """How a value inside a region is held."""
    if isinstance(kind, IndexType):
        return np.dtype(np.int64)
    if isinstance(kind, IntegerType):
        width = kind.width.data
        return np.dtype(np.bool_) if width == 1 else np.dtype(np.int8) if width == 4 else np.dtype(f"int{width}")
    return storage_dtype(kind, wide)


def compute_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Where arithmetic on `dtype` happens: f32 for the narrow floats."""
    return np.dtype(np.float32) if is_narrow(dtype) else dtype


def is_narrow(dtype: np.dtype[Any]) -> bool:
    return dtype.itemsize <= 2 and dtype.kind not in "iub"


def literal(value: Attribute, wide: bool = False) -> Array:
    """A `0.0 : f32` or `3 : i64` attribute as an array of rank 0."""
    if isinstance(value, IntegerAttr):
        kind = value.type
        number = value.value.data
        if kind == dtypes.BOOL:
            return np.asarray(bool(number))
        return np.asarray(_signed(number, 64 if isinstance(kind, IndexType) else kind.width.data), scalar_dtype(kind))
    if isinstance(value, FloatAttr):
        return np.asarray(value.value.data, scalar_dtype(value.type, wide))
    raise TypeError(f"no scalar literal: {value}")


def elements(value: DenseIntOrFPElementsAttr, element_type: Attribute, wide: bool = False) -> Array:
    """A dense literal as a flat array of region values."""
    dtype = scalar_dtype(dtypes.BOOL if element_type == dtypes.BOOL else element_type, wide)
    values: list[Any] = list(value.get_values())
    if dtype.kind in "iub":
        bits = dtypes.bit_width(element_type)
        values = [bool(v) for v in values] if element_type == dtypes.BOOL else [_signed(int(v), bits) for v in values]
        dtype = scalar_dtype(IntegerType(1) if element_type == dtypes.BOOL else IntegerType(bits))
    return np.asarray(values, dtype)


def _signed(number: int, bits: int) -> int:
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number


def evaluate(op: Operation, args: Sequence[Array], wide: bool = False) -> list[Array]:
    """The results of one `arith` or `math` operation. NotImplementedError names an operation that has no meaning here."""
    if op.name == "arith.constant":
        return [literal(op.properties["value"], wide)]
    kind = op.results[0].type
    source = op.operands[0].type if op.operands else kind
    if op.name in _CASTS:
        return [_CASTS[op.name](np.asarray(args[0]), source, kind, wide)]
    if op.name in _EXTENDED:
        return _EXTENDED[op.name](args[0], args[1], kind)
    if op.name == "arith.select":
        return [np.where(*args)]
    if op.name in ("arith.cmpf", "arith.cmpi"):
        predicate = op.properties["predicate"]
        assert isinstance(predicate, IntegerAttr)
        table = _COMPARE_FLOATS if op.name == "arith.cmpf" else _COMPARE_INTS
        if source == dtypes.BOOL:
            args = [-a.astype(np.int8) for a in args]
        return [np.asarray(table[predicate.value.data](*map(_widened, args)))]
    function = _FUNCTIONS.get(op.name)
    if function is None:
        raise NotImplementedError(f"'{op.name}' has no NumPy meaning")
    dtype = scalar_dtype(kind, wide)
    if dtype.kind == "b":
        return [np.asarray(function(*args)).astype(np.bool_)]
    result = np.asarray(function(*map(_widened, args))).astype(dtype, copy=False)
    return [_wrapped(result) if kind == IntegerType(4) else result]


def _widened(value: Array) -> Array:
    return value.astype(np.float32) if is_narrow(value.dtype) else value


def _wrapped(value: Array) -> Array:
    return (((value + 8) & 15) - 8).astype(np.int8)


def unsigned(value: Array) -> Array:
    return np.asarray(value) if value.dtype.kind == "b" else np.asarray(value).view(f"u{value.dtype.itemsize}")


# -- functions of values


def _divsi(a: Array, b: Array) -> Array:
    quotient = np.floor_divide(a, b)
    return quotient + ((quotient * b != a) & ((a < 0) != (b < 0)))


def _round_away(x: Array) -> Array:
    whole = np.trunc(x)
    return whole + np.copysign((np.abs(x - whole) >= 0.5).astype(x.dtype), x)


def _fma(a: Array, b: Array, c: Array) -> Array:
    # A product of two f32 is exact in f64, so this rounds (almost) once.
    return (a.astype(np.float64) * b + c).astype(a.dtype)


def _powi(base: Array, exponent: Array) -> Array:
    inverse = np.where(base == 1, 1, np.where(base == -1, np.where(exponent % 2 == 0, 1, -1), 0))
    return np.where(exponent < 0, inverse, np.power(base, np.maximum(exponent, 0)))


def _leading_zeros(x: Array) -> Array:
    bits = unsigned(x)
    width = bits.dtype.itemsize * 8
    shift = 1
    while shift < width:
        bits = bits | (bits >> np.asarray(shift, bits.dtype))
        shift *= 2
    return width - np.bitwise_count(bits).astype(np.int64)


def _trailing_zeros(x: Array) -> Array:
    bits = unsigned(x)
    one = np.asarray(1, bits.dtype)
    return np.bitwise_count((bits & (~bits + one)) - one).astype(np.int64)


def _on_unsigned(function: Callable[..., Array]) -> Callable[..., Array]:
    return lambda *args: function(*map(unsigned, args))


_erf = np.frompyfunc(math.erf, 1, 1)


def erf(x: Array) -> Array:
    return np.asarray(_erf(x)).astype(x.dtype)


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "arith.addf": np.add,
    "arith.subf": np.subtract,
    "arith.mulf": np.multiply,
    "arith.divf": np.divide,
    "arith.negf": np.negative,
    "arith.maximumf": np.maximum,
    "arith.minimumf": np.minimum,
    "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin,
    "arith.addi": lambda a, b: a ^ b if a.dtype.kind == "b" else a + b,
    "arith.subi": lambda a, b: a ^ b if a.dtype.kind == "b" else a - b,
    "arith.muli": lambda a, b: a & b if a.dtype.kind == "b" else a * b,
    "arith.divsi": _divsi,
    "arith.divui": _on_unsigned(np.floor_divide),
    "arith.floordivsi": np.floor_divide,
    "arith.ceildivsi": lambda a, b: -np.floor_divide(-a, b),
    "arith.ceildivui": _on_unsigned(lambda a, b: np.floor_divide(a, b) + (a % b != 0).astype(a.dtype)),
    "arith.remsi": np.fmod,
    "arith.remui": _on_unsigned(np.remainder),
    "arith.maxsi": np.maximum,
    "arith.minsi": np.minimum,
    "arith.maxui": _on_unsigned(np.maximum),
    "arith.minui": _on_unsigned(np.minimum),
    "arith.andi": np.bitwise_and,
    "arith.ori": np.bitwise_or,
    "arith.xori": np.bitwise_xor,
    "arith.shli": np.left_shift,
    "arith.shrsi": np.right_shift,
    "arith.shrui": _on_unsigned(np.right_shift),
    "math.absf": np.abs,
    "math.absi": np.abs,
    "math.sqrt": np.sqrt,
    "math.rsqrt": lambda x: (1 / np.sqrt(x)).astype(x.dtype),
    "math.cbrt": np.cbrt,
    "math.exp": np.exp,
    "math.exp2": np.exp2,
    "math.expm1": np.expm1,
    "math.log": np.log,
    "math.log2": np.log2,
    "math.log10": np.log10,
    "math.log1p": np.log1p,
    "math.sin": np.sin,
    "math.cos": np.cos,
    "math.tan": np.tan,
    "math.asin": np.arcsin,
    "math.acos": np.arccos,
    "math.atan": np.arctan,
    "math.atan2": np.arctan2,
    "math.sinh": np.sinh,
    "math.cosh": np.cosh,
    "math.tanh": np.tanh,
    "math.asinh": np.arcsinh,
    "math.acosh": np.arccosh,
    "math.atanh": np.arctanh,
    "math.erf": erf,
    "math.floor": np.floor,
    "math.ceil": np.ceil,
    "math.trunc": np.trunc,
    "math.round": _round_away,
    "math.roundeven": np.rint,
    "math.copysign": np.copysign,
    "math.powf": np.power,
    "math.fpowi": lambda x, n: np.power(x, n.astype(x.dtype)),
    "math.ipowi": _powi,
    "math.fma": _fma,
    "math.ctlz": _leading_zeros,
    "math.cttz": _trailing_zeros,
    "math.ctpop": lambda x: np.bitwise_count(unsigned(x)),
}


# -- comparisons, in the order of MLIR's predicates


def _ordered(a: Array, b: Array) -> Array:
    return ~(np.isnan(a) | np.isnan(b))


_COMPARE_FLOATS: tuple[Callable[[Array, Array], Array], ...] = (
    lambda a, b: np.zeros(np.broadcast_shapes(a.shape, b.shape), np.bool_),
    np.equal,
    np.greater,
    np.greater_equal,
    np.less,
    np.less_equal,
    lambda a, b: np.not_equal(a, b) & _ordered(a, b),
    _ordered,
    lambda a, b: np.equal(a, b) | ~_ordered(a, b),
    lambda a, b: ~np.less_equal(a, b),
    lambda a, b: ~np.less(a, b),
    lambda a, b: ~np.greater_equal(a, b),
    lambda a, b: ~np.greater(a, b),
    np.not_equal,
    lambda a, b: ~_ordered(a, b),
    lambda a, b: np.ones(np.broadcast_shapes(a.shape, b.shape), np.bool_),
)
_COMPARE_INTS: tuple[Callable[[Array, Array], Array], ...] = (
    np.equal,
    np.not_equal,
    np.less,
    np.less_equal,
    np.greater,
    np.greater_equal,
    *map(_on_unsigned, (np.less, np.less_equal, np.greater, np.greater_equal)),
)


# -- casts


def _cast(value: Array, _source: Attribute, target: Attribute, wide: bool) -> Array:
    return _widened(value).astype(scalar_dtype(target, wide))


def _cast_signed(value: Array, source: Attribute, target: Attribute, wide: bool) -> Array:
    return _cast(-value.astype(np.int8) if value.dtype.kind == "b" else value, source, target, wide)


def _cast_unsigned(value: Array, source: Attribute, target: Attribute, wide: bool) -> Array:
    return _cast(value & 15 if source == IntegerType(4) else unsigned(value), source, target, wide)


def _cast_to_int(value: Array, _source: Attribute, target: Attribute, _wide: bool) -> Array:
    return np.trunc(_widened(value)).astype(scalar_dtype(target))


def _cast_to_unsigned(value: Array, _source: Attribute, target: Attribute, _wide: bool) -> Array:
    dtype = scalar_dtype(target)
    return np.trunc(_widened(value)).astype(f"u{dtype.itemsize}").view(dtype)


def _truncate(value: Array, _source: Attribute, target: Attribute, _wide: bool) -> Array:
    if target == dtypes.BOOL:
        return (value & 1).astype(np.bool_)
    return _wrapped(value) if target == IntegerType(4) else value.astype(scalar_dtype(target))


def _bitcast(value: Array, source: Attribute, target: Attribute, wide: bool) -> Array:
    narrow = np.ascontiguousarray(value.astype(scalar_dtype(source))).reshape(value.shape)
    return narrow.view(scalar_dtype(target)).astype(scalar_dtype(target, wide))


_CASTS: dict[str, Callable[[Array, Attribute, Attribute, bool], Array]] = {
    "arith.extf": _cast,
    "arith.truncf": _cast,
    "arith.extsi": _cast_signed,
    "arith.extui": _cast_unsigned,
    "arith.trunci": _truncate,
    "arith.sitofp": _cast_signed,
    "arith.uitofp": _cast_unsigned,
    "arith.fptosi": _cast_to_int,
    "arith.fptoui": _cast_to_unsigned,
    "arith.index_cast": _cast_signed,
    "arith.bitcast": _bitcast,
}


# -- operations with a double-width result


def _extended(a: Array, b: Array, kind: Attribute, function: Callable[[Any, Any], Any], view: bool) -> list[Array]:
    assert isinstance(kind, IntegerType)
    if view:
        a, b = unsigned(a), unsigned(b)
    full = np.asarray(function(a.astype(object), b.astype(object)))
    bits = kind.width.data
    halves = (np.frompyfunc(half, 1, 1)(full) for half in (lambda v: _signed(v, bits), lambda v: _signed(v >> bits, bits)))
    return [np.asarray(half).astype(scalar_dtype(kind)) for half in halves]


def _add_extended(a: Array, b: Array, kind: Attribute) -> list[Array]:
    total, carry = _extended(a, b, kind, lambda x, y: x + y, True)
    return [total, carry != 0]


_EXTENDED: dict[str, Callable[[Array, Array, Attribute], list[Array]]] = {
    "arith.addui_extended": _add_extended,
    "arith.mulsi_extended": lambda a, b, kind: _extended(a, b, kind, lambda x, y: x * y, False),
    "arith.mului_extended": lambda a, b, kind: _extended(a, b, kind, lambda x, y: x * y, True),
}
