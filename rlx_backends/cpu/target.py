"""The CPU that code is compiled for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import llvmlite.binding as llvm

from rlx_runtime.errors import TargetError

# What LLVM reports but code must not depend on: tuning flags, and ways to leave the program.
_USED = (
    "sse4.1", "sse4.2", "ssse3", "sse3", "popcnt", "bmi", "bmi2", "lzcnt", "movbe", "avx", "avx2", "fma", "f16c",
    "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512vnni", "avx512bf16", "avx512vbmi", "avx512ifma",
    "avx512vbmi2", "avx512bitalg", "avx512vpopcntdq", "avxvnni", "avx512fp16",
)  # fmt: skip


@dataclass(frozen=True)
class CpuTarget:
    """Facts of a CPU: LLVM's name of it, the features that code may use, vector width, threads and cache sizes in bytes."""

    name: str
    features: tuple[str, ...]
    vector_bits: int
    threads: int
    l1_bytes: int = 32 << 10
    l2_bytes: int = 512 << 10
    l3_bytes: int = 8 << 20

    @property
    def lanes(self) -> int:
        """Native vector width in 32-bit elements."""
        return self.vector_bits // 32

    @property
    def feature_text(self) -> str:
        """Features as LLVM's target machine takes them; those of ours that the CPU name implies but the target lacks are off."""
        return ",".join(("+" if feature in self.features else "-") + feature for feature in _USED)


def vector_bits_of(features: tuple[str, ...]) -> int:
    """512 where AVX-512 covers bytes, words and narrow vectors, 256 with AVX2 and FMA, else 128."""
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= set(features):
        return 512
    return 256 if {"avx2", "fma"} <= set(features) else 128


@lru_cache(maxsize=1)
def host() -> CpuTarget:
    """The CPU that this process runs on, with the threads it may use."""
    flags = llvm.get_host_cpu_features()
    features = tuple(feature for feature in _USED if flags.get(feature))
    caches = _cache_sizes()
    return CpuTarget(
        llvm.get_host_cpu_name(),
        features,
        vector_bits_of(features),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        caches.get(1, 32 << 10),
        caches.get(2, 512 << 10),
        caches.get(3, 8 << 20),
    )


def named(name: str, features: tuple[str, ...], threads: int | None = None) -> CpuTarget:
    """A CPU other than this one: LLVM's name and the features that may be used. TargetError lists unknown features."""
    unknown = sorted(set(features) - set(_USED))
    if unknown:
        raise TargetError(f"unknown CPU features: {', '.join(unknown)}", hint=f"known: {', '.join(_USED)}")
    kept = tuple(feature for feature in _USED if feature in features)
    return CpuTarget(name, kept, vector_bits_of(kept), threads or host().threads)


def missing_features(features: tuple[str, ...]) -> list[str]:
    """Those of `features` that this machine lacks."""
    return sorted(set(features) - set(host().features))


def _cache_sizes() -> dict[int, int]:
    """Level -> bytes of the data caches of the first core; empty where the system does not tell."""
    sizes: dict[int, int] = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind = (folder / "type").read_text().strip()
            level, text = int((folder / "level").read_text()), (folder / "size").read_text().strip()
        except (OSError, ValueError):
            continue
        if kind in ("Data", "Unified") and text[-1:] in "KM":
            sizes[level] = int(text[:-1]) << (10 if text[-1] == "K" else 20)
    return sizes
