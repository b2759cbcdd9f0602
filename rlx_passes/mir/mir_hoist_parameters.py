"""mir-hoist-parameters: work that depends on parameters alone moves into @prepare.

A transposed weight, a folded batch norm or a cast of a table is the same at every call. Such ops leave `@main` for
`@prepare`, which runs once when weights are bound; its results are derived parameters of `@main`. What only views or repeats
a parameter (reshape, broadcast) stays in `@main`: it costs nothing there, and memory here.

Before:
```mlir
func.func @main(%x: !rlx.tensor<B x 4 x f32> {rlx.input = "x"}, %w: !rlx.tensor<3 x 4 x f32> {rlx.param = "w"})
    -> (!rlx.tensor<B x 3 x f32> {rlx.output = "y"}) attributes {rlx.dims = [#rlx.dim<B in [1, 8]>]} {
  %t = mir.transpose %w(perm = [1, 0]) : (!rlx.tensor<3 x 4 x f32>) -> !rlx.tensor<4 x 3 x f32>
  %y = mir.matmul %x, %t : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  func.return %y : !rlx.tensor<B x 3 x f32>
}
```
After:
```mlir
func.func @main(%x: !rlx.tensor<B x 4 x f32> {rlx.input = "x"}, %t: !rlx.tensor<4 x 3 x f32> {rlx.param = "w.0"})
    -> (!rlx.tensor<B x 3 x f32> {rlx.output = "y"}) attributes {rlx.dims = [#rlx.dim<B in [1, 8]>]} {
  %y = mir.matmul %x, %t : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  func.return %y : !rlx.tensor<B x 3 x f32>
}
func.func @prepare(%w: !rlx.tensor<3 x 4 x f32> {rlx.param = "w"}) -> (!rlx.tensor<4 x 3 x f32> {rlx.param = "w.0"}) {
  %t = mir.transpose %w(perm = [1, 0]) : (!rlx.tensor<3 x 4 x f32>) -> !rlx.tensor<4 x 3 x f32>
  func.return %t : !rlx.tensor<4 x 3 x f32>
}
```

Run again, it finds nothing more; new work on derived parameters joins the `@prepare` that is there. Its counts are the
`ops` moved and the `bytes` of the derived parameters made.

Expects: MIR, `@main` with the roles of its arguments. Ensures: nothing in `@main` computes from parameters and constants
alone, free of symbols. Numerics: exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import BlockArgument, Operation, Region, SSAValue

from rlx_dialects import mir
from rlx_dialects.rlx import DimExprAttr, ShapeAttr, dtypes, shaped_type
from rlx_passes.generic.rlx_dce import sweep
from rlx_passes.support.signature import (
    PARAM,
    Role,
    append_arguments,
    argument_roles,
    erase_arguments,
    find_function,
    result_roles,
    set_signature,
)
from rlx_passes.support.statistics import CountingPass

VIEWS = (mir.ReshapeOp, mir.BroadcastOp)


def parameter_work(main: FuncOp) -> list[Operation]:
    """The ops on parameters and constants alone, free of symbols, with a parameter among their sources; in order."""
    from_params: set[SSAValue] = {
        argument for argument, role in zip(main.body.block.args, argument_roles(main)) if role and role[0] == PARAM
    }
    literals: set[SSAValue] = set()
    found: list[Operation] = []
    for op in main.body.block.ops:
        if not isinstance(op, mir.MirOp) or _uses_symbols(op) or not all(v in from_params or v in literals for v in op.operands):
            continue
        if any(value in from_params for value in op.operands):
            from_params.update(op.results)
            found.append(op)
        else:
            literals.update(op.results)
    return found


def _uses_symbols(op: Operation) -> bool:
    if any(dim.symbols for result in op.results for dim in shaped_type(result).dims):
        return True
    for attribute in op.properties.values():
        if isinstance(attribute, ShapeAttr) and any(dim.symbols for dim in attribute.data):
            return True
        if isinstance(attribute, DimExprAttr) and attribute.data.symbols:
            return True
    return False


class _Prepare:
    """`@prepare` while it grows, and what the values of `@main` are in it."""

    def __init__(self, module: ModuleOp, main: FuncOp):
        function = find_function(module, "prepare")
        if function is None:
            function = FuncOp("prepare", ([], []), Region.DEFAULT)
            function.location = main.location
            function.body.block.add_op(ReturnOp())
            module.body.block.insert_op_after(function, main)
        self.function, self.block = function, function.body.block
        last = self.block.last_op
        assert isinstance(last, ReturnOp)
        self.results = {role[1]: value for role, value in zip(result_roles(function), last.arguments) if role}
        self.block.erase_op(last)
        self.arguments = {role[1]: value for role, value in zip(argument_roles(function), self.block.args) if role}
        self.roles: list[Role | None] = argument_roles(main)
        self.values: dict[SSAValue, SSAValue] = {}

    def value(self, value: SSAValue) -> SSAValue:
        """The value in @prepare that equals `value` of @main; what computes it is copied."""
        if value not in self.values:
            owner = value.owner
            if isinstance(owner, Operation):
                copy = owner.clone({operand: self.value(operand) for operand in owner.operands})
                self.block.add_op(copy)
                for old, new in zip(owner.results, copy.results):
                    self.values[old], new.name_hint = new, old.name_hint
            else:
                assert isinstance(value, BlockArgument)
                self.values[value] = self._argument(value)
        return self.values[value]

    def _argument(self, argument: BlockArgument) -> SSAValue:
        role = self.roles[argument.index]
        assert role is not None
        name = role[1]
        if name in self.results:  # a derived parameter: computed here
            return self.results[name]
        if name not in self.arguments:
            new = self.block.insert_arg(argument.type, len(self.block.args))
            new.name_hint, new.location = argument.name_hint, argument.location
            self.arguments[name] = new
        return self.arguments[name]

    def finish(self, wanted: set[str]) -> None:
        """Return the results that @main still takes."""
        self.results = {name: value for name, value in self.results.items() if name in wanted}
        self.block.add_op(ReturnOp(*self.results.values()))
        arguments, results = ([{PARAM: StringAttr(name)} for name in names] for names in (self.arguments, self.results))
        set_signature(self.function, arguments, results)


def _source(value: SSAValue, roles: list[Role | None]) -> str | None:
    """The name of the first parameter that `value` is computed from."""
    owner = value.owner
    if isinstance(owner, Operation):
        return next(filter(None, (_source(operand, roles) for operand in owner.operands)), None)
    role = roles[value.index] if isinstance(value, BlockArgument) else None
    return role[1] if role else None


@dataclass(frozen=True)
class MirHoistParametersPass(CountingPass):
    name = "mir-hoist-parameters"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        main = find_function(op, "main")
        found = parameter_work(main) if main else []
        moved = [op for op in found if not isinstance(op, VIEWS)]
        if main is None or not moved:
            return
        prepare = _Prepare(op, main)
        # Views that only moved ops read go with them, as copies.
        gone = set(moved)
        for view in reversed(found):
            if all(use.operation in gone for result in view.results for use in result.uses):
                gone.add(view)
        names = {role[1] for role in (*prepare.roles, *argument_roles(prepare.function)) if role}
        sources = {argument for each in found for argument in each.operands if isinstance(argument, BlockArgument)}
        derived: dict[SSAValue, str] = {}
        for result in (result for each in moved for result in each.results):
            computed = prepare.value(result)
            if not all(use.operation in gone for use in result.uses):
                derived[result] = _fresh(_source(result, prepare.roles) or "derived", names)
                prepare.results[derived[result]] = computed
                self.statistics["bytes"] += _bytes(result)
        added = [(result.type, {PARAM: StringAttr(name)}, result.name_hint) for result, name in derived.items()]
        for result, argument in zip(derived, append_arguments(main, added)):
            result.replace_all_uses_with(argument)
        for each in reversed(found):
            if each in gone:
                main.body.block.erase_op(each)
        sweep(main)
        self.statistics["ops"] += len(moved)
        # A parameter that is read in @prepare only is no argument of @main any more.
        arguments = main.body.block.args
        erase_arguments(main, [argument for argument in arguments if argument in sources and argument.first_use is None])
        prepare.finish({role[1] for role in argument_roles(main) if role})


def _fresh(source: str, names: set[str]) -> str:
    number = 0
    while f"{source}.{number}" in names:
        number += 1
    names.add(f"{source}.{number}")
    return f"{source}.{number}"


def _bytes(value: SSAValue) -> int:
    t = shaped_type(value)
    return prod(dim.value for dim in t.dims) * dtypes.bit_width(t.element_type) // 8
