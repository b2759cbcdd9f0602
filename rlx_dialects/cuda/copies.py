"""Asynchronous copies of the `cuda` dialect: `cp.async`, barriers in shared memory, the tensor memory accelerator (TMA).

Tiles that TMA moves are boxes of a tensor map, which the entry encodes for each call; a tile of 64 bf16 columns lies in
shared memory with the 128-byte swizzle that `wgmma` reads: rows of 128 bytes, 16-byte chunk c of row r at chunk c XOR (r mod 8).
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import I64, ArrayAttr, IntAttr, IntegerAttr, StringAttr, i32, i64
from xdsl.ir import Attribute, Operation, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import (
    AttrSizedOperandSegments,
    BaseAttr,
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect, Pure
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.gpu.ops import PTR, facts_around
from rlx_dialects.kernel.types import INDEX, byte_size, ptr_type

EFFECTS = (MemoryReadEffect(), MemoryWriteEffect())
_SWIZZLES = (0, 32, 64, 128)


def _needs(op: Operation, feature: str) -> None:
    facts = facts_around(op)
    has = facts is None or facts.async_copy == "tma" or (feature == "cp_async" and facts.async_copy == "cp_async")
    if not has:
        assert facts is not None
        raise VerifyException(f"{facts.arch} has no {op.name}")


def _verify_space(pointer: SSAValue, space: str, what: str) -> None:
    if ptr_type(pointer).space.data != space:
        raise VerifyException(f"{what} lies in {space} memory, found {pointer.type}")


@irdl_attr_definition
class TensorMapType(ParametrizedAttribute, TypeAttribute):
    """How TMA sees a tensor: boxes of `box` elements, the fastest dim last, with a swizzle of 0, 32, 64 or 128 bytes.

    `!cuda.tensor_map<128 x 64 x bf16, swizzle 128>`
    """

    name = "cuda.tensor_map"

    box: ArrayAttr[IntAttr]
    element_type: Attribute
    swizzle: IntAttr

    @classmethod
    def get(cls, box: Sequence[int], element: Attribute, swizzle: int = 0) -> TensorMapType:
        return cls(ArrayAttr([IntAttr(extent) for extent in box]), element, IntAttr(swizzle))

    @property
    def extents(self) -> tuple[int, ...]:
        return tuple(extent.data for extent in self.box)

    @property
    def bytes(self) -> int:
        """Bytes of one box, as TMA counts them on arrival."""
        total = byte_size(self.element_type)
        for extent in self.extents:
            total *= extent
        return total

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        box: list[IntAttr] = []
        with parser.in_angle_brackets():
            while (extent := parser.parse_optional_integer(allow_boolean=False)) is not None:
                box.append(IntAttr(extent))
                parser.parse_keyword("x")
            element = parser.parse_type()
            parser.parse_punctuation(",")
            parser.parse_keyword("swizzle")
            swizzle = parser.parse_integer(allow_boolean=False)
        return ArrayAttr(box), element, IntAttr(swizzle)

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            for extent in self.extents:
                printer.print_string(f"{extent} x ")
            printer.print_attribute(self.element_type)
            printer.print_string(f", swizzle {self.swizzle.data}")

    def verify(self) -> None:
        if not 1 <= len(self.extents) <= 5 or not all(1 <= extent <= 256 for extent in self.extents):
            raise VerifyException(f"a box has 1 to 5 extents of 1 to 256 elements, found {list(self.extents)}")
        if self.swizzle.data not in _SWIZZLES:
            raise VerifyException(f"a swizzle is 0, 32, 64 or 128 bytes, found {self.swizzle.data}")
        if self.swizzle.data and self.extents[-1] * byte_size(self.element_type) > self.swizzle.data:
            row = f"{self.extents[-1]} x {self.element_type}"
            raise VerifyException(f"rows of {row} exceed a swizzle of {self.swizzle.data} bytes")


# -- cp.async: each thread copies 4, 8 or 16 bytes


@irdl_op_definition
class CpAsyncOp(IRDLOperation):
    """`cp.async`: copies `bytes` from global to shared memory, without waiting; those from `valid` on become zero.

    ```mlir
    cuda.cp_async %d[%i], %s[%j] bytes 16 : !kernel.ptr<bf16, shared, align 16>, !kernel.ptr<bf16, global, align 16>
    cuda.cp_async %d[%i], %s[%j] bytes 16 valid %n : !kernel.ptr<bf16, shared, align 16>, !kernel.ptr<bf16, global, align 16>
    ```
    """

    name = "cuda.cp_async"
    target = operand_def(PTR)
    target_index = operand_def(INDEX)
    source = operand_def(PTR)
    source_index = operand_def(INDEX)
    valid = opt_operand_def(i32)
    bytes = prop_def(IntegerAttr[I64])
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(*EFFECTS)
    assembly_format = (
        "$target `[` $target_index `]` `,` $source `[` $source_index `]` `bytes` $bytes (`valid` $valid^)? attr-dict "
        "`:` type($target) `,` type($source)"
    )

    def __init__(
        self,
        target: SSAValue | Operation,
        target_index: SSAValue | Operation,
        source: SSAValue | Operation,
        source_index: SSAValue | Operation,
        size: int,
        valid: SSAValue | Operation | None = None,
    ):
        super().__init__(
            operands=[target, target_index, source, source_index, valid], properties={"bytes": IntegerAttr(size, i64)}
        )

    def verify_(self) -> None:
        _needs(self, "cp_async")
        _verify_space(self.target, "shared", "the target")
        _verify_space(self.source, "global", "the source")
        if ptr_type(self.target).element_type != ptr_type(self.source).element_type:
            raise VerifyException(f"a copy keeps the element type, found {self.source.type} to {self.target.type}")
        if self.bytes.value.data not in (4, 8, 16):
            raise VerifyException(f"a copy moves 4, 8 or 16 bytes, found {self.bytes.value.data}")


@irdl_op_definition
class CpAsyncCommitOp(IRDLOperation):
    """`cp.async.commit_group`: this thread's copies since the last commit are one group.

    ```mlir
    cuda.cp_async_commit
    ```
    """

    name = "cuda.cp_async_commit"
    traits = traits_def(*EFFECTS)
    assembly_format = "attr-dict"

    def __init__(self):
        super().__init__()

    def verify_(self) -> None:
        _needs(self, "cp_async")


class _Pending(IRDLOperation):
    pending = prop_def(IntegerAttr[I64])
    traits = traits_def(*EFFECTS)

    def __init__(self, pending: int):
        super().__init__(properties={"pending": IntegerAttr(pending, i64)})

    def verify_(self) -> None:
        _needs(self, "cp_async" if isinstance(self, CpAsyncWaitOp) else "tma")
        if self.pending.value.data < 0:
            raise VerifyException(f"groups that may be pending are 0 or more, found {self.pending.value.data}")


@irdl_op_definition
class CpAsyncWaitOp(_Pending):
    """`cp.async.wait_group`: waits until at most so many of this thread's groups are pending.

    ```mlir
    cuda.cp_async_wait 1
    ```
    """

    name = "cuda.cp_async_wait"
    assembly_format = "$pending attr-dict"


# -- barriers in shared memory


class _OnBarrier(IRDLOperation):
    barrier = operand_def(PTR)
    index = operand_def(INDEX)
    traits = traits_def(*EFFECTS)

    def verify_(self) -> None:
        _needs(self, "tma")
        _verify_space(self.barrier, "shared", "a barrier")
        if ptr_type(self.barrier).element_type != i64:
            raise VerifyException(f"a barrier is an i64, found {self.barrier.type}")


@irdl_op_definition
class MbarrierInitOp(_OnBarrier):
    """`mbarrier.init`: a phase ends after `count` arrivals and the bytes expected; by one thread, then a block barrier.

    ```mlir
    cuda.mbarrier_init %bar[%i] count 2 : !kernel.ptr<i64, shared>
    ```
    """

    name = "cuda.mbarrier_init"
    count = prop_def(IntegerAttr[I64])
    assembly_format = "$barrier `[` $index `]` `count` $count attr-dict `:` type($barrier)"

    def __init__(self, barrier: SSAValue | Operation, index: SSAValue | Operation, count: int):
        super().__init__(operands=[barrier, index], properties={"count": IntegerAttr(count, i64)})


@irdl_op_definition
class MbarrierExpectOp(_OnBarrier):
    """`mbarrier.arrive.expect_tx`: this thread arrives, and the phase waits for so many bytes more.

    ```mlir
    cuda.mbarrier_expect %bar[%i] bytes 49152 : !kernel.ptr<i64, shared>
    ```
    """

    name = "cuda.mbarrier_expect"
    bytes = prop_def(IntegerAttr[I64])
    assembly_format = "$barrier `[` $index `]` `bytes` $bytes attr-dict `:` type($barrier)"

    def __init__(self, barrier: SSAValue | Operation, index: SSAValue | Operation, size: int):
        super().__init__(operands=[barrier, index], properties={"bytes": IntegerAttr(size, i64)})


@irdl_op_definition
class MbarrierArriveOp(_OnBarrier):
    """`mbarrier.arrive`: this thread arrives.

    ```mlir
    cuda.mbarrier_arrive %bar[%i] : !kernel.ptr<i64, shared>
    ```
    """

    name = "cuda.mbarrier_arrive"
    assembly_format = "$barrier `[` $index `]` attr-dict `:` type($barrier)"

    def __init__(self, barrier: SSAValue | Operation, index: SSAValue | Operation):
        super().__init__(operands=[barrier, index])


@irdl_op_definition
class MbarrierWaitOp(_OnBarrier):
    """`mbarrier.try_wait.parity` until the phase of that parity has ended. A fresh barrier has ended phase 1.

    ```mlir
    cuda.mbarrier_wait %bar[%i] parity %p : !kernel.ptr<i64, shared>
    ```
    """

    name = "cuda.mbarrier_wait"
    parity = operand_def(i32)
    assembly_format = "$barrier `[` $index `]` `parity` $parity attr-dict `:` type($barrier)"

    def __init__(self, barrier: SSAValue | Operation, index: SSAValue | Operation, parity: SSAValue | Operation):
        super().__init__(operands=[barrier, index, parity])


# -- TMA


@irdl_op_definition
class TensorMapOp(IRDLOperation):
    """`cuTensorMapEncodeTiled`, by the entry: a tensor at a device address, the fastest dim last; strides in elements of all dims
    but the last, whose stride is 1. Parts of a box outside the tensor are read as zero and not written.

    ```mlir
    %map = cuda.encode_tensor_map %p sizes(%m, %k) strides(%k) : !kernel.ptr<bf16, global> -> !cuda.tensor_map<128 x 64 x bf16, swizzle 128>
    ```
    """  # noqa: E501 - an operation stands on one line

    name = "cuda.encode_tensor_map"
    pointer = operand_def(PTR)
    sizes = var_operand_def(INDEX)
    strides = var_operand_def(INDEX)
    result = result_def(BaseAttr(TensorMapType))
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())
    assembly_format = (
        "$pointer `sizes` `(` $sizes `)` `strides` `(` $strides `)` attr-dict `:` type($pointer) `->` type($result)"
    )

    def __init__(
        self,
        pointer: SSAValue | Operation,
        sizes: Sequence[SSAValue | Operation],
        strides: Sequence[SSAValue | Operation],
        result_type: TensorMapType,
    ):
        super().__init__(operands=[pointer, sizes, strides], result_types=[result_type])

    def verify_(self) -> None:
        kind = self.result.type
        assert isinstance(kind, TensorMapType)
        rank = len(kind.extents)
        if len(self.sizes) != rank or len(self.strides) != rank - 1:
            raise VerifyException(f"{kind} takes {rank} sizes and {rank - 1} strides")
        if ptr_type(self.pointer).element_type != kind.element_type:
            raise VerifyException(f"{kind} describes elements of {kind.element_type}, found {self.pointer.type}")


class _TmaCopy(IRDLOperation):
    def _verify(self, memory: SSAValue, tensor_map: SSAValue, at: Sequence[SSAValue]) -> None:
        _needs(self, "tma")
        _verify_space(memory, "shared", "a box")
        kind = tensor_map.type
        assert isinstance(kind, TensorMapType)
        if len(at) != len(kind.extents):
            raise VerifyException(f"a box of {kind} has {len(kind.extents)} coordinates, found {len(at)}")
        if ptr_type(memory).element_type != kind.element_type:
            raise VerifyException(f"{kind} moves {kind.element_type}, found {memory.type}")


@irdl_op_definition
class TmaLoadOp(_TmaCopy):
    """`cp.async.bulk.tensor`, by one thread: the box at these coordinates (the fastest last) to shared memory; its bytes arrive
    at the barrier.

    ```mlir
    cuda.tma_load %d[%i], %map(%r, %c) barrier %bar[%j] : !kernel.ptr<bf16, shared, align 128>, !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, !kernel.ptr<i64, shared>
    ```
    """  # noqa: E501 - an operation stands on one line

    name = "cuda.tma_load"
    target = operand_def(PTR)
    index = operand_def(INDEX)
    tensor_map = operand_def(BaseAttr(TensorMapType))
    at = var_operand_def(INDEX)
    barrier = operand_def(PTR)
    barrier_index = operand_def(INDEX)
    traits = traits_def(*EFFECTS)
    assembly_format = (
        "$target `[` $index `]` `,` $tensor_map `(` $at `)` `barrier` $barrier `[` $barrier_index `]` attr-dict "
        "`:` type($target) `,` type($tensor_map) `,` type($barrier)"
    )

    def __init__(
        self,
        target: SSAValue | Operation,
        index: SSAValue | Operation,
        tensor_map: SSAValue | Operation,
        at: Sequence[SSAValue | Operation],
        barrier: SSAValue | Operation,
        barrier_index: SSAValue | Operation,
    ):
        super().__init__(operands=[target, index, tensor_map, at, barrier, barrier_index])

    def verify_(self) -> None:
        self._verify(self.target, self.tensor_map, self.at)


@irdl_op_definition
class TmaStoreOp(_TmaCopy):
    """`cp.async.bulk.tensor` the other way, by one thread, after a fence of the asynchronous proxy and a barrier.

    ```mlir
    cuda.tma_store %s[%i], %map(%r, %c) : !kernel.ptr<bf16, shared, align 128>, !cuda.tensor_map<128 x 64 x bf16, swizzle 128>
    ```
    """

    name = "cuda.tma_store"
    source = operand_def(PTR)
    index = operand_def(INDEX)
    tensor_map = operand_def(BaseAttr(TensorMapType))
    at = var_operand_def(INDEX)
    traits = traits_def(*EFFECTS)
    assembly_format = "$source `[` $index `]` `,` $tensor_map `(` $at `)` attr-dict `:` type($source) `,` type($tensor_map)"

    def __init__(
        self,
        source: SSAValue | Operation,
        index: SSAValue | Operation,
        tensor_map: SSAValue | Operation,
        at: Sequence[SSAValue | Operation],
    ):
        super().__init__(operands=[source, index, tensor_map, at])

    def verify_(self) -> None:
        self._verify(self.source, self.tensor_map, self.at)


class _Plain(IRDLOperation):
    traits = traits_def(*EFFECTS)
    assembly_format = "attr-dict"

    def __init__(self):
        super().__init__()

    def verify_(self) -> None:
        _needs(self, "tma")


@irdl_op_definition
class TmaStoreCommitOp(_Plain):
    """`cp.async.bulk.commit_group`: this thread's stores since the last commit are one group.

    ```mlir
    cuda.tma_store_commit
    ```
    """

    name = "cuda.tma_store_commit"


@irdl_op_definition
class FenceAsyncOp(_Plain):
    """`fence.proxy.async`: what this thread wrote to shared memory is seen by TMA and `wgmma`.

    ```mlir
    cuda.fence_async
    ```
    """

    name = "cuda.fence_async"


@irdl_op_definition
class TmaStoreWaitOp(_Pending):
    """`cp.async.bulk.wait_group.read`: the shared memory of all but so many groups of this thread may be written again.

    ```mlir
    cuda.tma_store_wait 0
    ```
    """

    name = "cuda.tma_store_wait"
    assembly_format = "$pending attr-dict"


@irdl_op_definition
class SetMaxRegistersOp(IRDLOperation):
    """`setmaxnreg`: the warps of a warpgroup give up registers (`dec`) or wait for more (`inc`).

    ```mlir
    cuda.set_max_registers inc 240
    ```
    """

    name = "cuda.set_max_registers"
    kind = prop_def(StringAttr)
    count = prop_def(IntegerAttr[I64])
    traits = traits_def(*EFFECTS)

    def __init__(self, kind: str, count: int):
        super().__init__(properties={"kind": StringAttr(kind), "count": IntegerAttr(count, i64)})

    @classmethod
    def parse(cls, parser: AttrParser) -> SetMaxRegistersOp:
        return cls(parser.parse_identifier(" (inc or dec)"), parser.parse_integer(allow_boolean=False))

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.kind.data} {self.count.value.data}")

    def verify_(self) -> None:
        _needs(self, "tma")
        if self.kind.data not in ("inc", "dec"):
            raise VerifyException(f"registers are set by inc or dec, found '{self.kind.data}'")
        count = self.count.value.data
        if not 24 <= count <= 256 or count % 8:
            raise VerifyException(f"registers are a multiple of 8 from 24 to 256, found {count}")


COPIES = [
    CpAsyncOp, CpAsyncCommitOp, CpAsyncWaitOp, MbarrierInitOp, MbarrierExpectOp, MbarrierArriveOp, MbarrierWaitOp, TensorMapOp,
    TmaLoadOp, TmaStoreOp, TmaStoreCommitOp, TmaStoreWaitOp, FenceAsyncOp, SetMaxRegistersOp,
]  # fmt: skip
