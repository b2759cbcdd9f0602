"""The comparison tables of a measurement: one for each case and placement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks import harness, report

Yardstick = Callable[[str, str], float]
"""(case, placement) -> ns."""


def tables(results: harness.Results, floor: Yardstick, ours: Sequence[str], others: Mapping[str, Yardstick] | None = None) -> str:
    """For every name in `ours` there is a column: the contender's time over ours. `others`: further yardsticks by column title.

    Only clean bursts count. A contender without any is listed below the tables with its noisy ones, marked "~"; so is one that
    is missing, wrong or failed.
    """
    parts = []
    for case in results.cases:
        parts.append(f"## {case}")
        bursts = [burst for burst in results.bursts if burst.case == case]
        for placement in ("near", "far"):
            chosen = [burst for burst in bursts if burst.placement == placement and burst.clean]
            if chosen:
                yardsticks = {"÷ floor": floor, **(others or {})}
                lengths = {title: yardstick(case, placement) for title, yardstick in yardsticks.items()}
                parts.append(f"CPUs {placement}, floor {report.duration(lengths['÷ floor'])}:")
                parts.append(_table(results, case, chosen, lengths, ours))
        absent = [_absence(results, case, name, bursts) for name in results.contenders]
        parts += ["\n".join(f"- {line}" for line in absent if line)] if any(absent) else []
    return "\n\n".join(parts)


def _table(
    results: harness.Results, case: str, bursts: Sequence[harness.Burst], lengths: Mapping[str, float], ours: Sequence[str]
) -> str:
    head = ["contender", "median", "best", *lengths, *(f"÷ {name}" for name in ours), "spread", "bursts", "others", "barrier ns",
            "error"]  # fmt: skip
    rows = []
    for name in results.contenders:
        own = [burst for burst in bursts if burst.contender == name]
        if not own:
            continue
        summary = harness.summarize(own)
        ratios = [harness.paired_ratio(bursts, name, other) for other in ours]
        error = (
            max(results.status[case][name]["built"]["errors"].values()) if "built" in results.status[case][name] else float("nan")
        )
        rows.append(
            [name, report.duration(summary.median), report.duration(summary.best),
             *(f"{summary.median / length:.3f}" for length in lengths.values()),
             *("-" if ratio is None else f"{ratio:.3f}" for ratio in ratios), f"{summary.spread:.2f}", str(summary.bursts),
             f"{summary.others:.2f}", f"{summary.barrier_ns:.0f}", f"{error:.1e}"]
        )  # fmt: skip
    return report.table(head, rows)


def _absence(results: harness.Results, case: str, name: str, bursts: Sequence[harness.Burst]) -> str:
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
    noise = f"none of {summary.bursts} bursts was clean, others up to {summary.others:.2f} CPUs"
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
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items())) or "no contender was built"
