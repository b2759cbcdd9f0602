"""The methods of `ModelBuilder` that make MIR ops as they are: what they compute stands in the docstrings of `rlx_dialects.mir`.

Axes may be negative. Windows, strides and the like are one number for each spatial axis; `padding` is (before, after) of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlx_dialects import mir
from rlx_frontends.dims import DimLike

if TYPE_CHECKING:
    from rlx_frontends.builder import Value

Pairs = Sequence[tuple[int, int]]


def _flat(padding: Pairs | None, count: int) -> tuple[int, ...]:
    return (0,) * (2 * count) if padding is None else tuple(value for pair in padding for value in pair)


class TensorMethods:
    """Mixed into `ModelBuilder`, which provides `_mir`, `_ssa` and the like."""

    _mir: Any
    _ssa: Any
    _dim: Any

    # -- order

    def cumsum(self, x: Value, axis: int = -1, exclusive: bool = False, reverse: bool = False) -> Value:
        """Running sums along an axis."""
        return self._mir(mir.CumsumOp, self._ssa(x), _axis(x, axis), exclusive, reverse)

    def argmax(self, x: Value, axis: int = -1, keepdims: bool = False) -> Value:
        """The position of the largest element, i64."""
        return self._mir(mir.ArgMaxOp, self._ssa(x), _axis(x, axis), keepdims)

    def argmin(self, x: Value, axis: int = -1, keepdims: bool = False) -> Value:
        """The position of the smallest element, i64."""
        return self._mir(mir.ArgMinOp, self._ssa(x), _axis(x, axis), keepdims)

    def sort(self, x: Value, axis: int = -1, descending: bool = False) -> tuple[Value, Value]:
        """(values in order, positions they came from)."""
        return self._mir(mir.SortOp, self._ssa(x), _axis(x, axis), descending)

    def top_k(self, x: Value, k: DimLike, axis: int = -1) -> tuple[Value, Value]:
        """(the k largest, their positions), the largest first."""
        return self._mir(mir.TopKOp, self._ssa(x), self._dim(k), _axis(x, axis))

    # -- computed places

    def take(self, x: Value, indices: Value, axis: int = 0, oob: str = "error") -> Value:
        """Elements along an axis: x [a…, V, b…], indices [i…] -> [a…, i…, b…]."""
        return self._mir(mir.TakeOp, self._ssa(x), self._ssa(indices), _axis(x, axis), oob)

    def gather_nd(self, x: Value, indices: Value, oob: str = "error") -> Value:
        """x [v…, r…], indices [i…, n] -> [i…, r…]."""
        return self._mir(mir.GatherNdOp, self._ssa(x), self._ssa(indices), oob)

    def scatter(self, x: Value, indices: Value, updates: Value, combine: str = "set", oob: str = "error") -> Value:
        """x [V, r…] with updates [N, r…] combined into its rows indices [N]."""
        return self._mir(mir.ScatterOp, self._ssa(x), self._ssa(indices), self._ssa(updates), combine, oob)

    def scatter_add(self, updates: Value, indices: Value, rows: DimLike, oob: str = "error") -> Value:
        """Sums of rows by index: updates [N, r…], indices [N] -> [rows, r…]."""
        return self._mir(mir.ScatterAddOp, self._ssa(updates), self._ssa(indices), self._dim(rows), oob)

    # -- windows; x is [N, C, d…]

    def conv(
        self, x: Value, w: Value, strides: Sequence[int] | None = None, padding: Pairs | None = None,
        dilation: Sequence[int] | None = None, groups: int = 1,
    ) -> Value:  # fmt: skip
        """w is [O, C / groups, k…]."""
        n = len(x.shape) - 2
        return self._mir(
            mir.ConvOp, self._ssa(x), self._ssa(w), strides or (1,) * n, _flat(padding, n), dilation or (1,) * n, groups
        )

    def conv_transpose(
        self, x: Value, w: Value, strides: Sequence[int] | None = None, padding: Pairs | None = None,
        dilation: Sequence[int] | None = None, groups: int = 1, extra: Sequence[int] | None = None,
    ) -> Value:  # fmt: skip
        """w is [C, O / groups, k…]."""
        n = len(x.shape) - 2
        sizes = (strides or (1,) * n, _flat(padding, n), dilation or (1,) * n)
        return self._mir(mir.ConvTransposeOp, self._ssa(x), self._ssa(w), *sizes, groups, extra)

    def max_pool(
        self, x: Value, window: Sequence[int], strides: Sequence[int] | None = None, padding: Pairs | None = None,
        dilation: Sequence[int] | None = None,
    ) -> Value:  # fmt: skip
        """The largest of each window; strides are the window by default."""
        n = len(window)
        return self._mir(mir.MaxPoolOp, self._ssa(x), window, strides or window, _flat(padding, n), dilation or (1,) * n)

    def avg_pool(
        self, x: Value, window: Sequence[int], strides: Sequence[int] | None = None, padding: Pairs | None = None,
        dilation: Sequence[int] | None = None, count_padding: bool = False,
    ) -> Value:  # fmt: skip
        """The mean of each window; strides are the window by default."""
        n = len(window)
        sizes = (window, strides or window, _flat(padding, n), dilation or (1,) * n)
        return self._mir(mir.AvgPoolOp, self._ssa(x), *sizes, count_padding)

    def pad(self, x: Value, width: Pairs, mode: str = "constant", value: float = 0.0) -> Value:
        """`width` is (before, after) of every axis; modes constant, edge and reflect."""
        low, high = zip(*width, strict=True)
        return self._mir(mir.PadOp, self._ssa(x), low, high, mode, value)

    def resize(self, x: Value, scale: Sequence[int], mode: str = "nearest") -> Value:
        """Spatial axes `scale` times as long, nearest or linear."""
        return self._mir(mir.ResizeOp, self._ssa(x), scale, mode)

    # -- products and norms

    def dot_general(
        self, lhs: Value, rhs: Value, contracting: tuple[Sequence[int], Sequence[int]],
        batch: tuple[Sequence[int], Sequence[int]] = ((), ()),
    ) -> Value:  # fmt: skip
        """Sums over `contracting` axes of (lhs, rhs): batch ++ free axes of lhs ++ free axes of rhs."""
        return self._mir(mir.DotGeneralOp, self._ssa(lhs), self._ssa(rhs), *contracting, *batch)

    def grouped_matmul(self, x: Value, w: Value, indices: Value) -> Value:
        """Row m with matrix indices[m]: x [M, K], w [E, K, N], indices [M] -> [M, N]."""
        return self._mir(mir.GroupedMatmulOp, self._ssa(x), self._ssa(w), self._ssa(indices))

    def lora_matmul(self, x: Value, w: Value, a: Value, b: Value, scale: float = 1.0) -> Value:
        """`x · w + scale · (x · a) · b`."""
        return self._mir(mir.LoraMatmulOp, self._ssa(x), self._ssa(w), self._ssa(a), self._ssa(b), scale)

    def group_norm(self, x: Value, scale: Value, bias: Value, groups: int, eps: float = 1e-5) -> Value:
        """x [N, C, d…], scale and bias [C]."""
        return self._mir(mir.GroupNormOp, self._ssa(x), self._ssa(scale), self._ssa(bias), groups, eps)

    def channel_norm(self, x: Value, scale: Value, bias: Value, eps: float = 1e-6) -> Value:
        """Layer norm over the channels of every place: x [N, C, d…], scale and bias [C]."""
        return self._mir(mir.ChannelNormOp, self._ssa(x), self._ssa(scale), self._ssa(bias), eps)

    def batch_norm(self, x: Value, scale: Value, bias: Value, mean: Value, variance: Value, eps: float = 1e-5) -> Value:
        """With given statistics: x [N, C, d…], the others [C]."""
        return self._mir(mir.BatchNormOp, *map(self._ssa, (x, scale, bias, mean, variance)), eps)

    # -- quantized numbers

    def quantize(self, x: Value, scale: Value, zero: Value, axis: int | None = None) -> Value:
        """`saturate(round(x / scale) + zero)`, of zero's type."""
        return self._mir(mir.QuantizeOp, *map(self._ssa, (x, scale, zero)), None if axis is None else _axis(x, axis))

    def dequantize(self, q: Value, scale: Value, zero: Value, axis: int | None = None) -> Value:
        """`(q - zero) · scale`."""
        return self._mir(mir.DequantizeOp, *map(self._ssa, (q, scale, zero)), None if axis is None else _axis(q, axis))

    def fake_quantize(self, x: Value, bits: int = 8, axis: int | None = None) -> Value:
        """What that many bits would leave of x."""
        return self._mir(mir.FakeQuantizeOp, self._ssa(x), bits, None if axis is None else _axis(x, axis))

    def dequant_matmul(self, x: Value, q: Value, scale: Value, minimum: Value | None = None, block: int = 32) -> Value:
        """x [..., K] with codes q [K, N] and scales (and minimums) [K / block, N]."""
        given = [self._ssa(x), self._ssa(q), self._ssa(scale), None if minimum is None else self._ssa(minimum)]
        return self._mir(mir.DequantMatmulOp, *given, block)

    # -- recurrences

    def selective_scan(
        self, x: Value, delta: Value, a: Value, b: Value, c: Value, initial: Value | None = None
    ) -> tuple[Value, Value]:
        """(y [B, S, D], last state [B, D, N])."""
        given = [*map(self._ssa, (x, delta, a, b, c)), None if initial is None else self._ssa(initial)]
        return self._mir(mir.SelectiveScanOp, *given)

    def gated_delta(
        self, q: Value, k: Value, v: Value, g: Value, beta: Value, initial: Value | None = None
    ) -> tuple[Value, Value]:
        """(y [B, S, H, N], last state [B, H, N, N])."""
        given = [*map(self._ssa, (q, k, v, g, beta)), None if initial is None else self._ssa(initial)]
        return self._mir(mir.GatedDeltaOp, *given)


def _axis(x: Value, axis: int) -> int:
    """An axis counted from the front; one out of range is left for the op to refuse."""
    return axis + len(x.shape) if axis < 0 else axis
