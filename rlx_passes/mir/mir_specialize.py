"""mir-specialize: bind dims to numbers, in all types and attributes.

A model for every batch and length pays for that in index arithmetic and in kernels that cannot know their extents. Bound dims
vanish from types, shapes, positions and constraints; what follows from them by a stated equality is bound too.

Before {B=1 S=128}:
```mlir
func.func @main(%x: !rlx.tensor<B x S x 4 x f32> {rlx.input = "x"}) -> (!rlx.tensor<(B * S) x 4 x f32> {rlx.output = "y"})
    attributes {rlx.dims = [#rlx.dim<B in [1, 8]>, #rlx.dim<S in [1, 512] multiple_of 8>]} {
  %y = mir.reshape %x : (!rlx.tensor<B x S x 4 x f32>) -> !rlx.tensor<(B * S) x 4 x f32>
  func.return %y : !rlx.tensor<(B * S) x 4 x f32>
}
```
After:
```mlir
func.func @main(%x: !rlx.tensor<1 x 128 x 4 x f32> {rlx.input = "x"}) -> (!rlx.tensor<128 x 4 x f32> {rlx.output = "y"}) {
  %y = mir.reshape %x : (!rlx.tensor<1 x 128 x 4 x f32>) -> !rlx.tensor<128 x 4 x f32>
  func.return %y : !rlx.tensor<128 x 4 x f32>
}
```

Options: one `NAME=number` for each dim to bind. A number outside of the declared range, no multiple as declared, or against
a constraint is a ShapeError, as is a name that the model does not have. A dim that an argument carries (`rlx.dim_input`)
keeps its declaration, with the number as its range: the argument is still passed, and checked.

Expects: HIR or MIR. Ensures: no bound symbol outside of declarations. Numerics: exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.utils.arg_spec import ArgSpec

from rlx_dialects.dims.facts import SymbolFacts
from rlx_dialects.rlx import ConstraintAttr, DimAttr, StateType, TensorType, declared_dims
from rlx_dialects.rlx.symbols import CONSTRAINTS, DIMS
from rlx_passes.support.locations import location_of
from rlx_passes.support.signature import DIM_INPUT, argument_roles
from rlx_passes.support.statistics import CountingPass
from rlx_passes.support.substitution import Substitution
from rlx_runtime.errors import ShapeError


def symbols_of(function: FuncOp) -> dict[str, SymbolFacts]:
    """The symbols of a function: the declared ones, then those in the types of its arguments."""
    found = {declared.facts.name: declared.facts for declared in declared_dims(function)}
    for argument in function.body.block.args:
        if isinstance(argument.type, TensorType | StateType):
            for dim in argument.type.dims:
                for name in sorted(dim.symbols):
                    found.setdefault(name, SymbolFacts(name))
    return found


def _require_in_range(function: FuncOp, name: str, value: int, facts: SymbolFacts) -> None:
    if not facts.lower <= value <= facts.upper:
        problem = f"is outside of its range [{facts.lower}, {facts.upper}]"
        raise ShapeError(f"{name} = {value} {problem}", code="dim-range", location=location_of(function))
    if value % facts.multiple_of:
        problem = f"is not a multiple of {facts.multiple_of}"
        raise ShapeError(f"{name} = {value} {problem}", code="dim-multiple", location=location_of(function))


def specialize(function: FuncOp, values: Mapping[str, int]) -> dict[str, int]:
    """Bind the symbols of `function` that `values` names; returns all that were bound, with those that follow.

    ShapeError for a value outside of the declared range or against a constraint.
    """
    symbols = symbols_of(function)
    bound = {name: value for name, value in values.items() if name in symbols}
    stated = function.attributes.get(CONSTRAINTS)
    constraints = [c for c in stated.data if isinstance(c, ConstraintAttr)] if isinstance(stated, ArrayAttr) else []
    while True:
        for name, value in bound.items():
            _require_in_range(function, name, value, symbols.get(name, SymbolFacts(name)))
        open_ones: list[ConstraintAttr] = []
        followed: dict[str, int] = {}
        for constraint in constraints:
            lhs, rhs = (side.data.substitute(bound) for side in (constraint.lhs, constraint.rhs))
            difference = rhs - lhs
            equality = constraint.relation.data == "=="
            if difference.is_const:
                if difference.value < 0 or (equality and difference.value):
                    text = ", ".join(f"{name} = {value}" for name, value in bound.items())
                    stated_text = f"{constraint.lhs.data} {constraint.relation.data} {constraint.rhs.data}"
                    raise ShapeError(f"{text} contradicts {stated_text}", code="constraint", location=location_of(function))
                continue
            open_ones.append(constraint)
            symbol, number = (lhs, rhs) if lhs.is_symbol else (rhs, lhs)
            if equality and symbol.is_symbol and number.is_const:
                followed[str(symbol)] = number.value
        if not followed:
            break
        bound |= followed
    substitution = Substitution(bound)
    substitution.apply(function)
    _declare(function, bound, [c for c in map(substitution.attribute, open_ones) if isinstance(c, ConstraintAttr)])
    return bound


def _declare(function: FuncOp, bound: Mapping[str, int], constraints: list[ConstraintAttr]) -> None:
    carried = {role[1] for role in argument_roles(function) if role and role[0] == DIM_INPUT}
    dims: list[DimAttr] = []
    for declared in declared_dims(function):
        name = declared.facts.name
        if name in bound and name in carried:
            dims.append(DimAttr.get(SymbolFacts(name, bound[name], bound[name], runtime=declared.facts.runtime)))
        elif name not in bound:
            dims.append(declared)
    for key, entries in ((DIMS, dims), (CONSTRAINTS, constraints)):
        if entries:
            function.attributes[key] = ArrayAttr(entries)
        else:
            function.attributes.pop(key, None)


@dataclass(frozen=True)
class MirSpecializePass(CountingPass):
    name = "mir-specialize"

    dims: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, **dims: int) -> MirSpecializePass:
        return cls(tuple(dims.items()))

    @classmethod
    def from_spec(cls, spec: ArgSpec) -> MirSpecializePass:
        dims: list[tuple[str, int]] = []
        for name, value in spec.parameters.items():
            if len(value) != 1 or not isinstance(value[0], int) or isinstance(value[0], bool):
                raise ValueError(f"dim '{name}' takes one integer")
            dims.append((name, value[0]))
        return cls(tuple(dims))

    def spec(self, *, include_default: bool = False) -> ArgSpec:
        return ArgSpec(self.name, {name: (value,) for name, value in self.dims})

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        functions = [function for function in op.ops if isinstance(function, FuncOp)]
        known = {name for function in functions for name in symbols_of(function)}
        for name, _ in self.dims:
            if name not in known:
                hint = f"it has {', '.join(sorted(known))}" if known else "it has none"
                raise ShapeError(f"the model has no dim '{name}'", hint=hint, code="unknown-dim")
        for function in functions:
            self.statistics["bound"] += len(specialize(function, dict(self.dims)))
