"""Matrix ops of the `cuda` dialect: what a warp (`mma.sync`) or a warpgroup of four warps (`wgmma`) multiplies together."""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import I64, IntegerAttr, UnitAttr, i64
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    VarConstraint,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.gpu import matrix
from rlx_dialects.gpu.ops import PTR, facts_around
from rlx_dialects.kernel.fragment import FragmentType
from rlx_dialects.kernel.types import INDEX, ptr_type
from rlx_dialects.rlx import dtypes


@irdl_op_definition
class MmaLoadOp(matrix.FragmentLoadOp):
    """A fragment of `mma.sync` from memory (`ldmatrix` where it applies).

    ```mlir
    %a = cuda.mma_load %p[%i] stride %ld : !kernel.ptr<bf16, shared> -> !kernel.fragment<16 x 16 x bf16, a, mma>
    %b = cuda.mma_load %p[%i] stride %ld transposed : !kernel.ptr<bf16, shared> -> !kernel.fragment<16 x 8 x bf16, b, mma>
    ```
    """

    name = "cuda.mma_load"


@irdl_op_definition
class MmaFillOp(matrix.FragmentFillOp):
    """A fragment of `mma.sync` of equal elements.

    ```mlir
    %c = cuda.mma_fill %zero : f32 -> !kernel.fragment<16 x 8 x f32, c, mma>
    ```
    """

    name = "cuda.mma_fill"


@irdl_op_definition
class MmaSyncOp(matrix.MultiplyOp):
    """`mma.sync.aligned`: `a · b + c` by a warp.

    ```mlir
    // %a : !kernel.fragment<16 x 16 x bf16, a, mma>
    // %b : !kernel.fragment<16 x 8 x bf16, b, mma>
    // %c : !kernel.fragment<16 x 8 x f32, c, mma>
    %d = cuda.mma_sync %a, %b, %c : !kernel.fragment<16 x 16 x bf16, a, mma>, !kernel.fragment<16 x 8 x bf16, b, mma>, !kernel.fragment<16 x 8 x f32, c, mma>
    ```
    """  # noqa: E501 - an operation stands on one line

    name = "cuda.mma_sync"


@irdl_op_definition
class MmaStoreOp(matrix.FragmentStoreOp):
    """A fragment of `mma.sync` to memory.

    ```mlir
    cuda.mma_store %c, %p[%i] stride %ld : !kernel.fragment<16 x 8 x f32, c, mma>, !kernel.ptr<f32, shared>
    ```
    """

    name = "cuda.mma_store"


@irdl_op_definition
class WgmmaOp(IRDLOperation):
    """`wgmma.mma_async`: `c + a · b` by a warpgroup, from tiles in shared memory, over `k` columns of a.

    The tiles have the 128-byte swizzle of `cuda.tma_load`: a has rows of `k` elements; b likewise (`n` rows of `k`), or with
    `transposed` k rows of n, in boxes of 64 columns one after the other. The op fences before and commits after; the
    accumulator may be used, and the tiles written, after `cuda.wgmma_wait`.

    ```mlir
    // %c : !kernel.fragment<64 x 128 x f32, c, wgmma>
    %d = cuda.wgmma %a[%i], %b[%j], %c k 64 : !kernel.ptr<bf16, shared, align 128>, !kernel.ptr<bf16, shared, align 128>, !kernel.fragment<64 x 128 x f32, c, wgmma>
    ```
    """  # noqa: E501 - an operation stands on one line

    name = "cuda.wgmma"
    a = operand_def(PTR)
    a_index = operand_def(INDEX)
    b = operand_def(PTR)
    b_index = operand_def(INDEX)
    T: ClassVar = VarConstraint("T", matrix.FRAGMENT)
    c = operand_def(T)
    k = prop_def(IntegerAttr[I64])
    transposed = opt_prop_def(UnitAttr)
    result = result_def(T)
    traits = traits_def(*matrix.CONVERGENT)
    assembly_format = (
        "$a `[` $a_index `]` `,` $b `[` $b_index `]` `,` $c `k` $k (`transposed` $transposed^)? attr-dict "
        "`:` type($a) `,` type($b) `,` type($c)"
    )

    def __init__(
        self,
        a: SSAValue | Operation,
        a_index: SSAValue | Operation,
        b: SSAValue | Operation,
        b_index: SSAValue | Operation,
        c: SSAValue | Operation,
        k: int,
        *,
        transposed: bool = False,
    ):
        super().__init__(
            operands=[a, a_index, b, b_index, c],
            properties={"k": IntegerAttr(k, i64), "transposed": UnitAttr() if transposed else None},
            result_types=[SSAValue.get(c).type],
        )

    def verify_(self) -> None:
        kind = matrix.verify_fragment(self, self.c)
        facts = facts_around(self)
        element = ptr_type(self.a).element_type
        if ptr_type(self.b).element_type != element or {p.space.data for p in map(ptr_type, (self.a, self.b))} != {"shared"}:
            raise VerifyException(f"the tiles are of one type in shared memory, found {self.a.type} and {self.b.type}")
        if kind.family.data != "wgmma" or kind.role.data != "c" or self.result.type != kind:
            raise VerifyException(f"the accumulator is a fragment c of wgmma, found {kind}")
        names = ("f32", "tf32") if element == dtypes.dtype("f32") else (dtypes.dtype_name(element),)
        steps = [s.k for s in facts.matrix if s.family == "wgmma" and s.operand in names] if facts is not None else [1]
        if not steps or self.k.value.data < 1 or self.k.value.data % steps[0]:
            arch = facts.arch if facts is not None else ""
            raise VerifyException(f"{arch} has no wgmma of {element} over {self.k.value.data} columns")


@irdl_op_definition
class WgmmaWaitOp(IRDLOperation):
    """`wgmma.wait_group`: at most `pending` products are under way; gives the accumulator that is ready then.

    ```mlir
    // %c : !kernel.fragment<64 x 128 x f32, c, wgmma>
    %d = cuda.wgmma_wait %c pending 0 : !kernel.fragment<64 x 128 x f32, c, wgmma>
    ```
    """

    name = "cuda.wgmma_wait"
    T: ClassVar = VarConstraint("T", matrix.FRAGMENT)
    c = operand_def(T)
    pending = prop_def(IntegerAttr[I64])
    result = result_def(T)
    traits = traits_def(*matrix.CONVERGENT)
    assembly_format = "$c `pending` $pending attr-dict `:` type($c)"

    def __init__(self, c: SSAValue | Operation, pending: int):
        super().__init__(
            operands=[c], properties={"pending": IntegerAttr(pending, i64)}, result_types=[SSAValue.get(c).type]
        )

    def verify_(self) -> None:
        kind = self.c.type
        assert isinstance(kind, FragmentType)
        if kind != self.result.type or kind.family.data != "wgmma":
            raise VerifyException(f"the accumulator is a fragment c of wgmma, found {kind}")


MATRIX = [MmaLoadOp, MmaFillOp, MmaSyncOp, MmaStoreOp, WgmmaOp, WgmmaWaitOp]
