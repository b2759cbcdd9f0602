"""Convolution, pooling, padding and resizing against loops over every output element."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest

from tests.ops.harness import check, floats, integers

SIZES = [{"B": 1, "H": 9}, {"B": 3, "H": 12}, {"B": 2, "H": 17}]


def windows(shape, k, strides, padding, dilation):
    """(output place, kernel place, input place) wherever the input place exists; and the output's extents."""
    pairs = list(zip(padding[::2], padding[1::2], strict=True))
    out = [(d + a + b - (n - 1) * e - 1) // s + 1 for d, (a, b), n, s, e in zip(shape, pairs, k, strides, dilation)]
    found = []
    for p in product(*map(range, out)):
        for r in product(*map(range, k)):
            at = tuple(a * s + b * e - before for a, b, s, e, (before, _) in zip(p, r, strides, dilation, pairs))
            if all(0 <= a < d for a, d in zip(at, shape)):
                found.append((p, r, at))
    return found, out


def text(values):
    return f"[{', '.join(map(str, values))}]"


@pytest.mark.parametrize(
    ("rank", "k", "strides", "padding", "dilation", "groups"),
    [
        (1, (3,), (1,), (0, 0), (1,), 1),
        (1, (3,), (2,), (2, 1), (2,), 2),
        (2, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
        (2, (3, 2), (2, 1), (1, 0, 0, 2), (1, 2), 4),
        (2, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1),
        (3, (2, 2, 2), (2, 1, 2), (0, 1, 1, 0, 0, 0), (1, 1, 1), 1),
    ],
)
def test_conv(rank, k, strides, padding, dilation, groups) -> None:
    channels, results = 4, 8
    shape = ("H", "7", "5")[:rank]

    def oracle(x, w):
        found, out = windows(x.shape[2:], k, strides, padding, dilation)
        y = np.zeros((x.shape[0], results, *out))
        share, each = channels // groups, results // groups
        for p, r, at in found:
            for o in range(results):
                first = o // each * share
                y[(slice(None), o, *p)] += x[(slice(None), slice(first, first + share), *at)] @ w[(o, slice(None), *r)]
        return y

    out = [f"((H + {sum(padding[:2])} - {(k[0] - 1) * dilation[0] + 1}) floordiv {strides[0]} + 1)"]
    fixed = {"7": 7, "5": 5}
    out += [
        str((fixed[d] + a + b - (n - 1) * e - 1) // s + 1)
        for d, a, b, n, e, s in zip(shape[1:], padding[2::2], padding[3::2], k[1:], dilation[1:], strides[1:])
    ]
    line = (f"mir.conv %x0, %x1(strides = {text(strides)}, padding = {text(padding)}, dilation = {text(dilation)}, "
            f"groups = {groups})")  # fmt: skip
    weights = f"{results} x {channels // groups} x {' x '.join(map(str, k))} x f32"
    check(line, [f"B x {channels} x {' x '.join(shape)} x f32", weights], [f"B x {results} x {' x '.join(out)} x f32"], oracle,
          lambda g, d: [floats(g, (d["B"], channels, *({**fixed, **d}[s] for s in shape))),
                        floats(g, (results, channels // groups, *k))], dims="BH", sizes=SIZES, tolerance=1e-5)  # fmt: skip


def test_conv_of_integers() -> None:
    def oracle(x, w):
        found, out = windows(x.shape[2:], (3,), (1,), (1, 1), (1,))
        y = np.zeros((2, 4, *out), np.int64)
        for p, r, at in found:
            y[:, :, p[0]] += x[:, :, at[0]].astype(np.int64) @ w[:, :, r[0]].T.astype(np.int64)
        return y.astype(np.int32)

    check("mir.conv %x0, %x1(strides = [1], padding = [1, 1], dilation = [1], groups = 1)", ["2 x 3 x 9 x i32", "4 x 3 x 3 x i32"],
          ["2 x 4 x 9 x i32"], oracle, lambda g, d: [integers(g, (2, 3, 9), -9, 9, "i32"), integers(g, (4, 3, 3), -9, 9, "i32")])  # fmt: skip


@pytest.mark.parametrize(
    ("k", "strides", "padding", "dilation", "groups", "extra"),
    [
        ((3,), (1,), (0, 0), (1,), 1, (0,)),
        ((3,), (2,), (1, 1), (1,), 2, (1,)),
        ((2,), (3,), (0, 1), (2,), 1, (2,)),
        ((3, 2), (2, 1), (1, 0, 0, 1), (1, 2), 2, (1, 0)),
    ],
)
def test_conv_transpose(k, strides, padding, dilation, groups, extra) -> None:
    channels, results, rank = 4, 6, len(k)
    shape = ("H", "5")[:rank]
    pairs = list(zip(padding[::2], padding[1::2], strict=True))

    def oracle(x, w):
        out = [(d - 1) * s + (n - 1) * e + 1 + m - a - b
               for d, n, s, (a, b), e, m in zip(x.shape[2:], k, strides, pairs, dilation, extra)]  # fmt: skip
        y = np.zeros((x.shape[0], results, *out))
        share, each = channels // groups, results // groups
        for p in product(*map(range, x.shape[2:])):
            for r in product(*map(range, k)):
                at = tuple(a * s + b * e - before for a, b, s, e, (before, _) in zip(p, r, strides, dilation, pairs))
                if all(0 <= a < d for a, d in zip(at, out)):
                    for c in range(channels):
                        first = c // share * each
                        y[(slice(None), slice(first, first + each), *at)] += np.outer(x[(slice(None), c, *p)], w[(c, slice(None), *r)])
        return y

    def length(d, n, s, pair, e, m):
        rest = (n - 1) * e + 1 + m - sum(pair)
        return f"(({d} - 1) * {s} + {rest})" if d == "H" else str((int(d) - 1) * s + rest)

    out = [length(*given) for given in zip(shape, k, strides, pairs, dilation, extra)]
    line = (f"mir.conv_transpose %x0, %x1(strides = {text(strides)}, padding = {text(padding)}, dilation = {text(dilation)}, "
            f"groups = {groups}, extra = {text(extra)})")  # fmt: skip
    weights = f"{channels} x {results // groups} x {' x '.join(map(str, k))} x f32"
    check(line, [f"B x {channels} x {' x '.join(shape)} x f32", weights], [f"B x {results} x {' x '.join(out)} x f32"], oracle,
          lambda g, d: [floats(g, (d["B"], channels, *(d.get(s, 5) for s in shape))), floats(g, (channels, results // groups, *k))],
          dims="BH", sizes=[{"B": 2, "H": 2}, {"B": 1, "H": 9}], tolerance=1e-5)  # fmt: skip


@pytest.mark.parametrize("kind", ["max_pool", "avg_pool", "avg_pool with padding"])
@pytest.mark.parametrize(
    ("k", "strides", "padding", "dilation"),
    [((3,), (2,), (1, 1), (1,)), ((2,), (2,), (0, 0), (1,)), ((3, 2), (2, 1), (1, 2, 1, 0), (2, 1))],
)
def test_pool(kind, k, strides, padding, dilation) -> None:
    shape = ("H", "6")[: len(k)]
    flag = ", count_padding" if kind.endswith("with padding") else ""

    def oracle(x):
        found, out = windows(x.shape[2:], k, strides, padding, dilation)
        cells: dict = {}
        for p, _, at in found:
            cells.setdefault(p, []).append(x[(slice(None), slice(None), *at)])
        y = np.zeros((*x.shape[:2], *out))
        for p, values in cells.items():
            whole = prod(k) if flag else len(values)
            y[(slice(None), slice(None), *p)] = np.max(values, 0) if kind == "max_pool" else np.sum(values, 0) / whole
        return y

    out = [f"((H + {sum(padding[:2])} - {(k[0] - 1) * dilation[0] + 1}) floordiv {strides[0]} + 1)"]
    if len(k) == 2:
        out.append(str((6 + sum(padding[2:]) - (k[1] - 1) * dilation[1] - 1) // strides[1] + 1))
    line = (f"mir.{kind.split()[0]} %x0(window = {text(k)}, strides = {text(strides)}, padding = {text(padding)}, "
            f"dilation = {text(dilation)}{flag})")  # fmt: skip
    check(line, [f"B x 3 x {' x '.join(shape)} x f32"], [f"B x 3 x {' x '.join(out)} x f32"], oracle,
          lambda g, d: [floats(g, (d["B"], 3, *(d.get(s, 6) for s in shape)))], dims="BH", sizes=SIZES)  # fmt: skip


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
@pytest.mark.parametrize("dtype", ["f32", "i32"])
def test_pad(mode: str, dtype: str) -> None:
    def make(g, d):
        return [floats(g, (d["B"], 7)) if dtype == "f32" else integers(g, (d["B"], 7), -9, 9, "i32")]

    given = {"constant_values": 2} if mode == "constant" else {}
    check(f"mir.pad %x0(low = [1, 3], high = [2, 0], mode = {mode}, value = 2.0)", [f"B x 7 x {dtype}"], [f"(B + 3) x 10 x {dtype}"],
          lambda x: np.pad(x, [(1, 2), (3, 0)], mode=mode, **given), make,  # pyright: ignore[reportArgumentType, reportCallIssue]
          dims="B", sizes=[{"B": 3}, {"B": 17}])  # fmt: skip


@pytest.mark.parametrize("scale", [(2, 2), (3, 1)])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize(scale, mode) -> None:
    def along(x, axis, factor):
        out = []
        for p in range(x.shape[axis] * factor):
            if mode == "nearest":
                out.append(np.take(x, p // factor, axis))
                continue
            center = min(max((p + 0.5) / factor - 0.5, 0.0), x.shape[axis] - 1.0)
            low = int(center)
            high = min(low + 1, x.shape[axis] - 1)
            out.append(np.take(x, low, axis) * (1 - (center - low)) + np.take(x, high, axis) * (center - low))
        return np.stack(out, axis)

    check(f"mir.resize %x0(scale = {text(scale)}, mode = {mode})", ["B x 3 x H x 5 x f32"],
          [f"B x 3 x (H * {scale[0]}) x {5 * scale[1]} x f32"], lambda x: along(along(x, 2, scale[0]), 3, scale[1]),
          lambda g, d: [floats(g, (d["B"], 3, d["H"], 5))], dims="BH", sizes=[{"B": 1, "H": 1}, {"B": 3, "H": 6}])  # fmt: skip
