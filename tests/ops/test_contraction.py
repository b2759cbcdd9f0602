"""Products over any axes, of experts and with low-rank changes, against einsum in float64."""

from __future__ import annotations

import numpy as np
import pytest

import rlx
from rlx_runtime.errors import RuntimeFault
from tests.ops.harness import check, floats, integers, model_of

SIZES = [{"B": 1, "S": 1}, {"B": 3, "S": 17}, {"B": 2, "S": 33}]


@pytest.mark.parametrize(
    ("lhs", "rhs", "contracting", "batch", "result", "letters"),
    [
        ("B x S x 8", "8 x B x 5", ([2], [0]), ([0], [1]), "B x S x 5", "bsk,kbn->bsn"),
        ("S x 4", "6 x 4 x B", ([1], [1]), ([], []), "S x 6 x B", "sk,nkb->snb"),
        ("4 x S x 3", "3 x B x 4", ([0, 2], [2, 0]), ([], []), "S x B", "ksj,jbk->sb"),
        ("B x 2 x S x 7", "2 x 7 x B x S", ([3], [1]), ([1, 0], [0, 2]), "2 x B x S x S", "bhsk,hkbt->hbst"),
        ("S", "B", ([], []), ([], []), "S x B", "s,b->sb"),
        ("5", "5", ([0], [0]), ([], []), "", "k,k->"),
    ],
)
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_dot_general(lhs, rhs, contracting, batch, result, letters, dtype) -> None:
    def shape(text, d):
        return [d[part] if part.isalpha() else int(part) for part in text.split(" x ")]

    line = (f"mir.dot_general %x0, %x1(lhs_contracting = {contracting[0]}, rhs_contracting = {contracting[1]}, "
            f"lhs_batch = {batch[0]}, rhs_batch = {batch[1]})")  # fmt: skip
    kind = f" x {dtype}"
    check(line, [lhs + kind, rhs + kind], [result + kind if result else dtype], lambda a, b: np.einsum(letters, a, b),
          lambda r, d: [floats(r, shape(lhs, d), dtype), floats(r, shape(rhs, d), dtype)],
          dims=[name for name in "BS" if name in lhs + rhs], sizes=SIZES, tolerance={"f32": 3e-6, "bf16": 1.6e-2}[dtype])  # fmt: skip


def test_grouped_matmul() -> None:
    check("mir.grouped_matmul %x0, %x1, %x2", ["S x 8 x f32", "4 x 8 x 5 x f32", "S x i32"], ["S x 5 x f32"],
          lambda x, w, i: np.stack([row @ w[e] for row, e in zip(x, i, strict=True)]),
          lambda r, d: [floats(r, (d["S"], 8)), floats(r, (4, 8, 5)), integers(r, (d["S"],), 0, 4, "i32")], dims="S",
          sizes=[{"S": 1}, {"S": 17}], tolerance=1e-5)  # fmt: skip


@pytest.mark.parametrize("target", ["numpy", "cpu"])
def test_an_expert_that_there_is_not_is_a_fault(target: str) -> None:
    model = model_of("mir.grouped_matmul %x0, %x1, %x2", ["3 x 2 x f32", "4 x 2 x 5 x f32", "3 x i64"], ["3 x 5 x f32"])
    with pytest.raises(RuntimeFault, match="4"):
        rlx.compile(model, target)(np.ones((3, 2), "f4"), np.ones((4, 2, 5), "f4"), np.array([0, 4, 1]))


def test_lora_matmul() -> None:
    check("mir.lora_matmul %x0, %x1, %x2, %x3(scale = 0.5)", ["B x S x 16 x f32", "16 x 9 x f32", "16 x 2 x f32", "2 x 9 x f32"],
          ["B x S x 9 x f32"], lambda x, w, a, b: x @ w + 0.5 * (x @ a @ b),
          lambda r, d: [floats(r, (d["B"], d["S"], 16)), floats(r, (16, 9)), floats(r, (16, 2)), floats(r, (2, 9))], dims="BS",
          sizes=SIZES, tolerance=1e-5)  # fmt: skip


def normalized(x, axes, eps):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("places", ["", " x 5"])
@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_group_norm(groups: int, places: str, dtype: str) -> None:
    def oracle(x, g, b):
        y = normalized(x.reshape(x.shape[0], groups, -1), -1, 1e-5).reshape(x.shape)
        shape = (6, *[1] * (x.ndim - 2))
        return y * g.reshape(shape) + b.reshape(shape)

    kinds = [f"B x 6 x S{places} x {dtype}", f"6 x {dtype}", f"6 x {dtype}"]
    check(f"mir.group_norm %x0, %x1, %x2(groups = {groups}, eps = 1.0e-05)", kinds, kinds[:1], oracle,
          lambda r, d: [floats(r, (d["B"], 6, d["S"], *([5] if places else [])), dtype), floats(r, (6,), dtype), floats(r, (6,), dtype)],
          dims="BS", sizes=SIZES[1:], tolerance={"f32": 1e-5, "f16": 4e-3}[dtype])  # fmt: skip


def test_channel_norm() -> None:
    def oracle(x, g, b):
        return normalized(x, 1, 1e-6) * g.reshape(6, 1, 1) + b.reshape(6, 1, 1)

    kinds = ["B x 6 x S x 5 x f32", "6 x f32", "6 x f32"]
    check("mir.channel_norm %x0, %x1, %x2(eps = 1.0e-06)", kinds, kinds[:1], oracle,
          lambda r, d: [floats(r, (d["B"], 6, d["S"], 5)), floats(r, (6,)), floats(r, (6,))], dims="BS", sizes=SIZES,
          tolerance=1e-5)  # fmt: skip


def test_batch_norm() -> None:
    def oracle(x, g, b, m, v):
        g, b, m, v = (t.reshape(6, 1) for t in (g, b, m, v))
        return (x - m) / np.sqrt(v + 1e-5) * g + b

    check("mir.batch_norm %x0, %x1, %x2, %x3, %x4(eps = 1.0e-05)", ["B x 6 x S x f32", *["6 x f32"] * 4], ["B x 6 x S x f32"],
          oracle, lambda r, d: [floats(r, (d["B"], 6, d["S"])), *(floats(r, (6,)) for _ in range(3)), np.abs(floats(r, (6,)))],
          dims="BS", sizes=SIZES, tolerance=1e-5)  # fmt: skip
