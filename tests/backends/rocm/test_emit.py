"""GCN of kernels: what each op becomes, on every architecture."""

from __future__ import annotations

import re

import pytest

from rlx_backends.rocm.compile import assembly
from rlx_dialects.gpu import architectures
from rlx_runtime.errors import LowerError
from tests.backends.gpu_kernels import Device

CDNA = Device("rocm", "gfx942")
RDNA = Device("rocm", "gfx1100")
every_arch = pytest.mark.parametrize("arch", architectures("rocm"))


def code_of(*texts: str, device: Device = CDNA) -> str:
    """The instructions with single blanks, without the kernels' descriptions."""
    text = assembly(device.module(*texts), device.target)
    return re.sub(r"[ \t]+", " ", "\n".join(re.findall(r"^\t[a-z]\w+.*$", text, re.MULTILINE)))


@pytest.mark.parametrize(("element", "lanes"), [("f32", 4), ("f64", 2), ("f16", 8), ("bf16", 8), ("i8", 16), ("i64", 2)])
def test_aligned_vectors_are_one_access_of_16_bytes(element: str, lanes: int) -> None:
    text = code_of(CDNA.map(element, lanes))
    assert "global_load_dwordx4" in text and "global_store_dwordx4" in text


@every_arch
def test_reductions_meet_in_a_butterfly(arch: str) -> None:
    """Partners at 32 (of 64 lanes), 16, 8, 4, 2, 1."""
    device = Device("rocm", arch)
    text = code_of(device.row_sum(), device=device)
    first = text[: text.index("s_barrier")]
    places = {"xmask" if "row_xmask" in line else line.split(" ")[0] for line in first.splitlines() if "dpp" in line or "ds_" in line}
    if device.facts.subgroup == 64:
        order = ["ds_bpermute_b32", "swizzle(SWAP,16)", "row_ror:8", "row_half_mirror", "quad_perm:[2,3,0,1]", "quad_perm:[1,0,3,2]"]
    else:
        order = ["swizzle(SWAP,16)", "row_xmask:8", "row_xmask:4", "quad_perm:[2,3,0,1]", "quad_perm:[1,0,3,2]"]
    found = [first.index(step) for step in order]
    assert found == sorted(found), places


def test_barriers_wait_for_memory() -> None:
    text = code_of(CDNA.row_sum())
    before = text[: text.index("s_barrier")]
    assert before.rindex("s_waitcnt") > before.rindex("ds_write_b32")


def test_shuffles_by_variables_go_through_the_permute_unit() -> None:
    text = CDNA.llvm(CDNA.shuffles("f32"))
    assert text.count("call i32 @llvm.amdgcn.readlane.i32") == 1, "only lane 7 is known"
    assert text.count("call i32 @llvm.amdgcn.ds.bpermute") == 8, "half of the lanes, up, down, no lane 99, four variables"
    assert text.count("call i32 @llvm.amdgcn.update.dpp.i32") == 1


def test_values_of_64_bits_travel_in_two_words() -> None:
    single, double = (CDNA.llvm(CDNA.row_sum(element)).count("@llvm.amdgcn.update.dpp.i32(i32 poison") for element in ("f32", "f64"))
    assert double == 2 * single


def test_fences_atomics_and_votes() -> None:
    text = CDNA.llvm(CDNA.memory())
    for expected in ('fence syncscope("workgroup") acq_rel', 'fence syncscope("agent") acq_rel', "fence acq_rel", "alloca [16 x float], align 16, addrspace(5)",
                     'atomicrmw max ptr addrspace(3)', 'syncscope("workgroup") monotonic', "@llvm.amdgcn.ballot.i64"):  # fmt: skip
        assert expected in text, expected
    code = code_of(CDNA.memory())
    for expected in ("global_atomic_add_f32", "ds_max", "global_atomic_umin", "global_atomic_xor", "global_atomic_swap_x2", "global_atomic_cmpswap_x2"):
        assert expected in code, expected


def test_uniform_words_are_scalars() -> None:
    assert "v_readfirstlane_b32" in code_of(CDNA.row_sum())


def test_what_no_kernel_needs_is_not_asked_for() -> None:
    text = CDNA.llvm(CDNA.map("f32"))
    for name in ("dispatch-ptr", "queue-ptr", "implicitarg-ptr", "workitem-id-y", "workitem-id-z", "workgroup-id-y", "workgroup-id-z"):
        assert f'"amdgpu-no-{name}"' in text
    body = "%y = gpu.block_id y\n%n = gpu.grid_dim x\n%s = arith.addi %y, %n : index\nkernel.store %s, %p[%y] : index, !kernel.ptr<index, global>"
    text = CDNA.llvm(CDNA.kernel("ids", "%p: !kernel.ptr<index, global>", body, "8, 16, 1"))
    assert "amdgpu-no-implicitarg-ptr" not in text and "amdgpu-no-workgroup-id-y" not in text
    assert "amdgpu-no-workgroup-id-z" in text and "amdgpu-no-workitem-id-y" in text, "the block has a y, but nobody asks"


def test_lanes_of_a_block_of_two_dims_are_counted_over_both() -> None:
    body = "%l = gpu.lane_id\nkernel.store %l, %p[%l] : index, !kernel.ptr<index, global>"
    text = CDNA.llvm(CDNA.kernel("lanes", "%p: !kernel.ptr<index, global>", body, "16, 16"))
    assert "amdgpu-no-workitem-id-y" not in text and "@llvm.amdgcn.workitem.id.y()" in text


def test_a_wave_of_64_refuses_half_of_one() -> None:
    with pytest.raises(LowerError, match="whole subgroups of 64, but the block has 32 threads"):
        CDNA.llvm(RDNA.shuffles("f32").replace("gfx1100", "gfx942"))
