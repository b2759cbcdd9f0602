"""Each barrier of the schedules' kernels is needed, and the simulator shows it: without one, results change or a launch fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from rlx_backends.gpu.simulator import compile_kernels
from rlx_dialects.gpu import KernelOp
from rlx_dialects.gpu.ops import BarrierOp
from tests.backends.cpu.schedules.test_map import program
from tests.backends.gpu.harness import TARGETS, LaunchError, ProgramRun, compile_program
from tests.backends.gpu.kernels import random
from tests.backends.gpu.row_forms import softmax
from tests.backends.gpu.test_contract import SMALL, linear, linear_arrays
from tests.backends.gpu.test_map import TRANSPOSE

CASES: dict[str, tuple[str, str | None, dict[str, np.ndarray], dict[str, int]]] = {
    "transpose": (
        program({"A": "[0, 99]", "N": "[0, 99]"}, TRANSPOSE.format(dtype="f32", op="addf")),
        None,
        {"x": random((2, 33, 70)), "b": random(33, 1)},
        {"A": 33, "N": 70},
    ),
    "softmax": (
        program({"B": "[1, 64]"}, softmax("B x 9001", "i, j", "i : B | j : 9001")),
        None,
        {"x": random((2, 9001))},
        {"B": 2},
    ),
    "tiled product": (linear(50, 40), SMALL, linear_arrays(37, 50, 40), {"M": 37}),
}


def _barriers(module: object) -> list[BarrierOp]:
    kernels = [op for op in module.body.block.ops if isinstance(op, KernelOp)]  # pyright: ignore[reportAttributeAccessIssue]
    return [op for kernel in kernels for op in kernel.body.walk() if isinstance(op, BarrierOp)]


def _differs(run: ProgramRun, arrays: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> bool:
    try:
        found = run.run(arrays)
    except LaunchError:
        return True
    return any(found[name].tobytes() != values.tobytes() for name, values in right.items())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", CASES)
def test_no_barrier_can_go(case: str, target: str) -> None:
    text, schedule, arrays, dims = CASES[case]
    compiled = compile_program(text, target, schedule)
    right = ProgramRun(compiled, dims).run(arrays)
    count = len(_barriers(compiled.module))
    assert count > 0
    for number in range(count):
        module = compiled.module.clone()
        barrier = _barriers(module)[number]
        assert barrier.parent is not None
        barrier.parent.erase_op(barrier)
        broken = replace(compiled, module=module, code=compile_kernels(module))
        runs = [ProgramRun(broken, dims, reverse) for reverse in (False, True)]
        assert any(_differs(run, arrays, right) for run in runs), f"barrier {number} of {count} makes no difference"
