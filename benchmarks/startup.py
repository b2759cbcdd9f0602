"""How long until the first result: compile cold, compile with the object cache, load a package. MiniLM-L6.

    python -m benchmarks.startup [--shape b1s128] [--repeats 5] [--json FILE]

Every figure comes from fresh processes, pinned to the same CPUs; what is printed are medians. The files are in the page cache
and Python's bytecode is written: the first process of every kind is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import harness, machine, minilm_model, report

PRELUDE = """
import json, sys, time
given = json.loads(sys.argv[1])
{before}
start, marks = time.perf_counter(), {{}}
def mark(stage):
    marks[stage] = time.perf_counter() - start
"""
CALL = """
import numpy as np
ids = np.arange(1, 1 + given["B"] * given["S"]).reshape(given["B"], given["S"]) % 30000 + 1
hidden, embedding = executable(ids, np.ones_like(ids)); mark("first call")
assert hidden.shape == (given["B"], given["S"], 384) and np.isfinite(embedding).all()
"""
COMPILE = """
import rlx; mark("import rlx")
model, weights = rlx.models.minilm(); mark("build the model")
executable = rlx.compile(model, target="cpu", weights=weights, dims=given["dims"]); mark("compile, bind")
"""
LOAD = """
import rlx; mark("import rlx")
executable = rlx.load(given["package"]); mark("load")
"""
BIND = """
executable = executable.bind(given["weights"]); mark("bind")
"""
SAVE = """
executable.save(given["packed"], weights="packed")
executable.save(given["bare"], weights="none")
from safetensors.numpy import save_file
save_file({name: np.ascontiguousarray(array) for name, array in weights.items()}, given["weights"])
"""
PRINT = """
print(json.dumps(marks))
"""


def code(*parts: str, before: str = "") -> str:
    return PRELUDE.format(before=before) + "".join(parts) + PRINT


class Runner:
    """Starts fresh interpreters with a given cache folder and takes their marks."""

    def __init__(self, cpus: list[int], folder: Path, repeats: int, noise: float) -> None:
        self.cpus, self.folder, self.repeats, self.noise = cpus, folder, repeats, noise
        self.caches = 0

    def run(self, text: str, given: dict[str, Any], cache: Path) -> dict[str, Any]:
        """One process: its marks in seconds after its start of the clock, its wall time, the CPUs that others used.

        RuntimeError with the last line of its standard error if it fails.
        """
        command = [sys.executable, "-c", text, json.dumps(given)]
        settings = {**harness.environment(len(self.cpus), self.folder), "RLX_CACHE_DIR": str(cache)}
        busy, own, start = machine.busy_seconds(self.cpus), _children(), time.perf_counter()
        done = subprocess.run(command, cwd=harness.ROOT, env=settings, capture_output=True, text=True, check=False,
                              preexec_fn=lambda: os.sched_setaffinity(0, self.cpus))  # fmt: skip
        wall = time.perf_counter() - start
        others = max(0.0, (machine.busy_seconds(self.cpus) - busy - (_children() - own)) / wall)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
        return {"marks": json.loads(done.stdout.splitlines()[-1]), "process": wall, "others": others}

    def empty_cache(self) -> Path:
        self.caches += 1
        made = self.folder / f"cache{self.caches}"
        made.mkdir()
        return made

    def repeat(self, text: str, given: dict[str, Any], cache: Path | None) -> list[dict[str, Any]]:
        """`repeats` clean processes after an uncounted one, or what three times as many gave. `cache` None: always empty."""
        self.run(text, given, cache or self.empty_cache())
        clean: list[dict[str, Any]] = []
        tried: list[dict[str, Any]] = []
        while len(clean) < self.repeats and len(tried) < 3 * self.repeats:
            tried.append(self.run(text, given, cache or self.empty_cache()))
            clean += [tried[-1]] if tried[-1]["others"] <= self.noise else []
        return clean or tried


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def row(name: str, runs: list[dict[str, Any]]) -> list[str]:
    """Total, stages one after the other, whole process, noise."""
    stages = list(runs[0]["marks"])
    before = dict(zip(stages, [None, *stages]))
    parts = [
        f"{stage} {median(r['marks'][stage] - (r['marks'][before[stage]] if before[stage] else 0.0) for r in runs):.3f}"
        for stage in stages
    ]
    total = median(r["marks"][stages[-1]] for r in runs)
    return [name, f"{total:.3f}", ", ".join(parts), f"{median(r['process'] for r in runs):.3f}", str(len(runs)),
            f"{max(r['others'] for r in runs):.2f}"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.startup", description="Time to the first result, fresh processes.")
    report.add_common_arguments(parser)
    parser.add_argument("--shape", default="b1s128", help="of the call and of the specialized code (default b1s128)")
    parser.add_argument("--repeats", type=int, default=5, help="counted processes of every kind (default 5)")
    parser.add_argument("--noise", type=float, default=0.12, help="CPUs that others may use (default 0.12)")
    args = parser.parse_args()
    cpus = report.cpus_of(args)
    match = re.fullmatch(r"b(\d+)s(\d+)", args.shape)
    if match is None:
        raise SystemExit(f"{args.shape!r} is not a shape: write b1s128")
    minilm_model.folder()
    shape = {"B": int(match[1]), "S": int(match[2])}
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="rlx-startup-") as name:
        folder = Path(name)
        runner = Runner(cpus, folder, args.repeats, args.noise)
        numpy = "import numpy"
        for label, dims in ((args.shape, shape), ("generic", {})):
            given = {**shape, "dims": dims, "packed": str(folder / f"{label}-packed.rlxpkg"),
                     "bare": str(folder / f"{label}.rlxpkg"), "weights": str(folder / "weights.safetensors")}  # fmt: skip
            warm = runner.empty_cache()
            plan = [
                ("compile cold", code(COMPILE, CALL), given, None),
                ("compile, object cache", code(COMPILE, CALL), given, warm),
                ("load, packed weights", code(LOAD, CALL, before=numpy), {**given, "package": given["packed"]}, warm),
                ("load, bind weights file", code(LOAD, BIND, CALL, before=numpy), {**given, "package": given["bare"]}, warm),
            ]
            try:
                runner.run(code(COMPILE, CALL, SAVE), given, warm)
            except RuntimeError as error:
                print(f"{label}: cannot save packages, FAILED: {error}", file=sys.stderr)
            for what, text, values, cache in plan:
                title = f"{what}, {label}"
                try:
                    results[title] = runner.repeat(text, values, cache)
                    print(f"{title}: {row(title, results[title])[1]} s", file=sys.stderr, flush=True)
                except RuntimeError as error:
                    results[title] = str(error)
                    print(f"{title}: FAILED: {error}", file=sys.stderr, flush=True)
        results["import numpy alone"] = runner.repeat(code("import numpy; mark('import numpy')"), {}, None)
    about = machine.description(cpus)
    print(f"# Time to the first result, MiniLM-L6, {args.threads} threads on CPUs {cpus} of {about['cpu']}\n")
    print("Seconds, medians of fresh processes; compile counts from before `import rlx`, load from after `import numpy`.\n")
    rows = [row(title, runs) for title, runs in results.items() if isinstance(runs, list)]
    print(report.table(["what", "total", "stages", "whole process", "processes", "others"], rows))
    failed = [f"- {title}: FAILED: {text}" for title, text in results.items() if isinstance(text, str)]
    print("\n" + "\n".join(failed) if failed else "")
    report.write_json(args.json, {"machine": about, "shape": shape, "results": results})


if __name__ == "__main__":
    main()
