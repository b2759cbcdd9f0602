"""Shape rules that ops share. Each raises VerifyException with what was found and what was needed.

Dims are compared through the prover, never guessed: two dims that cannot be proved equal are an error whose hint names the
constraint that the model may state.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr, as_expr, const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.rlx import TensorType, dtypes, shaped_type, tensor_type

Dims = tuple[DimExpr, ...]
NO_FACTS = Facts()
ONE = const(1)


def dim_list(dims: Sequence[DimExpr]) -> str:
    """`[B, S, 384]`, for messages."""
    return f"[{', '.join(map(str, dims))}]"


def problem(message: str, hint: str | None = None) -> VerifyException:
    return VerifyException(f"{message}\nhint: {hint}" if hint else message)


def expect_equal(facts: Facts, a: DimExpr, b: DimExpr, what: str) -> None:
    """`what` says which dims meet here, for example "the last axis of x and the rows of w"."""
    known = facts.prove_eq(a, b)
    if known is True:
        return
    if known is False:
        raise problem(f"{what} differ: {a} and {b}")
    raise problem(f"{what} must be equal, and {a} == {b} is not known", f"b.constrain({a} == {b})")


def expect_le(facts: Facts, a: DimExpr, b: DimExpr, what: str) -> None:
    """Refuse what is provably too large; an unknown inequality becomes a guard of the compiled entry."""
    if facts.prove_le(a, b) is False:
        raise problem(f"{what}: {a} is larger than {b}")


def expect_shape(facts: Facts, value: SSAValue, dims: Sequence[DimExpr], name: str, why: str) -> None:
    found = shaped_type(value).dims
    if len(found) != len(dims):
        raise problem(f"{name} has shape {dim_list(found)}, but {why} needs {dim_list(dims)}")
    for axis, (a, b) in enumerate(zip(found, dims, strict=True)):
        known = facts.prove_eq(a, b)
        if known is False:
            raise problem(f"{name} has shape {dim_list(found)}, but {why} needs {dim_list(dims)}")
        if known is None:
            raise problem(
                f"{name} has shape {dim_list(found)}, and {why} needs {dim_list(dims)}; {a} == {b} (axis {axis}) is not known",
                f"b.constrain({a} == {b})",
            )


def expect_rank(value: SSAValue, rank: int, name: str, layout: str) -> TensorType:
    """The type of `value`, which must have `rank` axes; `layout` names them, as in "[B, S, H*D]"."""
    found = tensor_type(value)
    if found.rank != rank:
        raise problem(f"{name} must have shape {layout}, found {dim_list(found.dims)}")
    return found


def expect_rank_at_least(value: SSAValue, rank: int, name: str) -> TensorType:
    found = tensor_type(value)
    if found.rank < rank:
        raise problem(f"{name} must have at least {rank} ax{'i' if rank == 1 else 'e'}s, found {dim_list(found.dims)}")
    return found


def expect_dtypes(wanted: Attribute, wanted_by: str, **values: SSAValue | None) -> None:
    """All values have the element type `wanted`, which is that of the operand `wanted_by`."""
    for name, value in values.items():
        if value is not None and shaped_type(value).element_type != wanted:
            raise problem(f"{name} is {_name(shaped_type(value).element_type)}, but {wanted_by} is {_name(wanted)}", "use a cast")


def expect_float(element_type: Attribute, name: str) -> None:
    if not dtypes.is_float(element_type):
        raise problem(f"{name} is {_name(element_type)}; a float type is needed")


def expect_int(element_type: Attribute, name: str) -> None:
    if not dtypes.is_int(element_type):
        raise problem(f"{name} is {_name(element_type)}; an integer type is needed")


def expect_word(word: str, words: Sequence[str], name: str) -> None:
    if word not in words:
        raise problem(f"{name} is '{word}'; it must be one of {', '.join(words)}")


def expect_vector(facts: Facts, value: SSAValue | None, size: DimExpr, name: str, why: str) -> None:
    """An optional rank-1 operand of `size` elements."""
    if value is not None:
        expect_shape(facts, value, (size,), name, why)


def normal_axis(axis: int, rank: int, name: str = "axis") -> int:
    """`axis` counted from the front; a negative one counts from the end, as in NumPy."""
    if not -rank <= axis < rank:
        raise problem(f"{name} {axis} is out of range for {rank} axes")
    return axis % rank


def broadcast(facts: Facts, *shapes: Dims) -> Dims:
    """NumPy's rule, right aligned: a static 1 stretches, all other dims must be provably equal."""
    rank = max(map(len, shapes))
    result: list[DimExpr] = []
    for axis in range(-rank, 0):
        chosen = ONE
        for dims in shapes:
            dim = dims[axis] if len(dims) >= -axis else ONE
            if dim is ONE or dim is chosen:
                continue
            if chosen is ONE:
                chosen = dim
                continue
            known = facts.prove_eq(chosen, dim)
            if known is True:
                continue
            listing = " and ".join(map(dim_list, shapes))
            if known is False:
                raise problem(f"shapes {listing} do not broadcast: {chosen} and {dim} (axis {axis}) differ")
            raise problem(
                f"shapes {listing} broadcast only if {chosen} == {dim} (axis {axis}), which is not known",
                f"b.constrain({chosen} == {dim})",
            )
        result.append(chosen)
    return tuple(result)


def divide(facts: Facts, whole: DimExpr, parts: int, what: str) -> DimExpr:
    """`whole / parts`, which must be exact."""
    if parts < 1:
        raise problem(f"{what}: {parts} parts; at least one is needed")
    part = whole // parts
    if facts.prove_eq(part * parts, whole) is not True:
        raise problem(f"{what}: {whole} is not a multiple of {parts}")
    return part


def product(dims: Sequence[DimExpr]) -> DimExpr:
    total = as_expr(1)
    for dim in dims:
        total = total * dim
    return total


def _name(element_type: Attribute) -> str:
    try:
        return dtypes.dtype_name(element_type)
    except ValueError:
        return str(element_type)
