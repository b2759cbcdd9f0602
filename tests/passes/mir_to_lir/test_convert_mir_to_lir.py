"""Every MIR op means the same as forms: NumPy runs the ops, the forms, and the fused forms, on odd sizes.

The cases are the functions of the MIR dialect's own tests, so an op without a lowering rule fails here.
"""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp

from rlx_backends.numpy.lir_executor import run_lir
from rlx_backends.numpy.mir_executor import run_mir
from rlx_dialects.rlx import DimAttr, DimExprAttr, ShapeAttr, StateType, TensorType, dtypes
from rlx_dialects.rlx.symbols import DIMS, facts_of
from rlx_passes.lir.lir_fuse_forms import LirFuseFormsPass
from rlx_passes.mir_to_lir.convert_mir_to_lir import ConvertMirToLirPass
from rlx_passes.support.context import make_context
from rlx_passes.support.locations import parse_module
from rlx_passes.support.verify import verify_module

CASES = Path(__file__).parents[2] / "dialects" / "mir"
SIZES = ({"default": 3}, {"default": 17, "B": 1}, {"default": 5, "B": 2, "S": 7, "P": 4})


def functions() -> list[tuple[str, str]]:
    """(id, text of a module with one function) for each function of the round-trip tests."""
    found = []
    for path in sorted(CASES.glob("*.mlir")):
        if path.name.startswith("invalid"):
            continue
        for chunk in path.read_text().split("// -----"):
            module = parse_module(make_context(), chunk, path.name)
            for op in module.ops:
                if isinstance(op, FuncOp):
                    found.append((f"{path.stem}-{op.sym_name.data}", str(op)))
    return found


def as_main(text: str) -> ModuleOp:
    """The function as `@main` that returns everything it computes, with arguments and results marked and symbols declared."""
    module = parse_module(make_context(), text, "case.mlir")
    function = next(op for op in module.ops if isinstance(op, FuncOp))
    function.sym_name = StringAttr("main")
    marks, states = [], {}
    for number, argument in enumerate(function.args):
        kind = "state" if isinstance(argument.type, StateType) else "input"
        marks.append(DictionaryAttr({f"rlx.{kind}": StringAttr(f"a{number}")}))
        if kind == "state":
            states[argument] = argument
    block = function.body.block
    end = block.last_op
    returned, symbols = [], {s for a in function.args for dim in a.type.dims for s in dim.symbols}
    for op in block.ops:
        for attribute in op.properties.values():
            exprs = (
                attribute.data
                if isinstance(attribute, ShapeAttr)
                else [attribute.data]
                if isinstance(attribute, DimExprAttr)
                else []
            )
            symbols |= {s for e in exprs for s in e.symbols}
        for value in op.results:
            symbols |= {s for dim in value.type.dims for s in dim.symbols}
            if isinstance(value.type, StateType):
                for root, current in states.items():
                    if current is op.operands[0]:
                        states[root] = value
            else:
                returned.append(value)
    results = [DictionaryAttr({"rlx.output": StringAttr(f"r{n}")}) for n in range(len(returned))]
    results += [DictionaryAttr({"rlx.state": StringAttr(f"a{root.index}")}) for root in states]
    values = [*returned, *states.values()]
    block.insert_op_before(ReturnOp(*values), end)
    block.erase_op(end)
    function.properties["function_type"] = FunctionType.from_lists([a.type for a in function.args], [v.type for v in values])
    function.properties["arg_attrs"] = ArrayAttr(marks)
    function.properties["res_attrs"] = ArrayAttr(results)
    facts = facts_of(function)
    declared = [facts.symbol(name) for name in sorted(symbols | set(facts.symbols))]
    function.attributes[DIMS] = ArrayAttr(DimAttr.get(f) for f in declared)
    verify_module(module)
    return module


def numpy_dtype(name: str) -> np.dtype:
    special = {
        "bf16": ml_dtypes.bfloat16,
        "f8e4m3fn": ml_dtypes.float8_e4m3fn,
        "f8e5m2": ml_dtypes.float8_e5m2,
        "i4": ml_dtypes.int4,
    }
    plain = {"bool": np.bool_, "f16": np.float16, "f32": np.float32, "f64": np.float64}
    return np.dtype(special.get(name) or plain.get(name) or name.replace("i", "int").replace("u", "uint", 1))


def random_array(rng: np.random.Generator, kind: TensorType, shape: tuple[int, ...], small: bool) -> np.ndarray:
    name = dtypes.dtype_name(kind.element_type)
    if name == "bool":
        return rng.random(shape) < 0.6
    if name.startswith(("i", "u")):
        held = np.int8 if name == "i4" else numpy_dtype(name)  # arrays hold an i4 in a byte
        return rng.integers(0 if small or name[0] == "u" else -7, 3 if small else 8, shape).astype(held)
    return (rng.random(shape) * 2 + 0.1).astype(numpy_dtype(name)) * rng.choice([-1, 1], shape).astype(numpy_dtype(name))


def dims_of(function: FuncOp, sizes: dict[str, int]) -> dict[str, int]:
    facts = facts_of(function)
    chosen = {}
    for name, symbol in facts.symbols.items():
        wanted = sizes.get(name, sizes["default"])
        low, high = symbol.lower, symbol.upper
        step = symbol.multiple_of
        chosen[name] = max(low + -low % step, min(wanted * step, high - high % step))
    return chosen


@pytest.mark.parametrize(("name", "text"), functions(), ids=[name for name, _ in functions()])
def test_forms_compute_what_the_ops_say(name: str, text: str) -> None:
    for seed, sizes in enumerate(SIZES):
        module = as_main(text)
        function = next(op for op in module.ops if isinstance(op, FuncOp))
        dims = dims_of(function, sizes)
        if not facts_of(function).admits(dims):
            continue
        rng = np.random.default_rng(seed)
        arrays = {
            f"a{n}": random_array(rng, a.type, tuple(d.evaluate(dims) for d in a.type.dims), "gather" in text)
            for n, a in enumerate(function.args)
        }
        states = {k: v.copy() for k, v in arrays.items() if isinstance(function.args[int(k[1:])].type, StateType)}
        inputs = {k: v for k, v in arrays.items() if k not in states}
        try:
            wanted = run_mir(module, inputs, dims, None, {k: v.copy() for k, v in states.items()})
        except Exception as error:
            if type(error).__name__ in ("ShapeError", "RuntimeFault"):
                continue
            raise
        ConvertMirToLirPass().apply(make_context(), module)
        verify_module(module)
        compare(wanted, run_lir(module, {**inputs, **states}, dims), name)
        LirFuseFormsPass().apply(make_context(), module)
        verify_module(module)
        compare(wanted, run_lir(module, {**inputs, **states}, dims), name + " fused")


def compare(wanted: dict[str, np.ndarray], found: dict[str, np.ndarray], name: str) -> None:
    assert set(wanted) <= set(found)
    for key, array in wanted.items():
        other = found[key]
        if other.dtype == ml_dtypes.int4:
            other = other.astype(np.int8)
        assert array.shape == other.shape and array.dtype == other.dtype, (name, key, array.dtype, other.dtype)
        if array.dtype.kind in "biu":
            np.testing.assert_array_equal(other, array, err_msg=name)
            continue
        # One rounding of the element type, or a few of f32 where the order of a sum differs.
        tolerance = {"float64": 1e-12, "float32": 2e-6}.get(array.dtype.name, 2 * float(ml_dtypes.finfo(array.dtype).eps))
        np.testing.assert_allclose(
            other.astype(np.float64), array.astype(np.float64), rtol=tolerance, atol=tolerance, err_msg=name
        )
