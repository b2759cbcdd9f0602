"""A matrix-product microkernel written in kernel IR becomes the machine code that one would write by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rlx_backends.cpu.target import CpuTarget, host
from tests.backends.cpu.harness import Program, aligned, targets


def microkernel(stride: int | None) -> str:
    """C[8, 32] = A[8, K] · B[K, 32], four steps of k a trip; the row stride of A is a constant or an argument."""
    steps = []
    for u in range(4):
        steps.append(f"""
        %k{u} = kernel.apply [k + {u}](k = %k)
        %kb{u} = kernel.apply [k * 32 + {32 * u}](k = %k)
        %a{u} = kernel.load %a[%k{u}] stride %lda : !kernel.ptr<f32, global> -> vector<8xf32>
        %b{u} = kernel.load %b[%kb{u}] : !kernel.ptr<f32, global, align 64> -> vector<32xf32>
        %t{u + 1} = kernel.outer_fma %a{u}, %b{u}, %t{u} : vector<8xf32>, vector<32xf32>, vector<8x32xf32>""")
    lda = f"%lda = arith.constant {stride} : index" if stride else ""
    name = "%unused" if stride else "%lda"
    return f"""
    kernel.func @tile(%a: !kernel.ptr<f32, global>, %b: !kernel.ptr<f32, global, align 64>, %c: !kernel.ptr<f32, global>, %K: index, {name}: index, %ldc: index) {{
      {lda}
      %c0 = arith.constant 0 : index
      %c4 = arith.constant 4 : index
      %zero = arith.constant 0.0 : f32
      %init = kernel.broadcast %zero : f32 -> vector<8x32xf32>
      %acc = scf.for %k = %c0 to %K step %c4 iter_args(%t0 = %init) -> (vector<8x32xf32>) {{
        {"".join(steps)}
        scf.yield %t4 : vector<8x32xf32>
      }}
      kernel.store %acc, %c[%c0] stride %ldc : vector<8x32xf32>, !kernel.ptr<f32, global>
      kernel.return
    }}
    """


@pytest.mark.parametrize("stride", [None, 40])
@pytest.mark.parametrize("target", targets(), ids=lambda t: f"{t.vector_bits}")
def test_microkernel_multiplies(target: CpuTarget, stride: int | None) -> None:
    program = Program(microkernel(stride), target)
    a, b, c = aligned((8, 40)), aligned((36, 32)), aligned((8, 32))
    rng = np.random.default_rng(0)
    a[:], b[:] = rng.standard_normal(a.shape), rng.standard_normal(b.shape)
    program.run("tile", a, b, c, 36, 40, 32)
    np.testing.assert_allclose(c, a[:, :36].astype(np.float64) @ b.astype(np.float64), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(host().vector_bits != 512, reason="needs AVX-512")
@pytest.mark.parametrize("stride", [None, 384])
def test_microkernel_keeps_its_accumulators_in_registers(stride: int | None) -> None:
    body = re.search(r"^tile:\n(.*?)^\s*retq", Program(microkernel(stride)).assembly, re.MULTILINE | re.DOTALL)
    assert body is not None
    lines = body[1].splitlines()
    loop = [line for line in lines if "vfmadd" in line]
    assert len(loop) == 8 * 2 * 4
    assert all("%zmm" in line for line in loop)
    assert not [line for line in lines if "zmm" in line and re.search(r"\(%r[sb]p\)", line)], "a vector register was spilled"
    assert sum("vbroadcastss" in line for line in lines) == 8 * 4, "each element of A is broadcast from memory once"
    assert not [line for line in lines if "vgather" in line or "vinsert" in line or "vperm" in line]
