"""convert-mir-to-lir: every tensor op becomes kernel forms over buffers.

`@main` and `@prepare` become programs. Each op's rule emits forms into temporaries; a reshape is a view, a cache update writes
the state's own buffer, and a result that is a temporary is computed straight into its output. What the ops rely on and the
declared ranges do not prove (P + S ≤ C) is listed in `rlx.guards`, checked once per call.

Before:
```mlir
func.func @main(%x: !rlx.tensor<B x 8 x f32> {rlx.input = "x"}) -> (!rlx.tensor<B x 8 x f32> {rlx.output = "y"}) {
  %y = mir.neg %x : !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}
```
After:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<B x 8 x f32>
  %y = lir.output @y : !lir.buffer<B x 8 x f32>
  lir.map (i0 : B, i1 : 8) ins(%x[i0, i1]) outs(%y[i0, i1]) params {label = "neg"} {
  ^bb0(%a: f32):
    %b = arith.negf %a : f32
    lir.yield %b : f32
  } : !lir.buffer<B x 8 x f32>, !lir.buffer<B x 8 x f32>
}
```

Expects: MIR. Ensures: LIR before planning; only `lir.program` at top level. Numerics: exact for f32 and f64; narrower floats
keep one rounding per op.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass

from rlx_dialects import mir
from rlx_dialects.dims import sym
from rlx_dialects.lir import AllocOp, BufferType, CopyOp, InputOp, OutputOp, PackedOp, ParamOp, ProgramOp, StateOp, ViewOp, buffer
from rlx_dialects.lir.structure import DimInputOp, root_buffer
from rlx_dialects.rlx import ConstraintAttr, facts_of
from rlx_dialects.rlx.symbols import CONSTRAINTS, DIMS, GUARDS
from rlx_passes.mir_to_lir import (
    attention,
    contraction,
    convolution,
    elementwise,
    movement,
    ordering,
    quantization,
    recurrence,
    rows,
    scattering,
)
from rlx_passes.mir_to_lir.lowering import Lowering, tensor_of
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

RULES: dict[type[Operation], Callable[[Lowering, Operation], None]] = {
    **elementwise.RULES,
    **movement.RULES,
    **contraction.RULES,
    **rows.RULES,
    **attention.RULES,
    **convolution.RULES,
    **ordering.RULES,
    **quantization.RULES,
    **recurrence.RULES,
    **scattering.RULES,
}

_LEAVES = {"rlx.input": InputOp, "rlx.param": ParamOp, "rlx.state": StateOp, "rlx.dim_input": DimInputOp}


def _attribute(attrs: ArrayAttr[DictionaryAttr] | None, position: int) -> dict[str, Attribute]:
    return dict(attrs.data[position].data) if attrs is not None else {}


def _lower_arguments(low: Lowering, function: FuncOp, prepared: set[str]) -> None:
    for position, argument in enumerate(function.args):
        attributes = _attribute(function.arg_attrs, position)
        kind = tensor_of(argument)
        for key, leaf in _LEAVES.items():
            name = attributes.get(key)
            if isinstance(name, StringAttr):
                made = PackedOp if leaf is ParamOp and name.data in prepared else leaf
                op = made(name.data, buffer(kind.dims, kind.element_type))
                op.result.name_hint = argument.name_hint
                low.block.add_op(op)
                low.bind(argument, op.result)
                if leaf is DimInputOp and argument.uses:
                    # A kernel reads the symbol, not the caller's scalar.
                    target = low.alloc((), kind.element_type, name.data)
                    symbol, element = sym(name.data), kind.element_type
                    low.map([], [], [(target, [])], lambda b, _, e=element, s=symbol: [b.index(s, e)])
                    low.buffers[argument] = target
                break
        else:
            raise LowerError(
                f"argument {position} of @{function.sym_name.data} is not marked as input, param, state or dim_input",
                code="unmarked-argument",
                location=location_of(function),
                hint='write {rlx.input = "name"} after its type',
            )


def _lower_results(low: Lowering, function: FuncOp, values: tuple[SSAValue, ...]) -> None:
    """Outputs are buffers of their own: a temporary becomes its output, everything else is copied."""
    taken: set[SSAValue] = set()
    for position, value in enumerate(values):
        attributes = _attribute(function.res_attrs, position)
        kind = tensor_of(value)
        source = low.buffer(value)
        name, state = attributes.get("rlx.output"), attributes.get("rlx.state")
        if isinstance(state, StringAttr):
            target = next((op.result for op in low.block.ops if isinstance(op, StateOp) and op.sym_name.data == state.data), None)
            if target is None:
                raise LowerError(
                    f"result {position} is the final value of state '{state.data}', which is no argument",
                    code="unknown-state",
                    location=location_of(function),
                )
            if source is not target:
                low.emit(CopyOp(source, target))
            continue
        derived = attributes.get("rlx.param")
        made = OutputOp if isinstance(name, StringAttr) else PackedOp
        label = name if isinstance(name, StringAttr) else derived
        if not isinstance(label, StringAttr):
            raise LowerError(
                f"result {position} of @{function.sym_name.data} has no name",
                code="unmarked-result",
                location=location_of(function),
                hint='write {rlx.output = "name"} after its type',
            )
        leaf = made(label.data, buffer(kind.dims, kind.element_type))
        leaf.result.name_hint = label.data
        root = root_buffer(source)
        if isinstance(root.owner, AllocOp) and root not in taken:
            _become(low, root, leaf)
            taken.add(leaf.result)
        else:
            _insert_leaf(low, leaf)
            low.emit(CopyOp(source, leaf.result))


def _insert_leaf(low: Lowering, leaf: OutputOp | PackedOp) -> None:
    """After the other boundary buffers, before the first op that works."""
    for op in low.block.ops:
        if not isinstance(op, InputOp | ParamOp | PackedOp | StateOp | DimInputOp | OutputOp):
            low.block.insert_op_before(leaf, op)
            return
    low.block.add_op(leaf)


def _become(low: Lowering, root: SSAValue, leaf: OutputOp | PackedOp) -> None:
    """Use `leaf` in place of the temporary `root`, through a view if their shapes differ."""
    alloc = root.owner
    assert isinstance(alloc, AllocOp) and isinstance(root.type, BufferType)
    _insert_leaf(low, leaf)
    replacement: SSAValue = leaf.result
    if leaf.result.type != root.type:
        view = ViewOp(leaf.result, root.type)
        low.block.insert_op_before(view, alloc)
        replacement = view.result
    root.replace_all_uses_with(replacement)
    for value, target in low.buffers.items():
        if target is root:
            low.buffers[value] = replacement
    low.block.erase_op(alloc)


def _check_states(function: FuncOp) -> None:
    """A state's older value may not be read once it is overwritten: both are one buffer."""
    for op in function.body.block.ops:
        if not isinstance(op, mir.CacheUpdateOp):
            continue
        later = op.next_op
        while later is not None:
            if op.state in later.operands:
                raise LowerError(
                    f"'{later.name}' reads the value of a state that an update before it replaces",
                    code="stale-state",
                    location=location_of(later),
                    hint="read the updated state, or read before the update",
                )
            later = later.next_op


def lower_function(function: FuncOp, prepared: set[str]) -> ProgramOp:
    """One function as a program; LowerError names the op no rule knows."""
    attributes = {key: value for key, value in function.attributes.items() if key in (DIMS, CONSTRAINTS)}
    program = ProgramOp(function.sym_name.data, attributes=attributes)
    program.location = function.location
    facts = facts_of(function)
    low = Lowering(facts, program.block, reserved=frozenset(facts.symbols) | _symbols(function))
    _check_states(function)
    _lower_arguments(low, function, prepared)
    guards: dict[ConstraintAttr, None] = {}
    for op in function.body.block.ops:
        low.op = op
        if isinstance(op, ReturnOp):
            _lower_results(low, function, tuple(op.operands))
            continue
        rule = RULES.get(type(op))
        if rule is None:
            raise LowerError(f"no kernel form for '{op.name}'", code="no-form", location=location_of(op))
        assert isinstance(op, mir.MirOp)
        for need in op.needs():
            guards[ConstraintAttr.get(need.lhs, "<=", need.rhs)] = None
        rule(low, op)
    for op in reversed(list(program.block.ops)):
        if isinstance(op, ViewOp) and not op.result.uses:
            program.block.erase_op(op)
    if guards:
        program.attributes[GUARDS] = ArrayAttr(list(guards))
    return program


def _symbols(function: FuncOp) -> frozenset[str]:
    names: set[str] = set()
    for value in function.args:
        for dim in tensor_of(value).dims:
            names |= dim.symbols
    return frozenset(names)


@dataclass(frozen=True)
class ConvertMirToLirPass(ModulePass):
    """See the module."""

    name = "convert-mir-to-lir"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        functions = [child for child in op.ops if isinstance(child, FuncOp)]
        prepared: set[str] = set()
        for function in functions:
            if function.sym_name.data == "prepare" and function.res_attrs is not None:
                names = (entry.data.get("rlx.param") for entry in function.res_attrs.data)
                prepared |= {name.data for name in names if isinstance(name, StringAttr)}
        for function in functions:
            program = lower_function(function, prepared)
            op.body.block.insert_op_before(program, function)
            op.body.block.erase_op(function)
