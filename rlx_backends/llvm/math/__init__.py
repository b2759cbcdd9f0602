"""Math functions for every LLVM target, written once on registers of any width; `table.py` has the list and the error bounds."""

from rlx_backends.llvm.math.table import ULP_BOUNDS, math_table

__all__ = ["ULP_BOUNDS", "math_table"]
