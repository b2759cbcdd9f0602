"""One thread of a kernel as an LLVM function, and the launcher of the kernel.

A kernel without barriers and collective ops becomes an ordinary function `(launch, thread, block x, y, z) -> i1`, true if the
thread was stopped by a violation. Any other becomes a coroutine with the same arguments, which leaves in its state what it
waits for. Neither returns to its caller in the middle: the text after a suspension starts a new block, and the emitter's phis
name the block in which a value ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.dialects.builtin import FileLineColLoc
from xdsl.ir import Operation, SSAValue

from rlx_backends.gpu.simulator import layout
from rlx_backends.gpu.simulator.layout import BLOCK_SIZE, ENDED, MAX_LANES, MISALIGNED, SLOT_BYTES, WORDS, word
from rlx_backends.gpu.simulator.scheduler import put
from rlx_backends.llvm.emitter import symbol
from rlx_backends.llvm.function import FunctionEmitter
from rlx_dialects.gpu.ops import BarrierOp, KernelOp, SharedOp, ShuffleOp, SubgroupReduceOp, VoteOp
from rlx_dialects.kernel.pointers import AllocaOp, OffsetOp, PtrCastOp
from rlx_dialects.kernel.types import PtrType, byte_size, ptr_type

WAITING = (BarrierOp, ShuffleOp, SubgroupReduceOp, VoteOp)
"""Ops at which a thread lets others run."""

ARGUMENTS = "ptr %sim, i64 %thread, i64 %block.x, i64 %block.y, i64 %block.z"
LEAVE = "sim.leave"
"""The label that ends a thread."""


def launcher_name(kernel: str) -> str:
    """The symbol of a kernel's launcher."""
    return f"sim_{kernel}"


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
    sites: list[str] = field(default_factory=lambda: ["the end of the kernel"])
    names: list[str] = field(default_factory=list)
    """The kernels emitted so far."""
    kernel: KernelOp | None = None
    waits: bool = False
    shared: dict[SSAValue, int] = field(default_factory=dict)
    """Byte offsets of shared memory."""

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

    def table_text(self) -> str:
        """`sim_kernels`: the number of kernels, then the name and the launcher of each."""
        words = [f"i64 {len(self.names)}"]
        for name in self.names:
            words += [f"i64 ptrtoint (ptr @{name}.name to i64)", f"i64 ptrtoint (ptr {symbol(launcher_name(name))} to i64)"]
        return f"@sim_kernels = constant [{len(words)} x i64] [{', '.join(words)}]\n"

    # -- what a kernel has

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
            return Root("shared", self.shared[pointer], owner.bytes)
        if isinstance(owner, AllocaOp):
            return Root("private", 0, owner.size.value.data * byte_size(ptr_type(pointer).element_type), f.scalar(pointer))
        assert self.kernel is not None
        if owner is self.kernel.body.block:
            return Root("argument", self.kernel.body.block.args.index(pointer))
        return Root("")

    # -- emission

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
        self.kernel, self.shared = op, {}
        self.names.append(op.sym_name.data)
        self.waits = any(isinstance(inner, WAITING) for inner in op.body.walk())
        offset = 0
        for inner in op.body.walk():
            if isinstance(inner, SharedOp):
                align = ptr_type(inner.result).align.data
                self.shared[inner.result] = offset = -(-offset // align) * align
                offset += inner.bytes
        for number, argument in enumerate(op.body.block.args):
            place = f.emit(f"getelementptr inbounds ptr, ptr %sim.params, i64 {number}")
            where = f.emit(f"load ptr, ptr {place}, align 8, !invariant.load !3")
            type_ = "ptr" if isinstance(argument.type, PtrType) else f.pieces(argument)[0]
            f.define(argument, [f.emit(f"load {type_}, ptr {where}, align 8, !invariant.load !3")])
        f.body(op.body.block)
        f.branch(LEAVE)
        body = [*f.allocas, *(_COROUTINE_START if self.waits else ()), *_PARAMS, *f.lines]
        attributes = f.target.function_attributes
        name = f"{op.sym_name.data}.thread"
        if self.waits:
            head = f"define internal ptr {symbol(name)}({ARGUMENTS}) presplitcoroutine noinline {attributes} {{"
            end = _COROUTINE_END
        else:
            head = f"define internal i1 {symbol(name)}({ARGUMENTS}) alwaysinline {attributes} {{"
            fails = ["  %sim.failed.at = getelementptr inbounds i8, ptr %sim, i64 " + str(word("failed"))]
            fails += ["  %sim.failed = load i64, ptr %sim.failed.at, align 8", "  %sim.bad = icmp ne i64 %sim.failed, 0"]
            end = [f"{LEAVE}:", *(fails if self.checked else ()), f"  ret i1 {'%sim.bad' if self.checked else 'false'}", "}"]
        f.lines[:] = [head, "entry:", *body, *end, "", *self._block_loop(name), *self._launcher(name)]

    def _block_loop(self, thread: str) -> list[str]:
        """All threads of a block, for a kernel in which none waits."""
        if self.waits:
            return []
        return f"""\
define internal i32 {symbol(thread + "s")}(ptr %sim, i64 %x, i64 %y, i64 %z) noinline nounwind {{
entry:
  %context = load ptr, ptr %sim, align 8
  %reversed.at = getelementptr inbounds i64, ptr %context, i64 {layout.REVERSED}
  %reversed.word = load i64, ptr %reversed.at, align 8
  %reversed = icmp ne i64 %reversed.word, 0
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i1, %ran ]
  %back = sub i64 {self.threads - 1}, %i
  %t = select i1 %reversed, i64 %back, i64 %i
  %bad = call i1 {symbol(thread)}(ptr %sim, i64 %t, i64 %x, i64 %y, i64 %z)
  br i1 %bad, label %failed, label %ran
ran:
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, {self.threads}
  br i1 %more, label %next, label %done
failed:
  %at = getelementptr inbounds i8, ptr %sim, i64 {word("failed")}
  %code64 = load i64, ptr %at, align 8
  %code = trunc i64 %code64 to i32
  ret i32 %code
done:
  ret i32 0
}}
""".splitlines()

    def _launcher(self, thread: str) -> list[str]:
        """`i32 sim_<kernel>(grid x, y, z, block x, y, z, params, context)`: 0, or the code of the report."""
        assert self.kernel is not None
        name, args = self.kernel.sym_name.data, self.kernel.body.block.args
        pointers = [(n, ptr_type(a)) for n, a in enumerate(args) if isinstance(a.type, PtrType)] if self.checked else []
        x, y, z = self.block
        shared = -(-self.kernel.shared_bytes // 64) * 64
        per_thread = -(-8 * self.threads // 64) * 64 if self.waits else 0
        slots = MAX_LANES * SLOT_BYTES if self.waits else 0
        places = {"states": 0, "handles": per_thread, "slots": 2 * per_thread, "other_slots": 2 * per_thread + slots}
        total = 2 * per_thread + 2 * slots + shared
        block = "@sim.block" if self.waits else symbol(thread + "s")
        text = f"""\
define internal i32 {symbol(launcher_name(name))}(i32 %gx, i32 %gy, i32 %gz, i32 %bx, i32 %by, i32 %bz,
    ptr %params, ptr %context) nounwind {{
entry:
  %sim = alloca [{len(WORDS)} x i64], align 64
  %ranges = alloca [{len(args) + 1} x [2 x i64]], align 64
  call void @llvm.memset.p0.i64(ptr align 64 %sim, i8 0, i64 {8 * len(WORDS)}, i1 false)
  %grid.x = zext i32 %gx to i64
  %grid.y = zext i32 %gy to i64
  %grid.z = zext i32 %gz to i64
  %same.x = icmp eq i32 %bx, {x}
  %same.y = icmp eq i32 %by, {y}
  %same.z = icmp eq i32 %bz, {z}
  %same.xy = and i1 %same.x, %same.y
  %same = and i1 %same.xy, %same.z
  %memory = call ptr @aligned_alloc(i64 64, i64 {max(total, 64)})
{put("context", "%context", "ptr")}{put("params", "%params", "ptr")}{put("grid_x", "%grid.x")}{put("grid_y", "%grid.y")}\
{put("grid_z", "%grid.z")}{put("shared_bytes", str(shared))}{put("ranges", "%ranges", "ptr")}{put("threads", str(self.threads))}\
{put("subgroup", str(self.lanes))}{put("size_x", str(x))}{put("size_y", str(y))}{put("run_block", block, "ptr")}\
{put("name", f"@{name}.name", "ptr")}"""
        if self.waits:
            text += put("ramp", symbol(thread), "ptr")
            for place, offset in places.items():
                text += f"  %{place} = getelementptr inbounds i8, ptr %memory, i64 {offset}\n" + put(place, f"%{place}", "ptr")
        text += f"  %shared = getelementptr inbounds i8, ptr %memory, i64 {total - shared}\n" + put("shared", "%shared", "ptr")
        text += "  br i1 %same, label %check, label %other\nother:\n"
        text += f"  call void @sim.report(ptr %sim, i64 {BLOCK_SIZE}, i64 0, i64 0, i64 0, ptr @sim.site.0, ptr @sim.site.0)\n"
        text += "  br label %end\ncheck:\n"
        for number, type_ in pointers:
            site = self.site(f"argument {number}")
            text += f"""\
  %p{number}.at = getelementptr inbounds ptr, ptr %params, i64 {number}
  %p{number}.p = load ptr, ptr %p{number}.at, align 8
  %p{number} = load i64, ptr %p{number}.p, align 8
  %r{number} = getelementptr inbounds [2 x i64], ptr %ranges, i64 {number}
  call void @sim.range(ptr %context, i64 %p{number}, ptr %r{number})
  %rest{number} = and i64 %p{number}, {type_.align.data - 1}
  %odd{number} = icmp ne i64 %rest{number}, 0
  br i1 %odd{number}, label %misaligned{number}, label %aligned{number}
misaligned{number}:
  call void @sim.report(ptr %sim, i64 {MISALIGNED}, i64 0, i64 %p{number}, i64 0, ptr @sim.site.{site}, ptr @sim.site.0)
  br label %end
aligned{number}:
"""
        text += f"""\
  %ran = call i32 @sim.run(ptr %sim)
  br label %end
end:
  %frames.at = getelementptr inbounds i8, ptr %sim, i64 {word("frames")}
  %frames = load ptr, ptr %frames.at, align 8
  call void @free(ptr %frames)
  call void @free(ptr %memory)
  %failed.at = getelementptr inbounds i8, ptr %sim, i64 {word("failed")}
  %failed = load i64, ptr %failed.at, align 8
  %code = trunc i64 %failed to i32
  ret i32 %code
}}
@{name}.name = private constant [{len(name) + 1} x i8] c"{name}\\00"
"""
        return text.splitlines()


_PARAMS = [
    f"  %sim.params.at = getelementptr inbounds i8, ptr %sim, i64 {word('params')}",
    "  %sim.params = load ptr, ptr %sim.params.at, align 8, !invariant.load !3",
]

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
