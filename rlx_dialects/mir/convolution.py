"""Windows sliding over spatial axes: convolution, pooling, padding, resizing. Layout N, C, then the spatial axes, any number."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import IntAttr, StringAttr, UnitAttr
from xdsl.irdl import irdl_op_definition, operand_def, opt_prop_def, prop_def, result_def
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr, const
from rlx_dialects.mir.attributes import IntsAttr, RealAttr
from rlx_dialects.mir.base import TENSOR, MirOp, Value
from rlx_dialects.mir.shapes import Known, require_choice, require_elements, require_rank, same_dtype, shape, type_text
from rlx_dialects.rlx import TensorType, tensor

Ints = tuple[int, ...]


def spatial(x: TensorType) -> tuple[DimExpr, ...]:
    """The dims that windows slide over."""
    if x.rank < 3:
        raise VerifyException(f"x has dims N, C and at least one spatial one, found {type_text(x)}")
    return x.dims[2:]


def require_window(count: int, **given: Ints) -> None:
    """Strides, dilations and windows have one positive entry for each spatial axis."""
    for what, values in given.items():
        if len(values) != count or any(value < 1 for value in values):
            raise VerifyException(f"{what} has {count} positive entries, found {list(values)}")


def require_padding(count: int, padding: Ints) -> list[tuple[int, int]]:
    """(before, after) of each spatial axis, from [before₀, after₀, before₁, …]."""
    if len(padding) != 2 * count or any(value < 0 for value in padding):
        raise VerifyException(f"padding has {2 * count} entries, 0 or more, before and after each axis, found {list(padding)}")
    return list(zip(padding[::2], padding[1::2], strict=True))


def windows(
    known: Known, dims: Sequence[DimExpr], sizes: Sequence[DimExpr], strides: Ints, padding: Ints, dilation: Ints
) -> list[DimExpr]:
    """How many windows fit on each axis: `(d + before + after - dilation·(k - 1) - 1) floordiv stride + 1`."""
    found: list[DimExpr] = []
    for dim, size, stride, (before, after), step in zip(dims, sizes, strides, require_padding(len(dims), padding), dilation):
        span = (size - 1) * step + 1
        known.at_most(span, dim + before + after, "a window and the axis with its padding")
        found.append((dim + before + after - span) // stride + 1)
    return found


@irdl_op_definition
class ConvOp(MirOp):
    """Cross-correlation: `y[n, o, p…] = Σ x[n, c, p·stride + r·dilation - before…] · w[o, c, r…]`, zero outside of x.

    Shapes: x [N, C, d…], w [O, C / groups, k…] -> [N, O, p…]; output channel o sees the input channels of its group. `padding` is
    [before, after] of each axis in turn. f16, bf16 and f8 accumulate in f32; integers wrap.

    ```mlir
    %y = mir.conv %x, %w(strides = [2], padding = [1, 1], dilation = [1], groups = 1) :
        (!rlx.tensor<B x 3 x 9 x f32>, !rlx.tensor<5 x 3 x 3 x f32>) -> !rlx.tensor<B x 5 x 5 x f32>
    ```
    """

    name = "mir.conv"
    x = operand_def(TENSOR)
    w = operand_def(TENSOR)
    strides = prop_def(IntsAttr)
    padding = prop_def(IntsAttr)
    dilation = prop_def(IntsAttr)
    groups = prop_def(IntAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, w: Value, strides: Ints, padding: Ints, dilation: Ints, groups: int = 1):
        self._build(x, w, strides=strides, padding=padding, dilation=dilation, groups=groups)

    @staticmethod
    def infer(
        known: Known, x: TensorType, w: TensorType, strides: Ints, padding: Ints, dilation: Ints, groups: int
    ) -> TensorType:
        require_elements(x, "number", "x")
        dims = spatial(x)
        require_rank(w, x.rank, "w")
        same_dtype(x, w, "x and w")
        require_window(len(dims), strides=strides, dilation=dilation)
        _require_groups(known, groups, x.dims[1], w.dims[1] * groups, w.dims[0])
        found = windows(known, dims, w.dims[2:], strides, padding, dilation)
        return tensor((x.dims[0], w.dims[0], *found), x.element_type)


@irdl_op_definition
class ConvTransposeOp(MirOp):
    """The transpose of a convolution: `y[n, o, p·stride + r·dilation - before…] += x[n, c, p…] · w[c, o, r…]`.

    Shapes: x [N, C, d…], w [C, O / groups, k…] -> [N, O, (d - 1)·stride - before - after + dilation·(k - 1) + extra + 1…];
    `extra` is ONNX's and torch's output_padding.

    ```mlir
    %y = mir.conv_transpose %x, %w(strides = [2], padding = [1, 1], dilation = [1], groups = 1, extra = [0]) :
        (!rlx.tensor<B x 3 x 5 x f32>, !rlx.tensor<3 x 4 x 3 x f32>) -> !rlx.tensor<B x 4 x 9 x f32>
    ```
    """

    name = "mir.conv_transpose"
    x = operand_def(TENSOR)
    w = operand_def(TENSOR)
    strides = prop_def(IntsAttr)
    padding = prop_def(IntsAttr)
    dilation = prop_def(IntsAttr)
    groups = prop_def(IntAttr)
    extra = prop_def(IntsAttr)
    result = result_def(TENSOR)

    def __init__(
        self, x: Value, w: Value, strides: Ints, padding: Ints, dilation: Ints, groups: int = 1, extra: Ints | None = None
    ):
        extra = (0,) * len(strides) if extra is None else extra
        self._build(x, w, strides=strides, padding=padding, dilation=dilation, groups=groups, extra=extra)

    @staticmethod
    def infer(
        known: Known, x: TensorType, w: TensorType, strides: Ints, padding: Ints, dilation: Ints, groups: int, extra: Ints
    ) -> TensorType:
        require_elements(x, "number", "x")
        dims = spatial(x)
        require_rank(w, x.rank, "w")
        same_dtype(x, w, "x and w")
        require_window(len(dims), strides=strides, dilation=dilation)
        _require_groups(known, groups, w.dims[0], x.dims[1], w.dims[1] * groups)
        if len(extra) != len(dims) or any(not 0 <= e < s for e, s in zip(extra, strides)):
            raise VerifyException(f"extra has {len(dims)} entries, each less than its stride, found {list(extra)}")
        found: list[DimExpr] = []
        for dim, size, stride, (before, after), step, more in zip(
            dims, w.dims[2:], strides, require_padding(len(dims), padding), dilation, extra
        ):
            length = (dim - 1) * stride + (size - 1) * step + 1 + more - before - after
            known.at_most(0, length, "conv_transpose: 0 and a dim of the result")
            found.append(length)
        return tensor((x.dims[0], w.dims[1] * groups, *found), x.element_type)


def _require_groups(known: Known, groups: int, channels: DimExpr, wanted: DimExpr, results: DimExpr) -> None:
    if groups < 1:
        raise VerifyException(f"groups is 1 or more, found {groups}")
    known.equal(channels, wanted, f"channels of x and of w in {groups} groups")
    known.divides(groups, channels, "channels of x in groups")
    known.divides(groups, results, "channels of the result in groups")


class PoolOp(MirOp):
    """Base of pooling ops: windows of `window` elements of each channel."""

    x = operand_def(TENSOR)
    window = prop_def(IntsAttr)
    strides = prop_def(IntsAttr)
    padding = prop_def(IntsAttr)
    dilation = prop_def(IntsAttr)
    result = result_def(TENSOR)


@irdl_op_definition
class MaxPoolOp(PoolOp):
    """The largest element of each window; NaN if any is NaN; what lies outside of x does not count.

    Shapes: x [N, C, d…] -> [N, C, p…] as `mir.conv`. A window that is padding alone gives the lowest value of the type.

    ```mlir
    %y = mir.max_pool %x(window = [3], strides = [2], padding = [1, 1], dilation = [1]) :
        (!rlx.tensor<B x 3 x 9 x f32>) -> !rlx.tensor<B x 3 x 5 x f32>
    ```
    """

    name = "mir.max_pool"

    def __init__(self, x: Value, window: Ints, strides: Ints, padding: Ints, dilation: Ints):
        self._build(x, window=window, strides=strides, padding=padding, dilation=dilation)

    @staticmethod
    def infer(known: Known, x: TensorType, window: Ints, strides: Ints, padding: Ints, dilation: Ints) -> TensorType:
        require_elements(x, "number", "x")
        return _infer_pool(known, x, window, strides, padding, dilation)


@irdl_op_definition
class AvgPoolOp(PoolOp):
    """The mean of each window; `count_padding` counts what lies outside of x as zeros (torch's default), else it is left out.

    Shapes: x [N, C, d…] -> [N, C, p…] as `mir.conv`. A window that is padding alone gives NaN.

    ```mlir
    %y = mir.avg_pool %x(count_padding, window = [3], strides = [2], padding = [1, 1], dilation = [1]) :
        (!rlx.tensor<B x 3 x 9 x f32>) -> !rlx.tensor<B x 3 x 5 x f32>
    ```
    """

    name = "mir.avg_pool"
    count_padding = opt_prop_def(UnitAttr)

    def __init__(self, x: Value, window: Ints, strides: Ints, padding: Ints, dilation: Ints, count_padding: bool = False):
        self._build(x, window=window, strides=strides, padding=padding, dilation=dilation, count_padding=count_padding)

    @staticmethod
    def infer(
        known: Known, x: TensorType, window: Ints, strides: Ints, padding: Ints, dilation: Ints, count_padding: bool
    ) -> TensorType:
        require_elements(x, "float", "x")
        return _infer_pool(known, x, window, strides, padding, dilation)


def _infer_pool(known: Known, x: TensorType, window: Ints, strides: Ints, padding: Ints, dilation: Ints) -> TensorType:
    dims = spatial(x)
    require_window(len(dims), window=window, strides=strides, dilation=dilation)
    found = windows(known, dims, [const(size) for size in window], strides, padding, dilation)
    return tensor((*x.dims[:2], *found), x.element_type)


@irdl_op_definition
class PadOp(MirOp):
    """`x` with `low` elements before and `high` after on every axis: `value`, or the nearest (`edge`) or mirrored (`reflect`) element.

    Modes are NumPy's `pad`: constant, edge, reflect (the edge itself is not repeated; needs fewer elements than there are).

    ```mlir
    %y = mir.pad %x(low = [0, 1], high = [2, 1], mode = constant, value = 0.0) :
        (!rlx.tensor<B x 4 x f32>) -> !rlx.tensor<(B + 2) x 6 x f32>
    ```
    """  # noqa: E501 - the first line of a docstring stands alone

    name = "mir.pad"
    x = operand_def(TENSOR)
    low = prop_def(IntsAttr)
    high = prop_def(IntsAttr)
    mode = prop_def(StringAttr)
    value = prop_def(RealAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, low: Ints, high: Ints, mode: str = "constant", value: float = 0.0):
        self._build(x, low=low, high=high, mode=mode, value=value)

    @staticmethod
    def infer(known: Known, x: TensorType, low: Ints, high: Ints, mode: str, value: float) -> TensorType:
        require_choice(mode, ("constant", "edge", "reflect"), "mode")
        for what, given in (("low", low), ("high", high)):
            if len(given) != x.rank or any(count < 0 for count in given):
                raise VerifyException(f"{what} has {x.rank} entries, 0 or more, for {shape(x.dims)}, found {list(given)}")
        for dim, before, after in zip(x.dims, low, high):
            if mode != "constant" and before + after:
                least = max(before, after) + 1 if mode == "reflect" else 1
                known.at_most(least, dim, f"pad: elements that mode {mode} needs and the axis")
        return tensor((dim + before + after for dim, before, after in zip(x.dims, low, high)), x.element_type)


@irdl_op_definition
class ResizeOp(MirOp):
    """Spatial axes `scale` times as long: nearest (`y[p] = x[p floordiv scale]`) or linear between element centers.

    Shapes: x [N, C, d…] -> [N, C, d·scale…]. Linear is torch's `align_corners=False` (ONNX: half_pixel): element p of the result
    lies at (p + 1/2) / scale - 1/2, and beyond the outermost centers their values stay.

    ```mlir
    %y = mir.resize %x(scale = [2, 2], mode = nearest) : (!rlx.tensor<B x 3 x H x W x f32>) -> !rlx.tensor<B x 3 x (H * 2) x (W * 2) x f32>
    ```
    """  # noqa: E501 - an operation stands on one line

    name = "mir.resize"
    x = operand_def(TENSOR)
    scale = prop_def(IntsAttr)
    mode = prop_def(StringAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, scale: Ints, mode: str = "nearest"):
        self._build(x, scale=scale, mode=mode)

    @staticmethod
    def infer(known: Known, x: TensorType, scale: Ints, mode: str) -> TensorType:
        require_choice(mode, ("nearest", "linear"), "mode")
        dims = spatial(x)
        require_window(len(dims), scale=scale)
        if mode == "linear":
            require_elements(x, "float", "x")
        return tensor((*x.dims[:2], *(dim * factor for dim, factor in zip(dims, scale))), x.element_type)


OPS = (ConvOp, ConvTransposeOp, MaxPoolOp, AvgPoolOp, PadOp, ResizeOp)
