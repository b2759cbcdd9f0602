"""Runs the functions of a HIR or MIR module op by op, by the NumPy semantics of the dialects.

`execute` is the reference that tests, the `numpy` target and `rlx bisect` compare with; with `exact` all floats are float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, SSAValue

from rlx_dialects.dims.solve import EXTENT, SolveError, solve_symbols
from rlx_dialects.hir.semantics import evaluate
from rlx_dialects.mir.semantics import Array, Dims, numpy_dtype
from rlx_dialects.rlx import declared_dims, dtypes, facts_of, shaped_type
from rlx_runtime.errors import BindError, ShapeError

KINDS = ("input", "param", "state", "dim_input")


class Results(NamedTuple):
    """Arrays by name."""

    outputs: dict[str, Array]
    states: dict[str, Array]


def execute(
    module: ModuleOp, arguments: Mapping[str, Any], dims: Mapping[str, int] | None = None, *, exact: bool = False
) -> Results:
    """Run `@main` of `module`, and `@prepare` before it where there is one.

    Args:
        arguments: inputs, params, states and dim inputs by name; arrays of the declared dtype (integers for dim inputs).
        dims: values of symbols that no shape gives.
        exact: convert every float to float64 and keep it so.

    Raises:
        BindError: an argument is missing, unknown, or of another dtype or rank.
        ShapeError: extents that contradict each other, the ranges of the dims or the stated constraints.
        RuntimeFault: an index out of range.
    """
    functions = {op.sym_name.data: op for op in module.ops if isinstance(op, FuncOp)}
    main, prepare = functions["main"], functions.get("prepare")
    given = {name: np.asarray(value) for name, value in arguments.items()}
    wanted = {name for function in functions.values() for _, name, _ in signature(function)}
    derived = {name for _, name in result_names(prepare)} if prepare else set()
    _check_names(set(given), wanted - derived)
    if prepare:
        values = _collect(prepare, given)
        given |= {
            name: value
            for (_, name), value in zip(
                result_names(prepare), run_function(prepare, values, _bind(prepare, values, dims), exact=exact), strict=True
            )
        }
    values = _collect(main, given)
    found = run_function(main, values, _bind(main, values, dims), exact=exact)
    results = Results({}, {})
    for (kind, name), value in zip(result_names(main), found, strict=True):
        (results.states if kind == "state" else results.outputs)[name] = value
    return results


def run_function(function: FuncOp, arguments: list[Array], dims: Dims, *, exact: bool = False) -> list[Array]:
    """The returned arrays of `function` for positional arguments, with every symbol bound by `dims`."""
    block = function.body.block
    values: dict[SSAValue, Array] = {}
    for argument, array in zip(block.args, arguments, strict=True):
        is_float = dtypes.is_float(shaped_type(argument).element_type)
        values[argument] = array.astype(np.float64) if exact and is_float else array
    # An array is dropped after its last reader, so that a large model needs no more than its live values.
    left: dict[SSAValue, int] = {value: len(list(value.uses)) for value in block.args}
    for op in block.ops:
        if isinstance(op, ReturnOp):
            return [values[value] for value in op.arguments]
        results = evaluate(op, dims, *(values[value] for value in op.operands))
        for result, array in zip(op.results, results, strict=True):
            is_float = dtypes.is_float(shaped_type(result).element_type)
            values[result] = array.astype(np.float64) if exact and is_float else array
            left[result] = len(list(result.uses))
        for value in op.operands:
            left[value] -= 1
            if not left[value]:
                values.pop(value, None)
    raise AssertionError("a function ends with func.return")


def signature(function: FuncOp) -> list[tuple[str, str, SSAValue]]:
    """(kind, name, argument) for each argument; kind is input, param, state or dim_input."""
    found: list[tuple[str, str, SSAValue]] = []
    for argument, attributes in zip(function.body.block.args, _dictionaries(function.arg_attrs, len(function.body.block.args))):
        kind, name = _role(attributes, KINDS)
        found.append((kind, name, argument))
    return found


def result_names(function: FuncOp) -> list[tuple[str, str]]:
    """(kind, name) for each result; kind is output, state, or param for the results of `@prepare`."""
    count = len(function.function_type.outputs.data)
    return [_role(attributes, ("output", "state", "param")) for attributes in _dictionaries(function.res_attrs, count)]


def _dictionaries(attributes: ArrayAttr[DictionaryAttr] | None, count: int) -> list[Mapping[str, Attribute]]:
    return [entry.data for entry in attributes.data] if attributes is not None else [{}] * count


def _role(attributes: Mapping[str, Attribute], kinds: tuple[str, ...]) -> tuple[str, str]:
    for kind in kinds:
        name = attributes.get(f"rlx.{kind}")
        if isinstance(name, StringAttr):
            return kind, name.data
    raise BindError(f"an argument or result has none of {', '.join(f'rlx.{kind}' for kind in kinds)}")


def _check_names(given: set[str], wanted: set[str]) -> None:
    if missing := sorted(wanted - given):
        raise BindError(f"missing argument(s): {', '.join(missing)}")
    if extra := sorted(given - wanted):
        raise BindError(f"unknown argument(s): {', '.join(extra)}", hint=f"there are {', '.join(sorted(wanted))}")


def _collect(function: FuncOp, given: Mapping[str, Array]) -> list[Array]:
    """The positional arguments of `function`, of the right dtype and rank."""
    values: list[Array] = []
    for kind, name, argument in signature(function):
        wanted, array = shaped_type(argument), given[name]
        dtype = numpy_dtype(wanted.element_type)
        if kind == "dim_input":
            array = array.astype(np.int64)
        # Exact runs pass states and derived params on as float64.
        elif array.dtype != dtype and not (dtypes.is_float(wanted.element_type) and array.dtype == np.float64):
            raise BindError(f"{kind} '{name}' is {array.dtype}; {dtype} is needed")
        if array.ndim != wanted.rank:
            raise BindError(f"{kind} '{name}' has {array.ndim} axes; {wanted.rank} are needed ({wanted})")
        values.append(array)
    return values


def _bind(function: FuncOp, values: list[Array], dims: Mapping[str, int] | None) -> dict[str, int]:
    """The values of all symbols: from `dims`, from dim inputs, and solved from the extents of the arguments."""
    env = dict(dims or {})
    shapes = []
    arguments = signature(function)
    for index, ((kind, name, argument), array) in enumerate(zip(arguments, values, strict=True)):
        if kind == "dim_input":
            env[name] = int(array)
        shapes += [(index, axis, dim) for axis, dim in enumerate(shaped_type(argument).dims)]
    extents = {(index, axis): values[index].shape[axis] for index, axis, _ in shapes}
    wanted = {dim.symbol.data for dim in declared_dims(function)}
    try:
        solution = solve_symbols(shapes, frozenset(env), wanted)
    except SolveError as error:
        raise ShapeError(str(error), hint=f"pass dims={{'{error.symbol}': …}}") from None
    for step in solution.steps:
        env[step.dim] = step.expr.evaluate({**env, EXTENT: extents[step.input, step.axis]})
    for index, axis, dim in shapes:
        if dim.evaluate(env) != extents[index, axis]:
            kind, name, argument = arguments[index]
            raise ShapeError(
                f"{kind} '{name}' has {extents[index, axis]} on axis {axis}; {dim} is {dim.evaluate(env)} there"
                f" ({cast(Any, argument.type)})"
            )
    _check_facts(function, env)
    return env


def _check_facts(function: FuncOp, env: Dims) -> None:
    facts = facts_of(function)
    for name, symbol in facts.symbols.items():
        if name in env and not (symbol.lower <= env[name] <= symbol.upper and env[name] % symbol.multiple_of == 0):
            multiple = f" and a multiple of {symbol.multiple_of}" if symbol.multiple_of > 1 else ""
            raise ShapeError(f"{name} is {env[name]}; it must be in [{symbol.lower}, {symbol.upper}]{multiple}")
    for relation, pairs in (("==", facts.equalities), ("<=", facts.inequalities)):
        for a, b in pairs:
            left, right = a.evaluate(env), b.evaluate(env)
            if not (left == right if relation == "==" else left <= right):
                raise ShapeError(f"{a} {relation} {b} does not hold: {left} and {right}")
