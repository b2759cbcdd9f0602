"""One thread of a kernel as an LLVM function.

A kernel without barriers and collective ops becomes an ordinary function `(launch, thread, block x, y, z) -> i1`, true if the
thread was stopped by a violation. Any other becomes a coroutine with the same arguments, which leaves in its state what it
waits for. Neither returns to its caller in the middle: the text after a suspension starts a new block, and the emitter's phis
name the block in which a value ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.dialects.builtin import FileLineColLoc
from xdsl.ir import Operation, SSAValue

from rlx_backends.gpu.shared_memory import SharedLayout, shared_layout
from rlx_backends.gpu.simulator.launcher import launcher, thread_name
from rlx_backends.gpu.simulator.layout import ENDED, word
from rlx_backends.llvm.emitter import symbol
from rlx_backends.llvm.function import FunctionEmitter
from rlx_dialects.cuda.copies import CpAsyncOp
from rlx_dialects.gpu.matrix import FragmentLoadOp, FragmentStoreOp, MultiplyOp
from rlx_dialects.gpu.ops import BarrierOp, KernelOp, SharedOp, ShuffleOp, SubgroupReduceOp, VoteOp
from rlx_dialects.kernel.fragment import FragmentType
from rlx_dialects.kernel.pointers import AllocaOp, OffsetOp, PtrCastOp
from rlx_dialects.kernel.types import PtrType, byte_size, ptr_type
from rlx_dialects.rocm.copies import LoadToLdsOp

WAITING = (BarrierOp, ShuffleOp, SubgroupReduceOp, VoteOp, FragmentLoadOp, FragmentStoreOp, MultiplyOp)
"""Ops at which a thread lets others run."""
COPYING = (CpAsyncOp, LoadToLdsOp)
"""Ops that start a copy without waiting for it."""

ARGUMENTS = "ptr %sim, i64 %thread, i64 %block.x, i64 %block.y, i64 %block.z"
LEAVE = "sim.leave"
"""The label that ends a thread."""


@dataclass(frozen=True)
class Root:
    """What a pointer points into: argument `number` of the kernel, shared memory from byte `number` on, or an alloca, with the
    bytes that it has; `kind` "" where no one knows.
    """

    kind: str
    number: int = 0
    bytes: int = 0
    register: str = ""


@dataclass
class Simulation:
    """What the handlers of one module know: whether to check accesses, the texts of all sites, the kernel under emission."""

    checked: bool
    fragments: dict[SSAValue, FragmentType]
    """What matrices the chunks of the lanes make up."""
    sites: list[str] = field(default_factory=lambda: ["the end of the kernel"])
    names: list[str] = field(default_factory=list)
    """The kernels emitted so far."""
    kernel: KernelOp | None = None
    waits: bool = False
    shared: SharedLayout = field(default_factory=lambda: SharedLayout({}, 0, 1, False))
    copies: bool = False
    """Whether the kernel copies asynchronously."""

    # -- sites

    def site(self, text: str) -> int:
        """The number of a place in the code, for reports."""
        self.sites.append(text)
        return len(self.sites) - 1

    def site_of(self, op: Operation) -> int:
        found: Operation | None = op
        while found is not None:
            if isinstance(found.location, FileLineColLoc):
                place = found.location
                return self.site(f"{op.name} at {place.filename.data}:{place.line.data}:{place.column.data}")
            found = found.parent_op()
        return self.site(op.name)

    def sites_text(self) -> str:
        lines = []
        for number, text in enumerate(self.sites):
            data = text.encode()
            escaped = "".join(f"\\{byte:02X}" for byte in data)
            lines.append(f'@sim.site.{number} = private constant [{len(data) + 1} x i8] c"{escaped}\\00"')
        pointers = ", ".join(f"ptr @sim.site.{number}" for number in range(len(self.sites)))
        lines.append(f"@sim.sites = internal constant [{len(self.sites)} x ptr] [{pointers}]")
        return "\n".join(lines) + "\n"

    # -- what a kernel has

    @property
    def name(self) -> str:
        assert self.kernel is not None
        return self.kernel.sym_name.data

    @property
    def block(self) -> tuple[int, int, int]:
        assert self.kernel is not None
        return self.kernel.block

    @property
    def threads(self) -> int:
        x, y, z = self.block
        return x * y * z

    @property
    def lanes(self) -> int:
        """Threads of a subgroup."""
        assert self.kernel is not None and self.kernel.facts is not None
        return self.kernel.facts.subgroup

    def root(self, f: FunctionEmitter, pointer: SSAValue) -> Root:
        while isinstance(pointer.owner, OffsetOp | PtrCastOp):
            pointer = pointer.owner.ptr
        owner = pointer.owner
        if isinstance(owner, SharedOp):
            return Root("shared", self.shared.offsets[owner], owner.bytes)
        if isinstance(owner, AllocaOp):
            return Root("private", 0, owner.size.value.data * byte_size(ptr_type(pointer).element_type), f.scalar(pointer))
        assert self.kernel is not None
        if owner is self.kernel.body.block:
            return Root("argument", self.kernel.body.block.args.index(pointer))
        return Root("")

    # -- emission

    def stop_if(self, f: FunctionEmitter, bad: str, site: int, code: str, a: str, b: str) -> None:
        """Report a violation and end the thread where `bad` holds."""
        report, go = f.label("report"), f.label("go")
        f.branch_if(bad, report, go)
        f.start_block(report)
        text = f"ptr @sim.site.{site}"
        f.line(f"call void @sim.report(ptr %sim, i64 {code}, i64 %thread, i64 {a}, i64 {b}, {text}, {text})")
        f.branch(LEAVE)
        f.start_block(go)

    def load_word(self, f: FunctionEmitter, name: str, type_: str = "i64") -> str:
        at = f.emit(f"getelementptr inbounds i8, ptr %sim, i64 {word(name)}")
        return f.emit(f"load {type_}, ptr {at}, align 8")

    def suspend(self, f: FunctionEmitter, op: Operation, whole_block: bool) -> None:
        """Wait here for the others: the block, or the subgroup."""
        state = 2 * self.site_of(op) + whole_block
        f.line(f"store i64 {state}, ptr %sim.state, align 8")
        answer, resumed = f.emit("call i8 @llvm.coro.suspend(token none, i1 false)"), f.label("resumed")
        f.line(f"switch i8 {answer}, label %sim.suspended [i8 0, label %{resumed} i8 1, label %sim.suspended]")
        f.start_block(resumed)

    def emit_kernel(self, f: FunctionEmitter, op: KernelOp) -> None:
        """The thread and the launcher of one kernel: the lines of `f`."""
        self.kernel, self.shared = op, shared_layout(op)
        self.names.append(op.sym_name.data)
        ops = list(op.body.walk())
        self.waits = any(isinstance(inner, WAITING) for inner in ops)
        self.copies = any(isinstance(inner, COPYING) for inner in ops)
        for number, argument in enumerate(op.body.block.args):
            place = f.emit(f"getelementptr inbounds ptr, ptr %sim.params, i64 {number}")
            where = f.emit(f"load ptr, ptr {place}, align 8, !invariant.load !3")
            type_ = "ptr" if isinstance(argument.type, PtrType) else f.pieces(argument)[0]
            f.define(argument, [f.emit(f"load {type_}, ptr {where}, align 8, !invariant.load !3")])
        f.body(op.body.block)
        f.branch(LEAVE)
        body = [*f.allocas, *(_COROUTINE_START if self.waits else ()), *_PARAMS, *(_COPIES if self.copies else ()), *f.lines]
        attributes = f.target.function_attributes
        name = thread_name(op.sym_name.data)
        if self.waits:
            head = f"define internal ptr {symbol(name)}({ARGUMENTS}) presplitcoroutine noinline {attributes} {{"
            end = _COROUTINE_END
        else:
            head = f"define internal i1 {symbol(name)}({ARGUMENTS}) alwaysinline {attributes} {{"
            fails = ["  %sim.failed.at = getelementptr inbounds i8, ptr %sim, i64 " + str(word("failed"))]
            fails += ["  %sim.failed = load i64, ptr %sim.failed.at, align 8", "  %sim.bad = icmp ne i64 %sim.failed, 0"]
            end = [f"{LEAVE}:", *(fails if self.checked else ()), f"  ret i1 {'%sim.bad' if self.checked else 'false'}", "}"]
        f.lines[:] = [head, "entry:", *body, *end, "", *launcher(self)]


_PARAMS = [
    f"  %sim.params.at = getelementptr inbounds i8, ptr %sim, i64 {word('params')}",
    "  %sim.params = load ptr, ptr %sim.params.at, align 8, !invariant.load !3",
]

_COPIES = ["  call void @sim.copies.start(ptr %sim, i64 %thread)"]

_COROUTINE_START = [
    "  %sim.id = call token @llvm.coro.id(i32 64, ptr null, ptr null, ptr null)",
    "  %sim.size = call i64 @llvm.coro.size.i64()",
    "  %sim.memory = call ptr @sim.frame(ptr %sim, i64 %sim.size, i64 %thread)",
    "  %sim.handle = call ptr @llvm.coro.begin(token %sim.id, ptr %sim.memory)",
    f"  %sim.states.at = getelementptr inbounds i8, ptr %sim, i64 {word('states')}",
    "  %sim.states = load ptr, ptr %sim.states.at, align 8",
    "  %sim.state = getelementptr inbounds i64, ptr %sim.states, i64 %thread",
]

# A frame is never destroyed: the next block starts over in its memory.
_COROUTINE_END = [
    f"{LEAVE}:",
    f"  store i64 {ENDED}, ptr %sim.state, align 8",
    "  %sim.last = call i8 @llvm.coro.suspend(token none, i1 true)",
    "  switch i8 %sim.last, label %sim.suspended [i8 0, label %sim.never i8 1, label %sim.suspended]",
    "sim.never:",
    "  unreachable",
    "sim.suspended:",
    "  call void @llvm.coro.end(ptr %sim.handle, i1 false, token none)",
    "  ret ptr %sim.handle",
    "}",
]
