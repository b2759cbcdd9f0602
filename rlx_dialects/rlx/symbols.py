"""Declared dims and constraints of a module, and the facts they give.

A function or program carries `rlx.dims = [#rlx.dim<B in [1, 64]>, …]` and
`rlx.constraints = [#rlx.constraint<P + S <= 4096>, …]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from xdsl.dialects.builtin import ArrayAttr, IntAttr, StringAttr
from xdsl.ir import Attribute, Operation, ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr
from rlx_dialects.dims.facts import Facts, SymbolFacts
from rlx_dialects.rlx.syntax import parse_dim_expr
from rlx_dialects.rlx.types import DimExprAttr

DIMS = "rlx.dims"
CONSTRAINTS = "rlx.constraints"
GUARDS = "rlx.guards"
"""What a lowered program relies on and its entry checks; like constraints, a list of `#rlx.constraint`."""


@irdl_attr_definition
class DimAttr(ParametrizedAttribute):
    """A declared symbol: `#rlx.dim<S in [1, 512] multiple_of 8 runtime>`.

    Both ends are inclusive; `runtime` dims decide no layout.
    """

    name = "rlx.dim"

    symbol: StringAttr
    lower: IntAttr
    upper: IntAttr
    multiple_of: IntAttr
    runtime: IntAttr

    @classmethod
    def get(cls, facts: SymbolFacts) -> DimAttr:
        return cls(
            StringAttr(facts.name),
            *(IntAttr(int(n)) for n in (facts.lower, facts.upper, facts.multiple_of, facts.runtime)),
        )

    @property
    def facts(self) -> SymbolFacts:
        return SymbolFacts(self.symbol.data, self.lower.data, self.upper.data, self.multiple_of.data, bool(self.runtime.data))

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            symbol = parser.parse_identifier(" (dimension symbol)")
            parser.parse_keyword("in")
            parser.parse_punctuation("[")
            lower = parser.parse_integer(allow_boolean=False)
            parser.parse_punctuation(",")
            upper = parser.parse_integer(allow_boolean=False)
            parser.parse_punctuation("]")
            multiple_of = parser.parse_integer() if parser.parse_optional_keyword("multiple_of") else 1
            runtime = parser.parse_optional_keyword("runtime") is not None
        return StringAttr(symbol), IntAttr(lower), IntAttr(upper), IntAttr(multiple_of), IntAttr(int(runtime))

    def print_parameters(self, printer: Printer) -> None:
        multiple = f" multiple_of {self.multiple_of.data}" if self.multiple_of.data != 1 else ""
        runtime = " runtime" if self.runtime.data else ""
        printer.print_string(f"<{self.symbol.data} in [{self.lower.data}, {self.upper.data}]{multiple}{runtime}>")

    def verify(self) -> None:
        if not 0 <= self.lower.data <= self.upper.data:
            raise VerifyException(
                f"dim '{self.symbol.data}' has range [{self.lower.data}, {self.upper.data}]; "
                "it must be non-negative and not empty"
            )
        if self.multiple_of.data < 1:
            raise VerifyException(f"dim '{self.symbol.data}' has multiple_of {self.multiple_of.data}; it must be positive")


@irdl_attr_definition
class ConstraintAttr(ParametrizedAttribute):
    """A fact the model states: `#rlx.constraint<S == T>` or `#rlx.constraint<P + S <= 4096>`."""

    name = "rlx.constraint"

    lhs: DimExprAttr
    relation: StringAttr
    rhs: DimExprAttr

    @classmethod
    def get(cls, lhs: DimExpr, relation: str, rhs: DimExpr) -> ConstraintAttr:
        return cls(DimExprAttr(lhs), StringAttr(relation), DimExprAttr(rhs))

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            lhs = parse_dim_expr(parser)
            first = parser.parse_optional_punctuation("<") or parser.parse_punctuation("=", " or '<=' in a constraint")
            parser.parse_punctuation("=")
            rhs = parse_dim_expr(parser)
        return DimExprAttr(lhs), StringAttr(first + "="), DimExprAttr(rhs)

    def print_parameters(self, printer: Printer) -> None:
        printer.print_string(f"<{self.lhs.data} {self.relation.data} {self.rhs.data}>")

    def verify(self) -> None:
        if self.relation.data not in ("==", "<="):
            raise VerifyException(f"a constraint is '==' or '<=', found '{self.relation.data}'")


@lru_cache(maxsize=256)
def _facts(dims: tuple[Attribute, ...], stated: tuple[Attribute, ...]) -> Facts:
    constraints = [c for c in stated if isinstance(c, ConstraintAttr)]
    return Facts(
        [d.facts for d in dims if isinstance(d, DimAttr)],
        [(c.lhs.data, c.rhs.data) for c in constraints if c.relation.data == "=="],
        [(c.lhs.data, c.rhs.data) for c in constraints if c.relation.data == "<="],
    )


def _entries(op: Operation, key: str) -> tuple[Attribute, ...]:
    found = op.attributes.get(key)
    return tuple(found.data) if isinstance(found, ArrayAttr) else ()


def facts_of(op: Operation) -> Facts:
    """What is known of the symbols at `op`: declarations, constraints and guards of the nearest enclosing op that has any."""
    scope: Operation | None = op
    while scope is not None:
        if DIMS in scope.attributes or CONSTRAINTS in scope.attributes:
            return _facts(_entries(scope, DIMS), (*_entries(scope, CONSTRAINTS), *_entries(scope, GUARDS)))
        scope = scope.parent_op()
    return _facts((), ())


def declared_dims(op: Operation) -> tuple[DimAttr, ...]:
    """The `rlx.dims` declared on `op` itself, in order."""
    dims = op.attributes.get(DIMS)
    return tuple(d for d in dims.data if isinstance(d, DimAttr)) if isinstance(dims, ArrayAttr) else ()
