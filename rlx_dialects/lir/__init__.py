"""The `lir` dialect: kernel forms over planned buffers.

`types` buffers and layouts, `structure` programs and slots, `control` branches and loops, `form` what all forms share, `forms`
and `sequential` the forms, `regions` what stands inside them, `semantics` how NumPy runs them.
"""

from xdsl.ir import Dialect

from rlx_dialects.lir.control import ConditionOp, IfOp, WhileOp
from rlx_dialects.lir.form import FormOp
from rlx_dialects.lir.forms import AttentionOp, ContractOp, MapOp, ReduceOp
from rlx_dialects.lir.regions import EachOp, FoldOp, IndexOp, ProductOp, ReadOp, YieldOp
from rlx_dialects.lir.sequential import ScanOp, ScatterOp, SortOp
from rlx_dialects.lir.structure import (
    AllocOp,
    ConstantOp,
    CopyOp,
    DimInputOp,
    InputOp,
    OutputOp,
    PackedOp,
    ParamOp,
    ProgramOp,
    SlotOp,
    StateOp,
    ViewOp,
    programs,
    root_buffer,
)
from rlx_dialects.lir.types import AccessAttr, BufferType, IterAttr, LayoutAttr, NamesAttr, RowType, ScheduleAttr, buffer

LIR = Dialect(
    "lir",
    [
        ProgramOp, InputOp, OutputOp, ParamOp, PackedOp, StateOp, DimInputOp, ConstantOp, AllocOp, SlotOp, ViewOp, CopyOp,
        IfOp, WhileOp, ConditionOp, MapOp, ReduceOp, ContractOp, AttentionOp, ScanOp, SortOp, ScatterOp, EachOp, FoldOp,
        IndexOp, ReadOp, ProductOp, YieldOp,
    ],
    [BufferType, RowType, LayoutAttr, NamesAttr, IterAttr, AccessAttr, ScheduleAttr],
)  # fmt: skip

__all__ = [
    "LIR", "AccessAttr", "AllocOp", "AttentionOp", "BufferType", "ConditionOp", "ConstantOp", "ContractOp", "CopyOp",
    "DimInputOp", "EachOp", "FoldOp", "FormOp", "IfOp", "IndexOp", "InputOp", "IterAttr", "LayoutAttr", "MapOp", "NamesAttr",
    "OutputOp", "PackedOp", "ParamOp", "ProductOp", "ProgramOp", "ReadOp", "ReduceOp", "RowType", "ScanOp", "ScatterOp",
    "ScheduleAttr", "SlotOp", "SortOp", "StateOp", "ViewOp", "WhileOp", "YieldOp", "buffer", "programs", "root_buffer",
]  # fmt: skip
