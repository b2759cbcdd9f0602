"""Matrix instructions as PTX: which ones, interpreted, assembled where an assembler is at hand."""

from __future__ import annotations

import numpy as np
import pytest

from rlx_backends.cuda.compile import ptx
from rlx_dialects.gpu.facts import MatrixShape
from rlx_runtime.emulators.ptx import PtxDriver
from tests.backends.cuda.test_emit import assemble
from tests.backends.gpu import harness
from tests.backends.gpu_execute import Loaded
from tests.backends.gpu_kernels import Device
from tests.backends.gpu_matrix import check, product, shapes


@pytest.mark.parametrize(("arch", "shape"), shapes("cuda"), ids=lambda value: str(getattr(value, "operand", value)))
def test_products(arch: str, shape: MatrixShape) -> None:
    device, driver = Device("cuda", arch), PtxDriver()
    for left, right, space in ((False, False, "shared"), (True, True, "shared"), (False, True, "global")):
        loaded = Loaded(device, driver, "ptx", product(device, shape, left, right, space=space))
        check(shape, lambda *arrays, loaded=loaded: loaded.run("product", 1, *arrays), left, right)


def test_rows_of_16_bytes_go_through_ldmatrix() -> None:
    device = Device("cuda", "sm_80")
    shape = MatrixShape("mma", 16, 8, 16, "bf16")
    text = ptx(device.module(product(device, shape)), device.target)
    assert "ldmatrix.sync.aligned.m8n8.x4.shared.b16" in text
    assert "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16" in text
    assert text.count("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32") == 1
    assemble(text, device)
    text = ptx(device.module(product(device, shape, True, True)), device.target)
    assert "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16" in text
    assert "ldmatrix.sync.aligned.m8n8.x2.shared.b16" in text
    odd = ptx(device.module(product(device, shape, pad=3)), device.target)
    assert "ldmatrix" not in odd and "mma.sync" in odd


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a", "sm_120"])
def test_what_is_odd_in_memory_is_loaded_plainly(arch: str) -> None:
    device, shape = Device("cuda", arch), MatrixShape("mma", 16, 8, 16, "f16")
    loaded = Loaded(device, PtxDriver(), "ptx", product(device, shape, pad=3))
    check(shape, lambda *arrays: loaded.run("product", 1, *arrays), False, False, pad=3)


# -- copies


COPIES = """
    %s = gpu.shared 256 : {shared}
    %t = gpu.thread_id x
    %c8 = arith.constant 8 : index
    %i = arith.muli %t, %c8 : index
    %n = arith.index_cast %t : index to i32
    %most = arith.constant 16 : i32
    %twice = arith.addi %n, %n : i32
    %valid = arith.minsi %twice, %most : i32
    cuda.cp_async %s[%i], %x[%i] bytes 16 : {shared}, {ptr}
    cuda.cp_async_commit
    cuda.cp_async %s[%i], %y[%i] bytes 16 valid %valid : {shared}, {ptr}
    cuda.cp_async_commit
    cuda.cp_async_wait 1
    %v = kernel.load %s[%i] : {shared} -> vector<8xbf16>
    cuda.cp_async_wait 0
    gpu.barrier
    %one = arith.constant 8 : index
    %j = arith.xori %i, %one : index
    %w = kernel.load %s[%j] : {shared} -> vector<8xbf16>
    kernel.store %w, %z[%i] : vector<8xbf16>, {ptr}"""


def test_copies_in_the_background() -> None:
    """16 bytes for each thread; of the second copy only some, and zeros behind them."""
    device = Device("cuda", "sm_80")
    ptr, shared = "!kernel.ptr<bf16, global, align 16>", "!kernel.ptr<bf16, shared, align 16>"
    text = device.kernel("copies", ", ".join(f"%{name}: {ptr}" for name in "xyz"), COPIES.format(ptr=ptr, shared=shared), "32")
    rng = np.random.default_rng(3)
    x, y = (rng.integers(1, 1000, 256).astype(np.uint16) for _ in range(2))
    copied = np.where(np.arange(8)[None, :] < np.arange(32)[:, None], y.reshape(32, 8), 0)
    expected = copied[np.arange(32) ^ 1].reshape(-1)
    loaded = Loaded(device, PtxDriver(), "ptx", text)
    simulated = harness.Device(text)
    for run in (lambda *arrays: loaded.run("copies", 1, *arrays), lambda *arrays: simulated.run("copies", (1,), *arrays)):
        z = np.full(256, 77, np.uint16)
        run(x, y, z)
        np.testing.assert_array_equal(z, expected)
    made = ptx(device.module(text), device.target)
    assert "cp.async.cg.shared.global" in made and "cp.async.wait_group" in made
    assemble(made, device)


# -- math


FUNCTIONS = {
    "ex2_approx": (np.exp2, 2**-22), "lg2_approx": (np.log2, 2**-21), "rcp_approx": (np.reciprocal, 2**-22),
    "rsqrt_approx": (lambda x: 1 / np.sqrt(x), 2**-22), "sqrt_approx": (np.sqrt, 2**-22), "tanh_approx": (np.tanh, 2**-10),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_math_under_its_names(name: str) -> None:
    device, pointer = Device("cuda", "sm_90a"), "!kernel.ptr<f32, global>"
    body = f"""
        %t = gpu.thread_id x
        %c3 = arith.constant 3 : index
        %i = arith.muli %t, %c3 : index
        %v = kernel.load %x[%i] : {pointer} -> vector<3xf32>
        %r = cuda.{name} %v : vector<3xf32>
        kernel.store %r, %y[%i] : vector<3xf32>, {pointer}"""
    loaded = Loaded(device, PtxDriver(), "ptx", device.kernel("f", f"%x: {pointer}, %y: {pointer}", body, "32"))
    x = np.random.default_rng(5).uniform(0.1, 6, 96).astype(np.float32)
    y = np.full(96, np.nan, np.float32)
    loaded.run("f", 1, x, y)
    function, tolerance = FUNCTIONS[name]
    np.testing.assert_allclose(y, function(x.astype(np.float64)), rtol=tolerance, atol=2**-22)
