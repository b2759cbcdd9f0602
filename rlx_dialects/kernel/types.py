"""`!kernel.ptr` and small helpers on the element and vector types of the kernel level.

A value is a scalar, a 1-D vector or a 2-D vector (a register tile) of an element type, or a pointer. Sizes are static.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from xdsl.dialects.builtin import IndexType, IntAttr, IntegerType, Signedness, StringAttr, VectorType, i1
from xdsl.ir import Attribute, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.rlx import dtypes

SPACES = ("global", "shared", "private", "constant")
INDEX = IndexType()


def is_float(element: Attribute) -> bool:
    return dtypes.is_float(element)


def is_integer(element: Attribute) -> bool:
    """Signless integers and `index`; signedness is a matter of the op."""
    return isinstance(element, IndexType) or (
        isinstance(element, IntegerType)
        and element.signedness.data is Signedness.SIGNLESS
        and element.width.data in (1, 8, 16, 32, 64)
    )


def is_element(element: Attribute) -> bool:
    return is_float(element) or is_integer(element)


def byte_size(element: Attribute) -> int:
    """Bytes of one element in memory; `i1` takes one, `index` eight."""
    return 8 if isinstance(element, IndexType) else dtypes.bit_width(element) // 8


def bit_size(element: Attribute) -> int:
    """Bits of one element in a register."""
    return 1 if element == i1 else 8 * byte_size(element)


def element_of(type_: Attribute) -> Attribute:
    """The element type of a vector; any other type itself."""
    return type_.element_type if isinstance(type_, VectorType) else type_


def shape_of(type_: Attribute) -> tuple[int, ...]:
    """() of a scalar, (N,) or (M, N) of a vector."""
    return tuple(dim.data for dim in type_.shape.data) if isinstance(type_, VectorType) else ()


@lru_cache(maxsize=4096)
def _vector(element: Attribute, shape: tuple[int, ...]) -> VectorType:
    return VectorType(element, shape)


def vector(element: Attribute, shape: Sequence[int]) -> Attribute:
    """`vector<…>` of a shape, the element itself for the shape (). Interned."""
    return _vector(element, tuple(shape)) if shape else element


def mask_of(type_: Attribute) -> Attribute:
    """`i1` in the shape of `type_`."""
    return vector(i1, shape_of(type_))


def verify_value_type(type_: Attribute, what: str) -> None:
    """A scalar, 1-D or 2-D vector of an element type; VerifyException otherwise."""
    shape = shape_of(type_)
    if len(shape) > 2 or any(dim < 1 for dim in shape) or (isinstance(type_, VectorType) and not shape):
        raise VerifyException(f"{what} has type {type_}; vectors have one or two static dims, all positive")
    if not is_element(element_of(type_)):
        raise VerifyException(f"{what} has element type {element_of(type_)}, which is not one of the kernel level")


@irdl_attr_definition
class PtrType(ParametrizedAttribute, TypeAttribute):
    """A pointer to elements: `!kernel.ptr<f32, global, align 64>`.

    The address space is `global`, `shared` (one copy per team or block), `private` (one per thread) or `constant`. The
    alignment, in bytes, is a promise about the pointer itself; where it is left out it is the size of an element. An `i1`
    element takes one byte, 0 or 1.
    """

    name = "kernel.ptr"

    element_type: Attribute
    space: StringAttr
    align: IntAttr

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            element = parser.parse_type()
            space, align = "global", byte_size(element) if is_element(element) else 1
            while parser.parse_optional_punctuation(","):
                if parser.parse_optional_keyword("align"):
                    align = parser.parse_integer(allow_boolean=False)
                else:
                    space = parser.parse_identifier(" (address space or 'align N')")
        return element, StringAttr(space), IntAttr(align)

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_attribute(self.element_type)
            printer.print_string(f", {self.space.data}")
            if self.align.data != byte_size(self.element_type):
                printer.print_string(f", align {self.align.data}")

    def verify(self) -> None:
        if not is_element(self.element_type):
            raise VerifyException(f"a pointer to {self.element_type}: not an element type of the kernel level")
        if self.space.data not in SPACES:
            raise VerifyException(f"unknown address space '{self.space.data}'; known: {', '.join(SPACES)}")
        align = self.align.data
        if align < 1 or align & (align - 1):
            raise VerifyException(f"alignment {align} is not a power of two")


@lru_cache(maxsize=4096)
def ptr(element: Attribute, space: str = "global", align: int | None = None) -> PtrType:
    """Interned constructor; the default alignment is the size of an element."""
    return PtrType(element, StringAttr(space), IntAttr(byte_size(element) if align is None else align))


def ptr_type(value: SSAValue) -> PtrType:
    """The pointer type of a value; VerifyException if it has another type."""
    if not isinstance(value.type, PtrType):
        raise VerifyException(f"expected a !kernel.ptr, found {value.type}")
    return value.type
