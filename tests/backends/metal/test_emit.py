"""The Metal Shading Language text of each family of ops, statement by statement.

What the statements compute is tested in `tests/emulators`, where they run.
"""

from __future__ import annotations

import numpy as np
import pytest

from rlx_backends.c_like.language import is_atom, is_literal
from rlx_backends.metal.emit import LANGUAGE, emit
from rlx_backends.registry import backend
from rlx_runtime.errors import LowerError
from tests.backends.gpu.harness import parse

HEAD = """\
metal.kernel @f(%p: !kernel.ptr<f32, global, align 16>, %pn: !kernel.ptr<i32, global>, %pb: !kernel.ptr<i8, global>, %ph: !kernel.ptr<f16, global>, %pbf: !kernel.ptr<bf16, global>, %pw: !kernel.ptr<i16, global>, %st: !kernel.ptr<i64, global>, %i: index, %j: index) attributes {arch = "apple9", block = array<i64: 64>} {
 %x = kernel.load %p[%i] : !kernel.ptr<f32, global, align 16> -> f32
 %y = kernel.load %p[%j] : !kernel.ptr<f32, global, align 16> -> f32
 %v = kernel.load %p[%i] : !kernel.ptr<f32, global, align 16> -> vector<7xf32>
 %n = kernel.load %pn[%i] : !kernel.ptr<i32, global> -> i32
 %b = kernel.load %pb[%i] : !kernel.ptr<i8, global> -> i8
 %h = kernel.load %ph[%i] : !kernel.ptr<f16, global> -> f16
 %bf = kernel.load %pbf[%i] : !kernel.ptr<bf16, global> -> bf16
 %w = kernel.load %pw[%i] : !kernel.ptr<i16, global> -> vector<4xi16>
"""

CASES: list[tuple[list[str], list[str]]] = [
    (
        ["%r = arith.addi %n, %n : i32"],
        ["const uint v13 = v7 + v7;"],
    ),
    (
        ["%r = arith.addi %b, %b : i8"],
        ["const uchar v13 = uchar(uint(v8) + uint(v8));"],
    ),
    (
        ["%r = arith.muli %w, %w : vector<4xi16>"],
        ["const ushort4 v13 = v12 * v12;"],
    ),
    (
        ["%r = arith.divsi %n, %n : i32"],
        [
            "const bool v13 = v7 == 0u;",
            "const bool v14 = v7 == 4294967295u;",
            "const bool v15 = v13 | v14;",
            "const uint v16 = v15 ? 1u : v7;",
            "const uint v17 = uint(int(v7) / int(v16));",
            "const uint v18 = 0u - v7;",
            "const uint v19 = v14 ? v18 : v17;",
            "const uint v20 = v13 ? 0u : v19;",
        ],
    ),
    (
        ["%t = arith.constant 3 : i32", "%r = arith.divui %n, %t : i32"],
        ["const uint v13 = uint(v7 / 3u);"],
    ),
    (
        ["%r = arith.shli %n, %n : i32"],
        [
            "const bool v13 = v7 <= 31u;",
            "const uint v14 = v13 ? v7 : 31u;",
            "const uint v15 = uint(v7 << v14);",
            "const uint v16 = v13 ? v15 : 0u;",
        ],
    ),
    (
        ["%t = arith.constant 3 : i32", "%r = arith.shrsi %n, %t : i32"],
        ["const uint v13 = uint(int(v7) >> 3u);"],
    ),
    (
        ["%r = arith.maximumf %x, %y : f32"],
        [
            "const bool v13 = v2 > v1;",
            "const bool v14 = v2 != v2;",
            "const float v15 = v13 ? v2 : v1;",
            "const float v16 = v14 ? v2 : v15;",
        ],
    ),
    (
        ["%r = arith.maximumf %x, %y fastmath<nnan> : f32"],
        ["const bool v13 = v2 > v1;", "const float v14 = v13 ? v2 : v1;"],
    ),
    (
        ["%r = arith.addf %v, %v : vector<7xf32>"],
        ["const float4 v13 = v4 + v4;", "const float2 v14 = v5 + v5;", "const float v15 = v6 + v6;"],
    ),
    (
        ["%r = arith.mulf %h, %h : f16"],
        [
            "const float v13 = float(v9);",
            "const float v14 = float(v9);",
            "const float v15 = v13 * v14;",
            "const half v16 = half(v15);",
        ],
    ),
    (
        ["%r = arith.mulf %bf, %bf : bf16"],
        [
            "const float v13 = as_type<float>(uint(v10) << 16u);",
            "const float v14 = as_type<float>(uint(v10) << 16u);",
            "const float v15 = v13 * v14;",
            "const ushort v16 = rlx_to_bf16(v15);",
        ],
    ),
    (
        ["%r = kernel.cmp ult %v, %v : vector<7xf32>"],
        [
            "const bool4 v13 = bool4(v4 >= v4);",
            "const bool4 v14 = v13 ^ bool4(true);",
            "const bool2 v15 = bool2(v5 >= v5);",
            "const bool2 v16 = v15 ^ bool2(true);",
            "const bool v17 = v6 >= v6;",
            "const bool v18 = !v17;",
        ],
    ),
    (
        ["%r = kernel.cmp slt %n, %n : i32"],
        ["const bool v13 = int(v7) < int(v7);"],
    ),
    (
        ["%m = kernel.cmp olt %v, %v : vector<7xf32>", "%r = kernel.select %m, %v, %v : vector<7xf32>"],
        [
            "const bool4 v13 = bool4(v4 < v4);",
            "const bool2 v14 = bool2(v5 < v5);",
            "const bool v15 = v6 < v6;",
            "const float4 v16 = select(v4, v4, v13);",
            "const float2 v17 = select(v5, v5, v14);",
            "const float v18 = v15 ? v6 : v6;",
        ],
    ),
    (
        ["%r = kernel.cast fptosi %x : f32 to i8"],
        [
            "const bool v13 = v1 >= 128.0f;",
            "const bool v14 = v1 > (-129.0f);",
            "const bool v15 = !v13;",
            "const bool v16 = v14 & v15;",
            "const float v17 = v16 ? v1 : 0.0f;",
            "const uchar v18 = uchar(char(v17));",
            "const bool v19 = v1 <= (-129.0f);",
            "const uchar v20 = v13 ? uchar(127) : v18;",
            "const uchar v21 = v19 ? uchar(128) : v20;",
        ],
    ),
    (
        ["%r = kernel.cast sitofp %n : i32 to f32"],
        ["const float v13 = float(int(v7));"],
    ),
    (
        ["%r = kernel.cast bitcast %x : f32 to i32"],
        ["const uint v13 = as_type<uint>(v1);"],
    ),
    (
        ["%r = kernel.cast truncf %x : f32 to f16"],
        ["const half v13 = half(v1);"],
    ),
    (
        ["%r = kernel.cast trunci %n : i32 to i1"],
        ["const bool v13 = (v7 & 1u) != 0u;"],
    ),
    (
        ["%r = kernel.apply [4 * i + (i floordiv 3) - (j mod 8)](i = %i, j = %j)"],
        [
            "const long v13 = a7 % 3L;",
            "const bool v14 = v13 < 0L;",
            "const long v15 = a7 / 3L - long(v14);",
            "const long v16 = a8 & 7L;",
            "const long v17 = a7 * 4L + v15 - v16;",
        ],
    ),
    (
        ["%r = math.fma %x, %y, %x : f32"],
        ["const float v13 = fma(v1, v2, v1);"],
    ),
    (
        ["%r = math.sqrt %x : f32"],
        ["const float v13 = precise::sqrt(v1);"],
    ),
    (
        ["%r = math.exp %v : vector<7xf32>"],
        ["const float4 v13 = rlx_exp(v4);", "const float2 v14 = rlx_exp(v5);", "const float v15 = rlx_exp(v6);"],
    ),
    (
        ["%r = kernel.load %p[%i] : !kernel.ptr<f32, global, align 16> -> f32"],
        ["const float v13 = a0[a7];"],
    ),
    (
        [
            "%c = arith.constant 8 : index",
            "%at = arith.muli %i, %c : index",
            "%r = kernel.load %p[%at] : !kernel.ptr<f32, global, align 16> -> vector<8xf32>",
        ],
        [
            "const long v13 = a7 * 8L;",
            "device const float* const v14 = a0 + v13;",
            "const float4 v15 = *(device const float4*)v14;",
            "const float4 v16 = *(device const float4*)(v14 + 4);",
        ],
    ),
    (
        ["%r = kernel.load %p[%i] : !kernel.ptr<f32, global, align 16> -> vector<7xf32>"],
        [
            "device const float* const v13 = a0 + a7;",
            "const float4 v14 = float4(*(device const packed_float4*)v13);",
            "const float2 v15 = float2(*(device const packed_float2*)(v13 + 4));",
            "const float v16 = v13[6];",
        ],
    ),
    (
        [
            "%m = kernel.mask %j : vector<3xi1>",
            "%r = kernel.load %p[%i] mask %m else %x : !kernel.ptr<f32, global, align 16> -> vector<3xf32>",
        ],
        [
            "const bool2 v13 = bool2(a8 > 0L, a8 > 1L);",
            "const bool v14 = a8 > 2L;",
            "device const float* const v15 = a0 + a7;",
            "const float2 v16 = float2(v13.x ? v15[0] : v1, v13.y ? v15[1] : v1);",
            "const float v17 = v14 ? v15[2] : v1;",
        ],
    ),
    (
        ["kernel.store %v, %p[%i] : vector<7xf32>, !kernel.ptr<f32, global, align 16>"],
        [
            "device float* const v13 = a0 + a7;",
            "*(device packed_float4*)v13 = packed_float4(v4);",
            "*(device packed_float2*)(v13 + 4) = packed_float2(v5);",
            "v13[6] = v6;",
        ],
    ),
    (
        ["%r = kernel.reduce add %v : vector<7xf32> -> f32"],
        [
            "const float2 v13 = v4.xy;",
            "const float2 v14 = v4.zw;",
            "const float2 v15 = v13 + v14;",
            "const float2 v16 = v15 + v5;",
            "const float v17 = v16.x;",
            "const float v18 = v16.y;",
            "const float v19 = v17 + v18;",
            "const float v20 = v19 + v6;",
        ],
    ),
    (
        ["%r = kernel.broadcast %x : f32 -> vector<7xf32>"],
        ["const float4 v13 = float4(v1);", "const float2 v14 = float2(v1);"],
    ),
    (
        ["%q = kernel.offset %p, %i : !kernel.ptr<f32, global, align 16> -> !kernel.ptr<f32, global>"],
        ["device const float* const v13 = a0 + a7;"],
    ),
    (
        ["%s = metal.shared 64 : !kernel.ptr<f32, shared, align 16>", "metal.barrier"],
        [
            "alignas(16) threadgroup float shared13[64];",
            "threadgroup_barrier(mem_flags::mem_device | mem_flags::mem_threadgroup);",
        ],
    ),
    (
        ["metal.fence device"],
        [
            "atomic_thread_fence(mem_flags::mem_device | mem_flags::mem_threadgroup, memory_order_seq_cst, thread_scope_device);",
        ],
    ),
    (
        ["%t = metal.thread_id x"],
        ["const long v13 = long(tpit_.x);"],
    ),
    (
        ["%d = metal.block_dim x"],
        [],
    ),
    (
        ["%l = metal.lane_id"],
        ["const long v13 = long(tiis_);"],
    ),
    (
        ["%o = arith.constant 1 : i32", "%r = metal.shuffle xor %x, %o : f32"],
        [
            "const uint v13 = tiis_ ^ 1u;",
            "const uint v14 = v13 < 32u ? v13 : tiis_;",
            "const float v15 = simd_shuffle(v1, ushort(v14));",
        ],
    ),
    (
        ["%f = arith.cmpi slt, %i, %j : index", "%r = metal.vote any %f"],
        ["const bool v13 = a7 < a8;", "const bool v14 = simd_any(v13);"],
    ),
    (
        ["%r = metal.atomic add %x, %p[%i] : !kernel.ptr<f32, global, align 16>"],
        ["const float v13 = atomic_fetch_add_explicit((device atomic_float*)(a0 + a7), v1, memory_order_relaxed);"],
    ),
    (
        [
            "%f = arith.cmpi slt, %i, %j : index",
            "kernel.fault 1 item %i(%j) if %f status %st : !kernel.ptr<i64, global>",
        ],
        ["const bool v13 = a7 < a8;", "if (v13) rlx_fault(a6, 1u, a7, a8, 0L, 0L, 0L);"],
    ),
    (
        [
            "%r = scf.for %k = %i to %j step %i iter_args(%a = %x) -> (f32) {",
            "%z = arith.addf %a, %y : f32",
            "scf.yield %z : f32",
            "}",
        ],
        [
            "float v13 = v1;",
            "for (long i14 = a7; i14 < a8; i14 += a7) {",
            "  const float v15 = v13 + v2;",
            "  v13 = v15;",
            "}",
        ],
    ),
    (
        [
            "%f = arith.cmpi slt, %i, %j : index",
            "%r = scf.if %f -> (f32) {",
            "scf.yield %x : f32",
            "} else {",
            "scf.yield %y : f32",
            "}",
        ],
        ["const bool v13 = a7 < a8;", "float v14;", "if (v13) {", "  v14 = v1;", "} else {", "  v14 = v2;", "}"],
    ),
]


def statements(text: str) -> list[str]:
    """The body of the kernel after what the head loads, arrays of the threadgroup first."""
    lines = [line[2:] for line in text[text.index("kernel void") :].splitlines()[1:-1]]
    last = next(n for n, line in enumerate(lines) if line.startswith("const ushort4 v12"))
    return [line for line in lines[:last] if "threadgroup" in line] + lines[last + 1 :]


@pytest.mark.parametrize(("ops", "expected"), CASES, ids=[case[0][-1].partition(" :")[0] for case in CASES])
def test_text_of_ops(ops: list[str], expected: list[str]) -> None:
    assert statements(emit(parse(HEAD + "\n".join([*ops, "kernel.return", "}"])))) == expected


COPY = """
metal.kernel @copy(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global>, %n: index) attributes {arch = "apple9", block = array<i64: 128>} {
  %b = metal.block_id x
  %size = metal.block_dim x
  %t = metal.thread_id x
  %start = arith.muli %b, %size : index
  %i = arith.addi %start, %t : index
  %in = arith.cmpi slt, %i, %n : index
  scf.if %in {
    %v = kernel.load %x[%i] : !kernel.ptr<f32, global> -> f32
    kernel.store %v, %y[%i] : f32, !kernel.ptr<f32, global>
  }
  kernel.return
}
"""
COPY_TEXT = """\
#include <metal_stdlib>
#if __METAL_VERSION__ >= 320
#pragma METAL fp math_mode(safe)
#pragma METAL fp contract(off)
#endif
using namespace metal;

[[max_total_threads_per_threadgroup(128)]]
kernel void copy(device const float* a0 [[buffer(0)]], device float* a1 [[buffer(1)]], constant long& a2 [[buffer(2)]], uint3 tpig_ [[threadgroup_position_in_grid]], uint3 tpit_ [[thread_position_in_threadgroup]]) {
  const long v1 = long(tpig_.x);
  const long v2 = long(tpit_.x);
  const long v3 = v1 * 128L;
  const long v4 = v3 + v2;
  const bool v5 = v4 < a2;
  if (v5) {
    const float v6 = a0[v4];
    a1[v4] = v6;
  }
}
"""


def test_a_whole_kernel() -> None:
    assert emit(parse(COPY)) == COPY_TEXT


def test_the_backend_gives_text_and_device_code() -> None:
    """What runs on the host is left out."""
    metal = backend("metal")
    target = metal.target({})
    module = parse(COPY + "kernel.entry @rlx_main {\n kernel.return\n}\nkernel.plan @rlx_main_plan {\n kernel.return\n}\n")
    assert "msl" in metal.texts  # pyright: ignore[reportAttributeAccessIssue]
    assert metal.text("msl", module, target, {}) == COPY_TEXT  # pyright: ignore[reportAttributeAccessIssue]
    assert metal.device_objects(module, target, {}) == {"device.msl": COPY_TEXT.encode()}  # pyright: ignore[reportAttributeAccessIssue]


def test_carried_values_that_change_places() -> None:
    """Both are read before one is assigned."""
    swap = ["%s0, %s1 = scf.for %k = %i to %j step %i iter_args(%p0 = %x, %p1 = %y) -> (f32, f32) {", "scf.yield %p1, %p0 : f32, f32", "}"]
    assert statements(emit(parse(HEAD + "\n".join([*swap, "kernel.return", "}"])))) == [
        "float v13 = v1;", "float v14 = v2;", "for (long i15 = a7; i15 < a8; i15 += a7) {",
        "  const float v16 = v14;", "  const float v17 = v13;", "  v13 = v16;", "  v14 = v17;", "}",
    ]  # fmt: skip


def test_functions_with_several_results() -> None:
    text = emit(
        parse(
            """
            kernel.func @half.sum(%v: vector<6xf32>) -> (f32, vector<6xf32>) {
              %s = kernel.reduce add %v : vector<6xf32> -> f32
              kernel.return %s, %v : f32, vector<6xf32>
            }
            """
        )
    )
    assert "struct result_float_float4_float2 {\n  float m0;\n  float4 m1;\n  float2 m2;\n};\n" in text
    head = "result_float_float4_float2 f_half_2e_sum(float4 a0, float2 a0_1)"
    assert text.count(head) == 2
    assert f"{head};\n" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1f"), (1.0, "1.0f"), (-2.5, "(-2.5f)"), (1e-45, "1e-45f"), (3.4e38, "3.4e+38f"), (1e300, "as_type<float>(0x7F800000u)"),
        (float("nan"), "as_type<float>(0x7FC00000u)"), (-0.0, "(-0.0f)"), (16777216.0, "1.6777216e+07f"),
    ],
)  # fmt: skip
def test_float_literals_are_exact(value: float, text: str) -> None:
    assert LANGUAGE.float_literal(value) == text
    assert is_literal(text) and is_atom(f"float4({text})")
    if text.strip("()").endswith("f"):
        assert np.float32(text.strip("()")[:-1]) == np.float32(value)


def test_every_finite_f32_reads_back() -> None:
    bits = np.random.default_rng(0).integers(0, 1 << 32, 3000, dtype=np.uint32)
    for value in bits.view(np.float32):
        if np.isfinite(value):
            text = LANGUAGE.float_literal(float(value)).strip("()")
            assert is_literal(LANGUAGE.float_literal(float(value)))
            assert np.float32(text[:-1]).view(np.uint32) == value.view(np.uint32)


def test_expressions_are_no_literals() -> None:
    for text in ("v1 + 1.0f", "1.0f + v1", "float4(v1)", "-v1", "v1.x", "float4(1.0f, 2.0f)", "rlx_exp(v1)"):
        assert not is_literal(text)
    assert not is_atom("v1 + 1.0f") and not is_atom("-v1") and is_atom("v1") and is_atom("float4(1.0f)")


def test_kernels_take_31_arguments() -> None:
    arguments = ", ".join(f"%x{n}: !kernel.ptr<f32, global>" for n in range(32))
    with pytest.raises(LowerError, match="@f has 32 arguments, a kernel takes 31"):
        emit(parse(f'metal.kernel @f({arguments}) attributes {{arch = "apple9", block = array<i64: 1>}} {{\nkernel.return\n}}'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%t = metal.thread_id x", "only a kernel knows this"),
        ("%t = metal.lane_id", "only a kernel knows this"),
        ("%t = metal.block_dim x", "only a kernel knows its block"),
        ("%s = metal.shared 4 : !kernel.ptr<f32, shared>", "shared memory is declared in a kernel"),
    ],
)
def test_functions_of_their_own_know_no_ids(text: str, message: str) -> None:
    with pytest.raises(LowerError, match=message):
        emit(parse(f"kernel.func @f() {{\n{text}\nkernel.return\n}}"))
