"""How operands of PTX become functions of the machine: types, sources, targets, addresses.

A source gives the values of all threads in the type that instructions compute in (an array over the threads, one value for
all, or [threads, 2] for packed types); a target takes them back. What is not active is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators import floats
from rlx_runtime.emulators.faults import EmulationError, unknown_instruction
from rlx_runtime.emulators.ptx.parse import Function, Statement
from rlx_runtime.emulators.ptx.threads import SHARED_WINDOW, WARP, WIDTHS, Threads
from rlx_runtime.errors import Location

Array = NDArray[Any]
Source = Callable[[Threads], Any]
Target = Callable[[Threads, Any], None]


@dataclass(frozen=True)
class Kind:
    """A type of instructions: bits, "u", "s", "f" or "p" (predicate), and the type of its values in NumPy."""

    name: str
    bits: int
    group: str
    dtype: Any
    lanes: int = 1

    @property
    def raw(self) -> Any:
        return np.dtype(f"u{self.bits // 8}")


def _kinds() -> dict[str, Kind]:
    table = {"pred": Kind("pred", 8, "p", np.bool_)}
    for bits in (8, 16, 32, 64):
        unsigned, signed = getattr(np, f"uint{bits}"), getattr(np, f"int{bits}")
        for letter, group, dtype in (("u", "u", unsigned), ("b", "u", unsigned), ("s", "s", signed)):
            table[f"{letter}{bits}"] = Kind(f"{letter}{bits}", bits, group, dtype)
    table["f32"] = Kind("f32", 32, "f", np.float32)
    table["f64"] = Kind("f64", 64, "f", np.float64)
    for name in ("f16", "bf16"):
        table[name] = Kind(name, 16, "f", np.float32)
        table[f"{name}x2"] = Kind(f"{name}x2", 32, "f", np.float32, 2)
    for name in ("u16", "s16"):
        table[f"{name}x2"] = Kind(f"{name}x2", 32, name[0], getattr(np, "uint16" if name == "u16" else "int16"), 2)
    table["tf32"] = Kind("tf32", 32, "f", np.float32)
    return table


KINDS = _kinds()


def decode(raw: Array, kind: Kind) -> Array:
    """Unsigned words of the type's width -> values."""
    if kind.lanes == 2:
        halves = np.ascontiguousarray(raw).reshape(-1).view(np.uint16).reshape(*raw.shape, 2)
        return _decode_half(halves, kind) if kind.group == "f" else halves.view(kind.dtype)
    if kind.name in ("f16", "bf16"):
        return _decode_half(raw, kind)
    return raw.view(kind.dtype)


def _decode_half(raw: Array, kind: Kind) -> Array:
    return floats.bf16_to_f32(raw) if kind.name.startswith("bf16") else raw.view(np.float16).astype(np.float32)


def encode(value: Any, kind: Kind) -> Array:
    """Values -> unsigned words of the type's width."""
    value = np.asarray(value)
    if kind.group == "f":
        if kind.name.startswith("bf16"):
            raw = floats.f32_to_bf16(value.astype(np.float32))
        elif kind.name.startswith("f16"):
            raw = value.astype(np.float16).view(np.uint16)
        else:
            return value.astype(kind.dtype).view(kind.raw)
    else:
        raw = value.astype(kind.dtype).view(np.uint16 if kind.lanes == 2 else kind.raw)
    return np.ascontiguousarray(raw).view(np.uint32)[..., 0] if kind.lanes == 2 else raw


@dataclass
class Context:
    """What names mean in one function."""

    function: Function
    registers: dict[str, int]
    """Unique name in the function -> number among all registers."""
    symbols: dict[str, tuple[str, int]]
    """Variables: state space and address in it; parameters of kernels are at offsets in "param"."""
    slots: dict[str, int]
    """Parameters of calls: number of the slot."""
    labels: dict[str, int]
    """Places in the code of the module."""
    functions: dict[str, int] = field(default_factory=dict)
    statement: Statement = field(default_factory=lambda: Statement(0, "", (), []))
    dynamic: dict[str, int] = field(default_factory=dict)
    """Names of dynamic shared memory."""

    # -- faults of decoding

    def unknown(self) -> EmulationError:
        s = self.statement
        return unknown_instruction(s.spelling.replace("__", "::"), self.function.name, s.line, s.text)

    def malformed(self, message: str) -> EmulationError:
        s = self.statement
        return EmulationError(message, code="malformed", location=Location(self.function.name, s.line, 1, s.text))

    def kind(self, name: str) -> Kind:
        if name not in KINDS:
            raise self.unknown()
        return KINDS[name]

    # -- sources

    def source(self, text: str, kind: Kind | str) -> Source:
        """An operand's values as `kind`."""
        if isinstance(kind, str):
            kind = self.kind(kind)
        negative = text.startswith("!")
        if negative:
            inner = self.source(text[1:], kind)
            return lambda m: ~inner(m)
        number = self.registers.get(text)
        if number is not None:
            return self._register(text, number, kind)
        if text in SPECIAL:
            special = SPECIAL[text]
            return lambda m: decode(special(m).astype(kind.raw), kind)
        if text in self.symbols or text in self.functions:
            address = self._symbol(text)
            return lambda m: decode(address(m).astype(kind.raw), kind)
        constant = self.constant(text, kind)
        return lambda m: constant

    def _register(self, name: str, number: int, kind: Kind) -> Source:
        held = self.function.registers[name]
        if (held == "pred") != (kind.group == "p"):
            raise self.malformed(f"{name} is a register of type {held}, the instruction reads {kind.name}")
        if kind.group == "p":
            def predicate(m: Threads) -> Array:
                if m.defined[number] is not True:
                    m.check_defined(number)
                return m.registers[number]

            return predicate
        width = WIDTHS["b" + held[1:] if held[0] in "usf" else held].itemsize * 8
        if width < kind.bits:
            raise self.malformed(f"{name} has {width} bits, the instruction reads {kind.bits}")
        simple = kind.lanes == 1 and kind.name not in ("f16", "bf16")
        dtype, raw, same = kind.dtype, kind.raw, width == kind.bits

        def register(m: Threads) -> Array:
            if m.defined[number] is not True:
                m.check_defined(number)
            value = m.registers[number]
            if not same:
                value = value.astype(raw)
            return value.view(dtype) if simple else decode(value, kind)

        return register

    def _symbol(self, name: str) -> Source:
        space, address = self.symbols[name] if name in self.symbols else ("code", self.functions[name])
        if name in self.dynamic:
            align = self.dynamic[name]
            return lambda m: np.uint64(-(-m.program.shared_bytes // align) * align)
        if space == "param":
            return lambda m: np.uint64(m.launch.params + address)
        return lambda m: np.uint64(address)

    def constant(self, text: str, kind: Kind) -> Array:
        """An immediate as one value of the type."""
        raw: int
        if re.match(r"0[fF][0-9a-fA-F]{8}$", text):
            raw = int(text[2:], 16)
            if kind.name == "f64":
                raw = int(np.float32(np.uint32(raw).view(np.float32)).astype(np.float64).view(np.uint64))
        elif re.match(r"0[dD][0-9a-fA-F]{16}$", text):
            raw = int(text[2:], 16)
        elif re.match(r"-?(0[xX][0-9a-fA-F]+|\d+)U?$", text):
            raw = int(text.rstrip("U"), 0)
            if kind.group == "p":
                return np.asarray(raw != 0)
        elif re.match(r"-?\d+\.\d*([eE][-+]?\d+)?$", text) and kind.group == "f":
            return np.asarray(float(text), kind.dtype)
        else:
            raise self.malformed(f"operand {text} is no register, symbol or number")
        return decode(np.asarray(raw & ((1 << kind.bits) - 1), kind.raw), kind)

    def integer(self, text: str) -> int:
        """An operand that must be a number."""
        if not re.match(r"-?(0[xX][0-9a-fA-F]+|\d+)U?$", text):
            raise self.malformed(f"operand {text} is no number")
        return int(text.rstrip("U"), 0)

    # -- targets

    def target(self, text: str, kind: Kind | str) -> Target:
        """Where values of `kind` go; `_` goes nowhere. Wider registers extend by sign for signed types, else by zeros."""
        if isinstance(kind, str):
            kind = self.kind(kind)
        if text == "_":
            return lambda m, value: None
        number, extend = self._destination(text, kind)
        if kind.group == "p":
            return lambda m, value: m.write(number, value)
        if kind.lanes == 1 and kind.name not in ("f16", "bf16") and extend is None:
            dtype, raw = kind.dtype, kind.raw

            def plain(m: Threads, value: Any) -> None:
                if getattr(value, "dtype", None) != dtype:
                    value = np.asarray(value).astype(dtype)
                m.write(number, value.view(raw))

            return plain
        return lambda m, value: m.write(number, extend(encode(value, kind)) if extend else encode(value, kind))

    def target_active(self, text: str, kind: Kind | str) -> Target:
        """Where unsigned words of the type's width go, one for each active thread."""
        if isinstance(kind, str):
            kind = self.kind(kind)
        if text == "_":
            return lambda m, value: None
        number, extend = self._destination(text, kind)
        return lambda m, value: m.write_active(number, extend(value) if extend else value)

    def _destination(self, text: str, kind: Kind) -> tuple[int, Callable[[Array], Array] | None]:
        number = self.registers.get(text)
        if number is None:
            raise self.malformed(f"{text} is no register")
        held = self.function.registers[text]
        if (held == "pred") != (kind.group == "p"):
            raise self.malformed(f"{text} is a register of type {held}, the instruction writes {kind.name}")
        if kind.group == "p":
            return number, None
        wide = WIDTHS["b" + held[1:] if held[0] in "usf" else held]
        if wide.itemsize * 8 < kind.bits:
            raise self.malformed(f"{text} has {wide.itemsize * 8} bits, the instruction writes {kind.bits}")
        if wide.itemsize * 8 == kind.bits:
            return number, None
        if kind.group == "s":
            signed, wider = np.dtype(f"i{kind.bits // 8}"), np.dtype(f"i{wide.itemsize}")
            return number, lambda raw: raw.view(signed).astype(wider).view(wide)
        return number, lambda raw: raw.astype(wide)

    # -- lists and addresses

    def group(self, text: str) -> list[str]:
        """`{a, b}` as its operands; one operand alone is a list of one."""
        return [part.strip() for part in text.strip("{} ").split(",")] if text.startswith("{") else [text]

    def base_and_offset(self, text: str) -> tuple[str, int]:
        inner = text.strip()
        if not (inner.startswith("[") and inner.endswith("]")):
            raise self.malformed(f"{text} is no address")
        inner = inner[1:-1].strip()
        match = re.match(r"(.+?)\s*([+-])\s*([+-]?\w+)$", inner)
        if match is None or re.match(r"-?\d", inner):
            return inner, 0
        offset = int(match[3].rstrip("U"), 0)
        return match[1].strip(), offset if match[2] == "+" else -offset

    def address(self, text: str) -> Source:
        """`[base+offset]` as uint64 addresses of the active threads."""
        base, offset = self.base_and_offset(text)
        held = self.function.registers.get(base, "b64")
        source = self.source(base, "u32" if held.endswith("32") else "u64")
        step = np.uint64(offset & (2**64 - 1))
        narrow = held.endswith("32")

        def address(m: Threads) -> Array:
            value = m.part(np.asarray(source(m)))
            if narrow:
                return (value.astype(np.uint32) + np.uint32(offset & (2**32 - 1))).astype(np.uint64)
            return value + step if offset else value

        return address


# -- special registers


def _dims(which: str) -> dict[str, Source]:
    def at(axis: int) -> Source:
        def value(m: Threads) -> Array:
            grid, block = m.launch.grid, m.launch.block
            if which == "tid":
                size, numbers = block, m.thread
            elif which == "ctaid":
                size, numbers = grid, m.numbers
            else:
                return np.asarray((block if which == "ntid" else grid)[axis], np.uint64)
            return (numbers // int(np.prod(size[:axis], dtype=np.int64)) % size[axis]).astype(np.uint64)

        return value

    return {f"%{which}.{name}": at(axis) for axis, name in enumerate("xyz")}


def _mask(compare: Callable[[Array, Array], Array]) -> Source:
    lanes = np.arange(WARP)
    bit = np.uint64(1) << lanes.astype(np.uint64)
    table = (compare(lanes[None, :], lanes[:, None]) * bit[None, :]).sum(axis=1).astype(np.uint64)
    return lambda m: table[m.lane]


SPECIAL: dict[str, Source] = {
    **_dims("tid"), **_dims("ctaid"), **_dims("ntid"), **_dims("nctaid"),
    "%laneid": lambda m: m.lane.astype(np.uint64),
    "%warpid": lambda m: (m.thread // WARP).astype(np.uint64),
    "%nwarpid": lambda m: np.asarray(m.width // WARP, np.uint64),
    "%lanemask_eq": _mask(np.equal), "%lanemask_lt": _mask(np.less), "%lanemask_le": _mask(np.less_equal),
    "%lanemask_gt": _mask(np.greater), "%lanemask_ge": _mask(np.greater_equal),
    "%clock": lambda m: np.asarray(m.steps, np.uint64), "%clock64": lambda m: np.asarray(m.steps, np.uint64),
    "%globaltimer": lambda m: np.asarray(m.steps, np.uint64),
    "%total_smem_size": lambda m: np.asarray(m.shared_size, np.uint64),
    "%dynamic_smem_size": lambda m: np.asarray(m.launch.shared, np.uint64),
    "%cluster_ctarank": lambda m: np.asarray(0, np.uint64), "%cluster_nctarank": lambda m: np.asarray(1, np.uint64),
    "%is_explicit_cluster": lambda m: np.asarray(0, np.uint64),
    "WARP_SZ": lambda m: np.asarray(WARP, np.uint64),
}  # fmt: skip
GENERIC_BASE = {"shared": SHARED_WINDOW, "local": SHARED_WINDOW * 2, "global": 0, "const": 0, "param": 0}
