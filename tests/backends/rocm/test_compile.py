"""Code objects: linked for every architecture, with the sizes that the kernels ask for and nothing undefined."""

from __future__ import annotations

import importlib.util
import shutil
import struct
from pathlib import Path

import pytest

from rlx_backends.rocm import linker
from rlx_backends.rocm.compile import assembly, device_objects
from rlx_dialects.gpu import architectures
from rlx_runtime.errors import LowerError, TargetError
from tests.backends.gpu_kernels import BINARY_MATH, FLOATS, UNARY_MATH, Device
from tests.backends.rocm.code_object import CodeObject

EM_AMDGPU, OSABI_HSA = 224, 64


def has_linker() -> bool:
    try:
        linker.find()
    except TargetError as error:
        print(f"not linked: {error.hint}")
        return False
    return True


linked = pytest.mark.skipif(not has_linker(), reason="no ld.lld and no ziglang is installed")
CDNA = Device("rocm", "gfx942")


def compiled(device: Device, *texts: str) -> CodeObject:
    objects = device_objects(device.module(*texts), device.target, {})
    assert list(objects) == ["device.hsaco", "device.s"]
    assert f'.amdgcn_target "amdgcn-amd-amdhsa--{device.arch}"' in objects["device.s"].decode()
    return CodeObject(objects["device.hsaco"])


@linked
@pytest.mark.parametrize("arch", architectures("rocm"))
def test_every_architecture_links_the_kernels(arch: str) -> None:
    device = Device("rocm", arch)
    kernels = [device.map(element) for element in ("f32", "f16", "bf16", "f64", "i8", "i64")]
    kernels += [device.row_sum(element) for element in ("f32", "bf16", "f64", "i64")]
    kernels += [device.memory(), *(device.shuffles(element) for element in ("f32", "f64", "bf16", "i8", "i1"))]
    code = compiled(device, *kernels)
    assert (code.machine, code.abi, code.abi_version) == (EM_AMDGPU, OSABI_HSA, 3)
    assert all(section for section, _, _ in code.symbols().values()), "a symbol is undefined"
    assert code.metadata()["amdhsa.target"] == f"amdgcn-amd-amdhsa--{arch}"
    found = code.kernels()
    assert len(found) == len(kernels)
    for name, kernel in found.items():
        assert kernel[".wavefront_size"] == device.facts.subgroup
        group, private, arguments = struct.unpack_from("<III", code.descriptor(name))
        assert (group, private, arguments) == tuple(kernel[f".{key}"] for key in ("group_segment_fixed_size", "private_segment_fixed_size", "kernarg_segment_size"))
    assert found["map_f32_4"][".kernarg_segment_size"] == 24 and found["map_f32_4"][".max_flat_workgroup_size"] == 256
    assert found["row_sum_f32"][".group_segment_fixed_size"] == 256 // device.facts.subgroup * 4
    assert found["memory"][".group_segment_fixed_size"] == 256 * 4 + 16
    assert [argument[".offset"] for argument in found["memory"][".args"]] == [0, 8, 16, 24, 32, 40]


@linked
@pytest.mark.parametrize("element", FLOATS)
@pytest.mark.parametrize("arch", ["gfx942", "gfx1201"])
def test_math_needs_no_library(element: str, arch: str) -> None:
    device = Device("rocm", arch)
    code = compiled(device, *(device.function(name, element) for name in (*UNARY_MATH, *BINARY_MATH)))
    assert all(section for section, _, _ in code.symbols().values())


@linked
def test_shared_memory_is_the_kernel_s_own_up_to_the_limit() -> None:
    """No memory is asked for at the launch: an architecture's limit is what a kernel has."""
    code = compiled(CDNA, CDNA.large_shared(16000))
    assert code.kernels()["large"][".group_segment_fixed_size"] == 16000 * 4, "what is not used is not there"


@linked
def test_the_extents_of_the_grid_come_behind_the_arguments() -> None:
    body = "%t = gpu.thread_id x\n%n = gpu.grid_dim y\nkernel.store %n, %p[%t] : index, !kernel.ptr<index, global>"
    (kernel,) = compiled(CDNA, CDNA.kernel("grid", "%p: !kernel.ptr<index, global>", body)).kernels().values()
    hidden = {argument[".value_kind"]: argument[".offset"] for argument in kernel[".args"]}
    assert hidden["hidden_block_count_y"] == 12


# -- the linker


def test_assembly_needs_no_linker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linker, "find", lambda: pytest.fail("asked for a linker"))
    assert "s_endpgm" in assembly(CDNA.module(CDNA.map("f32")), CDNA.target)


def test_without_a_linker_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(Path, "exists", lambda self: False)
    monkeypatch.setattr(linker, "find_spec", lambda name: None)
    linker.find.cache_clear()
    try:
        with pytest.raises(TargetError, match="lld-19"):
            device_objects(CDNA.module(CDNA.map("f32")), CDNA.target, {})
    finally:
        linker.find.cache_clear()


def test_the_python_package_of_zig_links_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(Path, "exists", lambda self: False)
    monkeypatch.setattr(linker, "find_spec", lambda name: importlib.util.find_spec("os") if name == "ziglang" else None)
    linker.find.cache_clear()
    try:
        assert linker.find()[1:] == ("-m", "ziglang", "ld.lld")
    finally:
        linker.find.cache_clear()


@linked
def test_what_the_linker_refuses_is_an_error() -> None:
    with pytest.raises(LowerError, match="the linker refuses the code object"):
        linker.link(b"no object")
