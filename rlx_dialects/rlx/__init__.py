"""The `rlx` dialect: the types and attributes that all levels share. It has no operations."""

from xdsl.ir import Dialect

from rlx_dialects.rlx.symbols import ConstraintAttr, DimAttr, declared_dims, facts_of
from rlx_dialects.rlx.types import (
    DimExprAttr,
    ShapeAttr,
    StateType,
    TensorType,
    shaped_type,
    state,
    tensor,
    tensor_type,
)

RLX = Dialect("rlx", [], [TensorType, StateType, ShapeAttr, DimExprAttr, DimAttr, ConstraintAttr])

__all__ = [
    "RLX", "ConstraintAttr", "DimAttr", "DimExprAttr", "ShapeAttr", "StateType", "TensorType",
    "declared_dims", "facts_of", "shaped_type", "state", "tensor", "tensor_type",
]  # fmt: skip
