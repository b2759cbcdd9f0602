"""`!kernel.fragment`: a small matrix that a subgroup holds together, each thread a part that only the hardware knows."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import IntAttr, StringAttr
from xdsl.ir import Attribute, ParametrizedAttribute, TypeAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.kernel.types import is_element

ROLES = ("a", "b", "c")


@irdl_attr_definition
class FragmentType(ParametrizedAttribute, TypeAttribute):
    """A matrix operand of the hardware: `!kernel.fragment<16 x 8 x f32, c, mma>`.

    Rows × columns of an element type, as left operand `a` (m × k), right operand `b` (k × n) or accumulator `c` (m × n) of the
    instructions of a family (`mma`, `mfma`, `wmma`, `simdgroup`). Which thread holds which element is not to be relied on: a
    fragment comes from memory or a fill, and goes to memory.
    """

    name = "kernel.fragment"

    rows: IntAttr
    columns: IntAttr
    element_type: Attribute
    role: StringAttr
    family: StringAttr

    @classmethod
    def get(cls, rows: int, columns: int, element: Attribute, role: str, family: str) -> FragmentType:
        return cls(IntAttr(rows), IntAttr(columns), element, StringAttr(role), StringAttr(family))

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.data, self.columns.data

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            rows = parser.parse_integer(allow_boolean=False)
            parser.parse_keyword("x")
            columns = parser.parse_integer(allow_boolean=False)
            parser.parse_keyword("x")
            element = parser.parse_type()
            parser.parse_punctuation(",")
            role = parser.parse_identifier(" (role: a, b or c)")
            parser.parse_punctuation(",")
            family = parser.parse_identifier(" (family of instructions)")
        return IntAttr(rows), IntAttr(columns), element, StringAttr(role), StringAttr(family)

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(f"{self.rows.data} x {self.columns.data} x ")
            printer.print_attribute(self.element_type)
            printer.print_string(f", {self.role.data}, {self.family.data}")

    def verify(self) -> None:
        if self.rows.data < 1 or self.columns.data < 1:
            raise VerifyException(f"a fragment has rows and columns, found {self.rows.data} x {self.columns.data}")
        if not is_element(self.element_type):
            raise VerifyException(f"a fragment of {self.element_type}: not an element type of the kernel level")
        if self.role.data not in ROLES:
            raise VerifyException(f"a fragment is one of {', '.join(ROLES)}, found '{self.role.data}'")
