"""Finding the values of symbols from the actual extents of inputs.

Each extent is an equation `expr == $`, where `$` is the extent found at run time. Equations that are affine in one unknown
symbol, with a factor that is constant or already known, are solved; all others become guards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from rlx_dialects.dims.expr import DimExpr, const, floordiv, maximum, sym

EXTENT = "$"


class SolveError(ValueError):
    """A symbol cannot be found from the shapes; `symbol` names it."""

    def __init__(self, symbol: str, message: str):
        super().__init__(message)
        self.symbol = symbol


@dataclasses.dataclass(frozen=True)
class SolveStep:
    """`dim` is `expr`, over `$` (the extent of `input` at `axis`), known symbols and dims of earlier steps."""

    dim: str
    input: int
    axis: int
    expr: DimExpr


@dataclasses.dataclass(frozen=True)
class ExtentGuard:
    """A condition to check after all steps; `$` in `expr` and `rhs` is the extent of `input` at `axis`.

    `op` reads from left to right: expr eq rhs, expr le rhs, expr divides rhs.
    """

    input: int
    axis: int
    op: str
    expr: DimExpr
    rhs: DimExpr


@dataclasses.dataclass(frozen=True)
class Solution:
    steps: list[SolveStep]
    guards: list[ExtentGuard]


def solve_symbols(
    shapes: Sequence[tuple[int, int, DimExpr]], known: AbstractSet[str] = frozenset(), wanted: Iterable[str] = ()
) -> Solution:
    """Order the extents into steps that find every symbol, and guards for the rest.

    Args:
        shapes: (input, axis, extent) for every axis of every input.
        known: symbols with a value before the first step (dim inputs).
        wanted: symbols to find besides those in `shapes`.

    Raises:
        SolveError: a symbol occurs only where it cannot be solved for (inside floordiv, mod, min, max or a product with
            another unknown), or in no extent at all.
    """
    extent = sym(EXTENT)
    values = set(known)
    missing = set(wanted).union(*(expr.symbols for _, _, expr in shapes)) - values
    open_equations = list(range(len(shapes)))
    steps: list[SolveStep] = []
    guards: list[ExtentGuard] = []
    while missing:
        found = [(_solvable(shapes[index][2], values), index) for index in open_equations]
        ranked = [(solvable[0], index, solvable[1]) for solvable, index in found if solvable]
        if not ranked:
            raise _unsolved(min(missing), shapes, values)
        _, index, name = min(ranked)
        input_, axis, expr = shapes[index]
        factor = expr.coefficient(name)
        assert factor is not None
        right, left = extent - (expr - factor * sym(name)), factor
        if left.is_const and left.value < 0:
            right, left = -right, -left
        if left.is_const:
            steps.append(SolveStep(name, input_, axis, floordiv(right, left)))
        else:
            # A factor of 0 leaves the symbol open; the guard reports it, and the step must not divide by it.
            steps.append(SolveStep(name, input_, axis, floordiv(right, maximum(left, 1))))
            guards.append(ExtentGuard(input_, axis, "le", const(1), left))
        if left != 1:
            guards.append(ExtentGuard(input_, axis, "divides", left, right))
        open_equations.remove(index)
        values.add(name)
        missing.discard(name)
    guards += [ExtentGuard(shapes[i][0], shapes[i][1], "eq", extent, shapes[i][2]) for i in open_equations]
    return Solution(steps, guards)


def _solvable(expr: DimExpr, values: AbstractSet[str]) -> tuple[int, str] | None:
    """(how hard, symbol) if exactly one symbol is open and the expression is affine in it."""
    unknown = [name for name in expr.symbols if name not in values]
    if len(unknown) != 1:
        return None
    factor = expr.coefficient(unknown[0])
    if factor is None or not factor.terms:
        return None
    if factor.is_const:
        rank = 0 if expr.is_symbol else 1 if abs(factor.value) == 1 else 2
    else:
        rank = 3
    return rank, unknown[0]


def _unsolved(name: str, shapes: Sequence[tuple[int, int, DimExpr]], values: AbstractSet[str]) -> SolveError:
    uses = [f"axis {axis} of input {input_}: {expr}" for input_, axis, expr in shapes if name in expr.symbols]
    if not uses:
        return SolveError(name, f"dimension '{name}' occurs in no input shape; pass its value as a dim input")
    return SolveError(
        name,
        f"dimension '{name}' cannot be found from the input shapes ({'; '.join(uses[:3])}); "
        "use it alone in an extent, or pass its value as a dim input",
    )
