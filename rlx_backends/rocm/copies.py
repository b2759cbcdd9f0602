"""Asynchronous copies of AMD GPUs: from global memory to the local data share without registers."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import Operation

from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import llvm_type
from rlx_dialects.kernel.types import ptr_type
from rlx_dialects.rocm.copies import LoadToLdsOp


def load_to_lds(f: FunctionEmitter, op: LoadToLdsOp) -> None:
    """The target's address is that of the first lane: the hardware adds the lane's part."""
    source, target = ptr_type(op.source), ptr_type(op.target)
    element = llvm_type(source.element_type)
    kinds = f.type_of(source), f.type_of(target)
    places = [
        f.address(f.scalar(op.source), element, f.scalar(op.source_index), kinds[0]),
        f.address(f.scalar(op.target), element, f.scalar(op.target_index), kinds[1]),
    ]
    flags = [("i32", str(op.bytes.value.data)), ("i32", "0"), ("i32", "0")]
    f.intrinsic("llvm.amdgcn.global.load.lds", "void", [*zip(kinds, places, strict=True), *flags])


HANDLERS: dict[type[Operation], Callable[..., None]] = {LoadToLdsOp: load_to_lds}
