"""The four forms that carry transformers: map, reduce, contract, attention."""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import FloatAttr, f32
from xdsl.ir import Attribute
from xdsl.irdl import irdl_op_definition, prop_def, region_def
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.lir.form import FormOp
from rlx_dialects.lir.regions import ProductOp, check_region, types_text
from rlx_dialects.lir.types import RowType


@irdl_op_definition
class MapOp(FormOp):
    """`outs[…] = body(ins[…])` at every point: elementwise, broadcast, cast, transpose, slice, concat, pad, gather, cache update.

    An out map may reach a part of its buffer; points must write distinct elements.

    ```mlir
    lir.map (i : B, j : 8) ins(%x[i, j], %g[j]) outs(%y[i, j]) {
    ^bb0(%a: f32, %b: f32):
      %c = arith.mulf %a, %b : f32
      lir.yield %c : f32
    } : !lir.buffer<B x 8 x f32>, !lir.buffer<8 x f32>, !lir.buffer<B x 8 x f32>
    ```
    """

    name = "lir.map"
    GROUPS: ClassVar = ("parallel",)
    body = region_def("single_block")

    def verify_form(self) -> None:
        if self.extra:
            raise VerifyException("a map has no extra operands")
        check_region(self, self.body, self.read_types(), self.write_types(), "map body")


@irdl_op_definition
class ReduceOp(FormOp):
    """Row-wise work: pointwise stages (`lir.each`) and folds (`lir.fold`) over the reduce dims, several results, one pass over
    memory.

    The region receives a `!lir.row<T>` for each operand whose indices use a reduce dim, a scalar for the others, and yields the
    same for each out.

    ```mlir
    lir.reduce (i : B | j : 8) ins(%x[i, j]) outs(%y[i]) {
    ^bb0(%r: !lir.row<f32>):
      %s = lir.fold(%r) init [0.0 : f32] {
      ^bb0(%acc: f32, %e: f32):
        %n = arith.addf %acc, %e : f32
        lir.yield %n : f32
      } combine {
      ^bb0(%a: f32, %b: f32):
        %n = arith.addf %a, %b : f32
        lir.yield %n : f32
      } : (!lir.row<f32>) -> f32
      lir.yield %s : f32
    } : !lir.buffer<B x 8 x f32>, !lir.buffer<B x f32>
    ```
    """

    name = "lir.reduce"
    GROUPS: ClassVar = ("parallel", "reduce")
    body = region_def("single_block")

    def verify_form(self) -> None:
        if self.extra:
            raise VerifyException("a reduce has no extra operands")
        axes = {it.symbol.data for it in self.group("reduce")}
        takes: list[Attribute] = []
        for kind, access in zip(self.read_types(), self.in_accesses, strict=True):
            takes.append(RowType(kind) if not access.is_whole and access.symbols & axes else kind)
        gives = [
            RowType(kind) if access.symbols & axes else kind
            for kind, access in zip(self.write_types(), self.out_accesses, strict=True)
        ]
        check_region(self, self.body, takes, gives, "reduce body")


@irdl_op_definition
class ContractOp(FormOp):
    """`acc[p…] = Σ_k lhs · rhs` for one or more accumulators, then `outs = epilogue(acc…, extra…)`.

    `body` takes the `ins` at a point of parallel × reduce dims and ends in `lir.product` (its ops before are the operands'
    prologue: casts, dequantization, norm scaling). `epilogue` takes the accumulators and the `extra` elements (indices over
    parallel dims) and yields the outs. Covers matmul (batched, grouped), linear + bias + activation, swiglu (two accumulators),
    conv (affine index maps, guarded reads).

    ```mlir
    lir.contract (m : B, n : 16 | k : 8) ins(%x[m, k], %w[k, n]) extra(%b[n]) outs(%y[m, n]) {
    ^bb0(%a: f32, %c: f32):
      lir.product (%a, %c) : f32
    } epilogue {
    ^bb0(%acc: f32, %bias: f32):
      %r = arith.addf %acc, %bias : f32
      lir.yield %r : f32
    } : !lir.buffer<B x 8 x f32>, !lir.buffer<8 x 16 x f32>, !lir.buffer<16 x f32>, !lir.buffer<B x 16 x f32>
    ```
    """

    name = "lir.contract"
    GROUPS: ClassVar = ("parallel", "reduce")
    REGIONS: ClassVar = ("", "epilogue")
    body = region_def("single_block")
    epilogue = region_def("single_block")

    @property
    def product(self) -> ProductOp:
        last = self.body.block.last_op
        assert isinstance(last, ProductOp)
        return last

    def verify_form(self) -> None:
        block = self.body.blocks.first
        if block is None or not isinstance(block.last_op, ProductOp):
            raise VerifyException("contract body must end in lir.product")
        found = [arg.type for arg in block.args]
        if found != self.read_types():
            needed = types_text(self.read_types())
            raise VerifyException(f"contract body takes ({needed}), but its block has ({types_text(found)})")
        axes = {it.symbol.data for it in self.group("reduce")}
        for what, accesses in (("extra operand", self.extra_accesses), ("result", self.out_accesses)):
            for access in accesses:
                if access.symbols & axes:
                    raise VerifyException(f"{what} uses reduce dim {', '.join(sorted(access.symbols & axes))}")
        accumulators = [value.type for value in block.last_op.lhs]
        check_region(self, self.epilogue, [*accumulators, *self.read_types("extra")], self.write_types(), "contract epilogue")


@irdl_op_definition
class AttentionOp(FormOp):
    """`out = softmax_k(score(scale · Σ_d q·key, …)) · value`, per parallel point, online over the keys.

    Groups: parallel (…, q last) | reduce (k) | dot (d) | value (e). `ins` are query, key, value; `extra` elements go to the
    score region, which takes the scaled score (f32, or f64 for f64) first and yields the final one; −inf excludes the key.
    Bounds on k are part of the meaning: keys outside are excluded, so a causal mask is `k : P + S in [0, P + q + 1)` and
    skipping is never a guess. A row without keys is zero. Query, key and value may be any float type; scores and sums are f32
    (f64 for f64 operands).

    ```mlir
    lir.attention (b : B, h : 4, q : S | k : S in [0, q + 1) | d : 8 | e : 8)
        ins(%q[b, q, h, d], %k[b, k, h, d], %v[b, k, h, e]) outs(%o[b, q, h, e]) params {scale = 0.5 : f32} {
    ^bb0(%s: f32):
      lir.yield %s : f32
    } : !lir.buffer<B x S x 4 x 8 x f32>, !lir.buffer<B x S x 4 x 8 x f32>, !lir.buffer<B x S x 4 x 8 x f32>, !lir.buffer<B x S x
        4 x 8 x f32>
    ```
    """

    name = "lir.attention"
    GROUPS: ClassVar = ("parallel", "reduce", "dot", "value")
    PARAMS: ClassVar = ("scale",)
    scale = prop_def(FloatAttr)
    body = region_def("single_block")

    def verify_form(self) -> None:
        if len(self.ins) != 3 or len(self.outs) != 1:
            raise VerifyException(f"attention takes query, key, value and one result, found {len(self.ins)} and {len(self.outs)}")
        for group in ("reduce", "dot", "value"):
            if len(self.group(group)) != 1:
                raise VerifyException(f"attention has one {group} dim, found {len(self.group(group))}")
        block = self.body.blocks.first
        if block is None or not block.args:
            raise VerifyException("attention needs a score region that takes the score")
        kind = block.args[0].type
        check_region(self, self.body, [kind, *self.read_types("extra")], [kind], "score region")
        if kind != f32 and str(kind) != "f64":
            raise VerifyException(f"scores are f32 or f64, found {kind}")
