"""A worker process: builds cases of one contender, checks them, and times bursts of calls when told to.

Started by `benchmarks.harness`, one for each contender. It reads requests from standard input and answers on standard output,
one JSON object a line; what libraries print goes to standard error.

    {"do": "build", "case", "builder": "module:function", "data": npz, "options": {…}, "tolerance"}
        -> {"built": {"build_s", "first_call_s", "errors": {output: relative error}, "versions"}}
    {"do": "time", "case", "seconds", "calls", "warm_seconds"} -> {"ns": […], "others"}
    {"do": "quit"}

An answer may be {"missing": text} (a library is not installed), {"wrong": text} or {"failed": text} instead.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from benchmarks import machine


@dataclass(frozen=True)
class Prepared:
    """What a builder returns: a call that has returned when the result is there, and the result of a call as NumPy arrays."""

    run: Callable[[], Any]
    outputs: Callable[[], Mapping[str, Any]]
    versions: dict[str, str] = field(default_factory=dict)


def build(request: Mapping[str, Any], threads: int) -> tuple[Prepared | None, dict[str, Any]]:
    """Builds a case and compares one call with the reference. `data` holds inputs `in.NAME` and references `out.NAME`."""
    start = time.perf_counter()
    try:
        module, function = request["builder"].split(":")
        builder = getattr(import_module(module), function)
        import numpy as np

        with np.load(request["data"]) as data:
            inputs = {name[3:]: data[name] for name in data.files if name.startswith("in.")}
            references = {name[4:]: data[name] for name in data.files if name.startswith("out.")}
        loaded = time.perf_counter()
        prepared: Prepared = builder(inputs, threads, **request["options"])
        built = time.perf_counter()
        prepared.run()
        called = time.perf_counter()
        outputs = prepared.outputs()
    except ModuleNotFoundError as error:
        return None, {"missing": str(error)}
    except Exception as error:  # noqa: BLE001  any failure of a contender is a result, not the end of the run
        traceback.print_exc()
        return None, {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
    errors = {name: _relative_error(outputs.get(name), reference) for name, reference in references.items()}
    report = {"build_s": built - loaded, "first_call_s": called - built, "setup_s": loaded - start, "errors": errors,
              "versions": prepared.versions}  # fmt: skip
    if max(errors.values()) > request["tolerance"]:
        worst = ", ".join(f"{name} {error:.1e}" for name, error in errors.items())
        return None, {"wrong": f"relative error {worst} (allowed {request['tolerance']:.0e})"}
    return prepared, {"built": report}


def _relative_error(found: Any, reference: Any) -> float:
    """max|found - reference| / max|reference|; infinite if the shape differs or a value is not finite."""
    import numpy as np

    if found is None or np.shape(found) != reference.shape:
        return float("inf")
    error = np.max(np.abs(np.asarray(found, np.float64) - reference)) / np.max(np.abs(reference))
    return float(error) if np.isfinite(error) else float("inf")


def measure(prepared: Prepared, request: Mapping[str, Any], cpus: list[int]) -> dict[str, Any]:
    """Warm calls first, then timed ones for `seconds`, but at least `calls`.

    `others` is the number of CPUs' worth of time that other processes, the kernel and the host took on our CPUs meanwhile.
    """
    run, clock = prepared.run, time.perf_counter_ns
    until = clock() + int(request["warm_seconds"] * 1e9)
    run()
    while clock() < until:
        run()
    times: list[int] = []
    busy, own, start = machine.busy_seconds(cpus), time.process_time(), clock()
    until = start + int(request["seconds"] * 1e9)
    before = start
    while before < until or len(times) < request["calls"]:
        run()
        after = clock()
        times.append(after - before)
        before = after
    wall = (clock() - start) / 1e9
    others = machine.busy_seconds(cpus) - busy - (time.process_time() - own)
    return {"ns": times, "others": max(0.0, others / wall)}


def serve(cpus: list[int]) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    os.sched_setaffinity(0, cpus)  # before any library starts threads: they inherit it
    cases: dict[str, Prepared] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "quit":
            return
        if request["do"] == "build":
            prepared, answer = build(request, len(cpus))
            if prepared is not None:
                cases[request["case"]] = prepared
        else:
            answer = measure(cases[request["case"]], request, cpus)
        answers.write(json.dumps(answer) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.worker", description="Internal: started by the benchmarks.")
    parser.add_argument("--cpus", required=True, help="as 0,1")
    serve([int(cpu) for cpu in parser.parse_args().cpus.split(",")])


if __name__ == "__main__":
    main()
