"""Symbolic dimensions: plain Python, free of xDSL and NumPy.

`expr` holds the canonical expressions, `parse` their text form, `facts` ranges and the three-valued prover, `solve` finds
symbols from actual extents.
"""

from rlx_dialects.dims.expr import (
    DimExpr,
    DimLike,
    as_expr,
    ceildiv,
    const,
    floordiv,
    from_json,
    maximum,
    minimum,
    mod,
    sym,
)
from rlx_dialects.dims.facts import Facts, SymbolFacts
from rlx_dialects.dims.parse import parse_dim
from rlx_dialects.dims.solve import ExtentGuard, Solution, SolveError, SolveStep, solve_symbols

__all__ = [
    "DimExpr", "DimLike", "ExtentGuard", "Facts", "Solution", "SolveError", "SolveStep", "SymbolFacts", "as_expr", "ceildiv",
    "const", "floordiv", "from_json", "maximum", "minimum", "mod", "parse_dim", "solve_symbols", "sym",
]  # fmt: skip
