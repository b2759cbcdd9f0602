"""What a `// REQUIRES:` line may ask for; both `lit` and the in-process runner read it."""

from __future__ import annotations

from functools import cache


@cache
def available_features() -> frozenset[str]:
    """`llvm-<target>` for every target that llvmlite was built with."""
    from llvmlite import binding

    binding.initialize_all_targets()
    features = set[str]()
    for feature, triple in (
        ("llvm-x86-64", "x86_64-unknown-linux-gnu"),
        ("llvm-aarch64", "aarch64-unknown-linux-gnu"),
        ("llvm-nvptx64", "nvptx64-nvidia-cuda"),
        ("llvm-amdgcn", "amdgcn-amd-amdhsa"),
    ):
        try:
            binding.Target.from_triple(triple)
        except RuntimeError:
            continue
        features.add(feature)
    return frozenset(features)
