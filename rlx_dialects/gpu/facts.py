"""Facts of GPU architectures: what their kernels may contain, and what cost models ask.

Sources: the CUDA C++ Programming Guide (compute capabilities), the PTX ISA (matrix shapes), AMD's CDNA 2/3/4 and RDNA 3/4 ISA
guides, the Metal Shading Language specification and Apple's Metal feature set tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

KIB = 1024


@dataclass(frozen=True)
class MatrixShape:
    """One matrix instruction: `a` (m × k) times `b` (k × n) of elements `operand`, summed in `accumulator` (m × n).

    `family` names the op that has it: `mma`, `wgmma`, `mfma`, `wmma`, `simdgroup`.
    """

    family: str
    m: int
    n: int
    k: int
    operand: str
    accumulator: str = "f32"


@dataclass(frozen=True)
class GpuFacts:
    """One architecture of a dialect.

    Sizes in bytes; `bandwidth` (bytes per second), `flops` (f32, per second) and `multiprocessors` are those of its usual large
    device, for cost models only. `shared_default` is what a kernel has without asking, `shared_max` what it may ask for.
    """

    dialect: str
    arch: str
    subgroup: int
    shared_default: int
    shared_max: int
    matrix: tuple[MatrixShape, ...] = ()
    async_copy: str = ""
    """How global memory reaches shared memory without registers: "", "cp_async", "tma" (and cp_async), "lds"."""
    max_threads: int = 1024
    max_block: tuple[int, int, int] = (1024, 1024, 1024)
    max_grid: tuple[int, int, int] = (2**31 - 1, 65535, 65535)
    registers: int = 65536
    """32-bit registers of a multiprocessor."""
    registers_per_thread: int = 255
    vector_bytes: int = 16
    """The widest access of one thread."""
    multiprocessors: int = 100
    bandwidth: float = 1e12
    flops: float = 2e13
    elements: frozenset[str] = frozenset(("f64", "f32", "f16", "bf16"))
    """Floating-point types that memory may hold; what is not computed natively is widened."""

    @property
    def name(self) -> str:
        return self.arch


def _mma(tf32: bool = True) -> tuple[MatrixShape, ...]:
    shapes = [MatrixShape("mma", 16, 8, 16, kind, "f32") for kind in ("f16", "bf16")]
    shapes += [MatrixShape("mma", 16, 8, 8, kind, "f32") for kind in (("f16", "bf16", "tf32") if tf32 else ("f16",))]
    shapes += [MatrixShape("mma", 16, 8, 32, "i8", "i32")]
    return tuple(shapes)


def _wgmma() -> tuple[MatrixShape, ...]:
    widths = range(8, 257, 8)
    found = [MatrixShape("wgmma", 64, n, 16, kind) for kind in ("bf16", "f16") for n in widths]
    found += [MatrixShape("wgmma", 64, n, 8, "tf32") for n in widths]
    found += [MatrixShape("wgmma", 64, n, 32, kind) for kind in ("f8e4m3fn", "f8e5m2") for n in widths]
    return tuple(found)


_FP8 = tuple(MatrixShape("mma", 16, 8, 32, kind) for kind in ("f8e4m3fn", "f8e5m2"))


def _mfma(arch: str) -> tuple[MatrixShape, ...]:
    found = [MatrixShape("mfma", *mnk, "bf16") for mnk in ((16, 16, 16), (32, 32, 8))]
    found += [MatrixShape("mfma", *mnk, "f16") for mnk in ((16, 16, 16), (32, 32, 8))]
    found += [MatrixShape("mfma", *mnk, "f32") for mnk in ((16, 16, 4), (32, 32, 2))]
    if arch == "gfx950":  # the fp8 of gfx942 is another format, with one zero and no infinity
        found += [MatrixShape("mfma", 16, 16, 32, kind) for kind in ("bf16", "f16", "f8e4m3fn", "f8e5m2")]
    return tuple(found)


_WMMA = tuple(MatrixShape("wmma", 16, 16, 16, kind) for kind in ("f16", "bf16"))
_SIMDGROUP = tuple(MatrixShape("simdgroup", 8, 8, 8, kind) for kind in ("f32", "f16", "bf16"))


Shapes = tuple[MatrixShape, ...]


def _cuda(arch: str, shared: int, matrix: Shapes, async_copy: str, units: int, bandwidth: float, flops: float) -> GpuFacts:
    return GpuFacts("cuda", arch, 32, 48 * KIB, shared, matrix, async_copy, max_block=(1024, 1024, 64),
                    multiprocessors=units, bandwidth=bandwidth, flops=flops)  # fmt: skip


def _rocm(arch: str, subgroup: int, shared: int, matrix: Shapes, units: int, bandwidth: float, flops: float) -> GpuFacts:
    return GpuFacts("rocm", arch, subgroup, shared, shared, matrix, "lds" if arch == "gfx950" else "",
                    max_grid=(2**31 - 1, 2**31 - 1, 2**31 - 1), registers=131072 if arch.startswith("gfx9") else 196608,
                    registers_per_thread=512 if arch.startswith("gfx9") else 256,
                    multiprocessors=units, bandwidth=bandwidth, flops=flops)  # fmt: skip


def _metal(arch: str, matrix: Shapes, units: int, bandwidth: float, flops: float) -> GpuFacts:
    return GpuFacts("metal", arch, 32, 32 * KIB, 32 * KIB, matrix, max_grid=(2**31 - 1, 2**31 - 1, 2**31 - 1),
                    multiprocessors=units, bandwidth=bandwidth, flops=flops,
                    elements=frozenset(("f32", "f16", "bf16")))  # fmt: skip


_ALL = (
    _cuda("sm_80", 163 * KIB, _mma(), "cp_async", 108, 2.0e12, 19.5e12),
    _cuda("sm_86", 99 * KIB, _mma(), "cp_async", 84, 0.94e12, 38e12),
    _cuda("sm_89", 99 * KIB, _mma() + _FP8, "cp_async", 128, 1.0e12, 82e12),
    _cuda("sm_90", 227 * KIB, _mma() + _FP8, "cp_async", 132, 4.8e12, 67e12),
    _cuda("sm_90a", 227 * KIB, _mma() + _FP8 + _wgmma(), "tma", 132, 4.8e12, 67e12),
    _cuda("sm_100", 227 * KIB, _mma() + _FP8, "cp_async", 148, 8.0e12, 80e12),
    _cuda("sm_103", 227 * KIB, _mma() + _FP8, "cp_async", 148, 8.0e12, 80e12),
    _cuda("sm_120", 99 * KIB, _mma() + _FP8, "cp_async", 170, 1.8e12, 105e12),
    _rocm("gfx90a", 64, 64 * KIB, _mfma("gfx90a"), 104, 1.6e12, 22e12),
    _rocm("gfx942", 64, 64 * KIB, _mfma("gfx942"), 304, 5.3e12, 81e12),
    _rocm("gfx950", 64, 160 * KIB, _mfma("gfx950"), 256, 8.0e12, 79e12),
    _rocm("gfx1100", 32, 64 * KIB, _WMMA, 96, 0.96e12, 61e12),
    _rocm("gfx1201", 32, 64 * KIB, _WMMA, 64, 0.64e12, 48e12),
    _metal("apple7", _SIMDGROUP, 8, 68e9, 2.6e12),
    _metal("apple8", _SIMDGROUP, 10, 100e9, 3.6e12),
    _metal("apple9", _SIMDGROUP, 40, 400e9, 14e12),
)

DEFAULT_ARCH = {"cuda": "sm_90a", "rocm": "gfx942", "metal": "apple9"}
"""What is compiled for where no device and no option says otherwise."""


@cache
def _table() -> dict[tuple[str, str], GpuFacts]:
    return {(facts.dialect, facts.arch): facts for facts in _ALL}


def architectures(dialect: str) -> tuple[str, ...]:
    """The known architectures of a dialect, oldest first."""
    return tuple(facts.arch for facts in _ALL if facts.dialect == dialect)


def facts_for(dialect: str, arch: str) -> GpuFacts | None:
    """The facts of an architecture; None for one that is not known."""
    return _table().get((dialect, arch))
