"""Where a call of MiniLM-L6 spends its time: every item of the schedule in every thread, and the waiting before it.

python -m benchmarks.items [--shape b1s128] [--seconds 10] [--threads 2] [--json FILE]

The entry function of the compiled code is given time stamps (the processor's time stamp counter) around each kernel it calls;
kernels stay as they are. Between the calls a loop of FMAs in registers runs on the same CPUs for as long as the model's FLOPs
take at the peak: its median against its best is what the machine itself loses, whatever runs.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks import harness, machine, minilm, minilm_model, native, report

BLOCK_SECONDS = 0.5
NOISE = harness.Effort().noise
"""Samples are dropped by blocks in which others took more than this many CPUs."""
_CALL = re.compile(r'call void @"?([\w.]+)"?\(')


@dataclass(frozen=True)
class Item:
    """All items with one kernel, summed over a call: µs. Lists have an entry for each thread; `floor` is one thread's share."""

    kernel: str
    count: int
    floor: float
    compute: list[float]
    fast: list[float]
    wait: list[float]


def stamped(text: str, address: int, stride: int) -> tuple[str, list[str]]:
    """LLVM text whose entry leaves two stamps for each call of a kernel at `address + stride * thread`; the kernels' names."""
    head, rest = text.split("define i32 @rlx_main(", 1)
    body, tail = rest.split("\n}\n", 1)
    lines: list[str] = []
    names: list[str] = []

    def stamp(number: int) -> list[str]:
        return [
            f"  %stamp{number} = call i64 @llvm.readcyclecounter()",
            f"  %place{number} = getelementptr i64, ptr %stamps, i64 {number}",
            f"  store i64 %stamp{number}, ptr %place{number}, align 8",
        ]

    for line in body.split("\n"):
        call = _CALL.search(line)
        if call is None:
            lines.append(line)
        else:
            lines += [*stamp(2 * len(names)), line, *stamp(2 * len(names) + 1)]
            names.append(call[1])
        if line == "entry:":
            lines += [
                "  %stamp.tid = zext i32 %tid to i64",
                f"  %stamp.share = mul i64 %stamp.tid, {stride}",
                f"  %stamp.at = add i64 %stamp.share, {address}",
                "  %stamps = inttoptr i64 %stamp.at to ptr",
            ]
    entry = "define i32 @rlx_main(" + "\n".join(lines)
    return f"{head}{entry}\n}}\n{tail}\ndeclare i64 @llvm.readcyclecounter()\n", names


def flops_of(lowered: Any) -> list[int]:
    """FLOPs of the products of each form of the program, in the order of the schedule."""
    from rlx_dialects.lir import AttentionOp, ContractOp, FormOp, programs

    (program,) = (p for p in programs(lowered.modules["lir"]) if p.sym_name.data == "main")
    counts: list[int] = []
    for form in (op for op in program.block.ops if isinstance(op, FormOp)):
        extents = [extent.value for extent in form.extents.values()]
        if isinstance(form, ContractOp):
            counts.append(2 * int(np.prod(extents)))
        elif isinstance(form, AttentionOp):
            *outer, depth, value = extents
            counts.append(2 * int(np.prod(outer)) * (depth + value))
        else:
            counts.append(0)
    return counts


def stamps_per_microsecond() -> float:
    """The rate of the time stamp counter."""
    import ctypes

    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    text = (
        "define i64 @now() {\n  %t = call i64 @llvm.readcyclecounter()\n  ret i64 %t\n}\ndeclare i64 @llvm.readcyclecounter()\n"
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), llvm.Target.from_default_triple().create_target_machine())
    engine.finalize_object()
    now = ctypes.CFUNCTYPE(ctypes.c_int64)(engine.get_function_address("now"))
    start, ticks = time.perf_counter_ns(), now()
    time.sleep(0.2)
    return (now() - ticks) * 1e3 / (time.perf_counter_ns() - start)


class FmaLoop:
    """`flops` FLOPs in registers, shared by all threads."""

    def __init__(self, cpus: Sequence[int], flops: float):
        lanes, threads = native.vector_lanes(), len(cpus)
        self._team = native.Team(cpus)
        self._operands, self._sinks = np.full(2 * lanes, 0.5, np.float32), np.zeros((threads, lanes), np.float32)
        count = 1000
        self._arguments = [(self._operands.ctypes.data, sink.ctypes.data, count) for sink in self._sinks]
        once = 2 * native.FMA_CHAINS * lanes * count * threads
        self._reps = max(1, round(flops / once))
        self._flops = once * self._reps

    def gflops(self) -> float:
        return self._flops / self._team.run("fma", self._reps, self._arguments)

    def barrier_ns(self) -> float:
        return self._team.barrier_ns(repeats=3)


def measure(shape: str, cpus: Sequence[int], seconds: float) -> dict[str, Any]:
    """Calls of the specialized model for `seconds`, each followed by one FMA loop of as many FLOPs."""
    import rlx
    from rlx_backends.cpu import BACKEND
    from rlx_backends.cpu.compile import compile_text
    from rlx_runtime import support_object
    from rlx_runtime.cpu_executable import CpuExecutable

    given = minilm.case(shape).inputs
    batch, length = given["input_ids"].shape
    model, weights = rlx.models.minilm()
    lowered = rlx.lower(model, dims={"B": batch, "S": length})
    flops = flops_of(lowered)
    stamps = np.zeros((len(cpus), 2 * len(flops)), np.int64)
    text, names = stamped(lowered.as_text("llvm"), stamps.ctypes.data, stamps.strides[0])
    assert len(names) == len(flops), "an item has several schedules"
    objects = {"kernels.o": compile_text(text, BACKEND.target({})), "support.o": support_object()}
    call = CpuExecutable(lowered.manifest, objects, {}).bind(weights)
    arguments = (given["input_ids"], given["attention_mask"])
    hidden = minilm_model.config().hidden_size
    out = tuple(np.empty(size, np.float32) for size in ((batch, length, hidden), (batch, hidden)))
    loop, rate = FmaLoop(cpus, sum(flops)), stamps_per_microsecond()

    def sample() -> tuple[np.ndarray, float, float, float]:
        call(*arguments, out=out)  # wakes the team, which slept during the loop
        call(*arguments, out=out)
        start = time.perf_counter_ns()
        call(*arguments, out=out)
        total = (time.perf_counter_ns() - start) / 1e3
        return stamps / rate, total, loop.gflops(), loop.barrier_ns()

    kept: list[tuple[np.ndarray, float, float, float]] = []
    dropped, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until or len(kept) < 5:
        block, busy, own, start = [], machine.busy_seconds(cpus), time.process_time(), time.perf_counter()
        while time.perf_counter() < start + BLOCK_SECONDS:
            block.append(sample())
        others = machine.busy_seconds(cpus) - busy - (time.process_time() - own)
        if others <= NOISE * (time.perf_counter() - start):
            kept += block
        else:
            dropped += len(block)
    found, totals, peaks, barriers = map(list, zip(*kept, strict=True))
    times = np.array(found)
    compute = times[:, :, 1::2] - times[:, :, ::2]
    wait = times[:, :, 2::2] - times[:, :, 1:-1:2]
    wait = np.concatenate([np.zeros_like(wait[:, :, :1]), wait], 2)
    items: list[Item] = []
    for kernel in dict.fromkeys(names):
        of = [i for i, name in enumerate(names) if name == kernel]
        floor = sum(flops[i] for i in of) / max(peaks) / 1e3
        sums, waits = compute[:, :, of].sum(2), wait[:, :, of].sum(2)
        medians = [np.median(sums, 0).tolist(), np.percentile(sums, 10, 0).tolist(), np.median(waits, 0).tolist()]
        items.append(Item(kernel, len(of), floor, *medians))
    return {
        "shape": shape,
        "items": [asdict(item) for item in items],
        "total": totals,
        "flops": sum(flops),
        "fma_gflops": peaks,
        "barrier_ns": barriers,
        "dropped": dropped,
    }


def table(result: dict[str, Any]) -> str:
    head = ["kernel", "items", "floor"]
    threads = len(result["items"][0]["compute"])
    for thread in range(threads):
        head += [f"compute {thread}", "fast", "wait before"]
    head += ["over floor"]
    floor = result["flops"] / max(result["fma_gflops"]) / 1e3
    rows: list[list[str]] = []
    sums = np.zeros(2 + 3 * threads)
    for item in result["items"]:
        numbers = [item["floor"]]
        for thread in range(threads):
            numbers += [item["compute"][thread], item["fast"][thread], item["wait"][thread]]
        over = (float(np.mean(item["compute"])) + float(np.mean(item["wait"])) - item["floor"]) / floor
        sums += [*numbers, over]
        rows.append([item["kernel"], str(item["count"]), *(f"{n:.0f}" for n in numbers), f"{100 * over:.1f} %"])
    rows.append(
        ["all", str(sum(i["count"] for i in result["items"])), *(f"{n:.0f}" for n in sums[:-1]), f"{100 * sums[-1]:.1f} %"]
    )
    return report.table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.items", description="Time of MiniLM-L6 by item of the schedule and thread.")
    report.add_common_arguments(parser)
    parser.add_argument("--shape", default="b1s128", help="default b1s128")
    parser.add_argument("--seconds", type=float, default=10.0, help="default 10")
    args = parser.parse_args()
    cpus = report.cpus_of(args)
    os.environ["RLX_NUM_THREADS"] = str(args.threads)  # read when the team starts
    os.sched_setaffinity(0, cpus)
    result = measure(args.shape, cpus, args.seconds)
    totals, peaks = np.array(result["total"]), np.array(result["fma_gflops"])
    floor = result["flops"] / max(peaks) / 1e3
    print(
        f"# {args.shape}, {args.threads} threads on CPUs {cpus}, {len(totals)} calls ({result['dropped']} dropped), µs a call\n"
    )
    barrier = np.median(result["barrier_ns"])
    print(f"Barrier {barrier:.0f} ns (median). Floor at the best FMA rate, {max(peaks):.1f} GFLOP/s: {floor:.0f}.\n")
    print(report.table(
        ["", "best", "10 %", "median", "90 %", "median / floor"],
        [
            ["call", *(f"{n:.0f}" for n in np.percentile(totals, [0, 10, 50, 90])), f"{np.median(totals) / floor:.3f}"],
            ["FMA loop of as many FLOPs", *(f"{result['flops'] / n / 1e3:.0f}" for n in np.percentile(peaks, [100, 90, 50, 10])),
             f"{max(peaks) / np.median(peaks):.3f}"],
        ],
    ))  # fmt: skip
    print(f"\n{table(result)}\n")
    print("compute, wait: medians over the calls; fast: the 10th percentile. Medians of items add up to less than the call's.")
    report.write_json(args.json, result)


if __name__ == "__main__":
    main()
