"""Following buffers through views, and composing index maps."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from rlx_dialects.dims import DimExpr, const, floordiv, mod, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import BufferType, FormOp, ViewOp
from rlx_dialects.lir.types import LayoutAttr


def buffer_type(value: SSAValue) -> BufferType:
    kind = value.type
    assert isinstance(kind, BufferType)
    return kind


def iteration_facts(form: FormOp, facts: Facts) -> Facts:
    """`facts` plus what is known of the form's iteration dims."""
    return facts.with_iteration(form.extents)


def delinearize(offset: DimExpr, dims: Sequence[DimExpr], facts: Facts) -> tuple[DimExpr, ...]:
    """Indices of the row-major element `offset` in a shape, simplified within `facts`."""
    indices: list[DimExpr] = []
    inner = const(1)
    strides: list[DimExpr] = []
    for dim in reversed(dims):
        strides.append(inner)
        inner = inner * dim
    for dim, stride in zip(dims, reversed(strides), strict=True):
        quotient = facts.simplify(floordiv(offset, stride)) if stride != 1 else offset
        # The outermost index needs no mod: the offset is in range.
        indices.append(facts.simplify(mod(quotient, dim)) if indices else quotient)
    return tuple(indices)


def through_views(value: SSAValue, exprs: Sequence[DimExpr], facts: Facts) -> tuple[SSAValue, tuple[DimExpr, ...]]:
    """The root buffer behind `value` and the indices there that reach the same element."""
    indices = tuple(exprs)
    while isinstance(value.owner, ViewOp):
        view = value.owner
        source = buffer_type(view.source)
        if isinstance(source.layout, LayoutAttr):
            break
        offset = facts.simplify(buffer_type(value).offset(indices) + (view.offset.data if view.offset else 0))
        indices = delinearize(offset, source.dims, facts)
        value = view.source
    return value, indices


def indices_in(value: SSAValue, root: SSAValue, exprs: Sequence[DimExpr], facts: Facts) -> tuple[DimExpr, ...]:
    """Indices into `value`, a row-major view chain of `root` without offset, of the root's element at `exprs`."""
    if value is root:
        return tuple(exprs)
    return delinearize(facts.simplify(buffer_type(root).offset(exprs)), buffer_type(value).dims, facts)


def has_offset(value: SSAValue) -> bool:
    """Whether a view chain starts somewhere inside its root."""
    while isinstance(value.owner, ViewOp):
        if value.owner.offset is not None:
            return True
        value = value.owner.source
    return False


def is_affine(expr: DimExpr, names: frozenset[str]) -> bool:
    """Whether `expr` is linear in each of `names`, with factors free of them."""
    rest = expr
    for name in expr.symbols & names:
        factor = rest.coefficient(name)
        if factor is None or factor.symbols & names:
            return False
        rest = rest - factor * sym(name)
    return not rest.symbols & names


def is_affine_place(kind: BufferType, exprs: Sequence[DimExpr], names: frozenset[str], facts: Facts) -> bool:
    """Whether the element's place is linear in the iteration dims, so that a loop can step through it."""
    return is_affine(facts.simplify(kind.offset(exprs)), names)


def plain_symbols(exprs: Sequence[DimExpr], names: frozenset[str]) -> list[str] | None:
    """The iteration dims that index each axis, if every index is one dim, or 0 where the axis has extent 1; no dim twice."""
    found: list[str] = []
    for expr in exprs:
        if not expr.is_symbol or not expr.symbols <= names:
            return None
        found.append(next(iter(expr.symbols)))
    return found if len(set(found)) == len(found) else None
