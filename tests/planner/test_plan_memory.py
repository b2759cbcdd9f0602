"""Plans of random programs: they verify, and the program computes in its arena what it computes before planning."""

import numpy as np
import pytest

from rlx_backends.numpy.lir_executor import run_lir
from rlx_dialects.lir import InputOp, SlotOp, programs
from rlx_passes.lir.lir_boundary_to_arena import move_boundary
from rlx_passes.lir.lir_coalesce_copies import coalesce
from rlx_passes.lir.lir_order_for_memory import order_program
from rlx_passes.lir.lir_plan_memory import plan_program
from rlx_passes.lir.lir_verify_plan import plan_errors
from rlx_passes.support.live_bytes import live_bytes
from rlx_passes.support.verify import verify_module
from tests.planner.random_programs import random_program


def _buffers(module, dims: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {"w": rng.standard_normal((16, 16)).astype(np.float32)}
    for op in programs(module)[0].block.ops:
        if isinstance(op, InputOp):
            shape = [dim.evaluate(dims) for dim in op.result.type.dims]  # pyright: ignore[reportAttributeAccessIssue]
            found[op.sym_name.data] = rng.standard_normal(shape).astype(np.float32)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_random_programs_compute_the_same_in_their_arena(seed: int) -> None:
    module = random_program(seed, 8)
    verify_module(module)
    dims = {"B": 1 + seed % 3, "S": 1 + seed % 2, "threads": 1 + seed % 5}
    buffers = _buffers(module, dims, seed)
    expected = run_lir(module, buffers, dims)
    (program,) = programs(module)
    if seed % 2:
        bound = live_bytes(program, dims).bound
        coalesce(program)
        order_program(program)
        verify_module(module)
        assert live_bytes(program, dims).bound <= bound
    if seed % 4 == 1:
        move_boundary(program)
    plan_program(program, 64, "default")
    assert [str(error) for error in plan_errors(program)] == []
    assert any(isinstance(op, SlotOp) for op in program.walk())
    results = run_lir(module, buffers, dims)
    assert results.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(results[name], value)
