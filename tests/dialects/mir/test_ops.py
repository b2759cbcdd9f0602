"""What MIR ops offer in Python beyond their text: construction, inference, open inequalities, constants."""

from __future__ import annotations

import pytest
from xdsl.dialects.builtin import ArrayAttr, FunctionType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region
from xdsl.utils.exceptions import VerifyException

from rlx_dialects import mir
from rlx_dialects.dims import sym
from rlx_dialects.dims.facts import SymbolFacts
from rlx_dialects.mir.constant import pack, unpack
from rlx_dialects.mir.shapes import Need
from rlx_dialects.rlx import DimAttr, dtypes, state, tensor
from rlx_dialects.rlx.symbols import DIMS

B, S, P = sym("B"), sym("S"), sym("P")


def argument(t: object) -> object:
    return Block(arg_types=[t]).args[0]  # pyright: ignore[reportArgumentType]


def test_construction_infers_and_refuses_contradictions_only() -> None:
    x, w = argument(tensor((B, S), "f32")), argument(tensor((4, 8), "f32"))
    op = mir.MatmulOp(x, w)  # S == 4 is open; the verifier decides
    assert op.result.type == tensor((B, 8), "f32")
    with pytest.raises(VerifyException, match="cannot prove S == 4"):
        op.verify()
    with pytest.raises(VerifyException, match="16 and 4 differ"):
        mir.MatmulOp(argument(tensor((2, 16), "f32")), w)


def test_broadcast_drops_axes_that_align_on_the_right() -> None:
    x = argument(tensor((S,), "f32"))
    assert mir.BroadcastOp(x, (B, S), axes=(1,)).axes is None
    assert mir.BroadcastOp(x, (S, 8), axes=(0,)).result_axes == (0,)


@pytest.mark.parametrize(("room", "needs"), [(128, []), (100, [(P + S, 100, "end of the update and room of the state")])])
def test_open_inequalities_are_needs(room: int, needs: list[tuple[object, ...]]) -> None:
    cache, new = state((room, 8), "f32"), tensor((S, 8), "f32")
    block = Block(arg_types=[cache, new])
    op = mir.CacheUpdateOp(*block.args, at=P, axis=0)
    block.add_ops([op, ReturnOp()])
    function = FuncOp("main", FunctionType.from_lists([cache, new], []), Region(block))
    function.attributes[DIMS] = ArrayAttr([DimAttr.get(SymbolFacts("S", 1, 64)), DimAttr.get(SymbolFacts("P", 0, 64))])
    function.verify()
    assert [(n.lhs, n.rhs, n.what) for n in op.needs()] == needs
    assert all(isinstance(n, Need) for n in op.needs())


def test_constants_keep_one_element_of_many_equal_ones() -> None:
    assert len(mir.ConstantOp.of([[2.0] * 3] * 2, "f32").value.data) == 4
    assert mir.ConstantOp.of([0.0, -0.0], "f32").elements() == [0.0, -0.0]
    assert len(mir.ConstantOp.of([0.0, -0.0], "f32").value.data) == 8
    with pytest.raises(ValueError, match="rectangular"):
        mir.ConstantOp.of([[1.0], [1.0, 2.0]], "f32")
    with pytest.raises(VerifyException, match="at most 65536 bytes"):
        mir.ConstantOp(bytes(range(256)) * 512, tensor((1 << 15,), "f32"))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("f64", [0.1, -1e300]), ("f32", [0.5, -3.0]), ("f16", [65504.0, 2**-24]), ("bf16", [1.0, -2.0**-100]),
        ("f8e4m3fn", [448.0, 0.001953125]), ("f8e5m2", [57344.0, -0.25]), ("i64", [-(2**63), 2**63 - 1]), ("i32", [-1, 7]),
        ("i4", [-8, 7]), ("u64", [2**64 - 1, 0]), ("u8", [255, 1]), ("bool", [True, False]),
    ],
)  # fmt: skip
def test_packing_round_trips(dtype: str, values: list[float]) -> None:
    element_type = dtypes.dtype(dtype)
    assert unpack(pack(values, element_type), element_type) == values
