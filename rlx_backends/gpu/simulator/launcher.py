"""What runs a kernel: all threads of a block where none waits, and the function that a driver calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlx_backends.gpu.simulator import layout
from rlx_backends.gpu.simulator.layout import BLOCK_SIZE, MAX_LANES, MISALIGNED, QUEUE_BYTES, SLOT_BYTES, WORDS, word
from rlx_backends.gpu.simulator.scheduler import PLAIN, put
from rlx_backends.llvm.emitter import symbol
from rlx_dialects.kernel.types import PtrType, ptr_type

if TYPE_CHECKING:
    from rlx_backends.gpu.simulator.threads import Simulation


def thread_name(kernel: str) -> str:
    return f"{kernel}.thread"


def _launcher_name(kernel: str) -> str:
    return f"sim_{kernel}"


def table(kernels: Sequence[str]) -> str:
    """`sim_kernels`: the number of kernels, then the name and the launcher of each."""
    words = [f"i64 {len(kernels)}"]
    for name in kernels:
        words += [f"i64 ptrtoint (ptr {symbol(name + '.name')} to i64)"]
        words += [f"i64 ptrtoint (ptr {symbol(_launcher_name(name))} to i64)"]
    return f"@sim_kernels = constant [{len(words)} x i64] [{', '.join(words)}]\n"


def launcher(sim: Simulation) -> list[str]:
    """Lines for the kernel under emission: `i32 sim_<kernel>(grid x, y, z, block x, y, z, params, context)`, which returns 0 or
    the code of the report.
    """
    return [*_block_loop(sim), *_launch(sim)]


def _block_loop(sim: Simulation) -> list[str]:
    """All threads of a block, for a kernel in which none waits."""
    if sim.waits:
        return []
    thread = thread_name(sim.name)
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
  %back = sub i64 {sim.threads - 1}, %i
  %t = select i1 %reversed, i64 %back, i64 %i
  %bad = call i1 {symbol(thread)}(ptr %sim, i64 %t, i64 %x, i64 %y, i64 %z)
  br i1 %bad, label %failed, label %ran
ran:
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, {sim.threads}
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


def _launch(sim: Simulation) -> list[str]:
    assert sim.kernel is not None
    name, args = sim.name, sim.kernel.body.block.args
    thread = thread_name(name)
    pointers = [(n, ptr_type(a)) for n, a in enumerate(args) if isinstance(a.type, PtrType)] if sim.checked else []
    x, y, z = sim.block
    align = max(sim.shared.align, 64)

    def rounded(size: int) -> int:
        return -(-size // align) * align

    shared = rounded(sim.shared.total)
    sizes = {"shared": shared}
    if sim.waits:
        sizes |= dict.fromkeys(("states", "handles"), rounded(8 * sim.threads))
        sizes |= dict.fromkeys(("slots", "other_slots"), rounded(MAX_LANES * SLOT_BYTES))
    if sim.copies:
        sizes["copies"] = rounded(QUEUE_BYTES * sim.threads)
    total = sum(sizes.values())
    block = "@sim.block" if sim.waits else symbol(thread + "s")
    text = f"""\
define internal i32 {symbol(_launcher_name(name))}(i32 %gx, i32 %gy, i32 %gz, i32 %bx, i32 %by, i32 %bz,
ptr %params, ptr %context) {PLAIN} {{
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
  %memory = call ptr @aligned_alloc(i64 {align}, i64 {max(total, align)})
{put("context", "%context", "ptr")}{put("params", "%params", "ptr")}{put("grid_x", "%grid.x")}{put("grid_y", "%grid.y")}\
{put("grid_z", "%grid.z")}{put("shared_bytes", str(shared))}{put("ranges", "%ranges", "ptr")}{put("threads", str(sim.threads))}\
{put("subgroup", str(sim.lanes))}{put("size_x", str(x))}{put("size_y", str(y))}{put("run_block", block, "ptr")}\
{put("name", symbol(name + ".name"), "ptr")}"""
    if sim.waits:
        text += put("ramp", symbol(thread), "ptr")
    offset = 0
    for place, size in sizes.items():
        text += f"  %{place} = getelementptr inbounds i8, ptr %memory, i64 {offset}\n" + put(place, f"%{place}", "ptr")
        offset += size
    text += "  br i1 %same, label %check, label %other\nother:\n"
    text += f"  call void @sim.report(ptr %sim, i64 {BLOCK_SIZE}, i64 0, i64 0, i64 0, ptr @sim.site.0, ptr @sim.site.0)\n"
    text += "  br label %end\ncheck:\n"
    for number, type_ in pointers:
        site = sim.site(f"argument {number}")
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
{symbol(name + ".name")} = private constant [{len(name) + 1} x i8] c"{name}\\00"
"""
    return text.splitlines()
