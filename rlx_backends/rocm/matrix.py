"""Matrix instructions of a wavefront: MFMA (CDNA) and WMMA (RDNA).

Layouts (AMD's ISA guides). A lane holds neighbouring depths of one row of A, of one column of B. MFMA accumulators: four
neighbouring rows of one column for each 64 lanes' worth; WMMA of RDNA 3: every second row of a column, of RDNA 4: eight
neighbouring ones. RDNA 3 has the operands twice, in the lower and in the upper half of the lanes.
"""

from __future__ import annotations

from rlx_backends.gpu.llvm_matrix import Bits, Layout
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import register_type
from rlx_dialects.gpu import GpuFacts
from rlx_dialects.gpu.matrix import MultiplyOp
from rlx_dialects.kernel.fragment import FragmentType
from rlx_dialects.rlx import dtypes

_LANE_BITS = 6


def layout(facts: GpuFacts, kind: FragmentType) -> Layout:
    """Which elements of a fragment a lane holds."""
    rows, columns = kind.shape
    if kind.family.data == "wmma":
        return _wmma(facts.arch.startswith("gfx11"), kind.role.data)
    if kind.role.data == "c":
        # Groups of four rows: as many as the lanes that are left over by the columns, then the next four.
        bits = columns.bit_length() - 1
        groups = 1 << (_LANE_BITS - bits)
        found = tuple(4 * groups * (i // 4) + i % 4 for i in range(rows // groups))
        return Layout(found, (0,) * len(found), (Bits(bits, _LANE_BITS - bits, 4),), (Bits(0, bits, 1),), len(found))
    side, depth = (rows, columns) if kind.role.data == "a" else (columns, rows)
    bits = side.bit_length() - 1
    each = depth >> (_LANE_BITS - bits)
    found = Layout((0,) * each, tuple(range(each)), (Bits(0, bits, 1),), (Bits(bits, _LANE_BITS - bits, each),),
                   each if each > 1 else 0)  # fmt: skip
    return found if kind.role.data == "a" else found.transposed()


def _wmma(doubled: bool, role: str) -> Layout:
    low, high = Bits(0, 4, 1), Bits(4, 1, 8)
    if role == "c":
        rows = tuple(2 * i if doubled else i for i in range(8))
        return Layout(rows, (0,) * 8, (Bits(4, 1, 1) if doubled else high,), (low,), 8)
    each = 16 if doubled else 8
    found = Layout((0,) * each, tuple(range(each)), (low,), () if doubled else (high,), each)
    return found if role == "a" else found.transposed()


_MFMA = {
    "f32": "llvm.amdgcn.mfma.f32.{m}x{n}x{k}f32",
    "f16": "llvm.amdgcn.mfma.f32.{m}x{n}x{k}f16",
    "bf16": "llvm.amdgcn.mfma.f32.{m}x{n}x{k}bf16.1k",
    "f8e4m3fn": "fp8",
    "f8e5m2": "bf8",
}


def multiply(facts: GpuFacts, f: FunctionEmitter, op: MultiplyOp) -> list[str]:
    """`v_mfma_…` or `v_wmma_…`."""
    kinds = [value.type for value in op.operands]
    a, b, c = kinds
    assert isinstance(a, FragmentType) and isinstance(b, FragmentType) and isinstance(c, FragmentType)
    names = [dtypes.dtype_name(kind.element_type) for kind in (a, b)]
    (m, k), n = a.shape, b.shape[1]
    left, right, acc = (layout(facts, kind) for kind in (a, b, c))
    total = register_type("float", acc.width)
    if a.family.data == "wmma":
        half = register_type("half" if names[0] == "f16" else _wmma_bf16(facts), left.width)
        mangled = f"v{left.width}{'f16' if names[0] == 'f16' else _mangled(_wmma_bf16(facts))}"
        name, flags = f"llvm.amdgcn.wmma.f32.16x16x16.{names[0]}.v8f32.{mangled}", []
        types = (half, half)
    else:
        flags = [("i32", "0")] * 3
        if names[0].startswith("f8"):
            name = f"llvm.amdgcn.mfma.f32.{m}x{n}x{k}.{_MFMA[names[0]]}.{_MFMA[names[1]]}"
            types = ("i64", "i64")
        elif k == 32:
            name = f"llvm.amdgcn.mfma.f32.{m}x{n}x{k}.{names[0]}"
            types = (register_type("half" if names[0] == "f16" else "bfloat", left.width),) * 2
        else:
            name = _MFMA[names[0]].format(m=m, n=n, k=k)
            types = (register_type({"f16": "half", "bf16": "i16", "f32": "float"}[names[0]], left.width),) * 2
    arguments: list[tuple[str, str]] = []
    for value, held, type_ in ((op.a, left, types[0]), (op.b, right, types[1])):
        own = register_type(f.pieces(value)[0], held.width)
        register = f.scalar(value)
        arguments.append((type_, register if own == type_ else f.emit(f"bitcast {own} {register} to {type_}")))
    return [f.intrinsic(name, total, [*arguments, (total, f.scalar(op.c)), *flags])]


def _wmma_bf16(facts: GpuFacts) -> str:
    return "i16"


def _mangled(element: str) -> str:
    return {"bfloat": "bf16"}.get(element, element)
