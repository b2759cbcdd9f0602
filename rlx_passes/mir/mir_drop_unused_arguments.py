"""mir-drop-unused-arguments: drop inputs and parameters that nothing reads.

Importers give a model every parameter of the file; what a pruned or specialized model does not read must not be passed either. No
other pass changes the signature, and this one runs on request only.

Before:
```mlir
func.func @main(%x: !rlx.tensor<4 x f32> {rlx.input = "x"}, %w: !rlx.tensor<4 x f32> {rlx.param = "w"},
    %u: !rlx.tensor<8 x f32> {rlx.param = "unused"}) -> (!rlx.tensor<4 x f32> {rlx.output = "y"}) {
  %y = mir.mul %x, %w : !rlx.tensor<4 x f32>
  func.return %y : !rlx.tensor<4 x f32>
}
```
After:
```mlir
func.func @main(%x: !rlx.tensor<4 x f32> {rlx.input = "x"}, %w: !rlx.tensor<4 x f32> {rlx.param = "w"})
    -> (!rlx.tensor<4 x f32> {rlx.output = "y"}) {
  %y = mir.mul %x, %w : !rlx.tensor<4 x f32>
  func.return %y : !rlx.tensor<4 x f32>
}
```

An argument whose shape tells the value of a dim stays as long as no other argument tells it, and so does one that carries a
dim which the function names. States stay. A result of `@prepare` that `@main` no longer takes goes with what made it.

Expects: HIR or MIR. Ensures: every input and parameter is read, or tells a dim. Numerics: exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import BlockArgument

from rlx_dialects.rlx import StateType, TensorType
from rlx_passes.generic.rlx_dce import sweep
from rlx_passes.support.signature import (
    DIM_INPUT,
    INPUT,
    PARAM,
    argument_attributes,
    argument_roles,
    erase_arguments,
    find_function,
    result_attributes,
    result_roles,
    set_signature,
)
from rlx_passes.support.statistics import CountingPass


def told_dims(argument: BlockArgument) -> set[str]:
    """The symbols that the shape of an argument gives directly."""
    if not isinstance(argument.type, TensorType | StateType):
        return set()
    return {str(dim) for dim in argument.type.dims if dim.is_symbol}


def unused_arguments(function: FuncOp) -> list[BlockArgument]:
    """The inputs, parameters and dim inputs of `function` that may go."""
    roles = dict(zip(function.body.block.args, argument_roles(function)))
    unwanted: list[BlockArgument] = []
    for argument, role in roles.items():
        if role is None or argument.first_use is not None or role[0] not in (INPUT, PARAM, DIM_INPUT):
            continue
        rest = [other for other in roles if other is not argument and other not in unwanted]
        if role[0] == DIM_INPUT:
            needed = _names(function, role[1])
        else:
            told = set().union(*(told_dims(other) for other in rest)) | {r[1] for r in roles.values() if r and r[0] == DIM_INPUT}
            needed = bool(told_dims(argument) - told)
        if not needed:
            unwanted.append(argument)
    return unwanted


def _names(function: FuncOp, symbol: str) -> bool:
    """Does anything in `function` but its declaration name the symbol?"""
    texts = [str(value.type) for value in function.body.block.args]
    for op in function.body.walk():
        texts += [str(result.type) for result in op.results]
        texts += map(str, op.properties.values())
    return any(symbol in _words(text) for text in texts)


def _words(text: str) -> set[str]:
    return set("".join(char if char.isalnum() or char == "_" else " " for char in text).split())


@dataclass(frozen=True)
class MirDropUnusedArgumentsPass(CountingPass):
    name = "mir-drop-unused-arguments"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        main, prepare = find_function(op, "main"), find_function(op, "prepare")
        if main is None:
            return
        self._drop(main)
        if prepare is None:
            return
        taken = {role[1] for role in argument_roles(main) if role}
        last = prepare.body.block.last_op
        assert isinstance(last, ReturnOp)
        kept = [index for index, role in enumerate(result_roles(prepare)) if role and role[1] in taken]
        results = [result_attributes(prepare)[index] for index in kept]
        last.operands = [last.arguments[index] for index in kept]
        set_signature(prepare, argument_attributes(prepare), results)
        sweep(prepare)
        self._drop(prepare)
        if not kept:
            op.body.block.erase_op(prepare)

    def _drop(self, function: FuncOp) -> None:
        unwanted = unused_arguments(function)
        self.statistics["arguments"] += len(unwanted)
        erase_arguments(function, unwanted)
