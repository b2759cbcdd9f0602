"""Loads, stores and atomics of PTX, and parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators.machine import Step
from rlx_runtime.emulators.memory import update
from rlx_runtime.emulators.ptx.operands import Context, decode, encode
from rlx_runtime.emulators.ptx.threads import Threads

Array = NDArray[Any]
SPACES = {"global": "global", "shared": "shared", "local": "local", "const": "const", "param": "param",
          "shared__cta": "shared", "shared__cluster": "shared", "param__entry": "param", "param__func": "param"}  # fmt: skip
MODIFIERS = frozenset(("weak", "volatile", "relaxed", "acquire", "release", "acq_rel", "cta", "cluster", "gpu", "sys", "nc", "ca",
                       "cg", "cs", "lu", "cv", "wb", "wt", "noftz"))  # fmt: skip
"""What changes order or caches only: one thread's accesses are in order here, and every thread sees them at once."""


def _space(c: Context) -> str:
    """The state space of an access; "" for generic addresses. Unknown parts are an error."""
    space = ""
    for part in c.statement.opcode[1:-1]:
        if part in SPACES:
            space = SPACES[part]
        elif part not in MODIFIERS and part not in ("v2", "v4", "v8") and not part.startswith(("L1__", "L2__")):
            if part not in ATOMICS:
                raise c.unknown()
    return space


def load(c: Context) -> Step:
    """ld: words of memory, extended to the registers; `{…}` for vectors. A cache policy after the address is ignored."""
    space, kind = _space(c), c.kind(c.statement.opcode[-1])
    to, at = c.statement.operands[:2]
    targets = [c.target_active(name, kind) for name in c.group(to)]
    width, count = kind.bits // 8, len(targets)
    if space == "param":
        base, offset = c.base_and_offset(at)
        if base in c.slots:
            slot = c.slots[base]

            def from_slot(m: Threads) -> None:
                raw = m.slots[slot][:, offset : offset + width * count]
                values = np.ascontiguousarray(raw).view(kind.raw)
                for i, target in enumerate(targets):
                    target(m, m.part(np.ascontiguousarray(values[:, i])))

            return from_slot
    address = c.address(at)

    def step(m: Threads) -> None:
        values = m.load(space, address(m), width, count)
        for i, target in enumerate(targets):
            target(m, np.ascontiguousarray(values[:, i]))

    return step


def store(c: Context) -> Step:
    """st: the low bits of registers to memory."""
    space, kind = _space(c), c.kind(c.statement.opcode[-1])
    at, given = c.statement.operands[:2]
    bits = c.kind(f"b{kind.bits}")
    sources = [c.source(name, bits) for name in c.group(given)]
    if space == "param":
        base, offset = c.base_and_offset(at)
        if base not in c.slots:
            raise c.malformed(f"{base} is no parameter of a call")
        slot = c.slots[base]

        def to_slot(m: Threads) -> None:
            for i, source in enumerate(sources):
                values = m.part(np.asarray(source(m)))
                start = offset + i * kind.bits // 8
                m.slots[slot][m.index, start : start + kind.bits // 8] = np.ascontiguousarray(values)[:, None].view(np.uint8)

        return to_slot
    address = c.address(at)

    def step(m: Threads) -> None:
        values = [m.part(np.asarray(source(m))) for source in sources]
        m.store(space, address(m), np.stack(values, axis=1))

    return step


# -- atomics


def _increment(old: Array, limit: Array) -> Array:
    return np.where(old >= limit, old.dtype.type(0), old + old.dtype.type(1))


def _decrement(old: Array, limit: Array) -> Array:
    return np.where((old == 0) | (old > limit), limit, old - old.dtype.type(1))


ATOMICS: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add, "min": np.minimum, "max": np.maximum, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "exch": lambda old, new: new, "inc": _increment, "dec": _decrement,
    "cas": lambda old, new: new,  # compared in `atomic`
}  # fmt: skip


def atomic(c: Context) -> Step:
    """atom, red: relaxed read-modify-write; the old value goes to the target of `atom`."""
    opcode = c.statement.opcode
    returns = opcode[0] == "atom"
    space, kind = _space(c), c.kind(opcode[-1])
    name = next((part for part in opcode[1:-1] if part in ATOMICS), "")
    if not name or kind.group == "p":
        raise c.unknown()
    operands = c.statement.operands
    to, rest = (operands[0], operands[1:]) if returns else ("_", operands)
    raw = c.kind(f"b{kind.bits}")
    target = c.target_active(to, raw)
    address = c.address(rest[0])
    sources = [c.source(text, raw) for text in rest[1 : 3 if name == "cas" else 2]]
    operation = ATOMICS[name]

    def compute(old: Array, *given: Array) -> Array:
        if name == "cas":
            return np.where(old == given[0], given[1], old)
        if name == "exch":
            return given[0]
        return encode(operation(decode(old, kind), decode(given[0], kind)), kind)

    def step(m: Threads) -> None:
        where = address(m)
        given = [m.part(np.asarray(source(m))) for source in sources]
        old = np.zeros(m.index.size, raw.dtype)
        spaces = ["global", "shared"] if not space else [space]
        window = where >> np.uint64(56) if not space else np.zeros(where.size, np.uint64)
        for number, each in enumerate(spaces):
            chosen = np.flatnonzero(window == number)
            if chosen.size:
                active = m.active
                mask = np.zeros(m.count, bool)
                mask[m.index[chosen]] = True
                m.set_active(mask)
                data, offsets = m.place(each, where[chosen] - np.uint64(number << 56), kind.bits // 8)
                m.set_active(active)
                old[chosen] = update(data, offsets, raw.dtype, compute, [values[chosen] for values in given])
        target(m, old)

    return step


def nothing(c: Context) -> Step:
    """Fences, prefetches: memory is in order here."""
    return lambda m: None


ACCESS: dict[str, Callable[[Context], Step]] = {
    "ld": load, "ldu": load, "st": store, "atom": atomic, "red": atomic, "membar": nothing, "fence": nothing, "prefetch": nothing,
    "prefetchu": nothing, "applypriority": nothing, "griddepcontrol": nothing, "nanosleep": nothing,
}  # fmt: skip
