"""Small models from large ones that fail, and what a failing test prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, StringAttr
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Operation, SSAValue

import rlx
from rlx_dialects.rlx import TensorType

Check = Callable[[rlx.Model], None]
SECONDS = 20.0


@contextmanager
def shrinking(model: rlx.Model, check: Check) -> Iterator[None]:
    """Run `check(model)` before the body; if it raises, the exception carries the smallest model found that raises alike."""
    try:
        check(model)
    except Exception as error:
        small = shrink(model, check, type(error))
        error.add_note(f"model '{model.name}':\n{model.as_text()}\nsmallest that fails alike:\n{small.as_text()}")
        raise
    yield


def run_checked(model: rlx.Model, check: Check) -> None:
    """`check(model)`, with the model and its smallest failing part in the report of a failure."""
    with shrinking(model, check):
        pass


def shrink(model: rlx.Model, check: Check, kind: type[BaseException]) -> rlx.Model:
    """The smallest model found in 20 s whose check raises an exception of `kind`.

    First the outputs give way to the first value that fails alone, then ops to inputs, the last ones first.
    """
    deadline = time.monotonic() + SECONDS

    def fails(candidate: rlx.Model | None) -> bool:
        if candidate is None or time.monotonic() > deadline:
            return False
        try:
            check(candidate)
        except kind:
            return True
        except Exception:  # noqa: BLE001
            return False
        return False

    for index in range(len(_ops(model))):
        candidate = _with_output(model, index)
        if fails(candidate):
            assert candidate is not None
            model = candidate
            break
    index = len(_ops(model)) - 2
    while index >= 0:
        candidate = _with_input(model, index)
        if fails(candidate):
            assert candidate is not None
            model = candidate
            index = min(index, len(_ops(model)) - 1)
        index -= 1
    return model


def _ops(model: rlx.Model) -> list[Operation]:
    return [op for op in model.main.body.block.ops if not isinstance(op, ReturnOp)]


def _with_output(model: rlx.Model, index: int) -> rlx.Model | None:
    """The model whose only outputs are the tensor results of op `index`."""
    module = model.module.clone()
    copy = rlx.Model(module)
    values = [value for value in _ops(copy)[index].results if isinstance(value.type, TensorType)]
    return _returning(copy, values) if values else None


def _with_input(model: rlx.Model, index: int) -> rlx.Model | None:
    """The model in which inputs take the place of op `index`."""
    copy = rlx.Model(model.module.clone())
    op = _ops(copy)[index]
    if not all(isinstance(value.type, TensorType) for value in op.results) or not any(value.uses for value in op.results):
        return None
    main = copy.main
    block, attributes = main.body.block, list(main.arg_attrs.data if main.arg_attrs else ())
    for number, value in enumerate(op.results):
        argument = block.insert_arg(value.type, len(block.args))
        attributes.append(DictionaryAttr({"rlx.input": StringAttr(f"cut{index}_{number}_{len(block.args)}")}))
        value.replace_all_uses_with(argument)
    main.arg_attrs = ArrayAttr(attributes)
    end = block.last_op
    assert isinstance(end, ReturnOp)
    return _returning(copy, [v for v, role in zip(end.arguments, main.res_attrs.data, strict=True) if "rlx.output" in role.data])  # pyright: ignore


def _returning(model: rlx.Model, values: Sequence[SSAValue]) -> rlx.Model:
    """`model` with other outputs and the same states; ops and inputs that nothing reads are gone. It is changed."""
    main = model.main
    block, end = main.body.block, main.body.block.last_op
    assert isinstance(end, ReturnOp) and main.res_attrs is not None
    states = [(v, role) for v, role in zip(end.arguments, main.res_attrs.data, strict=True) if "rlx.state" in role.data]
    roles = [DictionaryAttr({"rlx.output": StringAttr(f"y{number}")}) for number in range(len(values))]
    block.erase_op(end)
    results = [*values, *(value for value, _ in states)]
    block.add_op(ReturnOp(*results))
    main.res_attrs = ArrayAttr([*roles, *(role for _, role in states)])
    for op in reversed(_ops(model)):
        if not any(value.uses for value in op.results):
            block.erase_op(op)
    assert main.arg_attrs is not None
    attributes = list(main.arg_attrs.data)
    told: set[str] = set()
    for position, argument in reversed(list(enumerate(block.args))):
        role = attributes[position].data
        is_leaf = "rlx.input" in role or "rlx.param" in role
        dims = argument.type.dims if isinstance(argument.type, TensorType) else ()
        if is_leaf and not argument.uses and not {s for dim in dims for s in dim.symbols} - told:
            block.erase_arg(argument)
            del attributes[position]
        else:
            told |= {str(dim) for dim in dims if dim.is_symbol}
    main.arg_attrs = ArrayAttr(attributes)
    main.function_type = FunctionType.from_lists([argument.type for argument in block.args], [value.type for value in results])
    return rlx.Model(model.module)
