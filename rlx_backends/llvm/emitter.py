"""From a module of kernel functions to LLVM IR text.

The table of handlers is the list of what can be emitted: an op that is not in it is a `LowerError` with its place.

Runs of element-wise ops on equally shaped vectors are emitted register by register instead of op by op: a chain over a tile of
sixteen registers then keeps one intermediate alive, not sixteen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from rlx_backends.llvm import function, memory, reductions, vectors
from rlx_backends.llvm.arithmetic import ELEMENTWISE, emit_elementwise, select_whole
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.target import TargetEmission
from rlx_backends.llvm.values import Value
from rlx_dialects.kernel.functions import CallOp, FuncOp
from rlx_dialects.kernel.memory import LoadOp
from rlx_dialects.kernel.types import shape_of
from rlx_dialects.kernel.vector import BroadcastOp
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

_PLAIN_NAME = re.compile(r"[A-Za-z_.$][\w.$]*\Z")
_METADATA = '!0 = !{i32 1}\n!1 = distinct !{!1, !2}\n!2 = !{!"llvm.loop.unroll.disable"}\n!3 = !{}\n'

HANDLERS: dict[type[Operation], Callable[..., None]] = {
    **function.HANDLERS,
    **memory.HANDLERS,
    **vectors.HANDLERS,
    **reductions.HANDLERS,
}


def emit_module(module: ModuleOp, target: TargetEmission) -> str:
    """LLVM IR text of all functions of `module`. LowerError names the first op that cannot be emitted."""
    return ModuleEmitter(module, target).text()


def symbol(name: str) -> str:
    return f"@{name}" if _PLAIN_NAME.match(name) else f'@"{name}"'


class ModuleEmitter:
    """What functions of one module share: declarations, helper functions, which function takes the call's context."""

    def __init__(self, module: ModuleOp, target: TargetEmission):
        self.module = module
        self.target = target
        self.handlers = {**HANDLERS, CallOp: emit_call, **target.handlers}
        self.functions = {op.sym_name.data: op for op in module.body.block.ops if isinstance(op, FuncOp)}
        self._declarations: dict[str, str] = {}
        self._helpers: dict[str, str] = {}
        self.needs_context = _needs_context(self.functions, target)

    def text(self) -> str:
        bodies = [self.target.header] if self.target.header else []
        for op in self.module.body.block.ops:
            if isinstance(op, FuncOp):
                bodies.append(emit_function(self, op))
            elif type(op) in self.target.handlers:
                f = FunctionEmitter(self)
                self.target.handlers[type(op)](f, op)
                if f.lines:
                    bodies.append("\n".join(f.lines) + "\n")
            else:
                raise LowerError(f"{op.name} is not a function of the kernel level", location=location_of(op))
        declarations = "\n".join(self._declarations[name] for name in sorted(self._declarations))
        return "\n".join([*bodies, *self._helpers.values(), declarations, _METADATA + self.target.metadata])

    def declare(self, name: str, result: str, arguments: Sequence[str]) -> None:
        if name not in self._declarations:
            self._declarations[name] = f"declare {result} @{name}({', '.join(arguments)})"

    def helper(self, name: str, text: str) -> str:
        """A function of the emitter's own, written once per module."""
        self._helpers.setdefault(name, text)
        return f"@{name}"

    # -- ops

    def emit_ops(self, f: FunctionEmitter, block: Block) -> None:
        """All ops of a block but the last."""
        op, last = block.first_op, block.last_op
        while op is not None and op is not last:
            if self._is_elementwise(op):
                op = self._emit_run(f, op, last)
            else:
                self.emit_op(f, op)
                op = op.next_op

    def emit_op(self, f: FunctionEmitter, op: Operation) -> None:
        handler = self.handlers.get(type(op))
        if handler is None:
            raise f.error(op, "the emitter does not know this operation")
        handler(f, op)

    def _is_elementwise(self, op: Operation) -> bool:
        if isinstance(op, LoadOp) and op.mask is not None and self.target.branch_on_masks:
            return False  # one branch serves all registers of the load
        return type(op) in ELEMENTWISE or memory.is_contiguous(op)

    def _emit_run(self, f: FunctionEmitter, first: Operation, last: Operation | None) -> Operation | None:
        """The longest run of element-wise ops and loads of one shape from `first` on; returns the op after it."""
        shape = shape_of(first.results[0].type)
        run: list[Operation] = []
        inside: set[SSAValue] = set()
        op: Operation | None = first
        while op is not None and op is not last:
            if self._is_elementwise(op) and shape_of(op.results[0].type) == shape:
                if isinstance(op, LoadOp) and not inside.isdisjoint(op.operands):
                    break
                run.append(op)
                inside.update(op.results)
            elif isinstance(op, BroadcastOp | arith.ConstantOp) and inside.isdisjoint(op.operands):
                self.emit_op(f, op)  # it needs nothing of the run, so it may come first
            else:
                break
            op = op.next_op
        steps = [_step(f, each) for each in run]
        _, _, widths, count = f.pieces(first.results[0])
        for each in run:
            element, shape, widths, _ = f.pieces(each.results[0])
            f.values[each.results[0]] = Value(element, shape, widths, [])
        for i in range(count):
            for each, step in zip(run, steps):
                f.values[each.results[0]].registers.append(step(i))
        return op


def _step(f: FunctionEmitter, op: Operation) -> Callable[[int], str]:
    """A function that emits register number i of an element-wise op or a load."""
    if isinstance(op, LoadOp):
        return memory.load_plan(f, op)
    emit = emit_elementwise
    _, shape, widths, _ = f.pieces(op.results[0])
    if isinstance(op, arith.SelectOp) and shape and not shape_of(op.cond.type):
        emit = select_whole
    splats: dict[tuple[SSAValue, int], str] = {}

    def operand(position: int, value: SSAValue, i: int, width: int) -> str:
        known = f.values[value]
        if known.shape or not shape or (emit is select_whole and position == 0):
            return known.registers[i if known.shape else 0]
        key = (value, width)
        if key not in splats:
            splats[key] = f.splat(known.registers[0], known.type, width)
        return splats[key]

    def step(i: int) -> str:
        width = widths[i % len(widths)]
        return emit(f, op, width, [operand(position, value, i, width) for position, value in enumerate(op.operands)])

    return step


# -- functions


def _needs_context(functions: dict[str, FuncOp], target: TargetEmission) -> frozenset[str]:
    """The functions that use an op of `target.context_ops`, directly or through calls."""
    callers: dict[str, set[str]] = {}
    needing: list[str] = []
    for name, func in functions.items():
        for op in func.walk():
            if isinstance(op, CallOp):
                callers.setdefault(op.callee.string_value(), set()).add(name)
            elif isinstance(op, target.context_ops):
                needing.append(name)
    found: set[str] = set()
    while needing:
        name = needing.pop()
        if name not in found:
            found.add(name)
            needing += callers.get(name, ())
    return frozenset(found)


def emit_function(module: ModuleEmitter, op: FuncOp) -> str:
    f = FunctionEmitter(module)
    parameters = [module.target.context] if op.sym_name.data in module.needs_context else []
    for position, argument in enumerate(op.body.block.args):
        parameters += define_argument(f, argument, position, " noalias" if position in op.noalias else "")
    last = f.body(op.body.block)
    result = return_type(f, last.operands)
    _emit_return(f, result, last)
    head = f"define internal {result} {symbol(op.sym_name.data)}({', '.join(parameters)}) {module.target.function_attributes}"
    return "\n".join([f"{head} {module.target.helper_attributes} {{", "entry:", *f.allocas, *f.lines, "}"]) + "\n"


def define_argument(f: FunctionEmitter, argument: SSAValue, position: int, attributes: str) -> list[str]:
    """The parameters that hold an argument, one for each of its registers."""
    registers = [f"%a{position}.{number}" for number in range(f.pieces(argument)[3])]
    f.define(argument, registers)
    return [f"{type_}{attributes} {register}" for type_, register in zip(f.register_types(argument), registers)]


def return_type(f: FunctionEmitter, values: Sequence[SSAValue]) -> str:
    types = [type_ for value in values for type_ in f.register_types(value)]
    if not types:
        return "void"
    return types[0] if len(types) == 1 else "{ " + ", ".join(types) + " }"


def _emit_return(f: FunctionEmitter, result: str, op: Operation) -> None:
    parts = [(type_, register) for value in op.operands for type_, register in _registers(f, value)]
    if len(parts) <= 1:
        f.line(f"ret {parts[0][0]} {parts[0][1]}" if parts else "ret void")
        return
    total = "poison"
    for position, (type_, register) in enumerate(parts):
        total = f.emit(f"insertvalue {result} {total}, {type_} {register}, {position}")
    f.line(f"ret {result} {total}")


def _registers(f: FunctionEmitter, value: SSAValue) -> Iterator[tuple[str, str]]:
    return zip(f.register_types(value), f[value].registers)


def emit_call(f: FunctionEmitter, op: CallOp) -> None:
    name = op.callee.string_value()
    callee = f.module.functions.get(name)
    if callee is None:
        raise f.error(op, f"the module has no kernel.func @{name}")
    wanted = callee.function_type.inputs.data, callee.function_type.outputs.data
    if wanted != (tuple(op.arguments.types), tuple(op.results_.types)):
        inputs, outputs = (", ".join(map(str, types)) for types in wanted)
        raise f.error(op, f"@{name} takes ({inputs}) and returns ({outputs})")
    arguments = [f.target.context] if name in f.module.needs_context else []
    for value in op.arguments:
        arguments += [f"{type_} {register}" for type_, register in _registers(f, value)]
    result = return_type(f, op.results)
    call = f"call {result} {symbol(name)}({', '.join(arguments)})"
    if result == "void":
        f.line(call)
        return
    returned = f.emit(call)
    at = 0
    for value in op.results:
        types = f.register_types(value)
        if result.startswith("{"):
            registers = [f.emit(f"extractvalue {result} {returned}, {at + i}") for i in range(len(types))]
        else:
            registers = [returned]
        at += len(types)
        f.define(value, registers)


