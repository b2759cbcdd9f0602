"""Benchmarks on a GPU, beside torch and JAX in one process: python -m benchmarks.gpu --help."""
