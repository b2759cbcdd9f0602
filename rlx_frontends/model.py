"""A model: a HIR or MIR module together with its signature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute

from rlx_dialects.rlx import StateType, TensorType, declared_dims, dtypes
from rlx_frontends.dims import Dim
from rlx_runtime.errors import VerifyError

T = TypeVar("T", bound="TensorSpec | Dim")


@dataclass(frozen=True)
class TensorSpec:
    """A named argument or result. Each dim of `shape` is an int or a `Dim`; `dtype` is a name such as "f32"."""

    name: str
    shape: tuple[int | Dim, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"


class Named(tuple[T, ...], Generic[T]):
    """An ordered collection of things with names: by position as a tuple, by name as a mapping (`specs["x"]`, `"x" in specs`)."""

    __slots__ = ()

    def __getitem__(self, key: str | int | slice) -> T:
        if not isinstance(key, str):
            return super().__getitem__(key)  # pyright: ignore[reportReturnType]
        for item in self:
            if item.name == key:
                return item
        raise KeyError(f"no '{key}'; there are {', '.join(self.names) or 'none'}")

    def __contains__(self, key: object) -> bool:
        return key in self.names if isinstance(key, str) else any(item is key for item in self)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(item.name for item in self)


class Model:
    """What `ModelBuilder.build`, `rlx.parse` and the importers give, and what `rlx.lower` takes.

    Args:
        module: a HIR or MIR module with one `func.func @main`. VerifyError if its signature breaks the rules of ARCHITECTURE.md.
    """

    def __init__(self, module: ModuleOp, name: str | None = None) -> None:
        self.module = module
        self.name = name or (module.sym_name.data if module.sym_name is not None else "model")
        self._arguments = _roles(self.main.arg_attrs, self.main.function_type.inputs.data, "argument", _ARGUMENTS)
        self._results = _roles(self.main.res_attrs, self.main.function_type.outputs.data, "result", _RESULTS)
        for kind, entries in (("argument", self._arguments), ("result", self._results)):
            names = [name for _, name, _ in entries]
            if len(set(names)) != len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise VerifyError(f"two {kind}s are named '{twice}'")

    @cached_property
    def main(self) -> FuncOp:
        """The function `@main`."""
        found = [op for op in self.module.ops if isinstance(op, FuncOp) and op.sym_name.data == "main"]
        if not found:
            raise VerifyError("a model is a module with a func.func @main")
        return found[0]

    def as_text(self) -> str:
        """The module as text that `rlx.parse` reads back."""
        return str(self.module) + "\n"

    __str__ = as_text

    def __repr__(self) -> str:
        return f"<rlx.Model '{self.name}': {len(self.inputs)} inputs, {len(self.params)} params, {len(self.outputs)} outputs>"

    @property
    def level(self) -> str:
        """ "hir" if any op of that dialect is left, else "mir"."""
        return "hir" if any(op.name.startswith("hir.") for op in self.module.walk()) else "mir"

    @cached_property
    def inputs(self) -> Named[TensorSpec]:
        return self._named(self._arguments, "input")

    @cached_property
    def params(self) -> Named[TensorSpec]:
        """The weights, by the names that `bind` expects."""
        return self._named(self._arguments, "param")

    @cached_property
    def states(self) -> Named[TensorSpec]:
        return self._named(self._arguments, "state")

    @cached_property
    def dim_inputs(self) -> tuple[str, ...]:
        """Names of the dims that are passed as integers."""
        return tuple(name for kind, name, _ in self._arguments if kind == "dim_input")

    @cached_property
    def outputs(self) -> Named[TensorSpec]:
        return self._named(self._results, "output")

    @cached_property
    def dims(self) -> Named[Dim]:
        """The declared symbols."""
        facts = [dim.facts for dim in declared_dims(self.main)]
        return Named(Dim(f.name, f.lower, f.upper, multiple_of=f.multiple_of, runtime=f.runtime) for f in facts)

    def _named(self, entries: Iterable[tuple[str, str, Attribute]], wanted: str) -> Named[TensorSpec]:
        declared = {dim.symbol.data: dim.facts for dim in declared_dims(self.main)}
        specs: list[TensorSpec] = []
        for kind, name, value_type in entries:
            if kind == wanted:
                assert isinstance(value_type, TensorType | StateType)
                shape = tuple(dim.value if dim.is_const else Dim.of(dim, declared) for dim in value_type.dims)
                specs.append(TensorSpec(name, shape, dtypes.dtype_name(value_type.element_type)))
        return Named(specs)


_ARGUMENTS = ("input", "param", "state", "dim_input")
_RESULTS = ("output", "state")


def _roles(
    attributes: ArrayAttr[DictionaryAttr] | None, types: Iterable[Attribute], what: str, kinds: tuple[str, ...]
) -> list[tuple[str, str, Attribute]]:
    """(kind, name, type) of each argument or result; VerifyError where the attributes do not say exactly one kind."""
    types = list(types)
    dictionaries: list[Mapping[str, Attribute]] = [a.data for a in attributes.data] if attributes else [{}] * len(types)
    found: list[tuple[str, str, Attribute]] = []
    for index, (dictionary, value_type) in enumerate(zip(dictionaries, types, strict=True)):
        roles = [(kind, value.data) for kind in kinds if isinstance(value := dictionary.get(f"rlx.{kind}"), StringAttr)]
        if len(roles) != 1:
            wanted = ", ".join(f'{{rlx.{kind} = "…"}}' for kind in kinds)
            raise VerifyError(f"{what} {index} of @main needs exactly one of {wanted}")
        wanted_type = StateType if roles[0][0] == "state" else TensorType
        if not isinstance(value_type, wanted_type):
            raise VerifyError(f"{what} {index} of @main is a {roles[0][0]}, but its type is {value_type}")
        found.append((*roles[0], value_type))
    return found
