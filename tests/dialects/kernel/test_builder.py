"""KernelBuilder makes verified functions; `lift` turns scalar regions into vector ops."""

from __future__ import annotations

import pytest
from xdsl.dialects import arith, math, test
from xdsl.dialects.builtin import IndexType, ModuleOp, f32, i1, i32
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import sym
from rlx_dialects.kernel import ptr
from rlx_dialects.kernel.builder import KernelBuilder
from rlx_dialects.kernel.functions import FuncOp
from rlx_dialects.kernel.lift import lift
from rlx_dialects.kernel.types import INDEX, vector


def values(*types: Attribute) -> list[SSAValue]:
    return list(test.TestOp(result_types=types).results)


def test_builder_makes_a_loop_with_carried_values() -> None:
    func = FuncOp("dot", [ptr(f32), INDEX], [f32])
    x, n = func.body.block.args
    b = KernelBuilder(func)

    def body(i: SSAValue, acc: SSAValue) -> list[SSAValue]:
        v = b.load(x, i, (16,))
        return [b.fma(v, v, acc)]

    (total,) = b.loop(0, n, 16, body, [b.splat(0.0, f32, (16,))])
    b.end(b.reduce("add", total))
    ModuleOp([func]).verify()
    assert [op.name for op in func.body.block.ops] == [
        "arith.constant", "arith.constant", "arith.constant", "kernel.broadcast", "scf.for", "kernel.reduce", "kernel.return",
    ]  # fmt: skip


def test_index_arithmetic_on_constants_folds() -> None:
    func = FuncOp("f", [INDEX])
    (n,) = func.body.block.args
    b = KernelBuilder(func)
    assert b.known(b.add(b.mul(3, 4), 5)) == 17
    assert b.mul(n, 1) is n
    assert b.add(n, 0) is n
    assert b.known(b.mul(n, 0)) == 0
    assert b.known(b.apply(sym("i") * 4 + sym("j"), {"i": 2, "j": 3})) == 11
    assert b.apply(sym("i") * sym("j"), {"i": n, "j": 1}) is n
    assert b.constant(0.0, f32) is not b.constant(-0.0, f32)


@pytest.mark.parametrize(
    ("op", "operands", "expected"),
    [
        (arith.CmpfOp(*values(f32, f32), "olt"), values(vector(f32, (8,)), f32), ["kernel.broadcast", "kernel.cmp"]),
        (arith.CmpiOp(*values(i32, i32), "ult"), values(vector(i32, (8,)), vector(i32, (8,))), ["kernel.cmp"]),
        (arith.SelectOp(*values(i1, f32, f32)), values(vector(i1, (8,)), f32, f32), ["kernel.broadcast"] * 2 + ["kernel.select"]),
        (arith.SIToFPOp(*values(i32), f32), values(vector(i32, (8,))), ["kernel.cast"]),
        (arith.IndexCastOp(*values(i32), IndexType()), values(vector(i32, (8,))), ["kernel.cast"]),
        (math.ExpOp(*values(f32)), values(vector(f32, (8, 4))), ["math.exp"]),
        (arith.AddfOp(*values(f32, f32)), values(f32, f32), ["arith.addf"]),
        (arith.CmpfOp(*values(f32, f32), "olt"), values(f32, f32), ["arith.cmpf"]),
    ],
)  # fmt: skip
def test_lift(op: Operation, operands: list[SSAValue], expected: list[str]) -> None:
    made = lift(op, operands)
    assert [each.name for each in made] == expected
    for each in made:
        each.verify()


def test_lift_refuses_different_shapes() -> None:
    with pytest.raises(VerifyException, match="different shapes"):
        lift(arith.AddfOp(*values(f32, f32)), values(vector(f32, (8,)), vector(f32, (4,))))
