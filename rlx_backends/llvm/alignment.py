"""What an index is known to be a multiple of, and so how well an access is aligned."""

from __future__ import annotations

from math import gcd

from xdsl.dialects import arith, scf
from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import Block, SSAValue

from rlx_dialects.dims import DimExpr
from rlx_dialects.kernel.elementwise import ApplyOp
from rlx_dialects.kernel.team import Partition2dOp, PartitionOp

_LARGE = 1 << 30


class Multiples:
    """Remembers, per function, a number that divides each index value."""

    def __init__(self) -> None:
        self._known: dict[SSAValue, int] = {}

    def of(self, value: SSAValue) -> int:
        """A positive integer that divides `value` whatever it is; large for zero."""
        found = self._known.get(value)
        if found is None:
            self._known[value] = 1  # a value that depends on itself, through a loop, is assumed to be anything
            found = self._known[value] = self._find(value)
        return found

    def _find(self, value: SSAValue) -> int:
        owner = value.owner
        if isinstance(owner, Block):
            loop = owner.parent_op()
            if isinstance(loop, scf.ForOp) and value is owner.args[0]:
                return gcd(self.of(loop.lb), self.of(loop.step))
            return 1
        if isinstance(owner, arith.ConstantOp):
            number = owner.value.value.data if isinstance(owner.value, IntegerAttr) else 1
            return min(abs(number), _LARGE) or _LARGE
        if isinstance(owner, arith.AddiOp | arith.SubiOp | arith.MinSIOp | arith.MaxSIOp):
            return gcd(self.of(owner.lhs), self.of(owner.rhs))
        if isinstance(owner, arith.MuliOp):
            return min(self.of(owner.lhs) * self.of(owner.rhs), _LARGE)
        if isinstance(owner, PartitionOp):
            unit = owner.unit.value.data
            return unit if value is owner.lo else gcd(unit, self.of(owner.extent))
        if isinstance(owner, Partition2dOp):
            rows, columns = (int(unit) for unit in owner.units.get_values())
            bounds = (rows, gcd(rows, self.of(owner.rows)), columns, gcd(columns, self.of(owner.columns)))
            return bounds[owner.results.index(value)]
        if isinstance(owner, ApplyOp):
            values = dict(zip((name.data for name in owner.names.data), owner.values))
            return self._of_expr(owner.expr.data, values)
        return 1

    def _of_expr(self, expr: DimExpr, values: dict[str, SSAValue]) -> int:
        divisor = 0
        for monomial, scale in expr.terms:
            term = abs(scale)
            for atom in monomial:
                if atom[0] == "sym":
                    term *= self.of(values[atom[1]])
            divisor = gcd(divisor, term)
        return min(divisor, _LARGE) or _LARGE
