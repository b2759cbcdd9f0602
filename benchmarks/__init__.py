"""Benchmarks of RLX against other libraries and against what the machine can do. See README.md in this folder."""
