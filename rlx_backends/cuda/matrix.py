"""Matrix instructions of a warp: `mma.sync`, and `ldmatrix` where memory allows it.

Layouts (PTX ISA, "Matrix Fragments for mma"): with `g = lane / 4` and `t = lane mod 4`, a register of 32 bits holds `e` elements
of a row of A or of a column of B. Accumulators come in pairs: columns `2t` and `2t + 1` of row `g`, then of row `g + 8`.
"""

from __future__ import annotations

from math import gcd

from rlx_backends.gpu.llvm_isa import Isa
from rlx_backends.gpu.llvm_matrix import Bits, Layout, Place
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import register_type
from rlx_dialects.gpu.matrix import FragmentLoadOp, MultiplyOp
from rlx_dialects.kernel.fragment import FragmentType
from rlx_dialects.kernel.types import byte_size, ptr_type
from rlx_dialects.rlx import dtypes

WORD = 4
CHUNK = 16
"""Bytes of a row of the 8 × 8 matrices that `ldmatrix` reads."""

_NAMES = {"bf16": "bf16", "f16": "f16", "f32": "tf32", "i8": "s8", "f8e4m3fn": "e4m3", "f8e5m2": "e5m2"}
_G, _T = Bits(2, 3, 1), 2


def layout(kind: FragmentType) -> Layout:
    """Which elements of a fragment a thread holds; of `wgmma`, by its number in the warpgroup."""
    rows, columns = kind.shape
    if kind.role.data == "c":
        warps = (Bits(5, 2, 16),) if kind.family.data == "wgmma" else ()
        places = [(8 * half, 8 * block + e) for block in range(columns // 8) for half in (0, 1) for e in (0, 1)]
        row_at, column_at = zip(*places, strict=True)
        return Layout(row_at, column_at, (_G, *warps), (Bits(0, _T, 2),), 0)
    each = WORD // byte_size(kind.element_type)
    depth = columns if kind.role.data == "a" else rows
    blocks, halves = range(depth // (4 * each)), range(rows // 8 if kind.role.data == "a" else 1)
    deep = [each * 4 * block + e for block in blocks for _ in halves for e in range(each)]
    width, inner = (each if each > 1 else 0), Bits(0, _T, each)
    if kind.role.data == "b":
        return Layout(tuple(deep), (0,) * len(deep), (inner,), (_G,), width)
    row = [8 * half for _ in blocks for half in halves for _ in range(each)]
    return Layout(tuple(row), tuple(deep), (_G,), (inner,), width)


def operand(f: FunctionEmitter, kind: FragmentType, element: str) -> str:
    """f32 operands are rounded to tf32."""
    if kind.role.data == "c" or dtypes.dtype_name(kind.element_type) != "f32":
        return element
    word = f.intrinsic("llvm.nvvm.f2tf32.rna", "i32", [("float", element)])
    return f.emit(f"bitcast i32 {word} to float")


def load(isa: Isa, f: FunctionEmitter, op: FragmentLoadOp) -> list[str] | None:
    """`ldmatrix`, for rows of 16 bytes in shared memory at multiples of 16."""
    kind, memory = op.result.type, ptr_type(op.ptr)
    assert isinstance(kind, FragmentType)
    role, size = kind.role.data, byte_size(kind.element_type)
    # What lies side by side in memory: the depth, or rows of A and columns of B, which change places on the way.
    crossed = (op.transposed is not None) == (role == "a")
    aligned = gcd(memory.align.data, size * f.alignment.of(op.index), size * f.alignment.of(op.stride)) % CHUNK == 0
    if memory.space.data != "shared" or role == "c" or not aligned or (crossed and size != 2):
        return None
    count = layout(kind).registers
    row, chunk = Bits(0, 3, 1), CHUNK // size
    low, high = Bits(3, 1, 8), Bits(3, 1, chunk)
    if role == "b":
        major, minor = ((row, low), ()) if crossed else ((row,), (high,))
    elif crossed:
        major, minor = (row, Bits(4, 1, 8)), (low,)
    else:
        major, minor = (row, low), (Bits(4, 1, chunk),)
    used = 8 * count - 1
    major, minor = ([bits for bits in part if used >> bits.shift & 1] for part in (major, minor))
    place = Place(isa, f, op, major, minor)
    result = "i32" if count == 1 else "{ " + ", ".join(["i32"] * count) + " }"
    name = f"llvm.nvvm.ldmatrix.sync.aligned.m8n8.x{count}{'.trans' if crossed else ''}.b16.p3"
    words = f.intrinsic(name, result, [(place.kind, place.start)])
    parts = [words] if count == 1 else [f.emit(f"extractvalue {result} {words}, {i}") for i in range(count)]
    type_ = register_type(place.memory, layout(kind).width)
    return [f.emit(f"bitcast i32 {part} to {type_}") for part in parts]


def multiply(f: FunctionEmitter, op: MultiplyOp) -> list[str]:
    """`mma.sync.aligned`."""
    a, b, c = (value.type for value in op.operands)
    assert isinstance(a, FragmentType) and isinstance(b, FragmentType) and isinstance(c, FragmentType)
    names = [_NAMES[dtypes.dtype_name(kind.element_type)] for kind in (a, b)]
    sums, sum_type, letter = ("s32", "i32", "r") if names[0] == "s8" else ("f32", "float", "f")
    words: list[str] = []
    for value, kind in ((op.a, a), (op.b, b)):
        held = layout(kind)
        element = f.pieces(value)[0]
        type_ = register_type(element, held.width)
        words += [f.emit(f"bitcast {type_} {register} to i32") for register in f[value].registers]
    start, counts = f[op.c].registers, (4, layout(a).registers, layout(b).registers, 4)
    groups, at = [], 0
    for count in counts:
        groups.append("{" + ", ".join(f"${at + i}" for i in range(count)) + "}")
        at += count
    text = f"mma.sync.aligned.m16n8k{a.shape[1]}.row.col.{sums}.{names[0]}.{names[1]}.{sums} {', '.join(groups)};"
    constraints = ",".join([f"={letter}"] * 4 + ["r"] * len(words) + [letter] * 4)
    result = "{ " + ", ".join([sum_type] * 4) + " }"
    arguments = ", ".join([*(f"i32 {word}" for word in words), *(f"{sum_type} {value}" for value in start)])
    done = f.emit(f'call {result} asm "{text}", "{constraints}"({arguments}) convergent nounwind memory(none)')
    return [f.emit(f"extractvalue {result} {done}, {i}") for i in range(4)]
