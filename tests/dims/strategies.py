"""Random expressions and environments shared by the tests of `rlx_dialects.dims`."""

from __future__ import annotations

from hypothesis import strategies as st

from rlx_dialects.dims import DimExpr, ceildiv, const, floordiv, maximum, minimum, mod, sym

NAMES = ("B", "S", "P", "h")

environments = st.fixed_dictionaries({name: st.integers(1, 40) for name in NAMES})
divisors = st.one_of(
    st.integers(1, 12).map(const), st.sampled_from(NAMES).map(sym), st.sampled_from(NAMES).map(lambda n: 2 * sym(n))
)


def _grow(inner: st.SearchStrategy[DimExpr]) -> st.SearchStrategy[DimExpr]:
    return st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a - b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda a, b: a * b, inner, st.integers(-4, 9)),
        st.builds(floordiv, inner, divisors),
        st.builds(ceildiv, inner, divisors),
        st.builds(mod, inner, divisors),
        st.builds(minimum, inner, inner),
        st.builds(maximum, inner, inner),
    )


leaves = st.one_of(st.integers(-9, 20).map(const), st.sampled_from(NAMES).map(sym))
expressions = st.recursive(leaves, _grow, max_leaves=7)


@st.composite
def valued(draw: st.DrawFn, env: dict[str, int], depth: int = 4) -> tuple[DimExpr, int]:
    """An expression with its value under `env`, computed on plain integers beside the expression."""
    kind = draw(st.sampled_from(("leaf", "+", "-", "*", "floordiv", "ceildiv", "mod", "min", "max"))) if depth else "leaf"
    if kind == "leaf":
        name = draw(st.sampled_from((*NAMES, "")))
        value = draw(st.integers(-9, 20))
        return (sym(name), env[name]) if name else (const(value), value)
    a, x = draw(valued(env, depth - 1))
    if kind in ("floordiv", "ceildiv", "mod"):
        divisor = draw(divisors)
        d = divisor.evaluate(env)
        build = {"floordiv": floordiv, "ceildiv": ceildiv, "mod": mod}[kind]
        return build(a, divisor), {"floordiv": x // d, "ceildiv": -(-x // d), "mod": x - x // d * d}[kind]
    b, y = draw(valued(env, depth - 1))
    if kind in ("min", "max"):
        return (minimum(a, b), min(x, y)) if kind == "min" else (maximum(a, b), max(x, y))
    return {"+": (a + b, x + y), "-": (a - b, x - y), "*": (a * b, x * y)}[kind]
