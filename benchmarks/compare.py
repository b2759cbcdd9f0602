"""The comparison table of a measurement: one for each case and placement."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import harness, report


def tables(results: harness.Results, floors_ns: dict[str, float], ours: Sequence[str]) -> str:
    """`floors_ns`: least time of each case. For every name in `ours` there is a column: the contender's time over ours.

    Only clean bursts count; a contender without any shows its noisy ones, marked "~", and takes no part in ratios.
    """
    parts = []
    for case in results.cases:
        parts.append(f"## {case}: floor {report.duration(floors_ns[case])}")
        bursts = [burst for burst in results.bursts if burst.case == case]
        placements = [name for name in ("near", "far") if any(b.placement == name and b.clean for b in bursts)]
        for placement in placements:
            chosen = [burst for burst in bursts if burst.placement == placement and burst.clean]
            parts.append(f"CPUs {placement}:\n\n{_table(results, case, chosen, floors_ns[case], ours)}")
        absent = [absence(results, case, name, bursts) for name in results.contenders]
        parts += ["\n".join(f"- {line}" for line in absent if line)] if any(absent) else []
    return "\n\n".join(parts)


def _table(results: harness.Results, case: str, bursts: Sequence[harness.Burst], floor: float, ours: Sequence[str]) -> str:
    head = ["contender", "median", "best", "÷ floor", *(f"÷ {name}" for name in ours), "spread", "bursts", "others", "barrier ns",
            "error"]  # fmt: skip
    rows = []
    for name in results.contenders:
        own = [burst for burst in bursts if burst.contender == name]
        if not own:
            continue
        summary = harness.summarize(own)
        ratios = [harness.paired_ratio(bursts, name, other) for other in ours]
        errors = results.status[case][name]["built"]["errors"].values()
        rows.append(
            [name, report.duration(summary.median), report.duration(summary.best), f"{summary.median / floor:.3f}",
             *("-" if ratio is None else f"{ratio:.3f}" for ratio in ratios), f"{summary.spread:.2f}", str(summary.bursts),
             f"{summary.others:.2f}", f"{summary.barrier_ns:.0f}", f"{max(errors):.1e}"]
        )  # fmt: skip
    return report.table(head, rows)


def absence(results: harness.Results, case: str, name: str, bursts: Sequence[harness.Burst]) -> str:
    """Why a contender is in no table of a case; empty if it is in one."""
    status = results.status[case].get(name, {"failed": "not built"})
    if "built" not in status:
        return f"{name}: {harness.explain(status)}"
    own = [burst for burst in bursts if burst.contender == name]
    if any(burst.clean for burst in own):
        return ""
    if not own:
        return f"{name}: not measured"
    summary = harness.summarize(own)
    noise = f"all {summary.bursts} bursts were noisy, others up to {summary.others:.2f} CPUs"
    return f"{name}: ~{report.duration(summary.median)}, {noise}"


def start_table(results: harness.Results) -> str:
    """Seconds until the first result of each case. The first case of a contender includes the import of the library."""
    rows = []
    for name in results.contenders:
        cells = []
        for case in results.cases:
            built = results.status[case].get(name, {}).get("built")
            cells.append(f"{built['build_s']:.2f} / {built['first_call_s']:.3f}" if built else "-")
        if any(cell != "-" for cell in cells):
            rows.append([name, *cells])
    return report.table(["contender", *results.cases], rows)


def versions(results: harness.Results) -> str:
    """The libraries that took part, as "jax 0.10.2, torch 2.13.0"."""
    built = [answer["built"] for case in results.status.values() for answer in case.values() if "built" in answer]
    found = {name: version for entry in built for name, version in entry["versions"].items()}
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))
