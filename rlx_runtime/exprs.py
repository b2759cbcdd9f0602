"""Dimension expressions as the manifest holds them: an int, a dim name, or `[op, a, b, …]`.

The operators are `+ * floordiv mod min max`; division and remainder round towards minus infinity, as in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

JsonExpr: TypeAlias = "int | str | list[JsonExpr]"
Evaluator: TypeAlias = Callable[[Mapping[str, int]], int]

_INFIX = {"+": "+", "*": "*", "floordiv": "//", "mod": "%"}
_CALLS = ("min", "max")


def compile_expr(value: JsonExpr, names: Collection[str]) -> Evaluator:
    """A function from `{dim: value}` to the value of the expression.

    ValueError if `value` is no expression or uses a name that is not in `names`.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        constant = value
        return lambda dims: constant
    # The source is built from checked pieces only: integers, quoted known names, and the operators above.
    return eval(f"lambda d: {_source(value, names)}", {"__builtins__": {"min": min, "max": max}})


def _source(value: JsonExpr, names: Collection[str]) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"({value})"
    if isinstance(value, str):
        if value not in names:
            raise ValueError(f"unknown dim '{value}'")
        return f"d[{value!r}]"
    if isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str):
        operator, operands = value[0], [_source(operand, names) for operand in value[1:]]
        if operator in _INFIX:
            return "(" + f" {_INFIX[operator]} ".join(operands) + ")"
        if operator in _CALLS:
            return f"{operator}({', '.join(operands)})"
    raise ValueError(f"not a dimension expression: {value!r}")


def expr_text(value: JsonExpr, nested: bool = False) -> str:
    """The expression as the IR prints it: `B*S`, `P + S`, `(S + 1) floordiv 2`."""
    if not isinstance(value, list):
        return str(value)
    operator, operands = value[0], value[1:]
    if operator in _CALLS:
        return f"{operator}({', '.join(expr_text(operand) for operand in operands)})"
    parts = [expr_text(operand, nested=True) for operand in operands]
    text = "*".join(parts) if operator == "*" else f" {operator} ".join(parts)
    return f"({text})" if nested and operator != "*" else text
