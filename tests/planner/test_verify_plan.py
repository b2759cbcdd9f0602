"""The proof of plans agrees with what the plans do, byte by byte: on 500 valid plans and on 500 blind changes to such plans."""

import random

import pytest

from rlx_dialects.lir import programs
from rlx_passes.lir.lir_plan_memory import plan_program
from rlx_passes.lir.lir_verify_plan import plan_errors
from tests.planner.ground_truth import Truth, all_dims
from tests.planner.mutations import MUTATIONS, keep, shift, stack
from tests.planner.random_programs import random_program

PROGRAMS = 125
BATCH = 25


@pytest.mark.parametrize("batch", range(PROGRAMS // BATCH))
def test_verdicts_agree_with_ground_truth(batch: int) -> None:
    broken = 0
    dims = all_dims()
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        rng = random.Random(seed)
        (program,) = programs(random_program(seed, 3))
        plan_program(program, 64, "default")
        truth = Truth(program)
        for variant in (keep, shift, stack, shift):
            variant(program, rng)
            assert truth.is_broken(dims[::2]) is None, f"{variant.__name__} of {seed}"
            assert [str(error) for error in plan_errors(program)] == [], f"{variant.__name__} of {seed}"
            undo = None
            while undo is None:
                change = rng.choice(MUTATIONS)
                undo = change(program, rng)
            how = truth.is_broken(dims)
            verdict = [str(error) for error in plan_errors(program)]
            assert bool(verdict) == (how is not None), f"{change.__name__} of {seed}: {how}, {verdict}\n{program}"
            broken += how is not None
            undo()
    assert broken >= BATCH
