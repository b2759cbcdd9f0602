"""Reads what a driver reads of a code object: symbols, kernel descriptors, and the metadata of kernels."""

from __future__ import annotations

import struct
from typing import Any

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_NOTE, _DYNAMIC_SYMBOLS = 7, 11
_METADATA = 32


class CodeObject:
    """An ELF file for an AMD GPU."""

    def __init__(self, data: bytes):
        assert data[:4] == b"\x7fELF" and data[4] == 2, "not a 64-bit ELF file"
        self.data = data
        self.abi, self.abi_version = data[7], data[8]
        self.kind, self.machine = struct.unpack_from("<HH", data, 16)
        (self.flags,) = struct.unpack_from("<I", data, 48)
        (offset,) = struct.unpack_from("<Q", data, 40)
        count = struct.unpack_from("<H", data, 60)[0]
        self.sections = [_SECTION.unpack_from(data, offset + i * _SECTION.size) for i in range(count)]

    def _content(self, section: tuple[int, ...]) -> bytes:
        return self.data[section[4] : section[4] + section[5]]

    def symbols(self) -> dict[str, tuple[int, int, int]]:
        """Name -> (section, address, size) of the dynamic symbols; section 0 is undefined."""
        found: dict[str, tuple[int, int, int]] = {}
        for section in self.sections:
            if section[1] == _DYNAMIC_SYMBOLS:
                names, table = self._content(self.sections[section[6]]), self._content(section)
                for at in range(_SYMBOL.size, len(table), _SYMBOL.size):
                    name, _, _, where, address, size = _SYMBOL.unpack_from(table, at)
                    found[names[name : names.index(b"\0", name)].decode()] = (where, address, size)
        return found

    def metadata(self) -> dict[str, Any]:
        """The note that the driver reads."""
        for section in self.sections:
            if section[1] == _NOTE:
                content = self._content(section)
                name_size, size, kind = struct.unpack_from("<III", content)
                if kind == _METADATA:
                    start = 12 + -(-name_size // 4) * 4
                    return unpack(content[start : start + size])
        raise AssertionError("no metadata")

    def kernels(self) -> dict[str, dict[str, Any]]:
        """Name -> metadata of a kernel."""
        return {kernel[".name"]: kernel for kernel in self.metadata()["amdhsa.kernels"]}

    def descriptor(self, kernel: str) -> bytes:
        """The 64 bytes that say how a kernel starts."""
        where, address, size = self.symbols()[f"{kernel}.kd"]
        section = self.sections[where]
        start = section[4] + address - section[3]
        return self.data[start : start + size]


def unpack(data: bytes) -> Any:
    """A MessagePack value."""
    value, end = _unpack(data, 0)
    assert end == len(data), "more than one value"
    return value


def _unpack(data: bytes, at: int) -> tuple[Any, int]:
    tag = data[at]
    at += 1
    if tag < 0x80:
        return tag, at
    if tag < 0x90:
        return _pairs(data, at, tag & 15)
    if tag < 0xA0:
        return _items(data, at, tag & 15)
    if tag < 0xC0:
        return _text(data, at, tag & 31)
    if tag >= 0xE0:
        return tag - 256, at
    if tag in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[tag], at
    formats = {0xCC: "B", 0xCD: "H", 0xCE: "I", 0xCF: "Q", 0xD0: "b", 0xD1: "h", 0xD2: "i", 0xD3: "q"}
    sized = {0xD9: ("B", _text), 0xDA: ("H", _text), 0xDC: ("H", _items), 0xDD: ("I", _items), 0xDE: ("H", _pairs)}
    form = struct.Struct(">" + (formats[tag] if tag in formats else sized[tag][0]))
    (number,) = form.unpack_from(data, at)
    at += form.size
    return (number, at) if tag in formats else sized[tag][1](data, at, number)


def _text(data: bytes, at: int, size: int) -> tuple[str, int]:
    return data[at : at + size].decode(), at + size


def _items(data: bytes, at: int, count: int) -> tuple[list[Any], int]:
    found = []
    for _ in range(count):
        value, at = _unpack(data, at)
        found.append(value)
    return found, at


def _pairs(data: bytes, at: int, count: int) -> tuple[dict[Any, Any], int]:
    flat, at = _items(data, at, 2 * count)
    return dict(zip(flat[::2], flat[1::2])), at
