"""Building HIR from Python: `ModelBuilder` and the values it hands out.

Every method of a builder makes one op, infers its type with what is known of the dims so far, and raises `ShapeError` at the
caller's line if it does not fit. Ops keep that line as their location, so later messages point at the model's source.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FileLineColLoc, IntAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.utils.exceptions import VerifyException

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr
from rlx_dialects.dims.facts import Facts, SymbolFacts
from rlx_dialects.mir import ConstantOp
from rlx_dialects.rlx import ConstraintAttr, DimAttr, StateType, TensorType, dtypes, shaped_type, state, tensor
from rlx_dialects.rlx.symbols import CONSTRAINTS, DIMS
from rlx_frontends.builder_ops import OpMethods
from rlx_frontends.builder_tensors import TensorMethods
from rlx_frontends.dims import Constraint, Dim, DimLike, merge
from rlx_frontends.model import Model
from rlx_runtime.errors import Error, Location, ShapeError, VerifyError

POLICIES = ("direct", "fusable")
POLICY = "hir.policy"
"""Function attribute: how convert-hir-to-mir lowers blocks unless the pass says otherwise; absent means direct."""

Number: TypeAlias = "int | float | bool"


class Value:
    """A tensor or state inside a model under construction. `+ - * / @` and unary `-` build ops; numbers take its dtype."""

    __slots__ = ("builder", "ssa")
    __array_priority__ = 1000  # a NumPy scalar on the left leaves the operation to us

    def __init__(self, builder: ModelBuilder, ssa: SSAValue) -> None:
        self.builder = builder
        self.ssa = ssa

    @property
    def shape(self) -> tuple[int | Dim, ...]:
        """Ints and `Dim`s."""
        return tuple(dim.value if dim.is_const else Dim.of(dim, self.builder.declared) for dim in shaped_type(self.ssa).dims)

    @property
    def dtype(self) -> str:
        return dtypes.dtype_name(shaped_type(self.ssa).element_type)

    @property
    def is_state(self) -> bool:
        return isinstance(self.ssa.type, StateType)

    def __repr__(self) -> str:
        return f"<{'state' if self.is_state else 'value'} {self.dtype}[{', '.join(map(str, self.shape))}]>"

    def __add__(self, other: Value | Number) -> Value:
        return self.builder.add(self, other)

    def __radd__(self, other: Number) -> Value:
        return self.builder.add(other, self)

    def __sub__(self, other: Value | Number) -> Value:
        return self.builder.sub(self, other)

    def __rsub__(self, other: Number) -> Value:
        return self.builder.sub(other, self)

    def __mul__(self, other: Value | Number) -> Value:
        return self.builder.mul(self, other)

    def __rmul__(self, other: Number) -> Value:
        return self.builder.mul(other, self)

    def __truediv__(self, other: Value | Number) -> Value:
        return self.builder.div(self, other)

    def __rtruediv__(self, other: Number) -> Value:
        return self.builder.div(other, self)

    def __matmul__(self, other: Value) -> Value:
        return self.builder.matmul(self, other)

    def __neg__(self) -> Value:
        return self.builder.neg(self)


class ModelBuilder(OpMethods, TensorMethods):
    """Builds one model.

    ```python
    B, S = rlx.Dim("B", 1, 64), rlx.Dim("S", 1, 512)
    b = rlx.ModelBuilder("ffn")
    x = b.input("x", (B, S, 768), "f32")
    up, gate, down = (b.param(n, s) for n, s in (("up", (768, 2048)), ("gate", (768, 2048)), ("down", (2048, 768))))
    b.output("y", b.swiglu_ffn(x, up, gate, down))
    model = b.build()
    ```

    Args:
        name: the name of the model.
        policy: "direct" lowers blocks to fused MIR ops, "fusable" to primitives for the fusion passes.

    Raises: VerifyError for a name that is taken or a builder that is used up, ShapeError where operands do not fit; each with
    the location of the call.
    """

    def __init__(self, name: str, policy: str = "direct") -> None:
        if policy not in POLICIES:
            raise VerifyError(f"policy is '{policy}'; it must be one of {', '.join(POLICIES)}", location=_call_site()[0])
        self.name = name
        self.policy = policy
        self.declared: dict[str, SymbolFacts] = {}
        self._block = Block()
        self._arguments: list[dict[str, Attribute]] = []
        self._outputs: list[tuple[str, SSAValue]] = []
        self._names: set[str] = set()
        self._constraints: list[ConstraintAttr] = []
        self._facts: Facts | None = None
        self._state_of: dict[SSAValue, str] = {}
        """Every version of every state -> its name."""
        self._latest: dict[str, SSAValue] = {}
        self._built = False

    # -- signature

    def input(self, name: str, shape: Sequence[DimLike], dtype: str = "f32") -> Value:
        """An argument of every call: `shape` of ints and dims, `dtype` a name such as "f32" or "i64"."""
        return self._argument("input", name, self._tensor(shape, dtype))

    def param(self, name: str, shape: Sequence[DimLike], dtype: str = "f32") -> Value:
        """A weight, bound once under `name`."""
        return self._argument("param", name, self._tensor(shape, dtype))

    def state(self, name: str, shape: Sequence[DimLike], dtype: str = "f32") -> Value:
        """A tensor that lives across calls, such as a key cache [B, heads, capacity, head_dim].

        Ops that update it return its next value; the last one is what the call leaves.
        """
        wanted = self._tensor(shape, dtype)
        value = self._argument("state", name, state(wanted.dims, wanted.element_type))
        self._state_of[value.ssa] = name
        self._latest[name] = value.ssa
        return value

    def dim_input(
        self, name: str, lower: int = 0, upper: int | None = None, *, multiple_of: int = 1, runtime: bool = False
    ) -> Dim:
        """A dim whose value is an integer argument of the call; see `rlx.Dim` for the rest."""
        bounds = {} if upper is None else {"upper": upper}
        dim = self._located(lambda: Dim(name, lower, multiple_of=multiple_of, runtime=runtime, **bounds))
        self._declare(dim)
        self._argument("dim_input", name, tensor((), "i64"))
        return dim

    def output(self, name: str, value: Value) -> None:
        """Return `value` under `name`."""
        self._check_open()
        if value.is_state:
            raise VerifyError(f"output '{name}' is a state; states are returned by themselves", location=_call_site()[0])
        if any(name == other for other, _ in self._outputs):
            raise VerifyError(f"output '{name}' is named twice", location=_call_site()[0])
        self._outputs.append((name, self._ssa(value)))

    def constrain(self, *constraints: Constraint | bool) -> None:
        """State facts about dims: `b.constrain(S == T, P + S <= 4096)`. They are checked at every call and believed here.

        ShapeError for one that cannot hold.
        """
        self._check_open()
        for constraint in constraints:
            if isinstance(constraint, bool):
                if not constraint:
                    raise ShapeError("a constraint between numbers does not hold", location=_call_site()[0])
                continue
            self._declare(constraint.lhs)
            self._declare(constraint.rhs)
            self._constraints.append(ConstraintAttr.get(constraint.lhs.expr, constraint.relation, constraint.rhs.expr))
        self._facts = None
        self._located(lambda: self.facts)

    @property
    def facts(self) -> Facts:
        """What is known of the dims so far."""
        if self._facts is None:
            equal = [(c.lhs.data, c.rhs.data) for c in self._constraints if c.relation.data == "=="]
            at_most = [(c.lhs.data, c.rhs.data) for c in self._constraints if c.relation.data == "<="]
            self._facts = Facts(self.declared.values(), equal, at_most)
        return self._facts

    def build(self) -> Model:
        """The model; the builder is used up. VerifyError if it has no output."""
        self._check_open()
        if not self._outputs:
            raise VerifyError(f"model '{self.name}' has no output", location=_call_site()[0])
        self._built = True
        results = [*(value for _, value in self._outputs), *self._latest.values()]
        names = [*(("output", name) for name, _ in self._outputs), *(("state", name) for name in self._latest)]
        self._block.add_op(ReturnOp(*results))
        function = FuncOp(
            "main",
            ([argument.type for argument in self._block.args], [value.type for value in results]),
            Region(self._block),
            arg_attrs=ArrayAttr(DictionaryAttr(attributes) for attributes in self._arguments),
            res_attrs=ArrayAttr(DictionaryAttr({f"rlx.{kind}": StringAttr(name)}) for kind, name in names),
        )
        if self.declared:
            function.attributes[DIMS] = ArrayAttr(DimAttr.get(facts) for facts in self.declared.values())
        if self._constraints:
            function.attributes[CONSTRAINTS] = ArrayAttr(self._constraints)
        if self.policy != "direct":
            function.attributes[POLICY] = StringAttr(self.policy)
        return Model(ModuleOp([function], sym_name=StringAttr(self.name)))

    # -- what the methods for ops use

    def _op(self, make: Callable[..., Operation], *args: Any, **options: Any) -> Operation:
        """Build an op with the facts known, append it, give it the caller's location."""
        self._check_open()
        location, attribute = _call_site()
        try:
            op = make(*args, **options, facts=self.facts)
        except VerifyException as error:
            raise _shape_error(error, location, make) from None
        op.location = attribute
        self._block.add_op(op)
        for result in op.results:
            result.name_hint = op.name.partition(".")[2]
        return op

    def _mir(self, make: type[mir.MirOp], *args: Any, **options: Any) -> Value | tuple[Value, ...]:
        """As `_op`, of a MIR op: its results, in a tuple if there are several."""

        def checked(*, facts: Facts) -> Operation:
            op = make(*args, **options)
            op.check(mir.Known(facts))
            return op

        checked.name = make.name  # pyright: ignore[reportFunctionMemberAccess]
        found = self._values(self._op(checked))
        return found[0] if len(found) == 1 else found

    def _value(self, op: Operation) -> Value:
        return Value(self, op.results[0])

    def _values(self, op: Operation) -> tuple[Value, ...]:
        return tuple(Value(self, result) for result in op.results)

    def _ssa(self, value: Value) -> SSAValue:
        """The operand behind `value`; VerifyError for one of another model, or a state that was updated since."""
        if not isinstance(value, Value):
            raise VerifyError(f"expected a value of model '{self.name}', found {value!r}", location=_call_site()[0])
        if value.builder is not self:
            raise VerifyError(f"a value of model '{value.builder.name}' is used in model '{self.name}'", location=_call_site()[0])
        name = self._state_of.get(value.ssa)
        if name is not None and self._latest[name] is not value.ssa:
            raise VerifyError(
                f"state '{name}' was updated since; this is an older value of it",
                location=_call_site()[0],
                hint="use the value that the update returned",
            )
        return value.ssa

    def _next_state(self, before: SSAValue, after: SSAValue) -> None:
        """`after` is the value of the state `before` from now on."""
        name = self._state_of[before]
        self._state_of[after] = name
        self._latest[name] = after
        after.name_hint = name

    def _pair(self, lhs: Value | Number, rhs: Value | Number) -> tuple[SSAValue, SSAValue]:
        """Two operands; a number becomes a constant of the other's dtype."""
        like = lhs if isinstance(lhs, Value) else rhs
        if not isinstance(like, Value):
            raise VerifyError("one operand must be a value of the model", location=_call_site()[0])
        return self._operand(lhs, like), self._operand(rhs, like)

    def _operand(self, value: Value | Number, like: Value) -> SSAValue:
        return self._ssa(value) if isinstance(value, Value) else self._constant(value, like.dtype).results[0]

    def _constant(self, value: Any, dtype: str) -> Operation:
        self._check_open()
        if hasattr(value, "tolist"):
            value = value.tolist()
        location, attribute = _call_site()
        try:
            op = ConstantOp.of(value, self._dtype(dtype))
        except (VerifyException, ValueError, OverflowError, TypeError) as error:
            raise ShapeError(f"constant: {error}", location=location) from None
        op.location = attribute
        self._block.add_op(op)
        op.results[0].name_hint = "constant"
        return op

    def _dims(self, shape: Sequence[DimLike]) -> list[DimExpr]:
        return [self._dim(dim) for dim in shape]

    def _dim(self, value: DimLike) -> DimExpr:
        dim = Dim.of(value)
        self._declare(dim)
        return dim.expr

    def _dtype(self, name: str) -> Attribute:
        try:
            return dtypes.dtype(name)
        except ValueError as error:
            raise VerifyError(str(error), location=_call_site()[0]) from None

    # -- helpers

    def _tensor(self, shape: Sequence[DimLike], dtype: str) -> TensorType:
        self._check_open()
        element_type = self._dtype(dtype)
        try:
            return tensor(self._dims(shape), element_type)
        except VerifyException as error:
            raise ShapeError(str(error), location=_call_site()[0]) from None

    def _argument(self, kind: str, name: str, value_type: Attribute) -> Value:
        self._check_open()
        if name in self._names:
            raise VerifyError(f"the name '{name}' is taken", location=_call_site()[0])
        self._names.add(name)
        argument = self._block.insert_arg(value_type, len(self._block.args))
        argument.location = _call_site()[1]
        hint = "".join(char if char.isalnum() else "_" for char in name)
        argument.name_hint = hint if SSAValue.is_valid_name(hint) else None
        self._arguments.append({f"rlx.{kind}": StringAttr(name)})
        return Value(self, argument)

    def _declare(self, dim: Dim) -> None:
        merged = self._located(lambda: merge(self.declared, dim.declared))
        if len(merged) != len(self.declared):
            self.declared, self._facts = merged, None

    def _located(self, action: Callable[[], Any]) -> Any:
        """Run `action`; its errors get the caller's location."""
        try:
            return action()
        except Error as error:
            error.location = error.location or _call_site()[0]
            raise
        except ValueError as error:
            raise ShapeError(str(error), location=_call_site()[0]) from None

    def _check_open(self) -> None:
        if self._built:
            raise VerifyError(f"the builder of '{self.name}' has built its model already", location=_call_site()[0])


def _shape_error(error: VerifyException, location: Location | None, make: Callable[..., Operation]) -> ShapeError:
    message, _, hint = str(error).partition("\nhint: ")
    name = getattr(make, "name", None)
    return ShapeError(f"{name}: {message}" if isinstance(name, str) else message, location=location, hint=hint or None)


_OWN_FILES = frozenset((__file__, *(sys.modules[mixin.__module__].__file__ for mixin in (OpMethods, TensorMethods))))


def _call_site() -> tuple[Location | None, FileLineColLoc]:
    """Where the code outside of the builder stands, for messages and as a location attribute."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename in _OWN_FILES:
        frame = frame.f_back
    if frame is None:
        return None, FileLineColLoc(StringAttr("<unknown>"), IntAttr(0), IntAttr(0))
    code = frame.f_code
    column = 1
    for index, (_, _, start, _) in enumerate(code.co_positions()):
        if index == frame.f_lasti // 2:
            column = (start or 0) + 1
            break
    location = Location(code.co_filename, frame.f_lineno, column)
    return location, FileLineColLoc(StringAttr(location.file), IntAttr(location.line), IntAttr(location.column))
