"""Options reach the code: forced schedules, boundaries, thread limits, machines; and what is not supported says so."""

from __future__ import annotations

import numpy as np
import pytest

import rlx


@pytest.fixture(scope="module")
def linear():
    b = rlx.ModelBuilder("linear")
    x = b.input("x", (rlx.Dim("B", 1, 64), 24), "f32")
    w = b.param("w", (24, 40), "f32")
    b.output("y", b.matmul(x, w))
    weights = {"w": np.random.default_rng(0).standard_normal((24, 40)).astype(np.float32)}
    return b.build(), weights


def check(exe, weights):
    for rows in (1, 3, 17):
        x = np.random.default_rng(rows).standard_normal((rows, 24)).astype(np.float32)
        np.testing.assert_allclose(exe(x), x.astype(np.float64) @ weights["w"], rtol=1e-5, atol=1e-5)


def test_forced_schedule(linear):
    model, weights = linear
    options = rlx.Options(schedules=(("matmul", '#lir.schedule<"general">'),))
    lowered = rlx.lower(model, options=options)
    assert 'schedule = [#lir.schedule<"general">]' in lowered.as_text("lir")
    check(lowered.compile().bind(weights), weights)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (("nothing", '#lir.schedule<"general">'), "no form is labelled 'nothing'"),
        (("matmul", "general"), "does not parse"),
        (("matmul", "#rlx.expr<B>"), "is no #lir.schedule"),
    ],
)
def test_wrong_schedule(linear, schedule, message):
    with pytest.raises(rlx.LowerError, match=message):
        rlx.lower(linear[0], options=rlx.Options(schedules=(schedule,)))


@pytest.mark.parametrize("cpu", ["x86-64", "x86-64-v2", "x86-64-v3"])
def test_other_machines(linear, cpu):
    """Code for older processors runs here too: narrower vectors, other instructions."""
    model, weights = linear
    check(rlx.compile(model, options=rlx.Options(cpu=cpu), weights=weights), weights)


@pytest.mark.parametrize("options", [{"boundary": "arena"}, {"threads": 1}, {"plan_effort": "max"}, {"numerics": "strict"}])
def test_same_numbers(linear, options):
    model, weights = linear
    check(rlx.compile(model, options=rlx.Options(**options), weights=weights), weights)


def test_unsupported_precision(linear):
    with pytest.raises(rlx.TargetError, match="tf32"):
        rlx.lower(linear[0], options=rlx.Options(precision="tf32"))
