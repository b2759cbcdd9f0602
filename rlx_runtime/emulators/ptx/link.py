"""From statements to steps: lays out variables and registers, decodes every statement once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rlx_runtime.emulators.faults import EmulationError, malformed
from rlx_runtime.emulators.machine import Step
from rlx_runtime.emulators.memory import DeviceMemory
from rlx_runtime.emulators.ptx import control, floating, integer
from rlx_runtime.emulators.ptx.access import ACCESS
from rlx_runtime.emulators.ptx.asynchronous import ASYNCHRONOUS
from rlx_runtime.emulators.ptx.convert import CONVERT
from rlx_runtime.emulators.ptx.matrix import MATRIX
from rlx_runtime.emulators.ptx.operands import KINDS, Context
from rlx_runtime.emulators.ptx.parse import Function, Program, Statement, Variable
from rlx_runtime.emulators.ptx.threads import WIDTHS, Code, Threads
from rlx_runtime.emulators.ptx.warp import WARP_LEVEL

_BY_NAME: dict[str, Callable[[Context], Step]] = {
    **integer.INTEGER, **CONVERT, **ACCESS, **WARP_LEVEL, **MATRIX, **ASYNCHRONOUS, **control.CONTROL,
}  # fmt: skip


def decoder(statement: Statement) -> Callable[[Context], Step] | None:
    """What makes a step of a statement: by the first part of its opcode, and by its type where both kinds have it."""
    name = statement.opcode[0]
    kind = KINDS.get(statement.opcode[-1])
    is_float = kind is not None and kind.group == "f"
    if is_float and name in floating.BOTH:
        return floating.BOTH[name]
    if is_float and name in floating.FLOATING:
        return floating.FLOATING[name]
    return integer.BOTH.get(name) or _BY_NAME.get(name)


def place_variables(program: Program, memory: DeviceMemory) -> dict[str, tuple[str, int]]:
    """Device memory for the module's global and constant variables, with what they start with."""
    symbols: dict[str, tuple[str, int]] = {}
    for variable in program.variables:
        if variable.space in ("global", "const"):
            address = memory.alloc(variable.size)
            symbols[variable.name] = (variable.space, address)
            content = np.zeros(variable.size, np.uint8)
            if variable.data is not None:
                given = np.frombuffer(variable.data[: variable.size], np.uint8)
                content[: given.size] = given
            memory.write(address, content)
    return symbols


class _Linker:
    """One kernel with every function that it calls."""

    def __init__(self, program: Program, kernel: Function, symbols: dict[str, tuple[str, int]]) -> None:
        self.program, self.kernel = program, kernel
        self.module_symbols = dict(symbols)
        self.registers: list[tuple[str, np.dtype]] = []
        self.slots: list[int] = []
        self.shared = self.local = 0
        self.dynamic: dict[str, int] = {}
        self.order: list[Function] = []
        self._collect(kernel, ())
        for variable in program.variables:
            if variable.space == "shared":
                self._share(variable, self.module_symbols)
        # Callees stand before callers: threads in a function run before those that are back already.
        self.starts: dict[str, int] = {}
        place = 0
        for function in self.order:
            self.starts[function.name] = place
            place += len(function.code) + 1
        self.contexts: dict[str, Context] = {}
        self.params: dict[str, dict[str, int]] = {}
        self.offsets: list[tuple[int, int]] = []
        for function in self.order:
            self.contexts[function.name] = self._context(function)

    def _collect(self, function: Function, above: tuple[str, ...]) -> None:
        if function.name in above:
            raise _fault(function, f"function {function.name} calls itself")
        for statement in function.code:
            if statement.opcode[0] == "call":
                name = self._callee(function, statement)
                self._collect(self.program.functions[name], (*above, function.name))
        if function not in self.order:
            self.order.append(function)

    def _callee(self, function: Function, statement: Statement) -> str:
        name = next((text for text in statement.operands if not text.startswith("(")), "")
        if name not in self.program.functions:
            raise _fault(function, f"no function {name} in the module", statement)
        return name

    def _share(self, variable: Variable, symbols: dict[str, tuple[str, int]]) -> None:
        if variable.extern:
            self.dynamic[variable.name] = variable.align
            symbols[variable.name] = ("shared", 0)
            return
        self.shared = -(-self.shared // variable.align) * variable.align
        symbols[variable.name] = ("shared", self.shared)
        self.shared += variable.size

    def _slot(self, size: int) -> int:
        self.slots.append(size)
        return len(self.slots) - 1

    def _context(self, function: Function) -> Context:
        symbols = dict(self.module_symbols)
        slots: dict[str, int] = {"": self._slot(8)}  # where to come back to
        for variable in function.variables:
            if variable.space == "shared":
                self._share(variable, symbols)
            elif variable.space == "local":
                self.local = -(-self.local // variable.align) * variable.align
                symbols[variable.name] = ("local", self.local)
                self.local += variable.size
            elif variable.space == "param":
                slots[variable.name] = self._slot(variable.size)
        if function.entry:
            at = 0
            for param in function.params:
                at = -(-at // param.align) * param.align
                symbols[param.name] = ("param", at)
                self.offsets.append((at, param.size))
                at += param.size
        else:
            for param in (*function.params, *function.returns):
                slots[param.name] = self._slot(param.size)
        registers: dict[str, int] = {}
        prefix = "" if function.entry else f"{function.name}:"
        for name, kind in function.registers.items():
            registers[name] = len(self.registers)
            width = WIDTHS["pred" if kind == "pred" else f"b{kind[1:]}"]
            self.registers.append((prefix + name, width))
        start = self.starts[function.name]
        labels = {name: start + place for name, place in function.labels.items()}
        return Context(function, registers, symbols, slots, labels, self.starts, dynamic=self.dynamic)

    def link(self) -> Code:
        steps: list[Step] = []
        lines: list[tuple[int, str]] = []
        for function in self.order:
            context = self.contexts[function.name]
            for statement in function.code:
                context.statement = statement
                steps.append(self._step(context, statement))
                lines.append((statement.line, statement.text))
            end = control.leave(context) if function.entry else control.back(context.slots[""])
            steps.append(end)
            lines.append((function.code[-1].line if function.code else 0, f"the end of {function.name}"))
        total = self.offsets[-1][0] + self.offsets[-1][1] if self.offsets else 0
        align = max(self.dynamic.values(), default=1)
        return Code(self.kernel.name, steps, lines, self.registers, self.shared, align, self.local, self.slots, self.offsets,
                    total, self.kernel.threads)  # fmt: skip

    def start(self) -> int:
        return self.starts[self.kernel.name]

    def _step(self, c: Context, statement: Statement) -> Step:
        name = statement.opcode[0]
        if name == "call":
            step = self._call(c, statement)
        elif name == "ret":
            step = control.leave(c) if c.function.entry else control.back(c.slots[""])
        elif name == "callback":
            step = self._returned(c, statement)
        else:
            make = decoder(statement)
            if make is None:
                raise c.unknown()
            step = make(c)
        if statement.predicate and name != "bra":
            return predicated(c, statement, step)
        return step

    def _call(self, c: Context, statement: Statement) -> Step:
        callee = self.program.functions[self._callee(c.function, statement)]
        inner = self.contexts[callee.name].slots
        lists = [control.arguments(text) for text in statement.operands if text.startswith("(")]
        given = lists[-1] if callee.params else []
        pairs = [(c.slots[name], inner[param.name], param.size) for name, param in zip(given, callee.params)]
        return control.call(c, inner[""], lambda m: _copy_slots(m, pairs), self.starts[callee.name])

    def _returned(self, c: Context, statement: Statement) -> Step:
        callee = self.program.functions[statement.operands[0]]
        inner = self.contexts[callee.name].slots
        pairs = [(inner[each.name], c.slots[name], each.size) for each, name in zip(callee.returns, statement.operands[1:])]

        def step(m: Threads) -> None:
            _copy_slots(m, pairs)

        return step


def _copy_slots(m: Threads, pairs: list[tuple[int, int, int]]) -> None:
    for source, target, size in pairs:
        m.slots[target][m.index, :size] = m.slots[source][m.index, :size]


def predicated(c: Context, statement: Statement, step: Step) -> Step:
    """`@p instruction`: the step with the threads for which the predicate holds as the active ones."""
    taken = c.source(("!" if statement.negated else "") + statement.predicate, "pred")

    def masked(m: Threads) -> int | None:
        chosen = np.broadcast_to(taken(m), (m.count,)) & m.active
        active = m.active
        if not chosen.any():
            return None
        if chosen.sum() == m.index.size:
            return step(m)
        m.set_active(chosen)
        target = step(m)
        if target is None:
            m.set_active(active)
            return None
        # The others go on behind the instruction; those of the step wait, are done, or are at its target.
        if target >= 0:
            m.pc[m.index] = target
        others = np.flatnonzero(active & ~chosen)
        m.pc[others] = m.here + 1
        return -1

    return masked


def _fault(function: Function, message: str, statement: Statement | None = None) -> EmulationError:
    where = statement or (function.code[0] if function.code else Statement(0, "", (), []))
    return malformed(message, function.name, where.line, where.text)


def link(program: Program, name: str, symbols: dict[str, tuple[str, int]]) -> tuple[Code, int]:
    """A kernel, and where it starts in its code. KeyError if the module has none of that name."""
    kernel = program.functions[name]
    if not kernel.entry:
        raise KeyError(name)
    for function in program.functions.values():
        _split_calls(function)
    linker = _Linker(program, kernel, symbols)
    return linker.link(), linker.start()


def _split_calls(function: Function) -> None:
    """After each call, an instruction of ours that takes its results."""
    places = [i for i, statement in enumerate(function.code) if statement.opcode[0] == "call"]
    for i in reversed(places):
        call = function.code[i]
        if i + 1 < len(function.code) and function.code[i + 1].opcode[0] == "callback":
            continue
        results = control.arguments(call.operands[0]) if call.operands[0].startswith("(") and len(call.operands) > 1 else []
        name = next((text for text in call.operands if not text.startswith("(")), "")
        if call.operands[0] == name:
            results = []
        after = Statement(call.line, call.text, ("callback",), [name, *results], call.predicate, call.negated)
        function.code.insert(i + 1, after)
        function.labels = {label: place + (place > i) for label, place in function.labels.items()}
