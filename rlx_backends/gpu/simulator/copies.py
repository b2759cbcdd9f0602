"""Asynchronous copies of one thread: `cp.async` and copies to the local data share.

A copy happens as late as it may: when the thread waits for it. Until then its target holds poison. So a kernel that reads too
early, or that starts a copy into memory still in use, comes out wrong.
"""

from __future__ import annotations

from typing import Any

from rlx_backends.gpu.simulator.checks import Checker
from rlx_backends.gpu.simulator.exchange import lane_of
from rlx_backends.gpu.simulator.layout import QUEUE, QUEUE_BYTES
from rlx_backends.gpu.simulator.scheduler import PLAIN, get
from rlx_backends.gpu.simulator.threads import Simulation
from rlx_backends.llvm.function import FunctionEmitter
from rlx_dialects.cuda.copies import CpAsyncOp, CpAsyncWaitOp
from rlx_dialects.kernel.types import byte_size, ptr_type
from rlx_dialects.rocm.copies import LoadToLdsOp

_MINE = f"""\
{get("copies", "all", "ptr")}\
  %offset = mul i64 %t, {QUEUE_BYTES}
  %head.at = getelementptr inbounds i8, ptr %all, i64 %offset
  %tail.at = getelementptr inbounds i64, ptr %head.at, i64 1
  %group.at = getelementptr inbounds i64, ptr %head.at, i64 2
  %list = getelementptr inbounds i8, ptr %head.at, i64 32
"""

_ENTRY = """\
  %number = urem i64 %{at}, {queue}
  %entry.at = getelementptr inbounds [4 x i64], ptr %list, i64 %number
  %source.at = getelementptr inbounds i64, ptr %entry.at, i64 1
  %bytes.at = getelementptr inbounds i64, ptr %entry.at, i64 2
  %its.at = getelementptr inbounds i64, ptr %entry.at, i64 3
"""

COPIES = f"""\
define internal void @sim.copies.start(ptr %sim, i64 %t) {PLAIN} {{
entry:
{_MINE}\
  call void @llvm.memset.p0.i64(ptr %head.at, i8 0, i64 32, i1 false)
  ret void
}}

define internal void @sim.copies.add(ptr %sim, i64 %t, ptr %target, ptr %source, i64 %bytes, i64 %valid) {PLAIN} {{
entry:
{_MINE}\
  %head = load i64, ptr %head.at, align 8
  %tail = load i64, ptr %tail.at, align 8
  %group = load i64, ptr %group.at, align 8
  %count = sub i64 %tail, %head
  %full = icmp uge i64 %count, {QUEUE}
  br i1 %full, label %make, label %put
make:
  call void @sim.copies.run(ptr %sim, i64 %t, i64 %head)
  br label %put
put:
{_ENTRY.format(at="tail", queue=QUEUE)}\
  call void @llvm.memset.p0.i64(ptr %target, i8 -1, i64 %bytes, i1 false)
  store ptr %target, ptr %entry.at, align 8
  store ptr %source, ptr %source.at, align 8
  %high = shl i64 %valid, 32
  %both = or i64 %high, %bytes
  store i64 %both, ptr %bytes.at, align 8
  store i64 %group, ptr %its.at, align 8
  %tail1 = add i64 %tail, 1
  store i64 %tail1, ptr %tail.at, align 8
  ret void
}}

define internal void @sim.copies.run(ptr %sim, i64 %t, i64 %at) {PLAIN} {{
entry:
{_MINE}{_ENTRY.format(at="at", queue=QUEUE)}\
  %target = load ptr, ptr %entry.at, align 8
  %source = load ptr, ptr %source.at, align 8
  %both = load i64, ptr %bytes.at, align 8
  %valid = lshr i64 %both, 32
  %bytes = and i64 %both, 4294967295
  %rest = sub i64 %bytes, %valid
  %end = getelementptr i8, ptr %target, i64 %valid
  call void @llvm.memcpy.p0.p0.i64(ptr %target, ptr %source, i64 %valid, i1 false)
  call void @llvm.memset.p0.i64(ptr %end, i8 0, i64 %rest, i1 false)
  %next = add i64 %at, 1
  store i64 %next, ptr %head.at, align 8
  ret void
}}

define internal void @sim.copies.commit(ptr %sim, i64 %t) {PLAIN} {{
entry:
{_MINE}\
  %group = load i64, ptr %group.at, align 8
  %next = add i64 %group, 1
  store i64 %next, ptr %group.at, align 8
  ret void
}}

define internal void @sim.copies.wait(ptr %sim, i64 %t, i64 %pending) {PLAIN} {{
entry:
{_MINE}\
  %group = load i64, ptr %group.at, align 8
  %limit = sub i64 %group, %pending
  br label %look
look:
  %head = load i64, ptr %head.at, align 8
  %tail = load i64, ptr %tail.at, align 8
  %some = icmp ult i64 %head, %tail
  br i1 %some, label %first, label %done
first:
{_ENTRY.format(at="head", queue=QUEUE)}\
  %its = load i64, ptr %its.at, align 8
  %waited = icmp slt i64 %its, %limit
  br i1 %waited, label %run, label %done
run:
  call void @sim.copies.run(ptr %sim, i64 %t, i64 %head)
  br label %look
done:
  ret void
}}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""


def _add(f: FunctionEmitter, target: str, source: str, size: int, valid: str) -> None:
    f.line(f"call void @sim.copies.add(ptr %sim, i64 %thread, ptr {target}, ptr {source}, i64 {size}, i64 {valid})")


def cp_async(sim: Simulation, f: FunctionEmitter, op: CpAsyncOp) -> None:
    size = op.bytes.value.data
    element = f.type_of(ptr_type(op.target).element_type)
    valid = str(size)
    if op.valid is not None:
        valid = f.emit(f"zext i32 {f.scalar(op.valid)} to i64")
    some = f.emit(f"icmp ne i64 {valid}, 0")
    Checker(sim, f, op, op.target).check(f.scalar(op.target_index), str(size), size)
    Checker(sim, f, op, op.source).check(f.scalar(op.source_index), valid, size, some)
    target = f.address(f.scalar(op.target), element, f.scalar(op.target_index))
    _add(f, target, f.address(f.scalar(op.source), element, f.scalar(op.source_index)), size, valid)


def commit(sim: Simulation, f: FunctionEmitter, op: Any) -> None:
    if sim.copies:
        f.line("call void @sim.copies.commit(ptr %sim, i64 %thread)")


def wait(sim: Simulation, f: FunctionEmitter, op: CpAsyncWaitOp) -> None:
    if sim.copies:
        f.line(f"call void @sim.copies.wait(ptr %sim, i64 %thread, i64 {op.pending.value.data})")


def load_to_lds(sim: Simulation, f: FunctionEmitter, op: LoadToLdsOp) -> None:
    """Each copy is a group of its own, which the next barrier waits for."""
    size = op.bytes.value.data
    element = f.type_of(ptr_type(op.target).element_type)
    lane = f.emit(f"mul i64 {lane_of(sim, f)}, {size // byte_size(ptr_type(op.target).element_type)}")
    place = f.emit(f"add i64 {f.scalar(op.target_index)}, {lane}")
    Checker(sim, f, op, op.target).check(place, str(size), 4)
    Checker(sim, f, op, op.source).check(f.scalar(op.source_index), str(size), 4)
    target = f.address(f.scalar(op.target), element, place)
    _add(f, target, f.address(f.scalar(op.source), element, f.scalar(op.source_index)), size, str(size))
    f.line("call void @sim.copies.commit(ptr %sim, i64 %thread)")


def arrive(sim: Simulation, f: FunctionEmitter) -> None:
    """At a barrier: copies to the local data share are done; those of `cp.async` have their own wait."""
    assert sim.kernel is not None
    if sim.copies and sim.kernel.dialect == "rocm":
        f.line("call void @sim.copies.wait(ptr %sim, i64 %thread, i64 0)")
