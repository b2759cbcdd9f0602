"""The command lines `rlx` and `rlx-opt`."""
