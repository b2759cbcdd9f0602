"""The LLVM text that every simulated module holds: blocks one after the other, threads of a block by turns, reports."""

from __future__ import annotations

from rlx_backends.gpu.simulator import layout
from rlx_backends.gpu.simulator.layout import DIVERGENT_BARRIER, DIVERGENT_COLLECTIVE, ENDED, REPORT, REVERSED, word

PLAIN = "noinline optnone nounwind"
"""Attributes of functions that run once for a block or less: LLVM leaves them as they are, which halves the time to compile."""


def get(name: str, register: str, type_: str = "i64") -> str:
    """Lines that load a word of the launch `%sim` into `%register`."""
    return (
        f"  %{register}.at = getelementptr inbounds i8, ptr %sim, i64 {word(name)}\n"
        f"  %{register} = load {type_}, ptr %{register}.at, align 8\n"
    )


def put(name: str, value: str, type_: str = "i64") -> str:
    """Lines that store a word of the launch; once per name and function."""
    return (
        f"  %put.{name} = getelementptr inbounds i8, ptr %sim, i64 {word(name)}\n"
        f"  store {type_} {value}, ptr %put.{name}, align 8\n"
    )


_DECLARATIONS = """\
declare token @llvm.coro.id(i32, ptr, ptr, ptr)
declare i64 @llvm.coro.size.i64()
declare ptr @llvm.coro.begin(token, ptr)
declare i8 @llvm.coro.suspend(token, i1)
declare void @llvm.coro.end(ptr, i1, token)
declare void @llvm.coro.resume(ptr)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare ptr @aligned_alloc(i64, i64)
declare void @free(ptr)
"""

# Runs the blocks of the grid. Shared memory is poison at the start of each: every float that it holds is NaN, every index -1.
_RUN = f"""\
define internal i32 @sim.run(ptr %sim) {PLAIN} {{
entry:
{get("grid_x", "gx")}{get("grid_y", "gy")}{get("grid_z", "gz")}{get("run_block", "block", "ptr")}{get("shared", "shared", "ptr")}\
{get("shared_bytes", "bytes")}{get("context", "context", "ptr")}\
  %reversed.at = getelementptr inbounds i64, ptr %context, i64 {REVERSED}
  %reversed.word = load i64, ptr %reversed.at, align 8
  %reversed = icmp ne i64 %reversed.word, 0
  %plane = mul i64 %gx, %gy
  %count = mul i64 %plane, %gz
  %last = sub i64 %count, 1
  %none = icmp eq i64 %count, 0
  br i1 %none, label %done, label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i1, %ran ]
  %back = sub i64 %last, %i
  %b = select i1 %reversed, i64 %back, i64 %i
  %x = urem i64 %b, %gx
  %rows = udiv i64 %b, %gx
  %y = urem i64 %rows, %gy
  %z = udiv i64 %rows, %gy
{put("block_x", "%x")}{put("block_y", "%y")}{put("block_z", "%z")}\
  call void @llvm.memset.p0.i64(ptr %shared, i8 -1, i64 %bytes, i1 false)
  %code = call i32 %block(ptr %sim, i64 %x, i64 %y, i64 %z)
  %bad = icmp ne i32 %code, 0
  br i1 %bad, label %failed, label %ran
ran:
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, %count
  br i1 %more, label %next, label %done
failed:
  ret i32 %code
done:
  ret i32 0
}}
"""

# One block of a kernel whose threads wait. Each round runs every subgroup to a barrier of the block or to its end.
_BLOCK = f"""\
define internal i32 @sim.block(ptr %sim, i64 %x, i64 %y, i64 %z) {PLAIN} {{
entry:
{get("threads", "threads")}{get("subgroup", "lanes")}{get("states", "states", "ptr")}{get("context", "context", "ptr")}\
  %reversed.at = getelementptr inbounds i64, ptr %context, i64 {REVERSED}
  %reversed.word = load i64, ptr %reversed.at, align 8
  %reversed = icmp ne i64 %reversed.word, 0
  %over = add i64 %threads, %lanes
  %over1 = sub i64 %over, 1
  %groups = udiv i64 %over1, %lanes
  %last = sub i64 %groups, 1
  br label %round
round:
  %fresh = phi i1 [ true, %entry ], [ false, %again ]
  br label %group
group:
  %i = phi i64 [ 0, %round ], [ %i1, %stopped ]
  %back = sub i64 %last, %i
  %g = select i1 %reversed, i64 %back, i64 %i
  %first = mul i64 %g, %lanes
  %rest = sub i64 %threads, %first
  %full = icmp ult i64 %lanes, %rest
  %count = select i1 %full, i64 %lanes, i64 %rest
  %code = call i32 @sim.subgroup(ptr %sim, i64 %first, i64 %count, i1 %fresh, i1 %reversed, i64 %x, i64 %y, i64 %z)
  %bad = icmp ne i32 %code, 0
  br i1 %bad, label %failed, label %stopped
stopped:
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, %groups
  br i1 %more, label %group, label %compare
compare:
  %state = load i64, ptr %states, align 8
  %other = call i64 @sim.differs(ptr %states, i64 %threads)
  %apart = icmp ne i64 %other, 0
  br i1 %apart, label %divergent, label %again
again:
  %ended = icmp eq i64 %state, {ENDED}
  br i1 %ended, label %done, label %round
divergent:
  call void @sim.diverged(ptr %sim, i64 {DIVERGENT_BARRIER}, i64 0, i64 %other)
  ret i32 {DIVERGENT_BARRIER}
failed:
  ret i32 %code
done:
  ret i32 0
}}

define internal i64 @sim.differs(ptr %states, i64 %count) nounwind {{
entry:
  %state = load i64, ptr %states, align 8
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i1, %same ]
  %at = getelementptr inbounds i64, ptr %states, i64 %i
  %other = load i64, ptr %at, align 8
  %equal = icmp eq i64 %state, %other
  br i1 %equal, label %same, label %found
same:
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, %count
  br i1 %more, label %next, label %done
found:
  ret i64 %i
done:
  ret i64 0
}}
"""

# Runs the lanes of one subgroup until all of them wait for the block or have ended. In between they meet at collective ops,
# where the slots that they wrote become those that they read.
_SUBGROUP = f"""\
define internal i32 @sim.subgroup(ptr %sim, i64 %first, i64 %count, i1 %fresh, i1 %reversed, i64 %x, i64 %y, i64 %z) nounwind {{
entry:
{get("states", "states", "ptr")}{get("handles", "handles", "ptr")}{get("ramp", "ramp", "ptr")}\
  %failed.at = getelementptr inbounds i8, ptr %sim, i64 {word("failed")}
  %slots.at = getelementptr inbounds i8, ptr %sim, i64 {word("slots")}
  %others.at = getelementptr inbounds i8, ptr %sim, i64 {word("other_slots")}
  %mine = getelementptr inbounds i64, ptr %states, i64 %first
  %last = sub i64 %count, 1
  br label %turn
turn:
  %start = phi i1 [ %fresh, %entry ], [ false, %meet ]
  br label %lane
lane:
  %i = phi i64 [ 0, %turn ], [ %i1, %ran ]
  %back = sub i64 %last, %i
  %l = select i1 %reversed, i64 %back, i64 %i
  %t = add i64 %first, %l
  %handle.at = getelementptr inbounds ptr, ptr %handles, i64 %t
  br i1 %start, label %begin, label %resume
begin:
  %made = call ptr %ramp(ptr %sim, i64 %t, i64 %x, i64 %y, i64 %z)
  store ptr %made, ptr %handle.at, align 8
  br label %stopped
resume:
  %handle = load ptr, ptr %handle.at, align 8
  call void @llvm.coro.resume(ptr %handle)
  br label %stopped
stopped:
  %failure = load i64, ptr %failed.at, align 8
  %bad = icmp ne i64 %failure, 0
  br i1 %bad, label %failed, label %ran
ran:
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, %count
  br i1 %more, label %lane, label %compare
compare:
  %state = load i64, ptr %mine, align 8
  %odd = and i64 %state, 1
  %whole = icmp ne i64 %odd, 0
  br i1 %whole, label %barrier, label %collective
barrier:
  %j = phi i64 [ 0, %compare ], [ %j1, %also ]
  %at = getelementptr inbounds i64, ptr %mine, i64 %j
  %one = load i64, ptr %at, align 8
  %one.odd = and i64 %one, 1
  %waits = icmp ne i64 %one.odd, 0
  br i1 %waits, label %also, label %apart
also:
  %j1 = add i64 %j, 1
  %left = icmp ult i64 %j1, %count
  br i1 %left, label %barrier, label %done
collective:
  %other = call i64 @sim.differs(ptr %mine, i64 %count)
  %differ = icmp ne i64 %other, 0
  br i1 %differ, label %apart, label %meet
meet:
  %slots = load ptr, ptr %slots.at, align 8
  %others = load ptr, ptr %others.at, align 8
  store ptr %others, ptr %slots.at, align 8
  store ptr %slots, ptr %others.at, align 8
  br label %turn
apart:
  %who = phi i64 [ %j, %barrier ], [ %other, %collective ]
  %whom = add i64 %first, %who
  call void @sim.diverged(ptr %sim, i64 {DIVERGENT_COLLECTIVE}, i64 %first, i64 %whom)
  ret i32 {DIVERGENT_COLLECTIVE}
failed:
  %code = trunc i64 %failure to i32
  ret i32 %code
done:
  ret i32 0
}}
"""

# The memory of a coroutine's frame: all frames of a kernel have one size, and every block uses them anew.
_FRAME = f"""\
define internal ptr @sim.frame(ptr %sim, i64 %size, i64 %t) {PLAIN} {{
entry:
{get("frames", "frames", "ptr")}{get("frame_bytes", "known")}{get("threads", "threads")}\
  %none = icmp eq ptr %frames, null
  br i1 %none, label %make, label %give
make:
  %over = add i64 %size, 63
  %bytes = and i64 %over, -64
  %total = mul i64 %bytes, %threads
  %made = call ptr @aligned_alloc(i64 64, i64 %total)
{put("frames", "%made", "ptr")}{put("frame_bytes", "%bytes")}\
  br label %give
give:
  %base = phi ptr [ %frames, %entry ], [ %made, %make ]
  %stride = phi i64 [ %known, %entry ], [ %bytes, %make ]
  %offset = mul i64 %stride, %t
  %place = getelementptr inbounds i8, ptr %base, i64 %offset
  ret ptr %place
}}
"""

_STORE_REPORT = "".join(
    f"  %w{number} = getelementptr inbounds i64, ptr %report, i64 {number}\n  store i64 {value}, ptr %w{number}, align 8\n"
    for number, value in enumerate(
        ("%code", "%name", "%bx", "%by", "%bz", "%t", "%sx", "%sy", "%a", "%b", "%site.i", "%other.i")
    )
)

_REPORT = f"""\
define internal void @sim.report(ptr %sim, i64 %code, i64 %t, i64 %a, i64 %b, ptr %site, ptr %other) {PLAIN} {{
entry:
{get("failed", "failed")}{get("context", "context", "ptr")}{get("name", "name")}{get("block_x", "bx")}{get("block_y", "by")}\
{get("block_z", "bz")}{get("size_x", "sx")}{get("size_y", "sy")}\
  %first = icmp eq i64 %failed, 0
  br i1 %first, label %write, label %done
write:
{put("failed", "%code")}\
  %report = getelementptr inbounds i64, ptr %context, i64 {REPORT}
  %site.i = ptrtoint ptr %site to i64
  %other.i = ptrtoint ptr %other to i64
{_STORE_REPORT}\
  br label %done
done:
  ret void
}}

define internal void @sim.diverged(ptr %sim, i64 %code, i64 %t, i64 %other) {PLAIN} {{
entry:
{get("states", "states", "ptr")}\
  %at = getelementptr inbounds i64, ptr %states, i64 %t
  %state = load i64, ptr %at, align 8
  %site = lshr i64 %state, 1
  %text.at = getelementptr inbounds ptr, ptr @sim.sites, i64 %site
  %text = load ptr, ptr %text.at, align 8
  %other.at = getelementptr inbounds i64, ptr %states, i64 %other
  %other.state = load i64, ptr %other.at, align 8
  %other.site = lshr i64 %other.state, 1
  %other.text.at = getelementptr inbounds ptr, ptr @sim.sites, i64 %other.site
  %other.text = load ptr, ptr %other.text.at, align 8
  call void @sim.report(ptr %sim, i64 %code, i64 %t, i64 %other, i64 0, ptr %text, ptr %other.text)
  ret void
}}
"""

# The allocation around an address, as a pair of words; two zeros if there is none.
_RANGE = f"""\
define internal void @sim.range(ptr %context, i64 %a, ptr %out) {PLAIN} {{
entry:
  %table.at = getelementptr inbounds i64, ptr %context, i64 {layout.ALLOCATIONS}
  %table = load ptr, ptr %table.at, align 8
  %count = load i64, ptr %table, align 8
  %list = getelementptr inbounds i64, ptr %table, i64 1
  %end.at = getelementptr inbounds i64, ptr %out, i64 1
  store i64 0, ptr %out, align 8
  store i64 0, ptr %end.at, align 8
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i1, %miss ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %try, label %done
try:
  %pair = getelementptr inbounds [2 x i64], ptr %list, i64 %i
  %low = load i64, ptr %pair, align 8
  %high.at = getelementptr inbounds i64, ptr %pair, i64 1
  %high = load i64, ptr %high.at, align 8
  %after = icmp uge i64 %a, %low
  %before = icmp ult i64 %a, %high
  %inside = and i1 %after, %before
  br i1 %inside, label %hit, label %miss
miss:
  %i1 = add i64 %i, 1
  br label %next
hit:
  store i64 %low, ptr %out, align 8
  store i64 %high, ptr %end.at, align 8
  br label %done
done:
  ret void
}}
"""

# Whether bytes lie in no live allocation.
_OUTSIDE = f"""\
define internal i1 @sim.outside(ptr %sim, i64 %a, i64 %bytes) {PLAIN} {{
entry:
  %context.at = getelementptr inbounds i8, ptr %sim, i64 {word("context")}
  %context = load ptr, ptr %context.at, align 8
  %range = alloca [2 x i64], align 8
  call void @sim.range(ptr %context, i64 %a, ptr %range)
  %high.at = getelementptr inbounds i64, ptr %range, i64 1
  %high = load i64, ptr %high.at, align 8
  %end = add i64 %a, %bytes
  %bad = icmp ugt i64 %end, %high
  ret i1 %bad
}}
"""

# What kernel.fault does: the first fault of a call stays.
_STORE_FAULT = "".join(
    f"  %p{n} = getelementptr inbounds i64, ptr %status, i64 {n}\n  store i64 %{value}, ptr %p{n}, align 8\n"
    for n, value in enumerate(("item", "d0", "d1", "d2", "d3"), 1)
)

_FAULT = f"""\
define internal void @sim.fault(ptr %status, i64 %code, i64 %item, i64 %d0, i64 %d1, i64 %d2, i64 %d3) {PLAIN} {{
entry:
  %now = load i64, ptr %status, align 8
  %first = icmp eq i64 %now, 0
  br i1 %first, label %write, label %done
write:
  store i64 %code, ptr %status, align 8
{_STORE_FAULT}\
  br label %done
done:
  ret void
}}
"""

SCHEDULER = "\n".join((_RUN, _BLOCK, _SUBGROUP, _FRAME, _REPORT, _RANGE, _OUTSIDE, _FAULT, _DECLARATIONS))
