"""One LLVM operation after the other, as the code that LLVM makes for each device and for this machine: same bits.

The reference is native code, so that neither LLVM's expansions nor the interpreters' tables are their own judges.
"""

from __future__ import annotations

import ctypes
from functools import cache

import llvmlite.binding as llvm
import ml_dtypes
import numpy as np
import pytest

from tests.emulators.kernels import GCN_ATTRIBUTES
from tests.emulators.support import GCN, gcn, ptx, run_gcn, run_ptx

RNG = np.random.default_rng(23)
N = 512
LLVM = {"i8": "i8", "i16": "i16", "i32": "i32", "i64": "i64", "f16": "half", "f32": "float", "f64": "double", "bf16": "bfloat"}
NUMPY = {"i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "f16": np.float16, "f32": np.float32, "f64": np.float64,
         "bf16": ml_dtypes.bfloat16}  # fmt: skip
DEVICES = ["sm_90a", *GCN]
Operation = tuple[str, str, str]
"""Name, type of the result, text: `%x`, `%y` are elements, `%s` a scalar argument, `%r` the result."""


def call(name: str, kind: str, count: int, result: str = "", more: str = "") -> str:
    args = ", ".join(f"{LLVM[kind]} %{'xys'[i]}" for i in range(count)) + more
    types = ", ".join([LLVM[kind]] * count) + (", i1" if more else "")
    suffix = f".{result}" if result else ""
    to = LLVM[result or kind]
    return f"%r = call {to} @llvm.{name}{suffix}.{kind}({args})\nDECLARE {to} @llvm.{name}{suffix}.{kind}({types})"


def integer_operations(kind: str) -> list[Operation]:
    t, bits = LLVM[kind], int(kind[1:])
    found = [(op, kind, f"%r = {op} {t} %x, %y") for op in ("add", "sub", "mul", "and", "or", "xor")]
    found += [(f"{op} scalar", kind, f"%r = {op} {t} %x, %s") for op in ("add", "sub", "mul", "and")]
    found += [(op, kind, f"%q = and {t} %y, {bits - 1}\n%r = {op} {t} %x, %q") for op in ("shl", "lshr", "ashr")]
    # Never by zero, and never the one quotient that overflows.
    found += [(op, kind, f"%q = or {t} %y, 1\n%p = lshr {t} %x, 1\n%r = {op} {t} %p, %q") for op in ("sdiv", "srem")]
    found += [(op, kind, f"%q = or {t} %y, 1\n%r = {op} {t} %x, %q") for op in ("udiv", "urem")]
    found += [(f"{op} constant", kind, f"%r = {op} {t} %x, 7") for op in ("sdiv", "udiv", "srem", "urem")]
    found += [(name, kind, call(name, kind, 2)) for name in ("smin", "smax", "umin", "umax", "uadd.sat", "sadd.sat", "usub.sat", "ssub.sat")]
    found += [(name, kind, call(name, kind, 1)) for name in ("ctpop", "bitreverse")]
    found += [(name, kind, call(name, kind, 1, more=", i1 0")) for name in ("ctlz", "cttz", "abs")]
    found += [(name, kind, call(name, kind, 3)) for name in ("fshl", "fshr")]
    for test in ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge"):
        found.append((f"icmp {test}", kind, f"%c = icmp {test} {t} %x, %y\n%r = select i1 %c, {t} %x, {t} %s"))
    for other in ("i8", "i16", "i32", "i64"):
        width = int(other[1:])
        if width > bits:
            found += [(f"{op} {other}", other, f"%r = {op} {t} %x to {other}") for op in ("zext", "sext")]
        if width < bits:
            found.append((f"trunc {other}", other, f"%r = trunc {t} %x to {other}"))
    for other in ("f32", "f64"):
        found += [(f"{op} {other}", other, f"%r = {op} {t} %x to {LLVM[other]}") for op in ("sitofp", "uitofp")]
    return found


def float_operations(kind: str) -> list[Operation]:
    t = LLVM[kind]
    found = [(op, kind, f"%r = {op} {t} %x, %y") for op in ("fadd", "fsub", "fmul", "fdiv")]
    found += [(f"{op} scalar", kind, f"%r = {op} {t} %x, %s") for op in ("fadd", "fmul", "fsub")]
    found += [("fneg", kind, f"%r = fneg {t} %x")]
    if kind != "f16":  # native code goes through f32 and rounds twice
        found.append(("fma", kind, call("fma", kind, 3)))
    found += [(name, kind, call(name, kind, 2)) for name in ("minnum", "maxnum", "minimum", "maximum", "copysign")]
    found += [(name, kind, call(name, kind, 1)) for name in ("sqrt", "floor", "ceil", "trunc", "rint", "fabs", "roundeven", "round")]
    for test in ("oeq", "one", "olt", "ole", "ogt", "oge", "ord", "uno", "ueq", "une", "ult", "ule", "ugt", "uge"):
        found.append((f"fcmp {test}", kind, f"%c = fcmp {test} {t} %x, %y\n%r = select i1 %c, {t} %x, {t} %s"))
    bits = int(kind[1:])
    for other in ("f16", "f32", "f64"):
        width = int(other[1:])
        if width != bits and (kind, other) != ("f64", "f16"):  # a library call of native code
            op = "fpext" if width > bits else "fptrunc"
            found.append((f"{op} {other}", other, f"%r = {op} {t} %x to {LLVM[other]}"))
    for other in ("i8", "i16", "i32", "i64"):
        found += [(f"{name} {other}", other, call(name, kind, 1, other)) for name in ("fptosi.sat", "fptoui.sat")]
    return found


def vector_operations(kind: str, count: int) -> list[Operation]:
    t = f"<{count} x {LLVM[kind]}>"
    v = f"v{count}{kind}"
    names = ("fadd", "fmul", "fsub") if kind[0] == "f" else ("add", "mul", "and", "sub")
    found = [(op, kind, f"%r = {op} {t} %x, %y") for op in names]
    pairs = ("maxnum", "minimum") if kind[0] == "f" else ("smax", "umin")
    found += [(name, kind, f"%r = call {t} @llvm.{name}.{v}({t} %x, {t} %y)\nDECLARE {t} @llvm.{name}.{v}({t}, {t})") for name in pairs]
    if kind in ("f32", "f64"):
        found.append(("fma", kind, f"%r = call {t} @llvm.fma.{v}({t} %x, {t} %y, {t} %y)\nDECLARE {t} @llvm.fma.{v}({t}, {t}, {t})"))
    if kind[0] == "i":
        amounts = ", ".join(f"{kind} {(3 * i + 1) % int(kind[1:])}" for i in range(count))
        found += [(op, kind, f"%r = {op} {t} %x, <{amounts}>") for op in ("shl", "lshr", "ashr")]
    order = ", ".join(f"i32 {(3 * i + 1) % (2 * count)}" for i in range(count))
    sign = f"%r = fneg {t} %q" if kind[0] == "f" else f"%r = sub {t} zeroinitializer, %q"
    found.append(("shuffle", kind, f"%q = shufflevector {t} %x, {t} %y, <{count} x i32> <{order}>\n{sign}"))
    return found


def body(operations: list[Operation], kind: str, space: str, lanes: int = 1) -> tuple[str, str]:
    """Code for the element `%i`, results one after another in `%O`; and its declarations."""
    def type_of(name: str) -> str:
        return LLVM[name] if lanes == 1 else f"<{lanes} x {LLVM[name]}>"

    pointer, lines, declared = f"ptr{space}", [], set()
    for name, base in (("x", "%A"), ("y", "%B")):
        lines.append(f"%{name}b = mul i64 %i, {lanes * np.dtype(NUMPY[kind]).itemsize}")
        lines.append(f"%{name}p = getelementptr i8, {pointer} {base}, i64 %{name}b")
        lines.append(f"%{name} = load {type_of(kind)}, {pointer} %{name}p, align {np.dtype(NUMPY[kind]).itemsize}")
    for number, (_name, result, text) in enumerate(operations):
        for line in text.splitlines():
            if line.startswith("DECLARE"):
                declared.add("declare" + line.removeprefix("DECLARE"))
                continue
            for local in "rqpc":
                line = line.replace(f"%{local}", f"%{local}{number}")
            lines.append(line)
        place = f"%o{number}"
        lines.append(f"{place}i = add i64 %i, {number * N}")
        lines.append(f"{place}b = mul i64 {place}i, {8 * lanes}")
        lines.append(f"{place} = getelementptr i8, {pointer} %O, i64 {place}b")
        lines.append(f"store {type_of(result)} %r{number}, {pointer} {place}, align {np.dtype(NUMPY[result]).itemsize}")
    return "\n".join(lines), "\n".join(sorted(declared))


def native(operations: list[Operation], kind: str, a: np.ndarray, b: np.ndarray, s: np.ndarray, lanes: int = 1) -> np.ndarray:
    """The results of this machine: N cells of 8 bytes (for each lane) an operation."""
    code, declared = body(operations, kind, "", lanes)
    ir = f"""{declared}
define void @f(ptr %A, ptr %B, ptr %O, ptr %S) {{
entry:
  %s = load {LLVM[kind]}, ptr %S, align 1
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%n, %loop]
{code}
  %n = add i64 %i, 1
  %c = icmp ult i64 %n, {N}
  br i1 %c, label %loop, label %out
out:
  ret void
}}"""
    engine = engine_of(ir)
    out = np.zeros(len(operations) * N * lanes, np.uint64)
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(engine.get_function_address("f"))
    function(a.ctypes.data, b.ctypes.data, out.ctypes.data, s.ctypes.data)
    return out


@cache
def engine_of(ir: str) -> llvm.ExecutionEngine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(ir)
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=1
    )
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


def emulated(device: str, operations: list[Operation], kind: str, a: np.ndarray, b: np.ndarray, s: np.ndarray, lanes: int = 1) -> np.ndarray:
    code, declared = body(operations, kind, " addrspace(1)", lanes)
    amd = device.startswith("gfx")
    tid, bid = ("llvm.amdgcn.workitem.id.x", "llvm.amdgcn.workgroup.id.x") if amd else ("llvm.nvvm.read.ptx.sreg.tid.x", "llvm.nvvm.read.ptx.sreg.ctaid.x")
    pointers = ", ".join(f"ptr addrspace(1) noalias %{name}" for name in "ABO")
    ir = f"""{declared}
define {"amdgpu_kernel" if amd else "ptx_kernel"} void @k({pointers}, {LLVM[kind]} %s) {GCN_ATTRIBUTES if amd else ""} {{
  %t = call i32 @{tid}()
  %b = call i32 @{bid}()
  %bt = mul i32 %b, 128
  %i32 = add i32 %bt, %t
  %i = zext i32 %i32 to i64
{code}
  ret void
}}"""
    out = np.zeros(len(operations) * N * lanes, np.uint64)
    if amd:
        return run_gcn(gcn(ir, device), (N // 128,), (128,), [a, b, out, _scalar(s)])[2]
    return run_ptx(ptx(ir, device), (N // 128,), (128,), [a, b, out, _scalar(s)])[2]


def _scalar(s: np.ndarray) -> int:
    return int.from_bytes(s.tobytes(), "little")


def values(kind: str, lanes: int = 1) -> np.ndarray:
    count = N * lanes
    if kind[0] == "i":
        info = np.iinfo(NUMPY[kind])
        data = RNG.integers(info.min, info.max, count, dtype=NUMPY[kind], endpoint=True)
        data[: count // 4] = RNG.integers(-9, 9, count // 4)
        data[:6] = [info.min, info.max, 0, 1, -1, info.min + 1]
        return RNG.permutation(data)
    with np.errstate(over="ignore"):
        data = (RNG.standard_normal(count) * 10.0 ** RNG.integers(-6, 7, count)).astype(NUMPY[kind])
        tiny = {"f16": 1e-7, "f32": 1e-42, "f64": 1e-310, "bf16": 1e-40}[kind]
        data[:12] = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, 2.5, -1.5, tiny, -tiny]).astype(NUMPY[kind])
        data[12:20] = np.array([3e38, 6e4, 127.5, 255.5, -128.6, 32767.6, 2.0**31, 2.0**63]).astype(NUMPY[kind])
    return RNG.permutation(data)


def check(device: str, operations: list[Operation], kind: str, lanes: int = 1) -> None:
    a, b, s = values(kind, lanes), values(kind, lanes), values(kind)[:1]
    if kind[0] == "f":
        s = np.array([1.25], NUMPY[kind])
    found = emulated(device, operations, kind, a, b, s, lanes)
    expected = native(operations, kind, a, b, s, lanes)
    for number, (name, result, _text) in enumerate(operations):
        cells = slice(number * N * lanes, (number + 1) * N * lanes)
        views = []
        for data in (found, expected):
            raw = data[cells].view(np.uint8).reshape(N, 8 * lanes)[:, : lanes * np.dtype(NUMPY[result]).itemsize]
            views.append(np.ascontiguousarray(raw).view(NUMPY[result]))
        got, want = views
        if name.split()[0] in ("minnum", "maxnum"):
            # The sign of a zero is not defined.
            got, want = got + NUMPY[result](0), want + NUMPY[result](0)
        where = np.flatnonzero(~((got == want) | ((got != got) & (want != want))).reshape(N, lanes).all(axis=1))
        message = f"{device} {kind} {name}: {len(where)} differ"
        assert not where.size, f"{message}; {a.reshape(N, lanes)[where[0]]}, {b.reshape(N, lanes)[where[0]]}: {got[where[0]]}, not {want[where[0]]}"


@pytest.mark.parametrize("kind", ["i8", "i16", "i32", "i64"])
@pytest.mark.parametrize("device", DEVICES)
def test_integer_operations(device: str, kind: str) -> None:
    check(device, integer_operations(kind), kind)


@pytest.mark.parametrize("kind", ["f16", "f32", "f64"])
@pytest.mark.parametrize("device", DEVICES)
def test_float_operations(device: str, kind: str) -> None:
    check(device, float_operations(kind), kind)


@pytest.mark.parametrize(("kind", "lanes"), [("i8", 4), ("i16", 2), ("i16", 4), ("i32", 2), ("i32", 4), ("i64", 2), ("f16", 2), ("f16", 4), ("f32", 2),
                                             ("f32", 3), ("f32", 4), ("f64", 2)])  # fmt: skip
@pytest.mark.parametrize("device", DEVICES)
def test_vector_operations(device: str, kind: str, lanes: int) -> None:
    check(device, vector_operations(kind, lanes), kind, lanes)


@pytest.mark.parametrize("device", DEVICES)
def test_bf16_operations(device: str) -> None:
    operations = [(op, "bf16", f"%r = {op} bfloat %x, %y") for op in ("fadd", "fsub", "fmul")]
    operations += [("fpext", "f32", "%r = fpext bfloat %x to float"), ("maxnum", "bf16", call("maxnum", "bf16", 2)),
                   ("round", "bf16", "%q = fpext bfloat %x to float\n%p = fmul float %q, 0x3FF3333340000000\n%r = fptrunc float %p to bfloat")]  # fmt: skip
    a, b, s = values("bf16"), values("bf16"), np.array([1.25], ml_dtypes.bfloat16)
    found = emulated(device, operations, "bf16", a, b, s)
    with np.errstate(all="ignore"):
        wide = a.astype(np.float32)
        expected = [a + b, a - b, a * b, wide, np.fmax(wide, b.astype(np.float32)).astype(a.dtype), (wide * np.float32(1.2)).astype(a.dtype)]
    for number, ((name, result, _), want) in enumerate(zip(operations, expected)):
        raw = found[number * N : (number + 1) * N].view(np.uint8).reshape(N, 8)[:, : np.dtype(NUMPY[result]).itemsize]
        got = np.ascontiguousarray(raw).view(NUMPY[result])[:, 0].astype(np.float32)
        np.testing.assert_array_equal(got, want.astype(np.float32), err_msg=f"{device} {name}")
