"""How NumPy runs the forms of LIR, one array operation per scalar operation.

`scalars` the `arith` and `math` operations, `buffers` storage with layouts and index grids, `regions` the bodies of forms,
`forms` the forms. `run_form(op, buffers, dims)` is the entry; `wide=True` computes every float in f64 (the oracle of tests).
"""

from rlx_dialects.lir.semantics.buffers import Buffer, Grid
from rlx_dialects.lir.semantics.forms import run_copy, run_form
from rlx_dialects.lir.semantics.scalars import storage_dtype

__all__ = ["Buffer", "Grid", "run_copy", "run_form", "storage_dtype"]
