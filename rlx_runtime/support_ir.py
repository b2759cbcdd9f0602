"""The first half of the support module: the worker team, as LLVM text for x86-64 Linux.

The module uses no symbol of the process, so the object made on one machine loads on every x86-64 Linux. fastcall_ir.py has the
other half.

Layout of the team block, which Python fills (team.py) and the text below reads.

Line 0 is the team's, then two cache lines per worker, so that no two threads write to one line. Offsets in bytes.

| team | | worker w, at `128 * w` | |
|---|---|---|---|
| 0 | mutex: 0 free, 1 held, 2 held and waited for | 0 | epoch (futex): bumped to start a round |
| 8 | number of threads | 4 | parked: the worker waits in the kernel |
| | | 8, 16, 24, 28 | function (null: leave), call, threads of the round, worker number |
| | | 64 | done (futex): the epoch of the last finished round |
| | | 68 | waiting: the caller waits in the kernel for done |

**Parking.** A worker that spun in vain stores parked, then waits on epoch; the caller bumps epoch, then loads parked. Both pairs
are sequentially consistent, so either the caller sees parked and wakes, or the kernel sees the new epoch and does not wait. The
same holds for done and waiting. A round names its workers line by line: one that is not needed is neither woken nor asked.
"""

from __future__ import annotations

SUPPORT_VERSION = 1
"""Changes with the layouts and functions of this module. `rlx_support_version()` returns the one an object was made from."""

SPINS = 20_000
"""Pauses before a thread parks: about 0.5 ms at 25 ns a pause."""

WORKER_BYTES = 128

# Offsets in struct rlx_call (ARCHITECTURE.md, call ABI).
CALL_BUFFERS, CALL_BARRIER, CALL_STATUS = 8, 32, 40

TEAM = f"""
declare void @llvm.x86.sse2.pause()

define i32 @rlx_support_version() {{
  ret i32 {SUPPORT_VERSION}
}}

; futex(word, op, value); op 128 waits while the word has the value, op 129 wakes that many waiters (both process-private)
define internal void @futex(ptr %word, i64 %op, i64 %value) alwaysinline {{
  %r = call i64 asm sideeffect "syscall",
    "={{rax}},{{rax}},{{rdi}},{{rsi}},{{rdx}},{{r10}},{{r8}},{{r9}},~{{rcx}},~{{r11}},~{{memory}}"(
    i64 202, ptr %word, i64 %op, i64 %value, i64 0, i64 0, i64 0)
  ret void
}}

; pthread start routine of a worker; the argument is its line
define ptr @rlx_worker(ptr %line) {{
entry:
  %parked = getelementptr i8, ptr %line, i64 4
  %fn.p = getelementptr i8, ptr %line, i64 8
  %call.p = getelementptr i8, ptr %line, i64 16
  %threads.p = getelementptr i8, ptr %line, i64 24
  %tid.p = getelementptr i8, ptr %line, i64 28
  %done = getelementptr i8, ptr %line, i64 64
  %waiting = getelementptr i8, ptr %line, i64 68
  %tid = load i32, ptr %tid.p, align 4
  br label %round
round:
  %last = phi i32 [ 0, %entry ], [ %epoch, %next ]
  br label %spin
spin:
  %i = phi i32 [ 0, %round ], [ %i.next, %pause ], [ 0, %park ]
  %epoch = load atomic i32, ptr %line acquire, align 4
  %started = icmp ne i32 %epoch, %last
  br i1 %started, label %start, label %pause
pause:
  call void @llvm.x86.sse2.pause()
  %i.next = add i32 %i, 1
  %more = icmp ult i32 %i.next, {SPINS}
  br i1 %more, label %spin, label %park
park:
  store atomic i32 1, ptr %parked seq_cst, align 4
  %last.64 = zext i32 %last to i64
  call void @futex(ptr %line, i64 128, i64 %last.64)
  store atomic i32 0, ptr %parked seq_cst, align 4
  br label %spin
start:
  %fn = load ptr, ptr %fn.p, align 8
  %leave = icmp eq ptr %fn, null
  br i1 %leave, label %finish, label %run
run:
  %call = load ptr, ptr %call.p, align 8
  %threads = load i32, ptr %threads.p, align 4
  %rc = call i32 %fn(ptr %call, i32 %tid, i32 %threads)
  br label %finish
finish:
  store atomic i32 %epoch, ptr %done seq_cst, align 4
  %asleep = load atomic i32, ptr %waiting seq_cst, align 4
  %wake = icmp ne i32 %asleep, 0
  br i1 %wake, label %notify, label %next
notify:
  call void @futex(ptr %done, i64 129, i64 1)
  br label %next
next:
  br i1 %leave, label %out, label %round
out:
  ret ptr null
}}

define internal void @lock(ptr %mutex) {{
entry:
  %first = cmpxchg ptr %mutex, i32 0, i32 1 acquire monotonic
  %free = extractvalue {{ i32, i1 }} %first, 1
  br i1 %free, label %out, label %contended
contended:
  %old = atomicrmw xchg ptr %mutex, i32 2 acquire
  %got = icmp eq i32 %old, 0
  br i1 %got, label %out, label %wait
wait:
  call void @futex(ptr %mutex, i64 128, i64 2)
  br label %contended
out:
  ret void
}}

define internal void @unlock(ptr %mutex) {{
entry:
  %old = atomicrmw xchg ptr %mutex, i32 0 release
  %waited = icmp eq i32 %old, 2
  br i1 %waited, label %wake, label %out
wake:
  call void @futex(ptr %mutex, i64 129, i64 1)
  br label %out
out:
  ret void
}}

define internal void @start(ptr %line, ptr %fn, ptr %call, i32 %threads) {{
entry:
  %parked = getelementptr i8, ptr %line, i64 4
  %fn.p = getelementptr i8, ptr %line, i64 8
  %call.p = getelementptr i8, ptr %line, i64 16
  %threads.p = getelementptr i8, ptr %line, i64 24
  store ptr %fn, ptr %fn.p, align 8
  store ptr %call, ptr %call.p, align 8
  store i32 %threads, ptr %threads.p, align 4
  %old = atomicrmw add ptr %line, i32 1 seq_cst
  %asleep = load atomic i32, ptr %parked seq_cst, align 4
  %wake = icmp ne i32 %asleep, 0
  br i1 %wake, label %notify, label %out
notify:
  call void @futex(ptr %line, i64 129, i64 1)
  br label %out
out:
  ret void
}}

define internal void @finish(ptr %line) {{
entry:
  %done = getelementptr i8, ptr %line, i64 64
  %waiting = getelementptr i8, ptr %line, i64 68
  %epoch = load i32, ptr %line, align 4
  br label %spin
spin:
  %i = phi i32 [ 0, %entry ], [ %i.next, %pause ]
  %seen = load atomic i32, ptr %done acquire, align 4
  %ready = icmp eq i32 %seen, %epoch
  br i1 %ready, label %out, label %pause
pause:
  call void @llvm.x86.sse2.pause()
  %i.next = add i32 %i, 1
  %more = icmp ult i32 %i.next, {SPINS}
  br i1 %more, label %spin, label %park
park:
  store atomic i32 1, ptr %waiting seq_cst, align 4
  br label %check
check:
  %now = load atomic i32, ptr %done seq_cst, align 4
  %finished = icmp eq i32 %now, %epoch
  br i1 %finished, label %awake, label %sleep
sleep:
  %now.64 = zext i32 %now to i64
  call void @futex(ptr %done, i64 128, i64 %now.64)
  br label %check
awake:
  store atomic i32 0, ptr %waiting seq_cst, align 4
  br label %out
out:
  ret void
}}

; Run fn(call, tid, threads) on the caller (tid 0) and on workers 1 to threads - 1; clears the status and the barrier first.
; One thread touches no team, so `team` may be null then. Calls from several callers wait for each other on the mutex.
define i32 @rlx_team_run(ptr %team, ptr %fn, ptr %call, i32 %threads) {{
entry:
  %barrier.p = getelementptr i8, ptr %call, i64 {CALL_BARRIER}
  %barrier = load ptr, ptr %barrier.p, align 8
  %status.p = getelementptr i8, ptr %call, i64 {CALL_STATUS}
  %status = load ptr, ptr %status.p, align 8
  store <2 x i64> zeroinitializer, ptr %status, align 8
  %status.2 = getelementptr i8, ptr %status, i64 16
  store <2 x i64> zeroinitializer, ptr %status.2, align 8
  %status.4 = getelementptr i8, ptr %status, i64 32
  store <2 x i64> zeroinitializer, ptr %status.4, align 8
  br label %clear
clear:
  %b = phi i32 [ 0, %entry ], [ %b.next, %clear ]
  %b.64 = zext i32 %b to i64
  %b.offset = shl i64 %b.64, 6
  %counter = getelementptr i8, ptr %barrier, i64 %b.offset
  store i64 0, ptr %counter, align 8
  %b.next = add i32 %b, 1
  %b.more = icmp slt i32 %b.next, %threads
  br i1 %b.more, label %clear, label %cleared
cleared:
  %alone = icmp slt i32 %threads, 2
  br i1 %alone, label %single, label %many
single:
  %rc.single = call i32 %fn(ptr %call, i32 0, i32 1)
  ret i32 %rc.single
many:
  call void @lock(ptr %team)
  br label %starting
starting:
  %s = phi i32 [ 1, %many ], [ %s.next, %starting ]
  %s.64 = zext i32 %s to i64
  %s.offset = mul i64 %s.64, {WORKER_BYTES}
  %s.line = getelementptr i8, ptr %team, i64 %s.offset
  call void @start(ptr %s.line, ptr %fn, ptr %call, i32 %threads)
  %s.next = add i32 %s, 1
  %s.more = icmp slt i32 %s.next, %threads
  br i1 %s.more, label %starting, label %own
own:
  %rc = call i32 %fn(ptr %call, i32 0, i32 %threads)
  br label %finishing
finishing:
  %f = phi i32 [ 1, %own ], [ %f.next, %finishing ]
  %f.64 = zext i32 %f to i64
  %f.offset = mul i64 %f.64, {WORKER_BYTES}
  %f.line = getelementptr i8, ptr %team, i64 %f.offset
  call void @finish(ptr %f.line)
  %f.next = add i32 %f, 1
  %f.more = icmp slt i32 %f.next, %threads
  br i1 %f.more, label %finishing, label %out
out:
  call void @unlock(ptr %team)
  ret i32 %rc
}}

; Tell workers 1 to threads - 1 to leave; the caller joins them.
define void @rlx_team_stop(ptr %team, i32 %threads) {{
entry:
  call void @lock(ptr %team)
  br label %head
head:
  %w = phi i32 [ 1, %entry ], [ %w.next, %body ]
  %more = icmp slt i32 %w, %threads
  br i1 %more, label %body, label %out
body:
  %w.64 = zext i32 %w to i64
  %offset = mul i64 %w.64, {WORKER_BYTES}
  %line = getelementptr i8, ptr %team, i64 %offset
  call void @start(ptr %line, ptr null, ptr null, i32 0)
  %w.next = add i32 %w, 1
  br label %head
out:
  call void @unlock(ptr %team)
  ret void
}}
"""
