"""Forms with order in them: scan, sort, scatter."""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import StringAttr
from xdsl.irdl import irdl_op_definition, prop_def, region_def
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.lir.form import FormOp
from rlx_dialects.lir.regions import YieldOp, check_region, is_index, types_text
from rlx_dialects.lir.types import BufferType
from rlx_dialects.rlx import dtypes

SORT_ORDERS = ("ascending", "descending", "opaque")
SCATTER_KINDS = ("add", "max", "min", "set")


@irdl_op_definition
class ScanOp(FormOp):
    """A recurrence along the sequential dim, independent for every parallel point.

    `extra` are the initial carries (indices over parallel dims); the body takes (carries…, elements…) and yields (carries…,
    outputs…); the last outs are the final carries: `outs` = outputs over all dims, then one per carry over parallel dims. Regions
    of the other forms cannot pass a value from one point to the next in order, which cumsum, selective scan and solves need.

    ```mlir
    lir.scan (i : B | t : 8) ins(%x[i, t]) extra(%c[i]) outs(%y[i, t], %f[i]) {
    ^bb0(%carry: f32, %e: f32):
      %n = arith.addf %carry, %e : f32
      lir.yield %n, %n : f32, f32
    } : !lir.buffer<B x 8 x f32>, !lir.buffer<B x f32>, !lir.buffer<B x 8 x f32>, !lir.buffer<B x f32>
    ```
    """

    name = "lir.scan"
    GROUPS: ClassVar = ("parallel", "sequential")
    body = region_def("single_block")

    def verify_form(self) -> None:
        if len(self.group("sequential")) != 1:
            raise VerifyException(f"a scan has one sequential dim, found {len(self.group('sequential'))}")
        carries = self.read_types("extra")
        outputs = len(self.outs) - len(carries)
        if outputs < 0:
            raise VerifyException(f"{len(carries)} carries but only {len(self.outs)} results: each final carry is a result")
        kinds = self.write_types()
        if kinds[outputs:] != carries:
            raise VerifyException("the last results are the final carries, of the carries' types")
        check_region(self, self.body, [*carries, *self.read_types()], [*carries, *kinds[:outputs]], "scan body")


@irdl_op_definition
class SortOp(FormOp):
    """Order the reduce dim of each row by the first operand; stable; NaN last in either direction.

    `outs` receive the permuted `ins` in order, and, if there is one more, the i64 positions they came from; an out's last index
    is over `t : limit`, the third group. `order` is ascending, descending, or opaque with a comparator region (true: first before
    second). Data-dependent placement is not a map.

    ```mlir
    lir.sort (i : B | j : 100 | t : 5) ins(%x[i, j]) outs(%v[i, t], %p[i, t]) params {order = "descending"}
        : !lir.buffer<B x 100 x f32>, !lir.buffer<B x 5 x f32>, !lir.buffer<B x 5 x i64>
    ```
    """

    name = "lir.sort"
    GROUPS: ClassVar = ("parallel", "reduce", "limit")
    REGIONS: ClassVar = ("comparator",)
    PARAMS: ClassVar = ("order",)
    order = prop_def(StringAttr)
    comparator = region_def()

    def verify_form(self) -> None:
        if len(self.group("reduce")) != 1 or len(self.group("limit")) != 1:
            raise VerifyException("a sort has one sorted dim and one limit dim")
        if self.order.data not in SORT_ORDERS:
            raise VerifyException(f"order '{self.order.data}' is not one of {', '.join(SORT_ORDERS)}")
        if (self.order.data == "opaque") != bool(self.comparator.blocks):
            raise VerifyException("an opaque order has a comparator, the others none")
        if self.comparator.blocks:
            check_region(self, self.comparator, [self.read_types()[0]] * 2, [dtypes.BOOL], "comparator")
        if not len(self.ins) <= len(self.outs) <= len(self.ins) + 1:
            count = len(self.ins)
            raise VerifyException(f"{count} operands give {count} or {count + 1} results, found {len(self.outs)}")


@irdl_op_definition
class ScatterOp(FormOp):
    """`out[…, idx, …] op= update` with computed indices; equal destinations combine in iteration order.

    The body takes the `ins` and yields (index…, value): as many indices as the out has dims, then the value. Out-of-range indices
    follow `oob` (error, or drop). The out is updated in place: it must hold its initial value (a map before writes it). Computed
    destinations are not an index map.

    ```mlir
    lir.scatter (n : N, j : 8) ins(%u[n, j], %i[n]) outs(%y) params {combine = "add", oob = "error"} {
    ^bb0(%v: f32, %id: i64):
      %j = lir.index j
      %c = arith.index_cast %j : index to i64
      lir.yield %id, %c, %v : i64, i64, f32
    } : !lir.buffer<N x 8 x f32>, !lir.buffer<N x i64>, !lir.buffer<100 x 8 x f32>
    ```
    """

    name = "lir.scatter"
    GROUPS: ClassVar = ("parallel",)
    PARAMS: ClassVar = ("combine", "oob")
    ALLOWS_WHOLE_OUTPUT: ClassVar = True
    combine = prop_def(StringAttr)
    oob = prop_def(StringAttr)
    body = region_def("single_block")

    def verify_form(self) -> None:
        if len(self.outs) != 1 or not self.out_accesses[0].is_whole:
            raise VerifyException("a scatter has one result, written at computed indices")
        if self.combine.data not in SCATTER_KINDS:
            raise VerifyException(f"combine '{self.combine.data}' is not one of {', '.join(SCATTER_KINDS)}")
        if self.oob.data not in ("error", "drop"):
            raise VerifyException(f"oob '{self.oob.data}' is not one of error, drop")
        block = self.body.blocks.first
        last = None if block is None else block.last_op
        given = [value.type for value in last.operands] if isinstance(last, YieldOp) else []
        target = self.outs[0].type
        assert isinstance(target, BufferType)
        if len(given) != target.rank + 1 or not all(is_index(kind) for kind in given[:-1]):
            raise VerifyException(f"scatter body yields {target.rank} indices and a value, found ({types_text(given)})")
        check_region(self, self.body, self.read_types(), [*given[:-1], target.scalar_type], "scatter body")
