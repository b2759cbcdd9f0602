"""The state of one function under emission: lines, registers, blocks, and the regions of `scf`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from xdsl.dialects import scf
from xdsl.ir import Attribute, Block, Operation, SSAValue

from rlx_backends.llvm import alignment
from rlx_backends.llvm.values import (
    Value,
    index_vector,
    is_literal,
    llvm_type,
    pieces_of,
    pointer_type,
    register_type,
    splat,
    suffix,
)
from rlx_dialects.kernel.fragment import FragmentType
from rlx_dialects.kernel.types import PtrType
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

if TYPE_CHECKING:
    from rlx_backends.llvm.emitter import ModuleEmitter


class FunctionEmitter:
    """Writes the body of one LLVM function. Handlers of ops call its methods."""

    def __init__(self, module: ModuleEmitter):
        self.module = module
        self.target = module.target
        self.lines: list[str] = []
        self.allocas: list[str] = []
        self.values: dict[SSAValue, Value] = {}
        self.block = "entry"
        self.alignment = alignment.Multiples()
        self._counter = 0
        self._early_exit: str | None = None

    # -- lines and registers

    def line(self, text: str) -> None:
        self.lines.append("  " + text)

    def fresh(self) -> str:
        self._counter += 1
        return f"%v{self._counter}"

    def emit(self, text: str) -> str:
        """An instruction with a result."""
        self._counter += 1
        register = f"%v{self._counter}"
        self.lines.append(f"  {register} = {text}")
        return register

    def label(self, kind: str) -> str:
        self._counter += 1
        return f"{kind}{self._counter}"

    def start_block(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.block = label

    def branch(self, label: str) -> None:
        self.line(f"br label %{label}")

    def branch_if(self, condition: str, true: str, false: str) -> None:
        self.line(f"br i1 {condition}, label %{true}, label %{false}")

    def intrinsic(self, name: str, result: str, arguments: Sequence[tuple[str, str]], flags: str = "") -> str:
        """A call of an intrinsic, which is declared in the module; arguments are (type, register)."""
        self.module.declare(name, result, [type_ for type_, _ in arguments])
        text = ", ".join(f"{type_} {register}" for type_, register in arguments)
        call = f"call {flags + ' ' if flags else ''}{result} @{name}({text})"
        if result == "void":
            self.line(call)
            return ""
        return self.emit(call)

    def elementwise_intrinsic(self, name: str, element: str, width: int, *registers: str, flags: str = "") -> str:
        """`llvm.<name>.<type>` of registers of one type."""
        type_ = register_type(element, width)
        return self.intrinsic(f"llvm.{name}.{suffix(element, width)}", type_, [(type_, r) for r in registers], flags)

    def error(self, op: Operation, message: str, hint: str | None = None) -> LowerError:
        return LowerError(f"{op.name}: {message}", location=location_of(op), hint=hint)

    # -- values

    def __getitem__(self, value: SSAValue) -> Value:
        return self.values[value]

    def scalar(self, value: SSAValue) -> str:
        """The register of a scalar or pointer."""
        return self.values[value].registers[0]

    def define(self, result: SSAValue, registers: list[str], lanes: list[str] | None = None) -> None:
        element, shape, widths, _ = self.pieces(result)
        self.values[result] = Value(element, shape, widths, registers, lanes or [])

    def type_of(self, type_: Attribute) -> str:
        """The LLVM type of an element or pointer."""
        if isinstance(type_, PtrType):
            return pointer_type(self.target.spaces.get(type_.space.data, 0))
        return llvm_type(type_)

    def pieces(self, value: SSAValue) -> tuple[str, tuple[int, ...], tuple[int, ...], int]:
        if isinstance(value.type, PtrType):
            return self.type_of(value.type), (), (0,), 1
        if isinstance(value.type, FragmentType) and self.target.fragments is not None:
            element, width, count = self.target.fragments(value.type)
            return element, (), (width,), count
        return pieces_of(value.type, self.target.lanes)

    def register_types(self, value: SSAValue) -> list[str]:
        """The LLVM types of the registers of a value."""
        element, _, widths, count = self.pieces(value)
        types = [register_type(element, width) for width in widths]
        return types * (count // len(types))

    # -- vectors inside registers

    def splat(self, scalar: str, element: str, width: int) -> str:
        if is_literal(scalar) or not width:
            return splat(scalar, element, width)
        type_ = register_type(element, width)
        one = self.emit(f"insertelement {type_} poison, {element} {scalar}, i64 0")
        return one if width == 1 else self.shuffle(one, one, element, width, [0] * width)

    def shuffle(self, a: str, b: str, element: str, width: int, lanes: Sequence[int]) -> str:
        type_ = register_type(element, width)
        other = "poison" if a == b and all(lane < width for lane in lanes) else b
        return self.emit(f"shufflevector {type_} {a}, {type_} {other}, {index_vector(lanes)}")

    def resize(self, register: str, element: str, width: int, new: int) -> str:
        """The first lanes of a register, or the register with more lanes that do not matter."""
        if width == new:
            return register
        return self.shuffle(register, register, element, width, [lane if lane < width else -1 for lane in range(new)])

    def repeat(self, register: str, element: str, width: int, new: int) -> str:
        """A register of `new` lanes that repeats the lanes of a narrower one, or a scalar."""
        if width == 0:
            return self.splat(register, element, new)
        if width == new:
            return register
        return self.shuffle(register, register, element, width, [lane % width for lane in range(new)])

    def lane(self, value: Value, index: int) -> str:
        """One element of a 1-D vector as a scalar."""
        if value.lanes:
            return value.lanes[index]
        for register, width in zip(value.registers, value.widths):
            if index < width:
                return self.emit(f"extractelement {register_type(value.type, width)} {register}, i64 {index}")
            index -= width
        raise AssertionError("lane outside the vector")

    def pack(self, lanes: Sequence[str], element: str, widths: Sequence[int]) -> list[str]:
        """Scalars as the registers of a 1-D vector."""
        packed, rest = [], iter(lanes)
        for width in widths:
            register, type_ = "poison", register_type(element, width)
            for position in range(width):
                register = self.emit(f"insertelement {type_} {register}, {element} {next(rest)}, i64 {position}")
            packed.append(register)
        return packed

    # -- memory

    def address(self, pointer: str, element: str, index: str, kind: str = "ptr") -> str:
        """The place of an element; `kind` is the type of the pointer. Not `inbounds`: masked lanes may lie anywhere."""
        size_type = "i8" if element == "i1" else element
        return pointer if index == "0" else self.emit(f"getelementptr {size_type}, {kind} {pointer}, i64 {index}")

    # -- blocks and structured control

    def body(self, block: Block) -> Operation:
        """Emit all ops of a block but the last, which is returned: its owner knows what it means."""
        self.module.emit_ops(self, block)
        last = block.last_op
        assert last is not None
        return last

    def early_exit(self) -> str:
        """The block that leaves the function with 1."""
        if self._early_exit is None:
            self._early_exit = self.label("leave")
        return self._early_exit

    def early_exit_block(self) -> list[str]:
        return [f"{self._early_exit}:", "  ret i32 1"] if self._early_exit else []

    def phis(self, value: SSAValue) -> list[str]:
        """Fresh registers for a value that phis will define."""
        return [self.fresh() for _ in range(self.pieces(value)[3])]

    def phi_lines(self, value: SSAValue, registers: Sequence[str], incoming: Sequence[tuple[Sequence[str], str]]) -> list[str]:
        return [
            f"  {register} = phi {type_} " + ", ".join(f"[ {sources[i]}, %{label} ]" for sources, label in incoming)
            for i, (register, type_) in enumerate(zip(registers, self.register_types(value)))
        ]


def emit_for(f: FunctionEmitter, op: scf.ForOp) -> None:
    """A loop tested at its end, behind a guard unless the first trip is certain."""
    lower, upper, step = (f.scalar(v) for v in (op.lb, op.ub, op.step))
    type_ = llvm_type(op.lb.type)
    variable, *carried = op.body.block.args
    initial = [f[value].registers for value in op.iter_args]
    loop, done = f.label("loop"), f.label("done")
    certain = is_literal(lower) and is_literal(upper) and int(lower) < int(upper)
    before = f.block
    if certain:
        f.branch(loop)
    else:
        enter = f.emit(f"icmp slt {type_} {lower}, {upper}")
        before = f.block
        f.branch_if(enter, loop, done)
    f.start_block(loop)
    head = len(f.lines)
    counter = f.fresh()
    f.define(variable, [counter])
    inside = [f.phis(argument) for argument in carried]
    for argument, registers in zip(carried, inside):
        f.define(argument, registers)
    last = f.body(op.body.block)
    results = [f[value].registers for value in last.operands]
    following = f.emit(f"add nsw {type_} {counter}, {step}")
    again = f.emit(f"icmp slt {type_} {following}, {upper}")
    latch = f.block
    f.line(f"br i1 {again}, label %{loop}, label %{done}" + ("" if f.target.unroll else ", !llvm.loop !1"))
    phis = [f"  {counter} = phi {type_} [ {lower}, %{before} ], [ {following}, %{latch} ]"]
    for argument, registers, start, end in zip(carried, inside, initial, results):
        phis += f.phi_lines(argument, registers, [(start, before), (end, latch)])
    f.lines[head:head] = phis
    f.start_block(done)
    for result, start, end in zip(op.results, initial, results):
        if certain:
            f.define(result, end)
            continue
        registers = f.phis(result)
        f.lines += f.phi_lines(result, registers, [(start, before), (end, latch)])
        f.define(result, registers)


def emit_if(f: FunctionEmitter, op: scf.IfOp) -> None:
    true, false, done = f.label("then"), f.label("else"), f.label("done")
    has_else = bool(op.false_region.blocks)
    f.branch_if(f.scalar(op.cond), true, false if has_else else done)
    ends: list[tuple[list[list[str]], str]] = []
    for label, region in ((true, op.true_region), (false, op.false_region)):
        if not region.blocks:
            continue
        f.start_block(label)
        last = f.body(region.block)
        ends.append(([f[value].registers for value in last.operands], f.block))
        f.branch(done)
    f.start_block(done)
    for position, result in enumerate(op.results):
        registers = f.phis(result)
        f.lines += f.phi_lines(result, registers, [(values[position], label) for values, label in ends])
        f.define(result, registers)


def emit_while(f: FunctionEmitter, op: scf.WhileOp) -> None:
    before, loop, body, done = f.block, f.label("while"), f.label("do"), f.label("done")
    initial = [f[value].registers for value in op.arguments]
    f.branch(loop)
    f.start_block(loop)
    head = len(f.lines)
    arguments = op.before_region.block.args
    inside = [f.phis(argument) for argument in arguments]
    for argument, registers in zip(arguments, inside):
        f.define(argument, registers)
    condition = f.body(op.before_region.block)
    passed = [f[value].registers for value in condition.operands[1:]]
    f.branch_if(f.scalar(condition.operands[0]), body, done)
    f.start_block(body)
    for argument, registers in zip(op.after_region.block.args, passed):
        f.define(argument, registers)
    last = f.body(op.after_region.block)
    following = [f[value].registers for value in last.operands]
    latch = f.block
    f.branch(loop)
    phis: list[str] = []
    for argument, registers, start, end in zip(arguments, inside, initial, following):
        phis += f.phi_lines(argument, registers, [(start, before), (end, latch)])
    f.lines[head:head] = phis
    f.start_block(done)
    for result, registers in zip(op.results, passed):
        f.define(result, registers)


HANDLERS: dict[type[Operation], Callable[..., None]] = {
    scf.ForOp: emit_for,
    scf.IfOp: emit_if,
    scf.WhileOp: emit_while,
}
