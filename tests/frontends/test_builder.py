"""ModelBuilder: signatures, inferred shapes, errors at the caller's line, text that parses back."""

import inspect

import numpy as np
import pytest

import rlx
from rlx_backends.numpy.hir_executor import execute

B, S, T = rlx.Dim("B", 1, 64), rlx.Dim("S", 1, 512), rlx.Dim("T", 1, 512)


def ffn(policy="direct"):
    b = rlx.ModelBuilder("ffn", policy=policy)
    x = b.input("x", (B, S, 8), "f32")
    up, gate, down = (b.param(n, s, "f32") for n, s in (("up", (8, 12)), ("gate", (8, 12)), ("down", (12, 8))))
    b.output("y", b.swiglu_ffn(x, up, gate, down))
    return b.build()


def here() -> int:
    """The line of the caller."""
    return inspect.currentframe().f_back.f_lineno


class TestModel:
    def test_signature(self):
        model = ffn()
        assert model.name == "ffn"
        assert model.level == "hir"
        assert model.inputs.names == ("x",)
        assert model.params.names == ("up", "gate", "down")
        assert model.outputs["y"].dtype == "f32"
        assert str(model.outputs["y"]) == "y: f32[B, S, 8]"
        assert [(d.name, d.lower, d.upper) for d in model.dims] == [("B", 1, 64), ("S", 1, 512)]
        assert "x" in model.inputs
        assert "z" not in model.inputs
        with pytest.raises(KeyError, match="no 'z'; there are x"):
            model.inputs["z"]

    @pytest.mark.parametrize("policy", ["direct", "fusable"])
    def test_text_parses_back(self, policy):
        model = ffn(policy)
        again = rlx.parse(model.as_text())
        assert again.as_text() == model.as_text()
        assert again.name == "ffn"
        assert again.params.names == model.params.names

    def test_text(self):
        assert ffn().as_text() == (
            'builtin.module @ffn {\n'
            '  func.func @main(%x: !rlx.tensor<B x S x 8 x f32> {rlx.input = "x"}, %up: !rlx.tensor<8 x 12 x f32> {rlx.param = "up"}'
            ', %gate: !rlx.tensor<8 x 12 x f32> {rlx.param = "gate"}, %down: !rlx.tensor<12 x 8 x f32> {rlx.param = "down"})'
            ' -> (!rlx.tensor<B x S x 8 x f32> {rlx.output = "y"})'
            " attributes {rlx.dims = [#rlx.dim<B in [1, 64]>, #rlx.dim<S in [1, 512]>]} {\n"
            "    %swiglu_ffn = hir.swiglu_ffn %x, %up, %gate, %down : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 12 x f32>,"
            " !rlx.tensor<8 x 12 x f32>, !rlx.tensor<12 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>\n"
            "    func.return %swiglu_ffn : !rlx.tensor<B x S x 8 x f32>\n"
            "  }\n"
            "}\n"
        )

    def test_runs(self):
        rng = np.random.default_rng(0)
        shapes = {"x": (3, 5, 8), "up": (8, 12), "gate": (8, 12), "down": (12, 8)}
        a = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        d = {name: value.astype(np.float64) for name, value in a.items()}
        g = d["x"] @ d["gate"]
        wanted = (g / (1 + np.exp(-g)) * (d["x"] @ d["up"])) @ d["down"]
        np.testing.assert_allclose(execute(ffn().module, a, exact=True).outputs["y"], wanted, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(execute(ffn().module, a).outputs["y"], wanted, rtol=2e-5, atol=2e-5)

    def test_operators_and_constants(self):
        b = rlx.ModelBuilder("m")
        x = b.input("x", (B, 4))
        y = (2.0 - x * 3.0) / (1.0 + b.exp(-x)) @ b.constant(np.eye(4, dtype=np.float32))
        b.output("y", y + b.mean(x, axis=-1, keepdims=True))
        a = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
        d = a.astype(np.float64)
        wanted = (2 - d * 3) / (1 + np.exp(-d)) + d.mean(-1, keepdims=True)
        found = execute(b.build().module, {"x": a}).outputs["y"]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)

    def test_state(self):
        b = rlx.ModelBuilder("cache")
        P = b.dim_input("P", 0, 16, runtime=True)
        new = b.input("new", (B, S, 8))
        k = b.state("k0", (B, 2, 16, 4))
        b.constrain(P + S <= 16)
        k1 = b.cache_update(k, new, at=P)
        b.output("y", b.attention(new, k1, k1, heads=2, mask="causal", past=P))
        model = b.build()
        assert model.states.names == ("k0",)
        assert model.dim_inputs == ("P",)
        assert model.dims["P"].runtime
        text = model.as_text()
        assert "rlx.constraints = [#rlx.constraint<P + S <= 16>]" in text
        assert '{rlx.state = "k0"})' in text
        assert rlx.parse(text).as_text() == text
        rng = np.random.default_rng(2)
        state = rng.standard_normal((3, 2, 16, 4)).astype(np.float32)
        rows = rng.standard_normal((3, 5, 8)).astype(np.float32)
        left = execute(model.module, {"new": rows, "k0": state, "P": 7}).states["k0"]
        np.testing.assert_array_equal(left[:, :, 7:12], rows.reshape(3, 5, 2, 4).transpose(0, 2, 1, 3))
        np.testing.assert_array_equal(np.delete(left, range(7, 12), 2), np.delete(state, range(7, 12), 2))
        with pytest.raises(rlx.ShapeError, match="P \\+ S <= 16 does not hold: 17 and 16"):
            execute(model.module, {"new": rows, "k0": state, "P": 12})


class TestDims:
    def test_arithmetic(self):
        assert str(B * S + 1) == "B * S + 1"
        assert str((S + 1) // 2) == "(S + 1) floordiv 2"
        assert str(S.ceildiv(8) * 8) == "((S + 7) floordiv 8) * 8"
        assert str(7 - S % 4) == "-(S mod 4) + 7"

    def test_constraints(self):
        assert str(S == T) == "S == T"
        assert str(S < T) == "S + 1 <= T"
        assert str(S >= 3) == "3 <= S"
        assert bool(S + 1 == S + 1)
        assert not bool(S + 1 == S)
        with pytest.raises(TypeError, match=r"state it with b.constrain\(S == T\)"):
            bool(S == T)

    def test_empty_range(self):
        with pytest.raises(rlx.ShapeError, match=r"no multiple of 8 lies in \[1, 7\]"):
            rlx.Dim("X", 1, 7, multiple_of=8)

    def test_two_declarations(self):
        b = rlx.ModelBuilder("m")
        b.input("x", (B,))
        with pytest.raises(rlx.ShapeError, match=r"dim 'B' is declared as \[1, 64\] and as \[1, 8\]"):
            b.input("y", (rlx.Dim("B", 1, 8),))


class TestErrors:
    def test_location_is_the_call(self):
        b = rlx.ModelBuilder("m")
        x, w = b.input("x", (B, 8)), b.param("w", (4, 2))
        with pytest.raises(rlx.ShapeError) as caught:
            b.linear(x, w)
        assert caught.value.location.file == __file__
        assert caught.value.location.line == here() - 2
        assert caught.value.location.column == 13
        assert caught.value.message == "hir.linear: the last axis of x and the rows of w differ: 8 and 4"

    def test_hint_names_the_constraint(self):
        b = rlx.ModelBuilder("m")
        x, y = b.input("x", (B, S)), b.input("y", (B, T))
        with pytest.raises(rlx.ShapeError) as caught:
            b.add(x, y)
        assert caught.value.hint == "b.constrain(S == T)"
        b.constrain(S == T)
        assert str(b.add(x, y).shape[1]) == "S"

    def test_ops_keep_the_line(self):
        b = rlx.ModelBuilder("m")
        x = b.input("x", (B, S))
        y = b.exp(x)
        assert y.ssa.owner.location.line.data == here() - 1
        assert y.ssa.owner.location.filename.data == __file__

    def test_failed_op_leaves_no_use(self):
        b = rlx.ModelBuilder("m")
        x, w = b.input("x", (B, 8)), b.param("w", (4, 2))
        with pytest.raises(rlx.ShapeError):
            b.linear(x, w)
        assert not x.ssa.uses

    @pytest.mark.parametrize(
        ("action", "message"),
        [
            (lambda b, x: b.input("x", (B,)), "the name 'x' is taken"),
            (lambda b, x: b.input("z", (B,), "float32"), "unknown dtype 'float32'"),
            (lambda b, x: b.output("y", b.exp(x)) or b.output("y", x), "output 'y' is named twice"),
            (lambda b, x: b.build(), "model 'm' has no output"),
            (lambda b, x: b.exp(rlx.ModelBuilder("n").input("x", (B,))), "a value of model 'n' is used in model 'm'"),
            (lambda b, x: b.exp(3), "expected a value of model 'm', found 3"),
            (lambda b, x: rlx.ModelBuilder("m", policy="best"), "policy is 'best'; it must be one of direct, fusable"),
        ],
    )
    def test_misuse(self, action, message):
        b = rlx.ModelBuilder("m")
        x = b.input("x", (B, 8))
        with pytest.raises(rlx.VerifyError) as caught:
            action(b, x)
        assert message in caught.value.message
        assert caught.value.location.file == __file__

    def test_stale_state(self):
        b = rlx.ModelBuilder("m")
        new, k = b.input("new", (B, 1, 8)), b.state("k", (B, 2, 16, 4))
        b.cache_update(k, new, at=0)
        with pytest.raises(rlx.VerifyError, match="state 'k' was updated since"):
            b.cache_update(k, new, at=1)

    def test_contradiction(self):
        b = rlx.ModelBuilder("m")
        b.input("x", (B, S))
        with pytest.raises(rlx.ShapeError):
            b.constrain(S == 600)

    def test_used_up(self):
        b = rlx.ModelBuilder("m")
        b.output("y", b.exp(b.input("x", (B,))))
        b.build()
        with pytest.raises(rlx.VerifyError, match="has built its model already"):
            b.input("z", (B,))

    def test_parse_error_has_a_place(self):
        with pytest.raises(rlx.ParseError) as caught:
            rlx.parse("func.func @main() {\n  %x = hir.nonsense\n}", "m.mlir")
        assert str(caught.value.location) == "m.mlir:2:3"

    def test_signature_is_checked(self):
        with pytest.raises(rlx.VerifyError, match="argument 0 of @main needs exactly one of"):
            rlx.parse("func.func @main(%x: !rlx.tensor<4 x f32>) { func.return }")
