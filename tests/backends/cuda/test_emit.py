"""PTX of kernels: what each op becomes, on every architecture, accepted by NVIDIA's assemblers where they are installed."""

from __future__ import annotations

import re

import pytest

from rlx_backends.cuda.compile import assemblers, cubin, device_objects, missing_function, ptx
from rlx_backends.gpu.shared_memory import shared_layout
from rlx_dialects.gpu import KernelOp, architectures
from rlx_runtime.errors import LowerError
from tests.backends.gpu_kernels import BINARY_MATH, FLOATS, UNARY_MATH, Device

HOPPER = Device("cuda", "sm_90a")
every_arch = pytest.mark.parametrize("arch", architectures("cuda"))


def ptx_of(*texts: str, device: Device = HOPPER) -> str:
    return ptx(device.module(*texts), device.target)


def instructions(text: str) -> str:
    """Instructions without registers' numbers and with single blanks."""
    return re.sub(r"\s+", " ", re.sub(r"%([a-z]+)\d+", r"%\1", text))


def assemble(text: str, device: Device) -> None:
    """Where an assembler is installed, it takes the text."""
    found = assemblers()
    if not found:
        print(f"not assembled for {device.arch}: neither ptxas nor nvJitLink is installed")
    for assembler in found:
        assert cubin(text, device.target, assembler).startswith(b"\x7fELF")


@every_arch
def test_every_architecture_takes_the_kernels(arch: str) -> None:
    device = Device("cuda", arch)
    kernels = [device.map(element) for element in ("f32", "f16", "bf16", "f64", "i8", "i64")]
    kernels += [device.row_sum(element) for element in ("f32", "bf16", "f64", "i64")]
    kernels += [device.memory(), *(device.shuffles(element) for element in ("f32", "f64", "bf16", "i8", "i1"))]
    text = ptx_of(*kernels, device=device)
    assert f".target {arch}" in text and text.count(".visible .entry") == len(kernels)
    assert missing_function(text) is None
    assemble(text, device)


@pytest.mark.parametrize("element", FLOATS)
def test_math_needs_no_library(element: str) -> None:
    text = ptx_of(*(HOPPER.function(name, element) for name in (*UNARY_MATH, *BINARY_MATH)))
    assert ".extern" not in text and "call" not in text.replace("callseq", "")
    assemble(text, HOPPER)


@pytest.mark.parametrize(("element", "lanes"), [("f32", 4), ("f64", 2), ("f16", 8), ("bf16", 8), ("i8", 16), ("i64", 2)])
def test_aligned_vectors_are_one_access_of_16_bytes(element: str, lanes: int) -> None:
    text = ptx_of(HOPPER.map(element, lanes))
    assert re.search(r"ld\.global\.nc\.v[24]\.b(32|64)", text)
    assert re.search(r"st\.global\.v[24]\.b(32|64)", text)


def test_map_text() -> None:
    """The whole kernel: a branch for the tail, then one load and one store."""
    text = instructions(ptx_of(HOPPER.map("f32")))
    assert ".maxntid 256, 1, 1" in text
    whole = text[text.index("ld.global.nc.v4.b32") :]
    assert "add.rn.f32" in whole and "st.global.v4.b32" in text
    assert text.count("st.global.b32") == 4, "the tail stores its lanes one by one"


def test_block_reduction_uses_butterflies_and_shared_memory() -> None:
    text = instructions(ptx_of(HOPPER.row_sum()))
    assert [int(n) for n in re.findall(r"shfl\.sync\.bfly\.b32 %r, %r, (\d+), 31, -1", text)] == [16, 8, 4, 2, 1] * 2
    assert ".shared .align 16 .b8 row_sum_f32_shared_0[32]" in text
    assert text.count("bar.sync 0") == 1
    assert "st.shared.b32" in text and "ld.shared.b32" in text


def test_ids_carry_the_facts_of_the_block() -> None:
    text = HOPPER.llvm(HOPPER.map("f32"))
    assert "call range(i32 0, 256) i32 @llvm.nvvm.read.ptx.sreg.tid.x()" in text
    assert "zext nneg i32" in text and "sreg.ntid" not in text


def test_ids_of_a_block_of_three_dims() -> None:
    body = """
    %x = gpu.thread_id x
    %y = gpu.thread_id y
    %z = gpu.thread_id z
    %g = gpu.subgroup_id
    %l = gpu.lane_id
    %b = gpu.grid_dim y
    %s = kernel.apply [x + y + z + g + l + b](x = %x, y = %y, z = %z, g = %g, l = %l, b = %b)
    kernel.store %s, %p[%x] : index, !kernel.ptr<index, global>"""
    text = HOPPER.llvm(HOPPER.kernel("ids", "%p: !kernel.ptr<index, global>", body, "8, 4, 2"))
    for name, limit in (("tid.x", "0, 8"), ("tid.y", "0, 4"), ("tid.z", "0, 2"), ("nctaid.y", "1, 65536")):
        assert f"range(i32 {limit}) i32 @llvm.nvvm.read.ptx.sreg.{name}()" in text
    assert "mul nuw nsw i32 %v" in text and ", 32\n" in text


def test_shared_memory_above_the_default_is_dynamic() -> None:
    count = 48 * 1024 // 4
    module = HOPPER.module(HOPPER.large_shared(count))
    text = ptx(module, HOPPER.target)
    assert ".extern .shared .align 16 .b8 rlx_shared[]" in text
    (kernel,) = (op for op in module.body.block.ops if isinstance(op, KernelOp))
    layout = shared_layout(kernel)
    assert list(layout.offsets.values()) == [0, 16] and layout.launch_bytes == 16 + count * 4
    (small,) = (op for op in HOPPER.module(HOPPER.large_shared(256)).body.block.ops if isinstance(op, KernelOp))
    assert shared_layout(small).launch_bytes == 0
    assemble(text, HOPPER)


def test_shuffles_by_constants_are_single_instructions() -> None:
    text = instructions(ptx_of(HOPPER.shuffles("f32")))
    for expected in ("bfly.b32 %r, %r, 1, 31", "bfly.b32 %r, %r, 16, 31", "up.b32 %r, %r, 3, 0", "down.b32 %r, %r, 5, 31", "idx.b32 %r, %r, 7, 31"):
        assert f"shfl.sync.{expected}, -1" in text


def test_values_of_64_bits_travel_in_two_words() -> None:
    single, double = (instructions(ptx_of(HOPPER.row_sum(element))).count("shfl.sync.bfly") for element in ("f32", "f64"))
    assert (single, double) == (10, 20)


def test_fences_atomics_and_faults() -> None:
    text = ptx_of(HOPPER.memory())
    for expected in ("bar.warp.sync", "fence.acq_rel.cta", "fence.acq_rel.gpu", "fence.acq_rel.sys", "vote.sync.any", "vote.sync.all",
                     "atom.global.add.f32", "atom.shared.max.s32", "atom.global.min.u32", "atom.global.xor.b32", "atom.global.exch.b64",
                     "atom.relaxed.gpu.global.cas.b64", "ld.local", "st.local"):  # fmt: skip
        assert expected in text, expected


def test_the_host_part_is_left_out() -> None:
    entry = """
    kernel.entry @rlx_main {
      %x = kernel.buffer 0 : !kernel.ptr<f32, global, align 16>
      %n = kernel.dim 0
      cuda.launch @map_f32_4 grid(%n) (%x, %x, %n) : !kernel.ptr<f32, global, align 16>, !kernel.ptr<f32, global, align 16>, index
      kernel.return
    }
    """
    text = HOPPER.llvm(HOPPER.map("f32"), entry)
    assert "rlx_main" not in text and text.count("define") == 1


def test_device_objects() -> None:
    objects = device_objects(HOPPER.module(HOPPER.map("f32")), HOPPER.target, {})
    assert list(objects) == ["device.ptx"] and b".entry map_f32_4" in objects["device.ptx"]


# -- what is refused


def test_shuffles_take_whole_subgroups() -> None:
    body = "%v = kernel.load %p[%t] : !kernel.ptr<f32, global> -> f32\n%s = gpu.subgroup_reduce add %v : f32\nkernel.store %s, %p[%t] : f32, !kernel.ptr<f32, global>"
    kernel = HOPPER.kernel("part", "%p: !kernel.ptr<f32, global>", "%t = gpu.thread_id x\n" + body, "48")
    with pytest.raises(LowerError, match="whole subgroups of 32, but the block has 48 threads"):
        HOPPER.llvm(kernel)


def test_another_architecture_is_refused() -> None:
    with pytest.raises(LowerError, match="made for sm_80, but the target is sm_90a"):
        HOPPER.backend.text("llvm", HOPPER.module(Device("cuda", "sm_80").map("f32")), HOPPER.target, {})  # pyright: ignore[reportAttributeAccessIssue]


def test_helpers_do_not_know_the_block() -> None:
    helper = "kernel.func @f() -> index {\n%n = cuda.block_dim x\nkernel.return %n : index\n}"
    with pytest.raises(LowerError, match="only a kernel knows the size of its block"):
        HOPPER.llvm(helper)


def test_a_fault_needs_status_words() -> None:
    kernel = HOPPER.kernel("f", "%i: index, %c: i1", "kernel.fault 1 item %i(%i) if %c")
    with pytest.raises(LowerError, match="status words"):
        HOPPER.llvm(kernel)


def test_declared_functions_are_found() -> None:
    assert missing_function(".extern .func  (.param .b32 func_retval0) expf\n(\n\t.param .b32 expf_param_0\n)\n;\n") == "expf"
    assert missing_function(".extern .func gone;") == "gone"
