"""How operands of AMDGCN become functions of the machine: registers, constants, their types and modifiers.

A source gives values that broadcast to [waves, lanes] (vector instructions) or [waves] (scalar ones) in the type that is computed
in: f16 and bf16 as float32. What is not active is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators import floats
from rlx_runtime.emulators.faults import EmulationError, unknown_instruction
from rlx_runtime.emulators.gcn.parse import Instruction
from rlx_runtime.emulators.gcn.waves import ACCUMULATORS, EXEC, FLAT_SCRATCH, M0, PRIVATE_WINDOW, SHARED_WINDOW, TTMP, VCC, Waves
from rlx_runtime.errors import Location

Array = NDArray[Any]
Source = Callable[[Waves], Any]
Write = Callable[[Waves, Any], None]


@dataclass(frozen=True)
class Kind:
    """A type of operands: bits of one element, "u", "s", "f" or "m" (lane mask); `lanes` 2 for packed ones."""

    name: str
    bits: int
    group: str
    dtype: Any
    lanes: int = 1

    @property
    def words(self) -> int:
        return max(1, self.bits * self.lanes // 32)


KINDS = {
    "u16": Kind("u16", 16, "u", np.uint16), "i16": Kind("i16", 16, "s", np.int16), "b16": Kind("b16", 16, "u", np.uint16),
    "u32": Kind("u32", 32, "u", np.uint32), "i32": Kind("i32", 32, "s", np.int32), "b32": Kind("b32", 32, "u", np.uint32),
    "u64": Kind("u64", 64, "u", np.uint64), "i64": Kind("i64", 64, "s", np.int64), "b64": Kind("b64", 64, "u", np.uint64),
    "f16": Kind("f16", 16, "f", np.float32), "bf16": Kind("bf16", 16, "f", np.float32), "f32": Kind("f32", 32, "f", np.float32),
    "f64": Kind("f64", 64, "f", np.float64), "mask": Kind("mask", 0, "m", np.bool_),
    "pk_f16": Kind("pk_f16", 16, "f", np.float32, 2), "pk_bf16": Kind("pk_bf16", 16, "f", np.float32, 2),
    "pk_u16": Kind("pk_u16", 16, "u", np.uint16, 2), "pk_i16": Kind("pk_i16", 16, "s", np.int16, 2),
    "pk_f32": Kind("pk_f32", 32, "f", np.float32, 2), "pk_b32": Kind("pk_b32", 32, "u", np.uint32, 2),
}  # fmt: skip
_NAMED = {"m0": (M0, 1)}
for _name, _number in (("vcc", VCC), ("exec", EXEC), ("flat_scratch", FLAT_SCRATCH)):
    _NAMED |= {_name: (_number, 2), f"{_name}_lo": (_number, 1), f"{_name}_hi": (_number + 1, 1)}


@dataclass(frozen=True)
class Register:
    """`file` is "s", "v" (numbers from 256 on are accumulation registers) or "null"; `half` "l" or "h" for 16 bits of it."""

    file: str
    number: int
    count: int
    half: str = ""


def register(text: str) -> Register | None:
    """`v1`, `s[2:3]`, `a0`, `vcc`, `v3.h`; None for what is no register."""
    if text in _NAMED:
        return Register("s", *_NAMED[text])
    if text == "null":
        return Register("null", 0, 2)
    match = re.fullmatch(r"(v|s|a|ttmp)(?:(\d+)|\[(\d+)(?::(\d+))?\])(?:\.([lh]))?", text)
    if match is None:
        return None
    first = int(match[2] or match[3])
    count = int(match[4]) - first + 1 if match[4] else 1
    file = match[1]
    if file == "ttmp":
        return Register("s", TTMP + first, count)
    return Register("s" if file == "s" else "v", first + (ACCUMULATORS if file == "a" else 0), count, match[5] or "")


@dataclass
class Context:
    """What an instruction is decoded in."""

    function: str
    generation: int
    lanes: int
    labels: Mapping[str, int]
    symbols: Mapping[str, int]
    """Device addresses of variables."""
    target_name: str = ""
    """`gfx942`, …"""
    instruction: Instruction = field(default_factory=lambda: Instruction(0, "", "", []))

    def unknown(self, what: str = "") -> EmulationError:
        i = self.instruction
        return unknown_instruction(what or i.name, self.function, i.line, i.text)

    def malformed(self, message: str) -> EmulationError:
        i = self.instruction
        return EmulationError(message, code="malformed", location=Location(self.function, i.line, 1, i.text))

    # -- raw words

    def word(self, r: Register, i: int, scalar: bool) -> Source:
        number = r.number + i
        if r.file == "v":
            if scalar:
                raise self.malformed("a vector register in a scalar instruction")
            return lambda m: m.vector(number)
        if scalar:
            return lambda m: m.scalar(number)
        return lambda m: m.scalar(number)[:, None]

    def constant(self, text: str, kind: Kind) -> int | None:
        """An immediate as the bits of one element (packed types: of 32 bits); None for what is none."""
        bits = kind.bits if kind.group != "m" else 64
        if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", text):
            value = int(text, 0)
            if kind.name == "f64" and "x" in text:
                return (value & 0xFFFFFFFF) << 32  # a literal is the upper half
            return value & ((1 << max(bits, 32)) - 1)
        if re.fullmatch(r"-?\d+\.\d*(e-?\d+)?", text):
            value = float(text)
            if text.lstrip("-").startswith("0.15915494"):
                value = np.copysign(1 / (2 * np.pi), value)
            if kind.name in ("f64", "b64", "u64", "i64"):
                return int(np.float64(value).view(np.uint64))
            if kind.bits == 16 and kind.name.endswith("bf16"):
                return int(floats.f32_to_bf16(np.asarray(value, np.float32)))
            if kind.bits == 16:
                return int(np.float16(value).view(np.uint16))
            return int(np.float32(value).view(np.uint32))
        if text == "src_shared_base":
            return SHARED_WINDOW
        if text == "src_private_base":
            return PRIVATE_WINDOW
        symbol = re.fullmatch(r"([.\w$]+)@(rel64|(?:rel32|abs32|gotpcrel32)@(?:lo|hi))(?:\+\d+)?", text)
        if symbol is not None:
            if "got" in symbol[2]:
                raise self.unknown(f"relocation {symbol[2]}")
            address = self.symbols.get(symbol[1], self.labels.get(symbol[1]))
            if address is None:
                raise self.malformed(f"no symbol {symbol[1]}")
            if symbol[2] == "rel64":
                return address
            return address >> 32 if symbol[2].endswith("hi") else address & 0xFFFFFFFF
        return None

    # -- sources

    def source(self, text: str, kind: Kind | str, position: int = 0, scalar: bool = False) -> Source:
        """The values of an operand. `position` counts sources from 0, for modifiers that name them by place."""
        if isinstance(kind, str):
            kind = KINDS[kind]
        negative = absolute = sign = False
        if text.startswith("sext("):
            text, sign = text[5:-1], True
        if text.startswith("neg("):
            text, negative = text[4:-1], True
        elif text.startswith("-") and (register(text.lstrip("-|").rstrip("|")) is not None or text.startswith("-|")):
            text, negative = text[1:], True
        if text.startswith("abs("):
            text, absolute = text[4:-1], True
        elif text.startswith("|"):
            text, absolute = text[1:-1], True
        if kind.group == "m":
            return self.mask(text)
        if kind.lanes == 2:
            return self._packed(text, kind, position, scalar)
        read = self._element(text, kind, position, scalar, sign)
        if not (negative or absolute):
            return read
        if kind.group != "f":
            return _sign_bits(read, kind, negative, absolute)
        if absolute and negative:
            return lambda m: -np.abs(read(m))
        return (lambda m: np.abs(read(m))) if absolute else (lambda m: -read(m))

    def _element(self, text: str, kind: Kind, position: int, scalar: bool, sign: bool = False) -> Source:
        """One element: 16 bits of a register by suffix, op_sel or sdwa; 32 bits; or 64 bits of two."""
        r = register(text)
        if text in ("scc", "src_scc"):
            return lambda m: (m.scc if scalar else m.scc[:, None]).astype(kind.dtype)
        if r is None or r.file == "null":
            raw = 0 if r is not None else self.constant(text, kind)
            if raw is None:
                raise self.malformed(f"operand {text} is no register and no number")
            return self._fixed(raw, kind)
        selector = self._selector(position, r, kind)
        if kind.bits == 64:
            if r.count < 2:
                raise self.malformed(f"{text} has 32 bits, {self.instruction.name} reads 64")
            low, high = self.word(r, 0, scalar), self.word(r, 1, scalar)
            dtype, above = kind.dtype, r.number + 1
            if position == 2 and r.file == "v" and "mad_" in self.instruction.name:
                # LLVM adds a word to the lower half of a product where only that half is used: the upper one may hold anything.
                high = lambda m: m.raw_vector(above)  # noqa: E731

            def pair(m: Waves) -> Array:
                return (low(m).astype(np.uint64) | (high(m).astype(np.uint64) << np.uint64(32))).view(dtype)

            return pair
        read = self.word(r, 0, scalar)
        if selector is not None:
            shift, width = selector
            inner = read

            def selected(m: Waves) -> Array:
                word = (inner(m) >> np.uint32(shift)) & np.uint32((1 << width) - 1)
                if sign:
                    top = np.uint32(1 << (width - 1))
                    word = (word ^ top) - top
                return word

            read = selected
        if kind.bits == 32:
            if kind.dtype is np.uint32:
                return read
            return lambda m: read(m).view(kind.dtype)
        return lambda m: decode_half(read(m).astype(np.uint16), kind)

    def _fixed(self, raw: int, kind: Kind) -> Source:
        if kind.bits == 16:
            value = decode_half(np.asarray(raw & 0xFFFF, np.uint16), kind)
        else:
            value = np.asarray(raw & ((1 << kind.bits) - 1), np.uint64 if kind.bits == 64 else np.uint32).view(kind.dtype)
        return lambda m: value

    def _selector(self, position: int, r: Register, kind: Kind) -> tuple[int, int] | None:
        """(first bit, bits) of the part of a register that an operand is; None for all of it."""
        i = self.instruction
        if r.half:
            return (16 if r.half == "h" else 0, 16)
        if i.form == "sdwa":
            name = i.modifiers.get(f"src{position}_sel", "DWORD")
            part, _, number = name.partition("_")
            return None if part == "DWORD" else (int(number) * (8 if part == "BYTE" else 16), 8 if part == "BYTE" else 16)
        if kind.bits == 16 and self.bit("op_sel", position):
            return (16, 16)
        return None

    def bit(self, modifier: str, position: int, default: int = 0) -> int:
        """Place `position` of `op_sel:[0,1]`."""
        listed = re.findall(r"\d", self.instruction.modifiers.get(modifier, ""))
        return int(listed[position]) if position < len(listed) else default

    def _packed(self, text: str, kind: Kind, position: int, scalar: bool) -> Source:
        """Two elements, [..., 2]: each from the half that op_sel and op_sel_hi say; neg_lo and neg_hi change signs."""
        low, high = self.bit("op_sel", position), self.bit("op_sel_hi", position, 1)
        r = register(text)
        halves: list[Source]
        element = KINDS[kind.name[3:]]
        if r is None or r.file == "null":
            raw = self.constant(text, kind) if r is None else 0
            if raw is None:
                raise self.malformed(f"operand {text} is no register and no number")
            if kind.bits == 32:
                halves = [self._fixed(raw, element)] * 2
            else:
                halves = [self._fixed(raw >> (16 * which), element) for which in (low, high)]
        elif kind.bits == 32:
            halves = []
            for which in (low, high):
                read = self.word(r, which if r.count > 1 else 0, scalar)
                halves.append(lambda m, read=read: read(m).view(element.dtype))
        else:
            read = self.word(r, 0, scalar)
            halves = [
                lambda m, which=which: decode_half((read(m) >> np.uint32(16 * which)).astype(np.uint16), element)
                for which in (low, high)
            ]
        signs = [self.bit("neg_lo", position), self.bit("neg_hi", position)]

        def both(m: Waves) -> Array:
            parts = [-half(m) if sign else half(m) for half, sign in zip(halves, signs)]
            return np.stack(np.broadcast_arrays(*parts), axis=-1)

        return both

    def mask(self, text: str) -> Source:
        """Lane masks: [waves, lanes] booleans."""
        r = register(text)
        if r is None:
            value = self.constant(text, KINDS["mask"])
            if value is None:
                raise self.malformed(f"operand {text} is no lane mask")
            fixed = np.array([value >> lane & 1 for lane in range(self.lanes)], bool)
            return lambda m: fixed
        if r.file != "s":
            raise self.malformed(f"operand {text} is no lane mask")
        number = r.number
        if number == EXEC:
            return lambda m: m.execute
        return lambda m: m.mask(number)

    # -- targets

    def target(self, text: str, kind: Kind | str) -> Write:
        """Where the results of a vector instruction go."""
        if isinstance(kind, str):
            kind = KINDS[kind]
        r = register(text)
        if r is None:
            raise self.malformed(f"{text} is no register")
        if r.file == "null":
            return lambda m, value: None
        if kind.group == "m":
            number = r.number
            return lambda m, value: m.write_mask(number, value & m.lanes)
        if r.file != "v":
            raise self.malformed(f"{text} is no vector register")
        number, modifiers = r.number, self.instruction.modifiers
        if kind.lanes == 2 and kind.bits == 32:
            def two_words(m: Waves, value: Array) -> None:
                raw = value.astype(kind.dtype).view(np.uint32)
                m.write_vector(number, np.ascontiguousarray(raw[..., 0]))
                m.write_vector(number + 1, np.ascontiguousarray(raw[..., 1]))

            return two_words
        if kind.lanes == 2:
            element = KINDS[kind.name[3:]]

            def halves(m: Waves, value: Array) -> None:
                raw = encode_half(value, element).astype(np.uint32)
                m.write_vector(number, raw[..., 0] | (raw[..., 1] << np.uint32(16)))

            return halves
        if kind.bits == 64:
            def pair(m: Waves, value: Array) -> None:
                raw = np.asarray(value).astype(kind.dtype).view(np.uint64)
                m.write_vector(number, raw.astype(np.uint32))
                m.write_vector(number + 1, (raw >> np.uint64(32)).astype(np.uint32))

            return pair
        if kind.bits == 16:
            return self._half_target(r, kind)
        if self.instruction.form == "sdwa" and modifiers.get("dst_sel", "DWORD") != "DWORD":
            return self._sdwa_target(number, kind)

        def single(m: Waves, value: Any) -> None:
            value = np.asarray(value)
            if value.dtype != kind.dtype:
                value = value.astype(kind.dtype)
            m.write_vector(number, value.view(np.uint32))

        return single

    def _half_target(self, r: Register, kind: Kind) -> Write:
        """16 bits: of a register of gfx9 the upper half becomes 0; op_sel and halves by name keep the other half."""
        sources = len(self.instruction.operands) - 1
        high = r.half == "h" or (not r.half and self.bit("op_sel", sources) == 1)
        keep = bool(r.half) or high or (self.generation >= 11 and self.instruction.form != "sdwa")
        number = r.number
        if self.instruction.form == "sdwa" and self.instruction.modifiers.get("dst_sel", "DWORD") != "DWORD":
            write = self._sdwa_target(number, KINDS["u32"])
            return lambda m, value: write(m, encode_half(value, kind).astype(np.uint32))

        def half(m: Waves, value: Any) -> None:
            raw = encode_half(value, kind).astype(np.uint32)
            if keep:
                old = m.vectors[number]
                old = np.uint32(0xFFFFFFFF) if old is None else old
                raw = (old & np.uint32(0xFFFF)) | (raw << np.uint32(16)) if high else (old & np.uint32(0xFFFF0000)) | raw
            m.write_vector(number, raw)

        return half

    def _sdwa_target(self, number: int, kind: Kind) -> Write:
        modifiers = self.instruction.modifiers
        part, _, which = modifiers["dst_sel"].partition("_")
        width = 8 if part == "BYTE" else 16
        shift, mask = int(which) * width, (1 << width) - 1
        unused = modifiers.get("dst_unused", "UNUSED_PAD")

        def write(m: Waves, value: Any) -> None:
            raw = np.asarray(value).astype(kind.dtype).view(np.uint32)
            found = (raw & np.uint32(mask)) << np.uint32(shift)
            if unused == "UNUSED_PRESERVE":
                old = m.vectors[number]
                found = found | ((np.uint32(0) if old is None else old) & np.uint32(~(mask << shift) & 0xFFFFFFFF))
            elif unused == "UNUSED_SEXT":
                top = np.uint32(1 << (width - 1))
                found = (((raw & np.uint32(mask)) ^ top) - top) << np.uint32(shift)
            m.write_vector(number, found)

        return write

    def scalar_target(self, text: str, kind: Kind | str) -> Write:
        """Where the results of a scalar instruction go."""
        if isinstance(kind, str):
            kind = KINDS[kind]
        r = register(text)
        if r is None or r.file == "v":
            raise self.malformed(f"{text} is no scalar register")
        if r.file == "null":
            return lambda m, value: None
        number = r.number
        if kind.bits == 64:
            def pair(m: Waves, value: Any) -> None:
                raw = np.broadcast_to(np.asarray(value), (m.count,)).astype(kind.dtype).view(np.uint64)
                m.write_scalar(number, raw.astype(np.uint32))
                m.write_scalar(number + 1, (raw >> np.uint64(32)).astype(np.uint32))

            return pair
        if kind.bits == 16:
            return lambda m, value: m.write_scalar(number, encode_half(value, kind).astype(np.uint32))
        return lambda m, value: m.write_scalar(number, np.asarray(value).astype(kind.dtype).view(np.uint32))

    def integer(self, text: str) -> int:
        if not re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", text):
            raise self.malformed(f"operand {text} is no number")
        return int(text, 0)


def _sign_bits(read: Source, kind: Kind, negative: bool, absolute: bool) -> Source:
    """Sign modifiers of instructions that only move floats."""
    sign = kind.dtype(1 << (kind.bits - 1))

    def changed(m: Waves) -> Array:
        value = read(m) & ~sign if absolute else read(m)
        return value ^ sign if negative else value

    return changed


def decode_half(raw: Array, kind: Kind) -> Array:
    """uint16 -> values."""
    if kind.name == "f16":
        return raw.view(np.float16).astype(np.float32)
    if kind.name == "bf16":
        return floats.bf16_to_f32(raw)
    return raw.view(kind.dtype)


def encode_half(value: Any, kind: Kind) -> Array:
    """Values -> uint16; f16 from float64 where that is what was computed, so that it rounds once."""
    value = np.asarray(value)
    if kind.name == "f16":
        return value.astype(np.float16).view(np.uint16)
    if kind.name == "bf16":
        return floats.f32_to_bf16(value.astype(np.float32))
    return value.astype(kind.dtype).view(np.uint16)
