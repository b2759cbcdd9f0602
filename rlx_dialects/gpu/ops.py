"""Base classes of the ops that every GPU dialect has: kernels and launches, ids, shared memory, barriers, subgroups, atomics.

Each dialect defines its own op of each class, with its own name and example. Verifiers look up the architecture that the
kernel around an op was made for, and refuse what that hardware lacks.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    I64,
    DenseArrayBase,
    FlatSymbolRefAttrConstr,
    IntegerAttr,
    StringAttr,
    SymbolRefAttr,
    i1,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    BaseAttr,
    IRDLOperation,
    operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import IsolatedFromAbove, MemoryReadEffect, MemoryWriteEffect, Pure, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.gpu.facts import GpuFacts, architectures, facts_for
from rlx_dialects.kernel.functions import EntryOp, Function
from rlx_dialects.kernel.types import (
    INDEX,
    PtrType,
    byte_size,
    is_element,
    is_float,
    is_integer,
    ptr,
    ptr_type,
    shape_of,
)

PTR = BaseAttr(PtrType)
AXES = ("x", "y", "z")
SCOPES = ("block", "device", "system")


def facts_around(op: Operation) -> GpuFacts | None:
    """The facts of the kernel that `op` stands in; None outside of one, as in a helper function."""
    parent: Operation | None = op
    while parent is not None and not isinstance(parent, KernelOp):
        parent = parent.parent_op()
    return None if parent is None else parent.facts


# -- kernels and launches


class KernelOp(Function):
    """A kernel: every thread of a grid of blocks runs the body. Results travel through memory alone.

    The attributes `arch` (a text) and `block` (threads of a block along x, y, z) belong to the function.
    """

    traits = traits_def(IsolatedFromAbove(), SymbolOpInterface())

    def __init__(
        self,
        name: str,
        inputs: Sequence[Attribute],
        outputs: Sequence[Attribute] = (),
        body: Region | None = None,
        *,
        arch: str = "",
        block: Sequence[int] = (1,),
        noalias: Sequence[int] = (),
    ):
        super().__init__(name, inputs, outputs, body, noalias=noalias)
        self.attributes["arch"] = StringAttr(arch)
        self.set_block(block)

    @property
    def dialect(self) -> str:
        return self.name.partition(".")[0]

    @property
    def arch(self) -> str:
        found = self.attributes.get("arch")
        return found.data if isinstance(found, StringAttr) else ""

    @property
    def block(self) -> tuple[int, int, int]:
        """Threads of a block along x, y and z."""
        found = self.attributes.get("block")
        sizes = [int(size) for size in found.get_values()] if isinstance(found, DenseArrayBase) else []
        x, y, z = (*sizes, 1, 1, 1)[:3]
        return x, y, z

    def set_block(self, sizes: Sequence[int]) -> None:
        self.attributes["block"] = DenseArrayBase.from_list(i64, list(sizes))

    @property
    def facts(self) -> GpuFacts | None:
        return facts_for(self.dialect, self.arch)

    @property
    def shared_bytes(self) -> int:
        """Shared memory of a block, each allocation at a multiple of its alignment."""
        total = 0
        for op in self.body.walk():
            if isinstance(op, SharedOp):
                align = ptr_type(op.result).align.data
                total = -(-total // align) * align + op.bytes
        return total

    def verify_(self) -> None:
        super().verify_()
        if self.function_type.outputs.data:
            raise VerifyException("a kernel returns nothing")
        facts = self.facts
        if facts is None:
            raise VerifyException(f"unknown architecture '{self.arch}'; known: {', '.join(architectures(self.dialect))}")
        threads = 1
        for axis, size, limit in zip(AXES, self.block, facts.max_block):
            threads *= size
            if not 1 <= size <= limit:
                raise VerifyException(f"a block of {facts.arch} has 1 to {limit} threads along {axis}, found {size}")
        if threads > facts.max_threads:
            raise VerifyException(f"a block of {facts.arch} has at most {facts.max_threads} threads, found {threads}")
        if self.shared_bytes > facts.shared_max:
            raise VerifyException(
                f"a block of {facts.arch} has at most {facts.shared_max} bytes of shared memory, found {self.shared_bytes}"
            )


class LaunchOp(IRDLOperation):
    """Runs a kernel on `grid` blocks along x, y, z; nothing where one of them is 0. In an entry; launches run in order."""

    callee = prop_def(FlatSymbolRefAttrConstr)
    grid = var_operand_def(INDEX)
    arguments = var_operand_def()
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    def __init__(self, callee: str, grid: Sequence[SSAValue | Operation], arguments: Sequence[SSAValue | Operation]):
        super().__init__(operands=[grid, arguments], properties={"callee": SymbolRefAttr(callee)})

    @classmethod
    def parse(cls, parser: Parser) -> LaunchOp:
        callee = parser.parse_symbol_name().data
        parser.parse_keyword("grid")
        delimiter = parser.Delimiter.PAREN
        at = parser.pos
        grid = parser.parse_comma_separated_list(delimiter, parser.parse_unresolved_operand)
        given = parser.parse_comma_separated_list(delimiter, parser.parse_unresolved_operand)
        types: list[Attribute] = []
        if parser.parse_optional_punctuation(":"):
            types = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
        return cls(callee, parser.resolve_operands(grid, [INDEX] * len(grid), at), parser.resolve_operands(given, types, at))

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.callee.string_value())
        printer.print_string(" grid(")
        printer.print_list(self.grid, printer.print_operand)
        printer.print_string(") (")
        printer.print_list(self.arguments, printer.print_operand)
        printer.print_string(")")
        if self.arguments:
            printer.print_string(" : ")
            printer.print_list([value.type for value in self.arguments], printer.print_attribute)

    def verify_(self) -> None:
        if not 1 <= len(self.grid) <= 3:
            raise VerifyException(f"a grid has one to three extents, found {len(self.grid)}")
        parent = self.parent_op()
        while parent is not None and not isinstance(parent, Function | EntryOp):
            parent = parent.parent_op()
        if isinstance(parent, Function):
            raise VerifyException(f"{self.name} stands in kernel.entry, found it in {parent.name}")


# -- ids


class IdOp(IRDLOperation):
    """An index that the hardware knows along an axis."""

    axis = prop_def(StringAttr)
    result = result_def(INDEX)
    traits = traits_def(Pure())

    def __init__(self, axis: str = "x"):
        super().__init__(properties={"axis": StringAttr(axis)}, result_types=[INDEX])

    @classmethod
    def parse(cls, parser: Parser) -> IdOp:
        return cls(parser.parse_identifier(" (axis)"))

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.axis.data}")

    def verify_(self) -> None:
        if self.axis.data not in AXES:
            raise VerifyException(f"an axis is one of {', '.join(AXES)}, found '{self.axis.data}'")


class LaneOp(IRDLOperation):
    """An index of this thread that has no axis: its lane in the subgroup, its subgroup in the block."""

    result = result_def(INDEX)
    traits = traits_def(Pure())

    def __init__(self):
        super().__init__(result_types=[INDEX])

    @classmethod
    def parse(cls, parser: Parser) -> LaneOp:
        return cls()

    def print(self, printer: Printer) -> None:
        pass


# -- shared memory


class SharedOp(IRDLOperation):
    """Memory of the block: `count` elements, undefined at the start; at the top of the kernel, outside of loops."""

    count = prop_def(IntegerAttr[I64])
    result = result_def(PTR)
    traits = traits_def()

    def __init__(self, count: int, element: Attribute, align: int = 16):
        super().__init__(
            properties={"count": IntegerAttr(count, i64)}, result_types=[ptr(element, "shared", align)]
        )

    @property
    def bytes(self) -> int:
        return self.count.value.data * byte_size(ptr_type(self.result).element_type)

    @classmethod
    def parse(cls, parser: Parser) -> SharedOp:
        count = parser.parse_integer(allow_boolean=False)
        parser.parse_punctuation(":")
        kind = parser.parse_type()
        return cls.create(properties={"count": IntegerAttr(count, i64)}, result_types=[kind])

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.count.value.data} : ")
        printer.print_attribute(self.result.type)

    def verify_(self) -> None:
        if ptr_type(self.result).space.data != "shared":
            raise VerifyException(f"shared memory is of the address space shared, found {self.result.type}")
        if self.count.value.data < 1:
            raise VerifyException(f"shared memory has at least one element, found {self.count.value.data}")
        parent = self.parent_op()
        if parent is not None and not isinstance(parent, KernelOp) and facts_around(self) is not None:
            raise VerifyException(f"shared memory is declared at the top of a kernel, found it in {parent.name}")


# -- barriers and fences


class BarrierOp(IRDLOperation):
    """Every thread of the block (or of the subgroup) waits for the others; what they wrote to memory is visible after."""

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    def __init__(self):
        super().__init__()

    @classmethod
    def parse(cls, parser: Parser) -> BarrierOp:
        return cls()

    def print(self, printer: Printer) -> None:
        pass


class FenceOp(IRDLOperation):
    """What this thread wrote before is seen by the threads of the scope that see what it writes after."""

    scope = prop_def(StringAttr)
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    def __init__(self, scope: str):
        super().__init__(properties={"scope": StringAttr(scope)})

    @classmethod
    def parse(cls, parser: Parser) -> FenceOp:
        return cls(parser.parse_identifier(" (scope)"))

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.scope.data}")

    def verify_(self) -> None:
        if self.scope.data not in SCOPES:
            raise VerifyException(f"a scope is one of {', '.join(SCOPES)}, found '{self.scope.data}'")


# -- subgroups

SHUFFLES = ("xor", "up", "down", "idx")


class ShuffleOp(IRDLOperation):
    """The value of another lane of the subgroup: lane ^ offset, - offset, + offset, or offset itself.

    A lane that does not exist leaves the value of the lane that asks. All lanes of the subgroup take part. Scalars of 32 and
    64 bits; `f16`, `bf16` and smaller integers travel in 32.
    """

    kind = prop_def(StringAttr)
    source = operand_def()
    offset = operand_def(i32)
    result = result_def()
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())  # convergent: not to be moved or removed across control flow

    def __init__(self, kind: str, source: SSAValue | Operation, offset: SSAValue | Operation):
        source = SSAValue.get(source)
        super().__init__(operands=[source, offset], properties={"kind": StringAttr(kind)}, result_types=[source.type])

    @classmethod
    def parse(cls, parser: Parser) -> ShuffleOp:
        kind = parser.parse_identifier(" (kind of shuffle)")
        source = parser.parse_unresolved_operand()
        parser.parse_punctuation(",")
        offset = parser.parse_unresolved_operand()
        parser.parse_punctuation(":")
        return cls(kind, parser.resolve_operand(source, parser.parse_type()), parser.resolve_operand(offset, i32))

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.kind.data} ")
        printer.print_list(self.operands, printer.print_operand)
        printer.print_string(" : ")
        printer.print_attribute(self.source.type)

    def verify_(self) -> None:
        if self.kind.data not in SHUFFLES:
            raise VerifyException(f"a shuffle is one of {', '.join(SHUFFLES)}, found '{self.kind.data}'")
        if shape_of(self.source.type) or not is_element(self.source.type):
            raise VerifyException(f"a shuffle moves scalars, found {self.source.type}")
        if self.result.type != self.source.type:
            raise VerifyException(f"a shuffle keeps the type {self.source.type}, found {self.result.type}")


REDUCTIONS = ("add", "mul", "maximumf", "minimumf", "maxsi", "minsi", "maxui", "minui", "and", "or", "xor")


class SubgroupReduceOp(IRDLOperation):
    """Combines a scalar over all lanes of the subgroup; every lane has the result. The order of a sum is a butterfly's."""

    kind = prop_def(StringAttr)
    source = operand_def()
    result = result_def()
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    def __init__(self, kind: str, source: SSAValue | Operation):
        source = SSAValue.get(source)
        super().__init__(operands=[source], properties={"kind": StringAttr(kind)}, result_types=[source.type])

    @classmethod
    def parse(cls, parser: Parser) -> SubgroupReduceOp:
        kind = parser.parse_identifier(" (kind of reduction)")
        source = parser.parse_unresolved_operand()
        parser.parse_punctuation(":")
        return cls(kind, parser.resolve_operand(source, parser.parse_type()))

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.kind.data} ")
        printer.print_operand(self.source)
        printer.print_string(" : ")
        printer.print_attribute(self.source.type)

    def verify_(self) -> None:
        kind, type_ = self.kind.data, self.source.type
        if kind not in REDUCTIONS:
            raise VerifyException(f"a reduction is one of {', '.join(REDUCTIONS)}, found '{kind}'")
        if shape_of(type_) or not is_element(type_):
            raise VerifyException(f"a subgroup reduces scalars, found {type_}")
        if kind not in ("add", "mul") and is_float(type_) != kind.endswith("f"):
            raise VerifyException(f"'{kind}' does not reduce {type_}")
        if self.result.type != type_:
            raise VerifyException(f"a reduction keeps the type {type_}, found {self.result.type}")


class VoteOp(IRDLOperation):
    """Whether the condition holds in `any` or in `all` lanes of the subgroup."""

    kind = prop_def(StringAttr)
    source = operand_def(i1)
    result = result_def(i1)
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    def __init__(self, kind: str, source: SSAValue | Operation):
        super().__init__(operands=[source], properties={"kind": StringAttr(kind)}, result_types=[i1])

    @classmethod
    def parse(cls, parser: Parser) -> VoteOp:
        kind = parser.parse_identifier(" (any or all)")
        return cls(kind, parser.resolve_operand(parser.parse_unresolved_operand(), i1))

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.kind.data} ")
        printer.print_operand(self.source)

    def verify_(self) -> None:
        if self.kind.data not in ("any", "all"):
            raise VerifyException(f"a vote is any or all, found '{self.kind.data}'")


# -- atomics

ATOMICS = ("add", "maxsi", "minsi", "maxui", "minui", "and", "or", "xor", "exchange")


class AtomicOp(IRDLOperation):
    """`p[i] = kind(p[i], value)` at once and alone; gives what was there. Relaxed: orders no other access.

    Integers of 32 and 64 bits; `add` and `exchange` of f32 too.
    """

    kind = prop_def(StringAttr)
    value = operand_def()
    ptr = operand_def(PTR)
    index = operand_def(INDEX)
    result = result_def()
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    def __init__(
        self, kind: str, value: SSAValue | Operation, pointer: SSAValue | Operation, index: SSAValue | Operation
    ):
        value = SSAValue.get(value)
        super().__init__(
            operands=[value, pointer, index], properties={"kind": StringAttr(kind)}, result_types=[value.type]
        )

    @classmethod
    def parse(cls, parser: Parser) -> AtomicOp:
        kind = parser.parse_identifier(" (kind of atomic)")
        value = parser.parse_unresolved_operand()
        parser.parse_punctuation(",")
        pointer = parser.parse_unresolved_operand()
        with parser.in_square_brackets():
            index = parser.parse_unresolved_operand()
        parser.parse_punctuation(":")
        pointer_type = parser.parse_type()
        element = pointer_type.element_type if isinstance(pointer_type, PtrType) else pointer_type
        return cls(
            kind,
            parser.resolve_operand(value, element),
            parser.resolve_operand(pointer, pointer_type),
            parser.resolve_operand(index, INDEX),
        )

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.kind.data} ")
        printer.print_operand(self.value)
        printer.print_string(", ")
        printer.print_operand(self.ptr)
        printer.print_string("[")
        printer.print_operand(self.index)
        printer.print_string("] : ")
        printer.print_attribute(self.ptr.type)

    def verify_(self) -> None:
        kind, element = self.kind.data, ptr_type(self.ptr).element_type
        if kind not in ATOMICS:
            raise VerifyException(f"an atomic is one of {', '.join(ATOMICS)}, found '{kind}'")
        if self.value.type != element or self.result.type != element:
            raise VerifyException(f"an atomic on {self.ptr.type} takes and gives {element}, found {self.value.type}")
        wide = is_integer(element) and byte_size(element) in (4, 8)
        if not wide and not (is_float(element) and byte_size(element) == 4 and kind in ("add", "exchange")):
            raise VerifyException(f"there is no atomic '{kind}' of {element}")
