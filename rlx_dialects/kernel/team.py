"""The team of threads that runs a call: who I am, my share of the work, meeting the others, reporting a fault.

These may stand in any function; the emitter passes the call on to functions that need it.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import I64, DenseArrayBase, IntegerAttr, StringAttr, UnitAttr, i1, i64
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    BaseAttr,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect, Pure
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.kernel.functions import EntryOp, Function, PlanOp
from rlx_dialects.kernel.types import INDEX, PtrType


@irdl_op_definition
class ThreadIdOp(IRDLOperation):
    """The number of this thread, from 0.

    ```mlir
    %t = kernel.thread_id
    ```
    """

    name = "kernel.thread_id"
    result = result_def(INDEX)
    traits = traits_def(Pure())
    assembly_format = "attr-dict"

    def __init__(self):
        super().__init__(result_types=[INDEX])

    def verify_(self) -> None:
        _verify_no_plan(self)


@irdl_op_definition
class NumThreadsOp(IRDLOperation):
    """How many threads run the call; in a plan, how many would.

    ```mlir
    %n = kernel.num_threads
    ```
    """

    name = "kernel.num_threads"
    result = result_def(INDEX)
    traits = traits_def(Pure())
    assembly_format = "attr-dict"

    def __init__(self):
        super().__init__(result_types=[INDEX])


@irdl_op_definition
class PartitionOp(IRDLOperation):
    """This thread's contiguous share [lo, hi) of `extent`, in multiples of `unit`; the shares differ by one unit at most.

    With `u = ceildiv(extent, unit)`: `lo = u·t floordiv T · unit`, `hi = min(u·(t+1) floordiv T · unit, extent)`.

    ```mlir
    %lo, %hi = kernel.partition %rows unit 8
    ```
    """

    name = "kernel.partition"
    extent = operand_def(INDEX)
    unit = prop_def(IntegerAttr[I64], default_value=IntegerAttr(1, i64))
    lo = result_def(INDEX)
    hi = result_def(INDEX)
    traits = traits_def(Pure())
    assembly_format = "$extent (`unit` $unit^)? attr-dict"

    def __init__(self, extent: SSAValue | Operation, unit: int = 1):
        super().__init__(
            operands=[extent], properties={"unit": IntegerAttr(unit, i64)}, result_types=[INDEX, INDEX]
        )

    def verify_(self) -> None:
        _verify_units((self.unit.value.data,))
        _verify_no_plan(self)


@irdl_op_definition
class Partition2dOp(IRDLOperation):
    """This thread's rectangle of a rows × columns grid, in multiples of the units: rows [lo0, hi0), columns [lo1, hi1).

    The team of T threads becomes a grid T = a·b, with the a that makes the largest share smallest; of equals the one that
    splits the preferred dim (`rows` or `columns`) most.

    ```mlir
    %r0, %r1, %c0, %c1 = kernel.partition2d %m, %n unit [8, 32] prefer rows
    ```
    """

    name = "kernel.partition2d"
    rows = operand_def(INDEX)
    columns = operand_def(INDEX)
    units = prop_def(DenseArrayBase[I64])
    prefer = prop_def(StringAttr)
    row_lo = result_def(INDEX)
    row_hi = result_def(INDEX)
    column_lo = result_def(INDEX)
    column_hi = result_def(INDEX)
    traits = traits_def(Pure())

    def __init__(
        self, rows: SSAValue | Operation, columns: SSAValue | Operation, units: Sequence[int], prefer: str = "rows"
    ):
        super().__init__(
            operands=[rows, columns],
            properties={"units": DenseArrayBase.from_list(i64, list(units)), "prefer": StringAttr(prefer)},
            result_types=[INDEX] * 4,
        )

    @classmethod
    def parse(cls, parser: Parser) -> Partition2dOp:
        at = parser.pos
        operands = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_unresolved_operand)
        rows, columns = parser.resolve_operands(operands, [INDEX, INDEX], at)
        parser.parse_keyword("unit")
        units = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_integer)
        parser.parse_keyword("prefer")
        return cls(rows, columns, units, parser.parse_identifier(" (rows or columns)"))

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_list(self.operands, printer.print_operand)
        printer.print_string(f" unit [{', '.join(map(str, self.units.get_values()))}] prefer {self.prefer.data}")

    def verify_(self) -> None:
        units = self.units.get_values()
        if len(units) != 2:
            raise VerifyException(f"a grid has two units, found {list(units)}")
        _verify_units(tuple(int(unit) for unit in units))
        if self.prefer.data not in ("rows", "columns"):
            raise VerifyException(f"prefer rows or columns, found '{self.prefer.data}'")
        _verify_no_plan(self)


@irdl_op_definition
class BarrierOp(IRDLOperation):
    """Waits until every thread has arrived; what they wrote before is visible after.

    `interruptible`, in an entry only: if the call was interrupted, all threads leave the entry here with 1.

    ```mlir
    kernel.barrier
    ```
    """

    name = "kernel.barrier"
    interruptible = opt_prop_def(UnitAttr)
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())
    assembly_format = "(`interruptible` $interruptible^)? attr-dict"

    def __init__(self, interruptible: bool = False):
        super().__init__(properties={"interruptible": UnitAttr() if interruptible else None})

    def verify_(self) -> None:
        function = _verify_no_plan(self)
        if self.interruptible and isinstance(function, Function):
            raise VerifyException("an interruptible barrier stands in kernel.entry: a kernel cannot leave it")


@irdl_op_definition
class FaultOp(IRDLOperation):
    """If the condition holds, reports `code` with the schedule item and up to four details; the first fault of a call stays.

    Codes: 1 index out of range (details: operand, index, extent), 2 loop limit reached. Execution goes on. The words of the
    report are those of the call; a kernel of a GPU gets them as a pointer, `status`.

    ```mlir
    kernel.fault 1 item %item(%operand, %index, %extent) if %bad
    kernel.fault 1 item %item(%operand, %index, %extent) if %bad status %words : !kernel.ptr<i64, global>
    ```
    """

    name = "kernel.fault"
    code = prop_def(IntegerAttr[I64])
    item = operand_def(INDEX)
    details = var_operand_def(INDEX)
    condition = operand_def(i1)
    status = opt_operand_def(BaseAttr(PtrType))
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryWriteEffect())
    assembly_format = "$code `item` $item `(` $details `)` `if` $condition (`status` $status^ `:` type($status))? attr-dict"

    def __init__(
        self,
        code: int,
        item: SSAValue | Operation,
        details: Sequence[SSAValue | Operation],
        condition: SSAValue | Operation,
        status: SSAValue | Operation | None = None,
    ):
        super().__init__(operands=[item, details, condition, status], properties={"code": IntegerAttr(code, i64)})

    def verify_(self) -> None:
        if len(self.details) > 4:
            raise VerifyException(f"a fault has up to four details, found {len(self.details)}")
        if self.code.value.data < 1:
            raise VerifyException(f"a fault code is positive, found {self.code.value.data}")
        _verify_no_plan(self)


def _verify_units(units: Sequence[int]) -> None:
    if any(unit < 1 for unit in units):
        raise VerifyException(f"a unit is positive, found {', '.join(map(str, units))}")


def _verify_no_plan(op: Operation) -> Operation | None:
    parent = op.parent_op()
    while parent is not None and not isinstance(parent, Function | EntryOp | PlanOp):
        parent = parent.parent_op()
    if isinstance(parent, PlanOp):
        raise VerifyException(f"{op.name} in kernel.plan: a plan runs on one thread, before the call")
    return parent
