"""Building the scalar regions of kernel forms.

`RegionBuilder` appends `arith`, `math` and `lir` ops to one block. Arithmetic picks the float or the integer op by the
operand's type; f16, bf16 and f8 values are widened to f32 by `widen` and rounded once by `narrow`.
"""

from __future__ import annotations

import math as pymath
from collections.abc import Sequence

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float16Type,
    Float32Type,
    Float64Type,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    f32,
    i1,
    i64,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from rlx_dialects.dims import DimExpr
from rlx_dialects.lir.regions import IndexOp, YieldOp
from rlx_dialects.lir.types import scalar_type
from rlx_dialects.rlx import dtypes

NARROW_FLOATS = (Float16Type, BFloat16Type)

_FLOAT_OPS = {
    "add": arith.AddfOp,
    "sub": arith.SubfOp,
    "mul": arith.MulfOp,
    "div": arith.DivfOp,
    "max": arith.MaximumfOp,
    "min": arith.MinimumfOp,
}
_INT_OPS = {
    "add": arith.AddiOp,
    "sub": arith.SubiOp,
    "mul": arith.MuliOp,
    "and": arith.AndIOp,
    "or": arith.OrIOp,
    "xor": arith.XOrIOp,
}
_SIGNED_OPS = {"div": arith.FloorDivSIOp, "max": arith.MaxSIOp, "min": arith.MinSIOp}
_UNSIGNED_OPS = {"div": arith.DivUIOp, "max": arith.MaxUIOp, "min": arith.MinUIOp}
_FLOAT_PREDICATES = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_INT_PREDICATES = {
    "eq": ("eq", "eq"),
    "ne": ("ne", "ne"),
    "lt": ("slt", "ult"),
    "le": ("sle", "ule"),
    "gt": ("sgt", "ugt"),
    "ge": ("sge", "uge"),
}


def is_float_type(kind: Attribute) -> bool:
    return dtypes.is_float(kind)


def compute_type(element_type: Attribute) -> Attribute:
    """The type arithmetic on this element type is done in: f32 for floats narrower than that, else the type itself."""
    if is_float_type(element_type) and not isinstance(element_type, Float32Type | Float64Type):
        return f32
    return scalar_type(element_type)


class RegionBuilder:
    """Appends scalar ops to a block; every method returns the new SSA value."""

    def __init__(self, arg_types: Sequence[Attribute] = (), block: Block | None = None):
        self.block = block or Block(arg_types=arg_types)

    @property
    def args(self) -> tuple[SSAValue, ...]:
        return tuple(self.block.args)

    def add_op(self, op: Operation) -> SSAValue:
        self.block.add_op(op)
        return op.results[0]

    def region(self, *values: SSAValue) -> Region:
        """End the block with `lir.yield` and wrap it."""
        self.block.add_op(YieldOp(*values))
        return Region(self.block)

    # -- leaves

    def constant(self, value: float | bool, kind: Attribute) -> SSAValue:
        return self.add_op(arith.ConstantOp(scalar_constant(value, kind)))

    def index(self, expr: DimExpr, kind: Attribute | None = None) -> SSAValue:
        """An index expression, as `index` or cast to an integer or float type."""
        value = self.add_op(IndexOp(expr))
        if kind is None or isinstance(kind, IndexType):
            return value
        integer = kind if isinstance(kind, IntegerType) else i64
        value = self.add_op(arith.IndexCastOp(value, integer))
        return value if kind == integer else self.convert(value, kind)

    # -- arithmetic

    def binary(self, kind: str, a: SSAValue, b: SSAValue, *, unsigned: bool = False) -> SSAValue:
        """add sub mul div max min (and or xor on integers). Integer division floors."""
        if is_float_type(a.type):
            return self.add_op(_FLOAT_OPS[kind](a, b))
        table = {**_INT_OPS, **(_UNSIGNED_OPS if unsigned else _SIGNED_OPS)}
        return self.add_op(table[kind](a, b))

    def compare(self, kind: str, a: SSAValue, b: SSAValue, *, unsigned: bool = False) -> SSAValue:
        """eq ne lt le gt ge, as i1; NaN compares false except for ne."""
        if is_float_type(a.type):
            return self.add_op(arith.CmpfOp(a, b, _FLOAT_PREDICATES[kind]))
        return self.add_op(arith.CmpiOp(a, b, _INT_PREDICATES[kind][unsigned]))

    def select(self, condition: SSAValue, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.add_op(arith.SelectOp(condition, a, b))

    def math(self, op: type[Operation], a: SSAValue) -> SSAValue:
        return self.add_op(op(a))  # pyright: ignore[reportCallIssue]

    def neg(self, a: SSAValue) -> SSAValue:
        if is_float_type(a.type):
            return self.add_op(arith.NegfOp(a))
        return self.binary("sub", self.constant(0, a.type), a)

    # -- conversions

    def widen(self, value: SSAValue) -> SSAValue:
        """To the compute type of its element type."""
        return self.convert(value, compute_type(value.type))

    def convert(
        self, value: SSAValue, kind: Attribute, *, unsigned_source: bool = False, unsigned_target: bool = False
    ) -> SSAValue:
        """`value` as `kind`: floats round to nearest even, float → int truncates toward zero, anything → bool is `!= 0`."""
        source, target = value.type, scalar_type(kind)
        if source == target:
            return value
        if target == i1:
            return self.compare("ne", value, self.constant(0, source))
        if is_float_type(source) and is_float_type(target):
            wide, narrow = dtypes.bit_width(source), dtypes.bit_width(target)
            if wide < narrow:
                return self.add_op(arith.ExtFOp(value, target))
            if wide > narrow:
                return self.add_op(arith.TruncFOp(value, target))
            return self.convert(self.convert(value, f32), target)
        if is_float_type(target):
            unsigned = unsigned_source or source == i1
            op = arith.UIToFPOp if unsigned else arith.SIToFPOp
            if not isinstance(target, Float32Type | Float64Type):
                return self.convert(self.add_op(op(value, f32)), target)
            return self.add_op(op(value, target))
        if is_float_type(source):
            return self.add_op((arith.FPToUIOp if unsigned_target else arith.FPToSIOp)(self.widen(value), target))  # pyright: ignore[reportArgumentType]
        wide, narrow = int(source.width.data), int(target.width.data)  # pyright: ignore[reportAttributeAccessIssue]
        if wide > narrow:
            return self.add_op(arith.TruncIOp(value, target))  # pyright: ignore[reportArgumentType]
        if wide == narrow:
            return value
        op = arith.ExtUIOp if unsigned_source or source == i1 else arith.ExtSIOp
        return self.add_op(op(value, target))  # pyright: ignore[reportArgumentType]

    # -- activations, on values of a compute type

    def sigmoid(self, x: SSAValue) -> SSAValue:
        one = self.constant(1.0, x.type)
        return self.binary("div", one, self.binary("add", one, self.math(math.ExpOp, self.neg(x))))

    def gelu(self, x: SSAValue) -> SSAValue:
        """x/2 · (1 + erf(x/√2)) (Hendrycks & Gimpel 2016)."""
        inner = self.math(math.ErfOp, self.binary("mul", x, self.constant(pymath.sqrt(0.5), x.type)))
        half = self.binary("mul", self._bounded(x), self.constant(0.5, x.type))
        return self.binary("add", half, self.binary("mul", half, inner))

    def gelu_tanh(self, x: SSAValue) -> SSAValue:
        """x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))) (Hendrycks & Gimpel 2016)."""
        cube = self.binary("mul", self.binary("mul", x, x), x)
        inner = self.binary("add", x, self.binary("mul", cube, self.constant(0.044715, x.type)))
        t = self.math(math.TanhOp, self.binary("mul", inner, self.constant(pymath.sqrt(2 / pymath.pi), x.type)))
        half = self.binary("mul", self._bounded(x), self.constant(0.5, x.type))
        return self.binary("add", half, self.binary("mul", half, t))

    def silu(self, x: SSAValue) -> SSAValue:
        """x · sigmoid(x) (Elfwing et al. 2017)."""
        return self.binary("mul", self._bounded(x), self.sigmoid(x))

    def _bounded(self, x: SSAValue) -> SSAValue:
        """x, or -1000 below: a factor of something that is 0 long before, so that the product at -inf is 0 and not NaN."""
        return self.binary("max", x, self.constant(-1000.0, x.type))

    def activation(self, kind: str, x: SSAValue) -> SSAValue:
        """none relu gelu gelu_tanh silu tanh sigmoid."""
        match kind:
            case "none":
                return x
            case "relu":
                return self.binary("max", x, self.constant(0.0, x.type))
            case "gelu":
                return self.gelu(x)
            case "gelu_tanh":
                return self.gelu_tanh(x)
            case "silu":
                return self.silu(x)
            case "tanh":
                return self.math(math.TanhOp, x)
            case "sigmoid":
                return self.sigmoid(x)
            case _:
                raise ValueError(f"unknown activation '{kind}'")


def scalar_constant(value: float | bool, kind: Attribute) -> FloatAttr | IntegerAttr:
    """A constant attribute of an element type, as regions take it."""
    kind = scalar_type(kind)
    if is_float_type(kind):
        return FloatAttr(float(value), kind)  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert isinstance(kind, IntegerType | IndexType)
    if kind == i1:
        return IntegerAttr(-1 if value else 0, kind)
    return IntegerAttr(int(value), kind)
