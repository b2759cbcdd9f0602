"""The signature of a model's functions: roles and names of arguments and results, and changing them consistently.

`@main` takes `{rlx.input = "x"}`, `rlx.param`, `rlx.state` and `rlx.dim_input`, and gives `rlx.output` and `rlx.state`;
`@prepare` takes and gives `rlx.param`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, BlockArgument

INPUT, PARAM, STATE, DIM_INPUT, OUTPUT = (f"rlx.{kind}" for kind in ("input", "param", "state", "dim_input", "output"))
ROLES = (INPUT, PARAM, STATE, DIM_INPUT, OUTPUT)

Attributes = Mapping[str, Attribute]
Role = tuple[str, str]


def find_function(module: ModuleOp, name: str) -> FuncOp | None:
    return next((op for op in module.ops if isinstance(op, FuncOp) and op.sym_name.data == name), None)


def argument_attributes(function: FuncOp) -> list[Attributes]:
    """The attributes of each argument, empty ones included."""
    return _listed(function.arg_attrs, len(function.body.block.args))


def result_attributes(function: FuncOp) -> list[Attributes]:
    """The attributes of each result, empty ones included."""
    return _listed(function.res_attrs, len(function.function_type.outputs.data))


def role_of(attributes: Attributes) -> Role | None:
    """(role, name) of an argument or result, such as ("rlx.param", "w"); None if it has none."""
    for role in ROLES:
        if isinstance(name := attributes.get(role), StringAttr):
            return role, name.data
    return None


def argument_roles(function: FuncOp) -> list[Role | None]:
    return [role_of(attributes) for attributes in argument_attributes(function)]


def result_roles(function: FuncOp) -> list[Role | None]:
    return [role_of(attributes) for attributes in result_attributes(function)]


def set_signature(function: FuncOp, arguments: Sequence[Attributes], results: Sequence[Attributes]) -> None:
    """Make type and attributes of `function` those of its block's arguments and of what it returns."""
    block = function.body.block
    last = block.last_op
    assert isinstance(last, ReturnOp)
    assert len(arguments) == len(block.args)
    assert len(results) == len(last.arguments)
    function.properties["function_type"] = FunctionType.from_lists(
        [argument.type for argument in block.args], [value.type for value in last.arguments]
    )
    for name, entries in (("arg_attrs", arguments), ("res_attrs", results)):
        if any(entries):
            function.properties[name] = ArrayAttr([DictionaryAttr(dict(entry)) for entry in entries])
        else:
            function.properties.pop(name, None)


def append_arguments(function: FuncOp, added: Sequence[tuple[Attribute, Attributes, str | None]]) -> list[BlockArgument]:
    """New last arguments, each given by its type, attributes and name hint."""
    entries = argument_attributes(function)
    block = function.body.block
    arguments: list[BlockArgument] = []
    for type, _, name_hint in added:
        arguments.append(block.insert_arg(type, len(block.args)))
        arguments[-1].name_hint = name_hint
    set_signature(function, [*entries, *(attributes for _, attributes, _ in added)], result_attributes(function))
    return arguments


def erase_arguments(function: FuncOp, unwanted: Sequence[BlockArgument]) -> None:
    """Drop arguments that nothing reads."""
    entries, gone = argument_attributes(function), set(unwanted)
    kept = [entry for argument, entry in zip(function.body.block.args, entries) if argument not in gone]
    for argument in sorted(unwanted, key=lambda argument: -argument.index):
        function.body.block.erase_arg(argument)
    set_signature(function, kept, result_attributes(function))


def _listed(attributes: ArrayAttr[DictionaryAttr] | None, count: int) -> list[Attributes]:
    return [entry.data for entry in attributes.data] if attributes is not None else [{} for _ in range(count)]
