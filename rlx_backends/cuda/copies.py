"""Asynchronous copies of PTX: `cp.async` and its groups."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import Operation

from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import llvm_type
from rlx_dialects.cuda.copies import CpAsyncCommitOp, CpAsyncOp, CpAsyncWaitOp
from rlx_dialects.kernel.types import ptr_type


def cp_async(f: FunctionEmitter, op: CpAsyncOp) -> None:
    """16 bytes go past the first cache."""
    source, target = ptr_type(op.source), ptr_type(op.target)
    element, size = llvm_type(source.element_type), op.bytes.value.data
    kinds = f.type_of(target), f.type_of(source)
    arguments = [
        (kinds[0], f.address(f.scalar(op.target), element, f.scalar(op.target_index), kinds[0])),
        (kinds[1], f.address(f.scalar(op.source), element, f.scalar(op.source_index), kinds[1])),
    ]
    name = f"llvm.nvvm.cp.async.{'cg' if size == 16 else 'ca'}.shared.global.{size}"
    if op.valid is not None:
        name += ".s"
        arguments.append(("i32", f.scalar(op.valid)))
    f.intrinsic(name, "void", arguments)


def cp_async_commit(f: FunctionEmitter, op: CpAsyncCommitOp) -> None:
    f.intrinsic("llvm.nvvm.cp.async.commit.group", "void", [])


def cp_async_wait(f: FunctionEmitter, op: CpAsyncWaitOp) -> None:
    f.intrinsic("llvm.nvvm.cp.async.wait.group", "void", [("i32", str(op.pending.value.data))])


HANDLERS: dict[type[Operation], Callable[..., None]] = {
    CpAsyncOp: cp_async,
    CpAsyncCommitOp: cp_async_commit,
    CpAsyncWaitOp: cp_async_wait,
}
