"""Lowering rules: quantization is a map (with a maximum before it where the scale is computed), products are contracts."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects import math
from xdsl.dialects.builtin import f32, i8, i32
from xdsl.ir import Attribute, Operation, SSAValue

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr, sym
from rlx_dialects.rlx import dtypes
from rlx_passes.mir_to_lir.lowering import Lowering, Read, RowBuilder, Scalars, product, syms, tensor_of
from rlx_passes.support.region_builder import RegionBuilder, compute_type


def _clamped(b: RegionBuilder, value: SSAValue, code: Attribute) -> SSAValue:
    """A whole float as an integer, saturated; what is not a number gives 0."""
    bits, signed = dtypes.bit_width(code), dtypes.is_signed_int(code)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    value = b.select(b.compare("eq", value, value), value, b.constant(0.0, value.type))
    value = b.binary("min", b.binary("max", value, b.constant(low, value.type)), b.constant(high, value.type))
    return b.convert(value, code, unsigned_target=not signed)


def quantize(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.QuantizeOp)
    code = tensor_of(op.result).element_type

    def body(b: RegionBuilder, args: Scalars) -> list[SSAValue]:
        x, scale = b.widen(args[0]), b.widen(args[1])
        zero = b.convert(args[2], x.type, unsigned_source=dtypes.is_unsigned_int(code))
        steps = b.math(math.RoundEvenOp, b.binary("div", x, scale))
        steps = b.select(b.compare("eq", steps, steps), steps, b.constant(0.0, steps.type))
        return [_clamped(b, b.binary("add", steps, zero), code)]

    _map(low, op, body)


def dequantize(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.DequantizeOp)
    result = tensor_of(op.result).element_type
    unsigned = dtypes.is_unsigned_int(tensor_of(op.q).element_type)

    def body(b: RegionBuilder, args: Scalars) -> list[SSAValue]:
        wide = compute_type(result)
        codes = [b.convert(arg, i32, unsigned_source=unsigned) for arg in (args[0], args[2])]
        offset = b.convert(b.binary("sub", *codes), wide)
        return [b.convert(b.binary("mul", offset, b.widen(args[1])), result)]

    _map(low, op, body)


def _map(low: Lowering, op: Operation, body: Callable[[RegionBuilder, Scalars], list[SSAValue]]) -> None:
    """A map over x, scale and zero."""
    assert isinstance(op, mir.QuantizeOp | mir.DequantizeOp)
    kind = tensor_of(op.result)
    names = low.names(kind.rank)
    at: list[DimExpr] = [] if op.axis is None else [sym(names[op.axis.data])]
    first, scale, zero = op.operands
    reads: list[Read] = [(low.buffer(first), syms(names)), (low.buffer(scale), at), (low.buffer(zero), at)]
    low.map(list(zip(names, kind.dims, strict=True)), reads, [(low.new(op.result), syms(names))], body)


def fake_quantize(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.FakeQuantizeOp)
    kind, most = tensor_of(op.x), 2 ** (op.bits.data - 1) - 1
    names = low.names(kind.rank)
    dims = list(zip(names, kind.dims, strict=True))
    kept = [] if op.axis is None else [dims[op.axis.data]]
    place = syms(names)

    def body(b: RowBuilder, args: Scalars) -> list[SSAValue]:
        x = args[0]
        wide = compute_type(kind.element_type)
        if x.type.element_type != wide:  # pyright: ignore[reportAttributeAccessIssue]
            x = b.each([x], lambda r, v: r.widen(v[0]))
        size = b.each([x], lambda r, v: r.math(math.AbsFOp, v[0]))
        scale = b.binary("div", b.fold("max", size, 0.0), b.constant(most, wide))
        divisor = b.select(b.compare("eq", scale, b.constant(0.0, wide)), b.constant(1.0, wide), scale)

        def left(r: RegionBuilder, v: Scalars) -> SSAValue:
            steps = r.math(math.RoundEvenOp, r.binary("div", v[0], divisor))
            steps = r.binary("min", r.binary("max", steps, r.constant(-most, wide)), r.constant(most, wide))
            return r.convert(r.binary("mul", steps, scale), kind.element_type)

        return [b.each([x], left)]

    inner = [dim for dim in dims if dim not in kept]
    low.reduce(kept, inner, [(low.buffer(op.x), place)], [(low.new(op.result), place)], body)


def _rows(low: Lowering, value: SSAValue) -> tuple[SSAValue, tuple[DimExpr, DimExpr]]:
    dims = tensor_of(value).dims
    joined = (product(dims[:-1]), dims[-1])
    return low.view(low.buffer(value), joined), joined


def quantized_matmul(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.QuantizedMatmulOp)
    low.new(op.result)
    (x, (rows, depth)), (out, (_, columns)) = _rows(low, op.x), _rows(low, op.result)
    m, n, k = low.names(3, "m")

    def products(r: RegionBuilder, args: Scalars) -> list[tuple[SSAValue, SSAValue]]:
        values = [r.convert(arg, i32) for arg in args]
        zeros = [op.x_zero.data, op.w_zero.data]
        left, right = (r.binary("sub", v, r.constant(z, i32)) if z else v for v, z in zip(values, zeros, strict=True))
        return [(left, right)]

    def end(r: RegionBuilder, sums: Scalars, extra: Scalars) -> list[SSAValue]:
        total = r.convert(r.binary("add", sums[0], extra[0]), f32)
        scaled = r.math(math.RoundEvenOp, r.binary("mul", total, extra[1]))
        return [_clamped(r, r.binary("add", scaled, r.constant(op.zero.data, f32)), i8)]

    low.contract(
        [(m, rows), (n, columns)],
        [(k, depth)],
        [(x, syms([m, k])), (low.buffer(op.w), syms([k, n]))],
        [(out, syms([m, n]))],
        products,
        end,
        [(low.buffer(op.bias), [sym(n)]), (low.buffer(op.scale), [])],
    )


def dequant_matmul(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.DequantMatmulOp)
    low.new(op.result)
    (x, (rows, depth)), (out, (_, columns)) = _rows(low, op.x), _rows(low, op.result)
    m, n, k = low.names(3, "m")
    at = [sym(k) // op.block.data, sym(n)]
    planes: list[Read] = [(low.buffer(v), at) for v in (op.scale, op.minimum) if v is not None]
    element = tensor_of(op.result).element_type
    unsigned = dtypes.is_unsigned_int(tensor_of(op.q).element_type)

    def products(r: RegionBuilder, args: Scalars) -> list[tuple[SSAValue, SSAValue]]:
        left, scale = r.widen(args[0]), r.widen(args[2])
        weight = r.binary("mul", r.convert(args[1], scale.type, unsigned_source=unsigned), scale)
        if len(args) == 4:
            weight = r.binary("sub", weight, r.widen(args[3]))
        return [(left, weight)]

    low.contract(
        [(m, rows), (n, columns)],
        [(k, depth)],
        [(x, syms([m, k])), (low.buffer(op.q), syms([k, n])), *planes],
        [(out, syms([m, n]))],
        products,
        lambda r, sums, _: [r.convert(sums[0], element)],
    )


RULES: dict[type[Operation], Callable[[Lowering, Operation], None]] = {
    mir.QuantizeOp: quantize,
    mir.DequantizeOp: dequantize,
    mir.FakeQuantizeOp: fake_quantize,
    mir.QuantizedMatmulOp: quantized_matmul,
    mir.DequantMatmulOp: dequant_matmul,
}
