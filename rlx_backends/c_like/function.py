"""The state of one function under emission: lines, names, values, and the regions of `scf`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from xdsl.dialects import scf
from xdsl.ir import Block, Operation, SSAValue

from rlx_backends.c_like.language import is_atom
from rlx_backends.c_like.values import LANES, Value, kind_of, lane_starts, memory_kind, signed, widths_of
from rlx_backends.llvm import alignment
from rlx_dialects.kernel.types import PtrType, element_of, shape_of
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

if TYPE_CHECKING:
    from rlx_backends.c_like.emitter import ModuleEmitter


class FunctionEmitter:
    """Writes the body of one function. Handlers of ops call its methods."""

    def __init__(self, module: ModuleEmitter, op: Operation | None = None):
        self.module = module
        self.language = module.language
        self.op = op
        self.prologue: list[str] = []
        """Declarations that come before all other lines."""
        self.lines: list[str] = []
        self.values: dict[SSAValue, Value] = {}
        self.constants: set[SSAValue] = set()
        """Pointers that nothing is written through."""
        self.builtins: dict[str, str] = {}
        """What the hardware gives a kernel as further parameters: name of the parameter -> its declaration."""
        self.alignment = alignment.Multiples()
        self._counter = 0
        self._depth = 1

    # -- lines and names

    def line(self, text: str) -> None:
        self.lines.append("  " * self._depth + text)

    def open(self, text: str) -> None:
        self.line(text + " {")
        self._depth += 1

    def close(self, text: str = "}") -> None:
        self._depth -= 1
        self.line(text)

    def otherwise(self) -> None:
        self.close("} else {")
        self._depth += 1

    def fresh(self, letter: str = "v") -> str:
        self._counter += 1
        return f"{letter}{self._counter}"

    def let(self, kind: str, width: int, expression: str) -> str:
        """A name for the value of an expression; names and constants stand for themselves."""
        if is_atom(expression):
            return expression
        return self.let_typed(self.language.type_name(kind, width), expression)

    def let_typed(self, type_name: str, expression: str) -> str:
        name = self.fresh()
        self.line(self.language.constant(type_name, name, expression))
        return name

    def variable(self, type_name: str, initial: str | None = None) -> str:
        """A variable that will be assigned."""
        name = self.fresh()
        self.line(self.language.variable(type_name, name, initial))
        return name

    def error(self, op: Operation, message: str, hint: str | None = None) -> LowerError:
        return LowerError(f"{op.name}: {message}", location=location_of(op), hint=hint)

    # -- expressions

    def construct(self, kind: str, width: int, *arguments: str) -> str:
        return self.language.construct(kind, width, arguments)

    def choose(self, width: int, condition: str, true: str, false: str) -> str:
        return self.language.choose(width, condition, true, false)

    def compare(self, width: int, operator: str, a: str, b: str) -> str:
        """A name for a mask."""
        return self.let("bool", width, self.language.compare(width, operator, a, b))

    def integer(self, value: int, kind: str, width: int = 0) -> str:
        """An integer constant, in all lanes."""
        return self.splat(self.language.integer_literal(value, kind), kind, width)

    def real(self, value: float, width: int = 0) -> str:
        """An f32 constant, in all lanes."""
        return self.splat(self.language.float_literal(value), "f32", width)

    def splat(self, scalar: str, kind: str, width: int) -> str:
        return self.construct(kind, width, scalar) if width > 1 else scalar

    def as_signed(self, register: str, kind: str, width: int) -> str:
        """An integer seen as signed; `index` is already."""
        return register if kind[0] == "i" else self.construct(signed(kind), width, register)

    # -- values

    def __getitem__(self, value: SSAValue) -> Value:
        return self.values[value]

    def scalar(self, value: SSAValue) -> str:
        """The name of a scalar or pointer."""
        return self.values[value].registers[0]

    def define(self, result: SSAValue, registers: list[str], lanes: list[str] | None = None) -> None:
        kind, shape, widths = self.form(result)
        self.values[result] = Value(kind, shape, widths, registers, lanes or [])

    def form(self, value: SSAValue) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
        """(kind, shape, widths of a row) of a value."""
        type_ = value.type
        if isinstance(type_, PtrType):
            return "ptr", (), (0,)
        if self.language.opaque_type(type_) is not None:
            return "opaque", (), (0,)
        shape = shape_of(type_)
        kind = kind_of(element_of(type_))
        return kind, shape, widths_of(shape[-1], self.language.lanes) if shape else (0,)

    def type_names(self, value: SSAValue) -> list[str]:
        """The types of the pieces of a value."""
        kind, shape, widths = self.form(value)
        if kind == "ptr":
            return [self.pointer_type(value)]
        if kind == "opaque":
            name = self.language.opaque_type(value.type)
            assert name is not None
            return [name]
        return [self.language.type_name(kind, width) for width in widths] * (shape[0] if len(shape) == 2 else 1)

    def pointer_type(self, value: SSAValue, width: int = 0) -> str:
        """The type of a pointer, or of a pointer to vectors in the same memory."""
        type_ = value.type
        assert isinstance(type_, PtrType)
        return self.language.pointer(type_.space.data, memory_kind(type_.element_type), value in self.constants, width)

    # -- pieces

    def lane_of(self, register: str, width: int, lane: int) -> str:
        """One element of a piece."""
        return register if width <= 1 else f"{register}.{LANES[lane]}"

    def lane(self, value: Value, index: int) -> str:
        """One element of a 1-D vector as a scalar."""
        if value.lanes:
            return value.lanes[index]
        for register, width in zip(value.registers, value.widths):
            if index < width:
                return self.lane_of(self._named(register, value.kind, width), width, index)
            index -= width
        raise AssertionError("lane outside the vector")

    def _named(self, register: str, kind: str, width: int) -> str:
        """A register that a component can be taken of."""
        if width <= 1 or register.isidentifier():
            return register
        return self.let_typed(self.language.type_name(kind, width), register)

    def lanes_of(self, value: Value) -> list[str]:
        """The elements of a 1-D vector as scalars."""
        return value.lanes or [self.lane(value, index) for index in range(value.shape[0])]

    def pack(self, lanes: Sequence[str], kind: str, widths: Sequence[int]) -> list[str]:
        """Scalars as the pieces of a 1-D vector."""
        return [
            self.let(kind, width, self.construct(kind, width, *lanes[start : start + width]) if width > 1 else lanes[start])
            for start, width in zip(lane_starts(widths), widths)
        ]

    def define_lanes(self, result: SSAValue, lanes: list[str], packed: bool = True) -> None:
        """A 1-D vector out of scalars."""
        kind, _, widths = self.form(result)
        self.define(result, self.pack(lanes, kind, widths) if packed else [], lanes)

    # -- blocks

    def body(self, block: Block) -> Operation:
        """Emit all ops of a block but the last, which is returned: its owner knows what it means."""
        self.module.emit_ops(self, block)
        last = block.last_op
        assert last is not None
        return last

    def registers_of(self, values: Sequence[SSAValue]) -> list[str]:
        return [register for value in values for register in self.packed(value)]

    def packed(self, value: SSAValue) -> list[str]:
        """The pieces of a value, made now if only its elements are at hand."""
        found = self.values[value]
        if not found.registers and found.lanes:
            found.registers = self.pack(found.lanes, found.kind, found.widths)
        return found.registers

    def variables(self, values: Sequence[SSAValue], initial: Sequence[str] | None = None) -> list[list[str]]:
        """Variables for values that control flow decides, with what they start as."""
        start = iter(initial) if initial is not None else None
        return [[self.variable(name, next(start) if start else None) for name in self.type_names(value)] for value in values]

    def assign(self, targets: Sequence[str], sources: Sequence[str], types: Sequence[str]) -> None:
        """All at once: a source that is itself assigned is read first."""
        moves = [(t, s, n) for t, s, n in zip(targets, sources, types, strict=True) if t != s]
        changed = {target for target, _, _ in moves}
        ready = [(t, self.let_typed(n, s) if s in changed else s) for t, s, n in moves]
        for target, source in ready:
            self.line(f"{target} = {source};")


def _flat(groups: Sequence[Sequence[str]]) -> list[str]:
    return [name for group in groups for name in group]


def _types(f: FunctionEmitter, values: Sequence[SSAValue]) -> list[str]:
    return [name for value in values for name in f.type_names(value)]


def emit_for(f: FunctionEmitter, op: scf.ForOp) -> None:
    variable, *carried = op.body.block.args
    groups = f.variables(carried, f.registers_of(op.iter_args))
    for argument, names in zip(carried, groups):
        f.define(argument, names)
    kind = f.form(variable)[0]
    counter = f.fresh("i")
    bounds = [f.as_signed(f.scalar(v), kind, 0) for v in (op.lb, op.ub, op.step)]
    f.open(f.language.loop(f.language.type_name(signed(kind)), counter, *bounds))
    f.define(variable, [counter if kind[0] == "i" else f.let(kind, 0, f.construct(kind, 0, counter))])
    last = f.body(op.body.block)
    f.assign(_flat(groups), f.registers_of(last.operands), _types(f, carried))
    f.close()
    for result, names in zip(op.results, groups):
        f.define(result, names)


def emit_if(f: FunctionEmitter, op: scf.IfOp) -> None:
    groups = f.variables(op.results)
    types = _types(f, op.results)
    f.open(f"if ({f.scalar(op.cond)})")
    last = f.body(op.true_region.block)
    f.assign(_flat(groups), f.registers_of(last.operands), types)
    other = op.false_region.block if op.false_region.blocks else None
    if other is not None and (op.results or other.first_op is not other.last_op):
        f.otherwise()
        last = f.body(other)
        f.assign(_flat(groups), f.registers_of(last.operands), types)
    f.close()
    for result, names in zip(op.results, groups):
        f.define(result, names)


def emit_while(f: FunctionEmitter, op: scf.WhileOp) -> None:
    results = f.variables(op.results)
    arguments = op.before_region.block.args
    groups = f.variables(arguments, f.registers_of(op.arguments))
    for argument, names in zip(arguments, groups):
        f.define(argument, names)
    f.open("while (true)")
    condition = f.body(op.before_region.block)
    passed = f.registers_of(condition.operands[1:])
    f.open(f"if (!({f.scalar(condition.operands[0])}))")
    f.assign(_flat(results), passed, _types(f, op.results))
    f.line("break;")
    f.close()
    for argument, source in zip(op.after_region.block.args, condition.operands[1:]):
        f.define(argument, f[source].registers)
    last = f.body(op.after_region.block)
    f.assign(_flat(groups), f.registers_of(last.operands), _types(f, arguments))
    f.close()
    for result, names in zip(op.results, results):
        f.define(result, names)


HANDLERS: dict[type[Operation], Callable[..., None]] = {
    scf.ForOp: emit_for,
    scf.IfOp: emit_if,
    scf.WhileOp: emit_while,
}

