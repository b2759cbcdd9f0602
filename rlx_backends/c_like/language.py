"""What the shared emitter must know of a language: how types, constants and a few expressions are spelled.

The defaults are those of C++ with vector types, as in the Metal Shading Language.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from xdsl.dialects.builtin import Float16Type, IndexType, IntegerType
from xdsl.ir import Attribute, Operation

from rlx_backends.c_like.values import held_as_bits, kind_of, narrow_bits, rounded_f32

if TYPE_CHECKING:
    from rlx_backends.c_like.function import FunctionEmitter

Handler: TypeAlias = "Callable[[FunctionEmitter, Operation], None]"
FunctionHandler: TypeAlias = "Callable[[FunctionEmitter, Operation], str]"
"""Emits an op at the top of the module; returns its text."""
MathFunction: TypeAlias = "Callable[..., str]"
"""`(f, width, *registers) -> expression` in f32."""



class Language:
    """One target language. A subclass names types and adds what the target alone has."""

    lanes = 4
    """The native vector width."""
    element_names: Mapping[str, str] = {}
    """Kind -> name of the scalar type."""
    space_names: Mapping[str, str] = {}
    """Address space of `!kernel.ptr` -> its qualifier."""
    packed: frozenset[str] = frozenset()
    """Kinds that have vector types in memory of the alignment of one element."""
    head = ""
    """What stands before everything else."""
    math: Mapping[type[Operation], MathFunction] = {}
    handlers: Mapping[type[Operation], Handler] = {}
    """Handlers of ops inside functions, added to the shared ones."""
    functions: Mapping[type[Operation], FunctionHandler] = {}
    """Handlers of ops at the top of the module, beside `kernel.func`."""
    skipped: tuple[type[Operation], ...] = ()
    """Ops at the top of the module that others emit."""

    # -- types

    def type_name(self, kind: str, width: int = 0) -> str:
        """A scalar type (widths 0 and 1) or a vector type: `float4`."""
        name = self.element_names[kind]
        return f"{name}{width}" if width > 1 else name

    def packed_name(self, kind: str, width: int) -> str:
        return f"packed_{self.type_name(kind, width)}"

    def pointer(self, space: str, kind: str, constant: bool, width: int = 0) -> str:
        """`device const float*`"""
        return f"{self.space_names[space]} {'const ' if constant else ''}{self.type_name(kind, width)}*"

    def opaque_type(self, type_: Attribute) -> str | None:
        """The name of a type that is neither element, vector nor pointer; None if there is none."""
        return None

    # -- constants

    def float_literal(self, value: float) -> str:
        """An f32 constant, exactly."""
        value = rounded_f32(value)
        if not math.isfinite(value):
            bits = struct.unpack("<I", struct.pack("<f", value))[0]
            return f"as_type<{self.type_name('f32')}>(0x{bits:08X}u)"
        text = _shortest(value) + "f"
        return f"({text})" if text[0] == "-" else text

    def integer_literal(self, value: int, kind: str) -> str:
        """A constant of an integer kind, modulo its range."""
        bits = {"8": 8, "16": 16, "32": 32, "64": 64}[kind[1:]]
        value &= (1 << bits) - 1
        if kind[0] == "i" and value >> (bits - 1):
            value -= 1 << bits
        if kind == "i64":
            return "(-9223372036854775807L - 1L)" if value == -(1 << 63) else f"({value}L)" if value < 0 else f"{value}L"
        if kind == "u64":
            return f"{value}ul"
        if kind == "u32":
            return f"{value}u"
        if kind == "i32":
            return "(-2147483647 - 1)" if value == -(1 << 31) else f"({value})" if value < 0 else str(value)
        return f"{self.type_name(kind)}({f'({value})' if value < 0 else value})"

    def literal(self, value: float, type_: Attribute) -> str:
        """A scalar constant of a kernel element type."""
        if isinstance(type_, IndexType | IntegerType):
            kind = kind_of(type_)
            return ("true" if value else "false") if kind == "bool" else self.integer_literal(int(value), kind)
        if held_as_bits(type_):
            return self.integer_literal(narrow_bits(value, type_), kind_of(type_))
        if isinstance(type_, Float16Type):
            return f"{self.type_name('f16')}({self.float_literal(value)})"
        kind_of(type_)  # refuses f64
        return self.float_literal(value)

    # -- expressions

    def construct(self, kind: str, width: int, arguments: Sequence[str]) -> str:
        """A value of a type out of parts, or converted: `float4(a, b)`."""
        return f"{self.type_name(kind, width)}({', '.join(arguments)})"

    def bitcast(self, kind: str, width: int, expression: str) -> str:
        return f"as_type<{self.type_name(kind, width)}>({expression})"

    def choose(self, width: int, condition: str, true: str, false: str) -> str:
        """`condition ? true : false` of scalars, lane by lane of vectors; scalars evaluate one side only."""
        if width > 1:
            return f"select({false}, {true}, {condition})"
        return f"{condition} ? {true} : {false}"

    def compare(self, width: int, operator: str, a: str, b: str) -> str:
        return self.construct("bool", width, [f"{a} {operator} {b}"]) if width > 1 else f"{a} {operator} {b}"

    def negate_mask(self, width: int, mask: str) -> str:
        return f"{mask} ^ {self.construct('bool', width, ['true'])}" if width > 1 else f"!{mask}"

    def constant(self, type_name: str, name: str, value: str) -> str:
        """A name for a value."""
        if type_name.endswith("*"):
            return f"{type_name} const {name} = {value};"
        return f"const {type_name} {name} = {value};"

    def variable(self, type_name: str, name: str, value: str | None) -> str:
        """A variable, which may start without a value."""
        return f"{type_name} {name};" if value is None else f"{type_name} {name} = {value};"

    def loop(self, type_name: str, variable: str, lower: str, upper: str, step: str) -> str:
        """The head of a counting loop, without its brace."""
        increment = f"++{variable}" if step in ("1L", "1") else f"{variable} += {step}"
        return f"for ({type_name} {variable} = {lower}; {variable} < {upper}; {increment})"


def _shortest(value: float) -> str:
    """The shortest decimal that is this f32, with a point or an exponent."""
    text = str(np.float32(value))
    return text if any(mark in text for mark in ".e") else text + ".0"


_NUMBER = r"\d+(?:\.\d*)?(?:e[+-]?\d+)?[fuLl]*"
_SIGNED = rf"(?:{_NUMBER}|\(-{_NUMBER}(?: - \d+L?)?\))"
_BITS = r"as_type<\w+>\(0x[0-9A-F]+u\)"
_LITERAL = re.compile(rf"{_SIGNED}|true|false|[a-z]+\({_SIGNED}\)|{_BITS}|[a-z]+\({_BITS}\)")
_ATOM = re.compile(rf"[A-Za-z_]\w*|\w+\((?:{_LITERAL.pattern})\)")


def is_literal(text: str) -> bool:
    """Whether an expression of the emitter is a scalar constant."""
    return _LITERAL.fullmatch(text) is not None


def is_atom(text: str) -> bool:
    """Whether an expression needs no name: a name, a constant, a constant in all lanes."""
    return _ATOM.fullmatch(text) is not None or is_literal(text)
