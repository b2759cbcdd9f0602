"""Matrix instructions of AMD GPUs: which ones, that lanes hold every element; MFMA interpreted, WMMA compiled only."""

from __future__ import annotations

from collections import Counter

import pytest

from rlx_backends.rocm.compile import assembly
from rlx_backends.rocm.matrix import layout
from rlx_dialects.gpu import architectures, facts_for
from rlx_dialects.gpu.facts import MatrixShape
from rlx_dialects.kernel.fragment import FragmentType
from rlx_dialects.rlx import dtypes
from rlx_runtime.emulators.gcn import GcnDriver
from tests.backends.gpu_execute import Loaded
from tests.backends.gpu_kernels import Device
from tests.backends.gpu_matrix import check, product

CASES = [(arch, shape) for arch in architectures("rocm") for shape in facts_for("rocm", arch).matrix]  # pyright: ignore[reportOptionalMemberAccess]
INSTRUCTIONS = {
    ("gfx90a", 16, 16, "bf16"): "v_mfma_f32_16x16x16bf16_1k",
    ("gfx90a", 32, 8, "f16"): "v_mfma_f32_32x32x8f16",
    ("gfx942", 16, 16, "bf16"): "v_mfma_f32_16x16x16_bf16",
    ("gfx942", 16, 4, "f32"): "v_mfma_f32_16x16x4_f32",
    ("gfx950", 16, 32, "f8e4m3fn"): "v_mfma_f32_16x16x32_fp8_fp8",
    ("gfx950", 16, 32, "f8e5m2"): "v_mfma_f32_16x16x32_bf8_bf8",
    ("gfx950", 16, 32, "bf16"): "v_mfma_f32_16x16x32_bf16",
    ("gfx1100", 16, 16, "f16"): "v_wmma_f32_16x16x16_f16",
    ("gfx1201", 16, 16, "bf16"): "v_wmma_f32_16x16x16_bf16",
}


@pytest.mark.parametrize(("arch", "shape"), CASES, ids=lambda value: str(getattr(value, "operand", value)))
def test_every_shape_is_one_instruction(arch: str, shape: MatrixShape) -> None:
    device = Device("rocm", arch)
    for left, right in ((False, False), (True, True)):
        text = assembly(device.module(product(device, shape, left, right)), device.target)
        found = [line.split()[0] for line in text.splitlines() if line.strip().startswith(("v_mfma", "v_wmma"))]
        assert len(found) == 1, found
        named = INSTRUCTIONS.get((arch, shape.m, shape.k, shape.operand))
        assert named is None or found[0].removesuffix("_e64") == named


@pytest.mark.parametrize(("arch", "shape"), [case for case in CASES if case[1].family == "mfma"], ids=str)
def test_mfma_interpreted(arch: str, shape: MatrixShape) -> None:
    device = Device("rocm", arch)
    loaded = Loaded(device, GcnDriver(), "amdgcn", product(device, shape, False, True))
    check(shape, lambda *arrays: loaded.run("product", 1, *arrays), False, True)


@pytest.mark.parametrize(("arch", "shape"), CASES, ids=lambda value: str(getattr(value, "operand", value)))
def test_the_lanes_hold_every_element(arch: str, shape: MatrixShape) -> None:
    facts = facts_for("rocm", arch)
    assert facts is not None
    operand = dtypes.dtype(shape.operand)
    sizes = {"a": (shape.m, shape.k, operand), "b": (shape.k, shape.n, operand), "c": (shape.m, shape.n, dtypes.dtype("f32"))}
    for role, (rows, columns, element) in sizes.items():
        held = layout(facts, FragmentType.get(rows, columns, element, role, shape.family))
        count = Counter(place for lane in range(facts.subgroup) for place in held.elements(lane))
        copies = 2 if arch.startswith("gfx11") and role != "c" else 1
        assert count == {(r, c): copies for r in range(rows) for c in range(columns)}


def test_operands_are_wide_loads_of_shared_memory() -> None:
    device = Device("rocm", "gfx942")
    text = assembly(device.module(product(device, MatrixShape("mfma", 16, 16, 16, "bf16"), False, True)), device.target)
    assert text.count("ds_read2_b64") == 1 and "ds_read_u16" not in text


def test_math_under_its_names() -> None:
    device = Device("rocm", "gfx942")
    pointer = "!kernel.ptr<f32, global>"
    names = {"exp2": "v_exp_f32", "log2": "v_log_f32", "rcp": "v_rcp_f32", "rsq": "v_rsq_f32", "sqrt": "v_sqrt_f32"}
    body = "%t = gpu.thread_id x\n%v = kernel.load %x[%t] : " + pointer + " -> vector<3xf32>\n"
    for number, name in enumerate(names):
        body += f"%c{number} = arith.constant {1000 * number} : index\n%i{number} = arith.addi %t, %c{number} : index\n"
        body += f"%{name} = rocm.{name} %v : vector<3xf32>\nkernel.store %{name}, %x[%i{number}] : vector<3xf32>, {pointer}\n"
    text = assembly(device.module(device.kernel("f", f"%x: {pointer}", body)), device.target)
    assert {name: text.count(name) for name in names.values()} == dict.fromkeys(names.values(), 3)


def test_loads_to_shared_memory_pass_no_register() -> None:
    device = Device("rocm", "gfx950")
    source, target = "!kernel.ptr<f32, global>", "!kernel.ptr<f32, shared>"
    body = f"""
        %s = gpu.shared 256 : {target}
        %t = gpu.thread_id x
        %c0 = arith.constant 0 : index
        rocm.load_to_lds %s[%c0], %x[%t] bytes 4 : {target}, {source}
        gpu.barrier
        %v = kernel.load %s[%t] : {target} -> f32
        kernel.store %v, %x[%t] : f32, {source}"""
    text = assembly(device.module(device.kernel("f", f"%x: {source}", body, "64")), device.target)
    assert "global_load_lds_dword" in text
