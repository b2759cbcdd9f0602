"""Fragments on the launch simulator: every shape of every architecture, in every orientation."""

from __future__ import annotations

import pytest

from rlx_dialects.gpu.facts import MatrixShape
from tests.backends.gpu import harness
from tests.backends.gpu_kernels import Device
from tests.backends.gpu_matrix import check, product, shapes

CASES = [(dialect, arch, shape) for dialect in ("cuda", "rocm", "metal") for arch, shape in shapes(dialect)]


@pytest.mark.parametrize(("dialect", "arch", "shape"), CASES, ids=lambda value: str(getattr(value, "operand", value)))
def test_products(dialect: str, arch: str, shape: MatrixShape) -> None:
    for left, right in ((False, False), (True, True)):
        device = harness.Device(product(Device(dialect, arch), shape, left, right))
        check(shape, lambda *arrays, device=device: device.run("product", (1,), *arrays), left, right)
