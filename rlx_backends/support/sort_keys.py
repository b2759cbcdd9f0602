"""The keys of a `lir.sort`, and which of two stands first."""

from __future__ import annotations

from xdsl.dialects import arith
from xdsl.dialects.builtin import f32
from xdsl.ir import Attribute, SSAValue

from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.regions import Region, Values
from rlx_backends.support.sites import Site, load
from rlx_dialects.dims import DimExpr
from rlx_dialects.kernel.types import byte_size, is_float
from rlx_dialects.lir import BufferType, SortOp
from rlx_dialects.rlx import dtypes


def sort_extent(form: SortOp, group: str) -> DimExpr:
    """The extent of the one dim of group "reduce" or "limit"."""
    return form.group(group)[0].dim


def key_type(form: SortOp) -> Attribute:
    """Narrow floats are compared as f32; a comparator takes the elements as they are."""
    kind = form.ins[0].type
    assert isinstance(kind, BufferType)
    narrow = is_float(kind.scalar_type) and byte_size(kind.scalar_type) < 4
    return f32 if narrow and form.order.data != "opaque" else kind.scalar_type


class SortKeys:
    """Keys of a row whose parallel dims are bound."""

    def __init__(self, b: KernelBuilder, form: SortOp):
        self.b = b
        self.form = form
        kind = form.ins[0].type
        assert isinstance(kind, BufferType)
        element = kind.element_type
        self.is_float = is_float(element)
        self.is_unsigned = dtypes.is_unsigned_int(element) or element == dtypes.BOOL  # as a signed number true is -1
        self.type = key_type(form)

    def here(self) -> SSAValue:
        """The key at the current place of the row."""
        b = self.b
        value = load(b, b.ins[0], Site())
        return value if value.type == self.type else b.cast("extf", value, self.type)

    def stands_before(self, first: SSAValue, second: SSAValue) -> SSAValue:
        """Whether `first` must stand before `second`; equal keys stay as they are, and NaN is last in either direction."""
        b, order = self.b, self.form.order.data
        if order == "opaque":
            block = self.form.comparator.block
            args: Values = dict(zip(block.args, (first, second), strict=True))
            return Region(b, block).run(args, Site())[0]
        less = "lt" if order == "ascending" else "gt"
        if self.is_float:
            ahead, number = b.cmp("u" + less, first, second), b.cmp("ord", first, first)
            return b.value(arith.AndIOp(ahead, number))
        return b.cmp(("u" if self.is_unsigned else "s") + less, first, second)
