"""What a text of the Metal Shading Language says about its kernels: their parameters, and which attributes they use.

Attributes decide what the hardware passes, and a compiler only warns of one it does not know; here an unknown one is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlx_runtime.errors import TargetError

ATTRIBUTES = {
    "thread_position_in_threadgroup": "uint3",
    "threadgroup_position_in_grid": "uint3",
    "threadgroups_per_grid": "uint3",
    "thread_index_in_simdgroup": "uint",
    "simdgroup_index_in_threadgroup": "uint",
}
"""Attributes of parameters that the hardware passes -> their type."""
_KERNEL = re.compile(r"\bkernel\s+void\s+(\w+)\s*\(")
_PARAMETER = re.compile(r"(?P<type>.+?[\s*&])(?P<name>\w+)\s*\[\[(?P<attribute>\w+)(?:\((?P<number>\d+)\))?\]\]\Z")
_MAX_THREADS = re.compile(r"\[\[max_total_threads_per_threadgroup\((\d+)\)\]\]\s*\Z")
_ANY_ATTRIBUTE = re.compile(r"\[\[\s*(\w+)")
_LARGEST_BLOCK = 1024


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel: `buffer` counts the arguments of a launch, or `attribute` names what the hardware passes."""

    type: str
    name: str
    buffer: int | None
    attribute: str


@dataclass(frozen=True)
class KernelSource:
    """A kernel of a text, with the most threads that a block of it may have."""

    name: str
    parameters: tuple[Parameter, ...]
    max_threads: int

    @property
    def pointers(self) -> tuple[bool, ...]:
        """For each argument of a launch, whether it is an address; the others are values of 8 bytes."""
        return tuple(p.type.startswith("device ") for p in self.parameters if p.buffer is not None)


def kernels(text: str) -> list[KernelSource]:
    """The kernels of a text. TargetError for an attribute or a parameter that is not known."""
    known = {*ATTRIBUTES, "buffer", "max_total_threads_per_threadgroup"}
    if unknown := sorted(set(_ANY_ATTRIBUTE.findall(text)) - known):
        raise _error(f"unknown attribute [[{unknown[0]}]]")
    found: list[KernelSource] = []
    for match in _KERNEL.finditer(text):
        limit = _MAX_THREADS.search(text, 0, match.start())
        parameters = tuple(_parameter(match[1], part) for part in _parts(text, match.end()))
        numbers = [parameter.buffer for parameter in parameters if parameter.buffer is not None]
        if numbers != list(range(len(numbers))):
            raise _error(f"the buffers of kernel '{match[1]}' are numbered {numbers}")
        found.append(KernelSource(match[1], parameters, int(limit[1]) if limit else _LARGEST_BLOCK))
    return found


def _parts(text: str, start: int) -> list[str]:
    """The parameters between the parenthesis before `start` and its partner."""
    depth, parts, part = 1, [], ""
    for letter in text[start:]:
        depth += (letter in "([") - (letter in ")]")
        if depth == 0:
            break
        if letter == "," and depth == 1:
            parts.append(part)
            part = ""
        else:
            part += letter
    return [part.strip() for part in [*parts, part] if part.strip()]


def _parameter(kernel: str, text: str) -> Parameter:
    match = _PARAMETER.match(text)
    if match is None:
        raise _error(f"kernel '{kernel}' has a parameter without an attribute: {text}")
    type_, attribute = match["type"].strip(), match["attribute"]
    if attribute == "buffer":
        if match["number"] is None or not type_.startswith(("device ", "constant ")):
            raise _error(f"kernel '{kernel}' has a buffer that is none: {text}")
        return Parameter(type_, match["name"], int(match["number"]), "")
    if ATTRIBUTES.get(attribute) != type_:
        raise _error(f"kernel '{kernel}': [[{attribute}]] has type {ATTRIBUTES.get(attribute)}, found {type_}")
    return Parameter(type_, match["name"], None, attribute)


def _error(message: str) -> TargetError:
    return TargetError(message, code="msl")
