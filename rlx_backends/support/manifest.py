"""The manifest of a planned LIR module: everything the runtime needs to know without reading IR. ARCHITECTURE.md has the JSON
layout.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, ModuleOp
from xdsl.ir import Operation

from rlx_backends.support.boundary import boundary
from rlx_backends.support.plan_function import guards
from rlx_dialects.dims.solve import SolveError, solve_symbols
from rlx_dialects.gpu import KernelOp
from rlx_dialects.kernel import DimOp, EntryOp, PtrType, StatusPointerOp
from rlx_dialects.lir import (
    BufferType,
    ConstantOp,
    DimInputOp,
    FormOp,
    InputOp,
    OutputOp,
    PackedOp,
    ParamOp,
    ProgramOp,
    StateOp,
    programs,
    root_buffer,
)
from rlx_dialects.rlx import ConstraintAttr, declared_dims, dtypes
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

FORMAT = 1
ABI = 1
ALIGNMENT = 64

_KINDS: dict[type[Operation], str] = {
    InputOp: "input",
    OutputOp: "output",
    ParamOp: "param",
    PackedOp: "packed",
    StateOp: "state",
    ConstantOp: "constant",
}


def leaves(program: ProgramOp, kind: type[Operation]) -> list[Any]:
    return [op for op in program.block.ops if isinstance(op, kind)]


def _spec(op: Any) -> dict[str, Any]:
    kind: BufferType = op.result.type
    return {"name": op.sym_name.data, "dtype": dtypes.dtype_name(kind.element_type), "shape": [d.to_json() for d in kind.dims]}


def _buffers(program: ProgramOp) -> list[list[str]]:
    """The order of `rlx_call.buffers`; constants are numbered."""
    found: list[list[str]] = []
    constants = 0
    for op in boundary(program):
        if isinstance(op, ConstantOp):
            found.append(["constant", f"{program.sym_name.data}.{constants}"])
            constants += 1
        else:
            found.append([_KINDS[type(op)], op.sym_name.data])  # pyright: ignore[reportAttributeAccessIssue]
    return found


def _constants(program: ProgramOp) -> Iterable[dict[str, Any]]:
    for number, op in enumerate(leaves(program, ConstantOp)):
        data = constant_bytes(op.value)
        yield {
            "name": f"{program.sym_name.data}.{number}",
            "dtype": dtypes.dtype_name(op.result.type.element_type),
            "bytes": len(data),
            "data": base64.b64encode(data).decode("ascii"),
        }


def constant_bytes(value: DenseIntOrFPElementsAttr) -> bytes:
    """The elements as they lie in a buffer; a bool is one byte, 0 or 1."""
    data = value.data.data
    kind = value.get_element_type()
    if dtypes.bit_width(kind) == 8 and dtypes.dtype_name(kind) == "bool":
        data = bytes(1 if byte else 0 for byte in data)
    count = 1
    for extent in value.get_shape():
        count *= extent
    size = dtypes.bit_width(kind) // 8
    return data * count if len(data) == size and count != 1 else data


def _programs(found: dict[str, ProgramOp]) -> dict[str, Any]:
    made: dict[str, Any] = {"main": None, "prepare": None}
    for name, program in found.items():
        items = [
            {"op": op.label.data if op.label else op.name, "loc": place(op)} for op in program.walk() if isinstance(op, FormOp)
        ]
        made[name] = {"entry": f"rlx_{name}", "plan": f"rlx_{name}_plan", "buffers": _buffers(program), "items": items}
    return made


def _packed(prepare: ProgramOp | None) -> tuple[list[dict[str, Any]], int]:
    """Packed weights one after the other in the order `@main` first reads them, each 64-byte aligned."""
    if prepare is None:
        return [], 0
    entries: list[dict[str, Any]] = []
    offset = 0
    for op in leaves(prepare, PackedOp):
        kind: BufferType = op.result.type
        size = kind.size_bytes
        if not size.is_const:
            raise LowerError(
                f"packed weight '{op.sym_name.data}' has no static size", code="dynamic-weight", location=location_of(op)
            )
        entries.append(
            {
                "name": op.sym_name.data,
                "dtype": dtypes.dtype_name(kind.element_type),
                "bytes": size.value,
                "offset": offset,
                "sources": sorted(_sources(prepare, op)),
            }
        )
        offset += -(-size.value // ALIGNMENT) * ALIGNMENT
    return entries, offset


def _sources(prepare: ProgramOp, packed: PackedOp) -> set[str]:
    """The parameters a packed weight is computed from."""
    depends: dict[Any, set[str]] = {}
    for op in prepare.block.ops:
        if isinstance(op, ParamOp):
            depends[op.result] = {op.sym_name.data}
        elif isinstance(op, FormOp):
            names = set().union(*(depends.get(root_buffer(v), set()) for v, _ in op.reads))
            for value, _ in op.writes:
                depends.setdefault(root_buffer(value), set()).update(names)
    return depends.get(packed.result, set())


def build_manifest(module: ModuleOp, *, name: str, target: str, compiler: str, reports: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a planned module with `@main` and perhaps `@prepare`. LowerError if a dim cannot be found from the
    inputs.
    """
    found = {program.sym_name.data: program for program in programs(module)}
    main, prepare = found["main"], found.get("prepare")
    dims = declared_dims(main)
    dim_inputs = [op.sym_name.data for op in leaves(main, DimInputOp)]
    inputs = leaves(main, InputOp)
    equations = [
        (number, axis, dim) for number, op in enumerate(inputs) for axis, dim in enumerate(op.result.type.dims) if dim.symbols
    ]
    states = leaves(main, StateOp)
    # A dim that only states mention comes from the state arrays of the call.
    try:
        steps = solve_symbols(equations, set(dim_inputs)).steps
    except SolveError as error:
        raise LowerError(str(error), code="unsolved-dim", location=location_of(main)) from None
    packed, packed_bytes = _packed(prepare)
    params = {op.sym_name.data: op for program in found.values() for op in leaves(program, ParamOp)}
    return {
        "format": FORMAT,
        "abi": ABI,
        "name": name,
        "target": target,
        "compiler": compiler,
        "dims": [
            {
                "name": d.symbol.data,
                "min": d.lower.data,
                "max": d.upper.data,
                "multiple_of": d.multiple_of.data,
                "runtime": bool(d.runtime.data),
                "dim_input": d.symbol.data if d.symbol.data in dim_inputs else None,
            }
            for d in dims
        ],
        "solve": [{"dim": s.dim, "input": s.input, "axis": s.axis, "expr": s.expr.to_json()} for s in steps],
        "guards": [_guard(g, main) for g in guards(main)],
        "inputs": [_spec(op) for op in inputs],
        "outputs": [_spec(op) for op in leaves(main, OutputOp)],
        "states": [_spec(op) for op in states],
        "dim_inputs": dim_inputs,
        "params": [_spec(op) for op in params.values()],
        "programs": _programs(found),
        "packed": packed,
        "packed_bytes": packed_bytes,
        "constants": [entry for program in found.values() for entry in _constants(program)],
        "reports": reports,
    }


def device_section(module: ModuleOp, dialect: str, arch: str, code: str) -> dict[str, Any]:
    """How the object `code` is loaded, from the kernels of the module that it was made from."""
    kernels = [op for op in module.body.block.ops if isinstance(op, KernelOp)]
    entries = [op for op in module.body.block.ops if isinstance(op, EntryOp)]
    return {
        "dialect": dialect,
        "arch": arch,
        "code": code,
        "kernels": [
            {
                "name": op.sym_name.data,
                "block": list(op.block),
                "shared": op.shared_bytes,
                "arguments": ["ptr" if isinstance(type_, PtrType) else "i64" for type_ in op.function_type.inputs.data],
            }
            for op in kernels
        ],
        "faults": any(isinstance(op, StatusPointerOp) for op in module.walk()),
        "launch_dims": sorted({dim for entry in entries for dim in _launch_dims(entry)}),
    }


def _launch_dims(entry: EntryOp) -> Iterable[int]:
    """The dims that grids and arguments of launches depend on; the others reach kernels through memory, or not at all."""
    return (op.number.value.data for op in entry.walk() if isinstance(op, DimOp) and op.result.uses.get_length())


def _guard(guard: ConstraintAttr, program: ProgramOp) -> dict[str, Any]:
    lhs, rhs = guard.lhs.data, guard.rhs.data
    return {
        "expr": lhs.to_json(),
        "op": "le" if guard.relation.data == "<=" else "eq",
        "rhs": rhs.to_json(),
        "text": f"{lhs} {guard.relation.data} {rhs}",
        "loc": place(program),
    }


def place(op: Operation) -> str | None:
    """`file:line:col` of an op, for messages at run time."""
    found = location_of(op)
    return None if found is None else str(found)
