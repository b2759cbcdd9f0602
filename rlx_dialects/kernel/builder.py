"""Writing kernel code from Python: inserts ops at the end of a block, folds index arithmetic on plain integers.

```python
func = FuncOp("scale", [ptr(f32), INDEX])
b = KernelBuilder(func)
x, n = func.body.block.args
def row(i):
    b.store(b.mulf(b.load(x, i, (16,)), b.splat(2.0, f32, (16,))), x, i)
b.loop(0, n, 16, row)
b.end()
```
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from xdsl.dialects import arith, math, scf
from xdsl.dialects.builtin import FloatAttr, IndexType, IntegerAttr
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from rlx_dialects.dims import DimExpr
from rlx_dialects.kernel.elementwise import ApplyOp, CastOp, CmpOp, SelectOp
from rlx_dialects.kernel.functions import CallOp, EntryOp, Function, PlanOp, ReturnOp
from rlx_dialects.kernel.lift import lift
from rlx_dialects.kernel.memory import LoadOp, StoreOp
from rlx_dialects.kernel.pointers import OffsetOp
from rlx_dialects.kernel.reduction import ReduceOp
from rlx_dialects.kernel.team import PartitionOp
from rlx_dialects.kernel.types import INDEX, is_float
from rlx_dialects.kernel.vector import BroadcastOp, MaskOp, OuterFmaOp

Index: TypeAlias = "SSAValue | int"


class KernelBuilder:
    """Builds the body of one function. Where an index is expected a Python int will do; constants are made once, at its start."""

    def __init__(self, function: Function | EntryOp | PlanOp):
        self.entry = function.body.block
        self.block = self.entry
        self._constants: dict[tuple[object, ...], SSAValue] = {}
        self._values: dict[SSAValue, int] = {}
        self._last_constant: Operation | None = None

    # -- plumbing

    def op(self, op: Operation) -> Operation:
        """Insert an op at the end of the current block."""
        self.block.add_op(op)
        return op

    def value(self, op: Operation) -> SSAValue:
        """Insert an op with one result; returns the result."""
        self.block.add_op(op)
        return op.results[0]

    def constant(self, value: float, element: Attribute) -> SSAValue:
        """A scalar constant."""
        key = (repr(value), element)  # 0.0 and -0.0 are equal, and so are True and 1
        found = self._constants.get(key)
        if found is None:
            if is_float(element):
                op = arith.ConstantOp(FloatAttr(value, element))  # pyright: ignore[reportCallIssue, reportArgumentType]
            else:
                op = arith.ConstantOp(IntegerAttr(int(value), element))  # pyright: ignore[reportCallIssue, reportArgumentType]
            if self._last_constant is not None:
                self.entry.insert_op_after(op, self._last_constant)
            elif self.entry.first_op is not None:
                self.entry.insert_op_before(op, self.entry.first_op)
            else:
                self.entry.add_op(op)
            self._last_constant = op
            found = self._constants[key] = op.result
            if isinstance(element, IndexType):
                self._values[found] = int(value)
        return found

    def index(self, value: Index) -> SSAValue:
        return self.constant(value, INDEX) if isinstance(value, int) else value

    def known(self, value: Index) -> int | None:
        """The integer that an index made by this builder is, if it is a constant."""
        return value if isinstance(value, int) else self._values.get(value)

    # -- index arithmetic

    def add(self, a: Index, b: Index) -> SSAValue:
        x, y = self.known(a), self.known(b)
        if x is not None and y is not None:
            return self.index(x + y)
        if x == 0:
            return self.index(b)
        if y == 0:
            return self.index(a)
        return self.value(arith.AddiOp(self.index(a), self.index(b)))

    def sub(self, a: Index, b: Index) -> SSAValue:
        x, y = self.known(a), self.known(b)
        if x is not None and y is not None:
            return self.index(x - y)
        return self.index(a) if y == 0 else self.value(arith.SubiOp(self.index(a), self.index(b)))

    def mul(self, a: Index, b: Index) -> SSAValue:
        x, y = self.known(a), self.known(b)
        if x is not None and y is not None:
            return self.index(x * y)
        if x == 0 or y == 0:
            return self.index(0)
        if x == 1:
            return self.index(b)
        if y == 1:
            return self.index(a)
        return self.value(arith.MuliOp(self.index(a), self.index(b)))

    def minimum(self, a: Index, b: Index) -> SSAValue:
        x, y = self.known(a), self.known(b)
        if x is not None and y is not None:
            return self.index(min(x, y))
        return self.value(arith.MinSIOp(self.index(a), self.index(b)))

    def apply(self, expr: DimExpr, values: Mapping[str, Index]) -> SSAValue:
        """The value of a dim expression; symbols bound to constants are folded into it."""
        expr = expr.substitute({name: known for name, value in values.items() if (known := self.known(value)) is not None})
        if expr.is_const:
            return self.index(expr.value)
        if expr.is_symbol:
            return self.index(values[str(expr)])
        return self.value(ApplyOp(expr, {name: self.index(values[name]) for name in sorted(expr.symbols)}))

    # -- memory

    def load(
        self,
        pointer: SSAValue,
        index: Index,
        shape: Sequence[int] = (),
        *,
        stride: Index | None = None,
        mask: SSAValue | None = None,
        fill: SSAValue | None = None,
        nontemporal: bool = False,
    ) -> SSAValue:
        return self.value(
            LoadOp(
                pointer,
                self.index(index),
                shape,
                stride=None if stride is None else self.index(stride),
                mask=mask,
                fill=fill,
                nontemporal=nontemporal,
            )
        )

    def store(
        self,
        value: SSAValue,
        pointer: SSAValue,
        index: Index,
        *,
        stride: Index | None = None,
        mask: SSAValue | None = None,
        nontemporal: bool = False,
    ) -> None:
        row_stride = None if stride is None else self.index(stride)
        self.op(StoreOp(value, pointer, self.index(index), stride=row_stride, mask=mask, nontemporal=nontemporal))

    def offset(self, pointer: SSAValue, index: Index, align: int | None = None) -> SSAValue:
        if self.known(index) == 0 and align is None:
            return pointer
        return self.value(OffsetOp(pointer, self.index(index), align))

    # -- arithmetic on scalars and vectors of one shape

    def addf(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.value(arith.AddfOp(a, b))

    def subf(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.value(arith.SubfOp(a, b))

    def mulf(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.value(arith.MulfOp(a, b))

    def divf(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.value(arith.DivfOp(a, b))

    def fma(self, a: SSAValue, b: SSAValue, c: SSAValue) -> SSAValue:
        return self.value(math.FmaOp(a, b, c))

    def cmp(self, predicate: str, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.value(CmpOp(predicate, a, b))

    def select(self, mask: SSAValue, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.value(SelectOp(mask, a, b))

    def cast(self, kind: str, value: SSAValue, element: Attribute) -> SSAValue:
        return self.value(CastOp(kind, value, element))

    def lift(self, op: Operation, operands: Sequence[SSAValue]) -> SSAValue:
        """A scalar op of a form's region, on vectors (see `lift.lift`)."""
        made = lift(op, operands)
        for each in made:
            self.block.add_op(each)
        return made[-1].results[0]

    # -- vectors

    def splat(self, value: float | SSAValue, element: Attribute, shape: Sequence[int]) -> SSAValue:
        """A constant or a scalar in all lanes; the scalar itself for the shape ()."""
        scalar = value if isinstance(value, SSAValue) else self.constant(value, element)
        return self.value(BroadcastOp(scalar, shape)) if shape else scalar

    def broadcast(self, value: SSAValue, shape: Sequence[int], role: str | None = None) -> SSAValue:
        return self.value(BroadcastOp(value, shape, role))

    def outer_fma(self, a: SSAValue, b: SSAValue, acc: SSAValue) -> SSAValue:
        return self.value(OuterFmaOp(a, b, acc))

    def reduce(self, kind: str, value: SSAValue, over: str | None = None) -> SSAValue:
        return self.value(ReduceOp(kind, value, over))

    def mask(self, counts: Iterable[Index], shape: Sequence[int]) -> SSAValue:
        return self.value(MaskOp([self.index(count) for count in counts], shape))

    # -- control

    def partition(self, extent: Index, unit: int = 1) -> tuple[SSAValue, SSAValue]:
        op = PartitionOp(self.index(extent), unit)
        self.op(op)
        return op.lo, op.hi

    def loop(
        self,
        lower: Index,
        upper: Index,
        step: Index,
        body: Callable[..., Sequence[SSAValue] | None],
        init: Sequence[SSAValue] = (),
    ) -> tuple[SSAValue, ...]:
        """`body(i, *carried)` returns the next carried values; returns the last ones."""
        block = Block(arg_types=[INDEX, *(value.type for value in init)])
        lb, ub, by = self.index(lower), self.index(upper), self.index(step)
        with_block, self.block = self.block, block
        carried = body(*block.args) or ()
        self.block.add_op(scf.YieldOp(*carried))
        self.block = with_block
        return tuple(self.op(scf.ForOp(lb, ub, by, init, block)).results)

    def when(
        self,
        condition: SSAValue,
        then: Callable[[], Sequence[SSAValue] | None],
        otherwise: Callable[[], Sequence[SSAValue] | None] | None = None,
    ) -> tuple[SSAValue, ...]:
        """`then()` or `otherwise()`; both return equally typed values, which are returned."""

        def region(body: Callable[[], Sequence[SSAValue] | None]) -> tuple[Region, list[Attribute]]:
            with_block, self.block = self.block, Block()
            values = body() or ()
            self.block.add_op(scf.YieldOp(*values))
            made, self.block = self.block, with_block
            return Region(made), [value.type for value in values]

        true_region, types = region(then)
        false_region = region(otherwise)[0] if otherwise is not None else None
        return tuple(self.op(scf.IfOp(condition, types, true_region, false_region)).results)

    def call(self, callee: str, arguments: Sequence[SSAValue], results: Sequence[Attribute] = ()) -> tuple[SSAValue, ...]:
        return tuple(self.op(CallOp(callee, arguments, results)).results)

    def end(self, *values: SSAValue) -> None:
        """`kernel.return`"""
        self.op(ReturnOp(*values))

