"""Types are equal if and only if their shapes and element types are."""

from rlx_dialects.dims import sym
from rlx_dialects.rlx import StateType, state, tensor


def test_equality():
    a = tensor((sym("B"), 8), "f32")
    assert a == tensor((sym("B"), 8), "f32")
    for other in (tensor((sym("B"), 9), "f32"), tensor((sym("S"), 8), "f32"), tensor((sym("B"), 8), "f16"), tensor((8,), "f32")):
        assert a != other
        assert other not in {a}
    assert state((4, 8), "f32") == StateType(*state((4, 8), "f32").parameters)
    assert state((4, 8), "f32") != state((4, 9), "f32")
    assert state((4, 8), "f32") != tensor((4, 8), "f32")
