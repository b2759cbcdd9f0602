"""The CPU's part of the emission: the team of threads, the entry and plan functions of the call ABI, dot products, math.

Functions that need the call get it as three hidden parameters: the `rlx_call`, the number of this thread, and of all threads.
"""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from rlx_backends.cpu import team
from rlx_backends.cpu.target import CpuTarget
from rlx_backends.llvm import FunctionEmitter, TargetEmission, emit_module, vectors
from rlx_backends.llvm.math import math_table
from rlx_backends.llvm.program import CONTEXT
from rlx_backends.llvm.values import register_type, splat
from rlx_dialects.kernel.vector import OuterDotOp


def emit(module: ModuleOp, target: CpuTarget) -> str:
    """LLVM IR text of a module of kernel functions."""
    return emit_module(module, emission(target))


def emission(target: CpuTarget) -> TargetEmission:
    """What the shared emitter must know of this CPU."""
    return TargetEmission(
        lanes=target.lanes,
        features=frozenset(target.features),
        math=math_table(target.lanes),
        handlers={**team.HANDLERS, OuterDotOp: outer_dot},
        context=CONTEXT,
        context_ops=team.CONTEXT_OPS,
        native_casts=frozenset(
            name for name, feature in (("f16", "f16c"), ("bf16", "avx512bf16")) if feature in target.features
        ),
        fma="fma" if "fma" in target.features else "fmuladd",
        # Without it LLVM halves 512-bit vectors on CPUs where they lower the clock.
        function_attributes=f'nounwind "prefer-vector-width"="{target.vector_bits}"',
    )


def outer_dot(f: FunctionEmitter, op: Operation) -> None:
    """Dot products of pairs of bf16 and of quadruples of bytes, where the CPU has instructions for them."""
    assert isinstance(op, OuterDotOp)
    kind, lanes = op.kind.data, f.target.lanes
    feature = {"bf16": "avx512bf16", "u8s8": "avx512vnni", "s8s8": "avx512vnni"}.get(kind)
    if feature not in f.target.features or any(width != lanes for width in f[op.b].widths) or lanes != 16:
        vectors.outer_dot(f, op)
        return
    a, b, acc = f[op.a], f[op.b], f[op.acc]
    registers: list[str] = []
    if kind == "bf16":
        name, total, parts = "llvm.x86.avx512bf16.dpbf16ps.512", "<16 x float>", "<32 x bfloat>"
    else:
        name, total, parts = "llvm.x86.avx512.vpdpbusd.512", "<16 x i32>", "<64 x i8>"
    b_parts = [f.emit(f"bitcast <16 x i32> {register} to {parts}") for register in b.registers]
    # The instruction takes unsigned × signed: for signed a, flip a's sign bits, which adds 128·b, and take that off again.
    surplus: list[str] = []
    if kind == "s8s8":
        flipped = splat("-128", "i8", 64)
        surplus = [
            f.intrinsic(name, total, [(total, "zeroinitializer"), (parts, flipped), (parts, part)]) for part in b_parts
        ]
    for row in range(acc.rows):
        word = f.lane(a, row)
        if kind == "s8s8":
            word = f.emit(f"xor i32 {word}, {-0x7F7F7F80}")
        a_part = f.emit(f"bitcast <16 x i32> {f.splat(word, 'i32', 16)} to {parts}")
        for piece, start in enumerate(acc.row(row)):
            if kind == "s8s8":
                start = f.emit(f"sub {register_type('i32', 16)} {start}, {surplus[piece]}")
            registers.append(f.intrinsic(name, total, [(total, start), (parts, a_part), (parts, b_parts[piece])]))
    f.define(op.result, registers)
