"""Instructions of the scalar unit: one value for each wave, lane masks, branches."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators import floats
from rlx_runtime.emulators.gcn.operands import KINDS, Context
from rlx_runtime.emulators.gcn.vector import comparison
from rlx_runtime.emulators.gcn.vector_float import FUNCTIONS
from rlx_runtime.emulators.gcn.waves import Waves
from rlx_runtime.emulators.integers import count_bits, high, highest_bit, lowest_bit, reverse_bits
from rlx_runtime.emulators.machine import PARTED, Step

Array = NDArray[Any]
U32, U64 = np.uint32, np.uint64
Result = tuple[Array, Array | None]
"""A value and what SCC becomes; None leaves it."""


def _nonzero(value: Array) -> Result:
    return value, np.asarray(value) != 0


def _keep(value: Array) -> Result:
    return value, None


def _add_unsigned(a: Array, b: Array, carry: Any = 0) -> Result:
    total = np.asarray(a, U64) + np.asarray(b, U64) + np.asarray(carry, U64)
    return total.astype(U32), total >> U64(32) != 0


def _sub_unsigned(a: Array, b: Array, borrow: Any = 0) -> Result:
    total = np.asarray(a, np.int64) - np.asarray(b, np.int64) - np.asarray(borrow, np.int64)
    return total.astype(U32), total < 0


def _signed(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Result]:
    def compute(a: Array, b: Array) -> Result:
        total = function(np.asarray(a, np.int64), np.asarray(b, np.int64))
        return total.astype(np.int32), (total > 2**31 - 1) | (total < -(2**31))

    return compute


def _shift(bits: int, dtype: Any, left: bool) -> Callable[[Array, Array], Result]:
    def compute(a: Array, amount: Array) -> Result:
        by = (np.asarray(amount) & U32(bits - 1)).astype(dtype)
        return _nonzero(np.asarray(a) << by if left else np.asarray(a) >> by)

    return compute


def _field(signed: bool, bits: int) -> Callable[[Array, Array], Result]:
    def compute(a: Array, packed: Array) -> Result:
        start = np.asarray(packed).astype(np.int64) & (bits - 1)
        size = np.minimum((np.asarray(packed).astype(np.int64) >> 16) & 127, 64 - start)
        kind = np.int64 if signed else np.uint64
        wide = np.asarray(a).astype(kind)
        left = 64 - start - size
        found = (wide << np.minimum(left, 63).astype(kind)) >> np.minimum(left + start, 63).astype(kind)
        return _nonzero(np.where(size == 0, kind(0), found))

    return compute


def _extend(bits: int) -> Callable[[Array], Result]:
    dtype = np.dtype(f"i{bits // 8}")
    return lambda a: _keep(np.asarray(a).astype(dtype))


def _not_found(place: Array, value: Array) -> Result:
    return _keep(np.where(place < 0, -1, value))


def _leading(a: Array, bits: int) -> Result:
    place = highest_bit(np.asarray(a))
    return _not_found(place, bits - 1 - place)


def _leading_signed(a: Array) -> Result:
    return _leading(np.where(np.asarray(a) < 0, ~np.asarray(a), a).astype(np.int32).view(U32), 32)


def _add_short(k: Array, a: Array) -> Result:
    """The immediate of `k` instructions has 16 bits."""
    return _signed(np.add)(a, np.asarray(k).astype(np.int16))


Entry = tuple[str, str, Callable[..., Result]]
TABLE: dict[str, Entry] = {
    "s_mov_b32": ("u32", "u32", _keep), "s_mov_b64": ("u64", "u64", _keep), "s_movk_i32": ("i32", "i32", _extend(16)),
    "s_add_u32": ("u32", "u32 u32", _add_unsigned), "s_add_co_u32": ("u32", "u32 u32", _add_unsigned),
    "s_sub_u32": ("u32", "u32 u32", _sub_unsigned), "s_sub_co_u32": ("u32", "u32 u32", _sub_unsigned),
    "s_addc_u32": ("u32", "u32 u32 scc", _add_unsigned), "s_add_co_ci_u32": ("u32", "u32 u32 scc", _add_unsigned),
    "s_subb_u32": ("u32", "u32 u32 scc", _sub_unsigned), "s_sub_co_ci_u32": ("u32", "u32 u32 scc", _sub_unsigned),
    "s_add_i32": ("i32", "i32 i32", _signed(np.add)), "s_add_co_i32": ("i32", "i32 i32", _signed(np.add)),
    "s_sub_i32": ("i32", "i32 i32", _signed(np.subtract)), "s_sub_co_i32": ("i32", "i32 i32", _signed(np.subtract)),
    "s_addk_i32": ("i32", "i32 tied", _add_short),
    "s_addk_co_i32": ("i32", "i32 tied", _add_short),
    "s_mulk_i32": ("i32", "i32 tied", lambda k, a: _keep(np.asarray(a) * np.asarray(k).astype(np.int16))),
    "s_mul_i32": ("i32", "i32 i32", lambda a, b: _keep(np.asarray(a) * b)),
    "s_mul_hi_u32": ("u32", "u32 u32", lambda a, b: _keep(high(a, b, np.uint32))),
    "s_mul_hi_i32": ("i32", "i32 i32", lambda a, b: _keep(high(a, b, np.int32))),
    "s_add_nc_u64": ("u64", "u64 u64", lambda a, b: _keep(a + b)), "s_sub_nc_u64": ("u64", "u64 u64", lambda a, b: _keep(a - b)),
    "s_add_u64": ("u64", "u64 u64", lambda a, b: _keep(a + b)), "s_sub_u64": ("u64", "u64 u64", lambda a, b: _keep(a - b)),
    "s_mul_u64": ("u64", "u64 u64", lambda a, b: _keep(a * b)),
    "s_min_i32": ("i32", "i32 i32", lambda a, b: (np.minimum(a, b), a < b)),
    "s_max_i32": ("i32", "i32 i32", lambda a, b: (np.maximum(a, b), a > b)),
    "s_min_u32": ("u32", "u32 u32", lambda a, b: (np.minimum(a, b), a < b)),
    "s_max_u32": ("u32", "u32 u32", lambda a, b: (np.maximum(a, b), a > b)),
    "s_abs_i32": ("i32", "i32", lambda a: _nonzero(np.abs(a))),
    "s_cselect_b32": ("u32", "u32 u32 scc", lambda a, b, c: _keep(np.where(c, a, b))),
    "s_cselect_b64": ("u64", "u64 u64 scc", lambda a, b, c: _keep(np.where(c, a, b))),
    "s_cmov_b32": ("u32", "u32 tied scc", lambda a, old, c: _keep(np.where(c, a, old))),
    "s_bfe_u32": ("u32", "u32 u32", _field(False, 32)), "s_bfe_i32": ("i32", "i32 u32", _field(True, 32)),
    "s_bfe_u64": ("u64", "u64 u32", _field(False, 64)), "s_bfe_i64": ("i64", "i64 u32", _field(True, 64)),
    "s_bfm_b32": ("u32", "u32 u32", lambda n, s: _keep(((U32(1) << (n & U32(31))) - U32(1)) << (s & U32(31)))),
    "s_sext_i32_i8": ("i32", "i32", _extend(8)), "s_sext_i32_i16": ("i32", "i32", _extend(16)),
    "s_brev_b32": ("u32", "u32", lambda a: _keep(reverse_bits(a))),
    "s_brev_b64": ("u64", "u64", lambda a: _keep(reverse_bits(a))),
    "s_bitset0_b32": ("u32", "u32 tied", lambda n, a: _keep(a & ~(U32(1) << (n & U32(31))))),
    "s_bitset1_b32": ("u32", "u32 tied", lambda n, a: _keep(a | (U32(1) << (n & U32(31))))),
    "s_bcnt0_i32_b32": ("i32", "u32", lambda a: _nonzero(32 - count_bits(np.asarray(a)))),
    "s_bcnt1_i32_b32": ("i32", "u32", lambda a: _nonzero(count_bits(np.asarray(a)))),
    "s_bcnt1_i32_b64": ("i32", "u64", lambda a: _nonzero(count_bits(np.asarray(a)))),
    "s_flbit_i32": ("i32", "i32", _leading_signed), "s_cls_i32": ("i32", "i32", _leading_signed),
    "s_pack_ll_b32_b16": ("u32", "u32 u32", lambda a, b: _keep((a & U32(0xFFFF)) | (b << U32(16)))),
    "s_pack_lh_b32_b16": ("u32", "u32 u32", lambda a, b: _keep((a & U32(0xFFFF)) | (b & U32(0xFFFF0000)))),
    "s_pack_hh_b32_b16": ("u32", "u32 u32", lambda a, b: _keep((a >> U32(16)) | (b & U32(0xFFFF0000)))),
    "s_pack_hl_b32_b16": ("u32", "u32 u32", lambda a, b: _keep((a >> U32(16)) | (b << U32(16)))),
}  # fmt: skip
for _bits, _kind, _type in ((32, "u32", np.uint32), (64, "u64", np.uint64)):
    TABLE[f"s_lshl_b{_bits}"] = (_kind, f"{_kind} u32", _shift(_bits, _type, True))
    TABLE[f"s_lshr_b{_bits}"] = (_kind, f"{_kind} u32", _shift(_bits, _type, False))
    TABLE[f"s_ashr_i{_bits}"] = (f"i{_bits}", f"i{_bits} u32", _shift(_bits, np.int32 if _bits == 32 else np.int64, False))
    TABLE[f"s_not_b{_bits}"] = (_kind, _kind, lambda a: _nonzero(~a))
    for _name in ("s_ff1_i32", "s_ctz_i32"):
        TABLE[f"{_name}_b{_bits}"] = ("i32", _kind, lambda a: _keep(lowest_bit(a)))
    for _name in (f"s_flbit_i32_b{_bits}", f"s_clz_i32_u{_bits}"):
        TABLE[_name] = ("i32", _kind, lambda a, bits=_bits: _leading(a, bits))
for _n in (1, 2, 3, 4):
    TABLE[f"s_lshl{_n}_add_u32"] = ("u32", "u32 u32", lambda a, b, n=_n: _add_unsigned(np.asarray(a) << U32(n), b))
LOGIC: dict[str, Callable[[Array, Array], Array]] = {
    "and": lambda a, b: a & b, "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b, "andn2": lambda a, b: a & ~b,
    "and_not1": lambda a, b: a & ~b, "orn2": lambda a, b: a | ~b, "or_not1": lambda a, b: a | ~b,
    "nand": lambda a, b: ~(a & b), "nor": lambda a, b: ~(a | b), "xnor": lambda a, b: ~(a ^ b),
    "andn1": lambda a, b: ~a & b, "and_not0": lambda a, b: ~a & b, "orn1": lambda a, b: ~a | b, "or_not0": lambda a, b: ~a | b,
}  # fmt: skip
for _name, _function in LOGIC.items():
    for _bits in (32, 64):
        TABLE[f"s_{_name}_b{_bits}"] = (f"u{_bits}", f"u{_bits} u{_bits}", lambda a, b, f=_function: _nonzero(f(a, b)))

# -- floats of the scalar unit (gfx11.5 on)


def _float(function: Callable[..., Array]) -> Callable[..., Result]:
    return lambda *sources: _keep(function(*sources))


for _kind in ("f16", "f32"):
    _two = f"{_kind} {_kind}"
    _fma = floats.fma32 if _kind == "f32" else floats.fma_odd
    TABLE |= {
        f"s_add_{_kind}": (_kind, _two, _float(np.add)), f"s_sub_{_kind}": (_kind, _two, _float(np.subtract)),
        f"s_mul_{_kind}": (_kind, _two, _float(np.multiply)), f"s_fmac_{_kind}": (_kind, f"{_two} tied", _float(_fma)),
        f"s_min_num_{_kind}": (_kind, _two, _float(floats.minimum)), f"s_max_num_{_kind}": (_kind, _two, _float(floats.maximum)),
        f"s_minimum_{_kind}": (_kind, _two, _float(lambda a, b: floats.minimum(a, b, True))),
        f"s_maximum_{_kind}": (_kind, _two, _float(lambda a, b: floats.maximum(a, b, True))),
    }  # fmt: skip
    for _name in ("trunc", "floor", "ceil", "rndne"):
        TABLE[f"s_{_name}_{_kind}"] = (_kind, _kind, _float(FUNCTIONS[_name]))
    for _name in ("rcp", "sqrt", "rsq", "exp", "log"):
        TABLE[f"v_s_{_name}_{_kind}"] = (_kind, _kind, lambda x, f=FUNCTIONS[_name]: _keep(f(np.asarray(x, np.float64))))
TABLE |= {
    "s_fmamk_f32": ("f32", "f32 f32 f32", _float(floats.fma32)), "s_fmaak_f32": ("f32", "f32 f32 f32", _float(floats.fma32)),
    "s_cvt_f32_i32": ("f32", "i32", _float(lambda a: a.astype(np.float32))),
    "s_cvt_f32_u32": ("f32", "u32", _float(lambda a: a.astype(np.float32))),
    "s_cvt_i32_f32": ("i32", "f32", _float(lambda a: floats.to_integer(a, np.int32))),
    "s_cvt_u32_f32": ("u32", "f32", _float(lambda a: floats.to_integer(a, np.uint32))),
    "s_cvt_f16_f32": ("f16", "f32", _float(lambda a: a)), "s_cvt_f32_f16": ("f32", "f16", _float(lambda a: a)),
    "s_cvt_hi_f32_f16": ("f32", "u32", _float(lambda a: (a >> U32(16)).astype(np.uint16).view(np.float16))),
}  # fmt: skip

IGNORED = re.compile(
    r"s_(waitcnt(_\w+)?|wait_\w+|nop|clause|delay_alu|sleep|setprio|inst_prefetch|set_inst_prefetch_distance|code_end|icache_inv|"
    r"dcache_\w+|sethalt|ttracedata\w*|decperflevel|incperflevel|prefetch_\w+|barrier_signal\w*|wakeup|endpgm_saved)$"
)
"""Waits, hints and caches: memory is in order here. (Arriving at a barrier of gfx12 is part of the wait that follows.)"""


def decode(c: Context) -> Step | None:
    """The step of a scalar instruction; None if there is none of that name."""
    name, operands = c.instruction.name, c.instruction.operands
    if IGNORED.match(name):
        return lambda m: None
    if name in ("s_barrier", "s_barrier_wait"):
        return lambda m: m.wait()
    if name == "s_endpgm":
        return _end
    if name in ("s_branch", "s_getpc_b64", "s_setpc_b64", "s_swappc_b64", "s_call_b64") or name.startswith("s_cbranch_"):
        return _jump(c)
    if name in ("s_setreg_imm32_b32", "s_setreg_b32", "s_round_mode", "s_denorm_mode", "s_getreg_b32", "s_version"):
        return _mode(c)
    if name.startswith(("s_cmp_", "s_cmpk_", "s_bitcmp")):
        return _compare(c)
    save = re.fullmatch(r"s_(\w+)_saveexec_b(32|64)", name)
    if save is not None and save[1] in LOGIC:
        return _save_exec(c, LOGIC[save[1]])
    if name in ("s_mov_b32", "s_mov_b64"):
        plain = re.fullmatch(r"s(\d+)|s\[(\d+):\d+\]", operands[1])
        to = re.fullmatch(r"s(\d+)|s\[(\d+):\d+\]", operands[0])
        if plain and to:
            pairs = [(int(to[1] or to[2]) + i, int(plain[1] or plain[2]) + i) for i in range(1 if name.endswith("32") else 2)]
            return _moves(pairs)
    found = TABLE.get(name)
    if found is None:
        return None
    result, kinds, compute = found
    given = list(operands[1:])
    sources = []
    for i, kind in enumerate(kinds.split()):
        if kind == "scc":
            sources.append(lambda m: m.scc)
        elif kind == "tied":
            sources.append(c.source(operands[0], result, i, scalar=True))
        else:
            sources.append(c.source(given.pop(0), kind, i, scalar=True))
    write = c.scalar_target(operands[0], result)

    def step(m: Waves) -> None:
        value, scc = compute(*[source(m) for source in sources])
        if scc is not None:
            _set_scc(m, scc)
        write(m, value)

    return step


def _moves(pairs: list[tuple[int, int]]) -> Step:
    def step(m: Waves) -> None:
        for to, source in pairs if pairs[0][0] <= pairs[0][1] else reversed(pairs):
            m.move_scalar(to, source)

    return step


def _set_scc(m: Waves, value: Any) -> None:
    value = np.broadcast_to(value, (m.count,))
    m.scc = value.copy() if m.full else np.where(m.active, value, m.scc)


def _end(m: Waves) -> int:
    m.stop(m.index)
    return PARTED


def _jump(c: Context) -> Step:
    name, operands = c.instruction.name, c.instruction.operands
    if name == "s_getpc_b64":
        write = c.scalar_target(operands[0], "u64")
        return lambda m: write(m, np.uint64(0))  # symbols are added to it as addresses
    if name in ("s_setpc_b64", "s_swappc_b64"):
        place = c.source(operands[-1], "u64", 0, scalar=True)
        back = c.scalar_target(operands[0], "u64") if name == "s_swappc_b64" else None

        def far(m: Waves) -> int:
            target = np.broadcast_to(place(m), (m.count,)).astype(np.int64)
            if back is not None:
                back(m, np.uint64(m.here + 1))
            m.pc[m.index] = target[m.index]
            return PARTED

        return far
    target = c.labels.get(operands[0])
    if target is None:
        raise c.malformed(f"no label {operands[0]}")
    tests: dict[str, Callable[[Waves], Any]] = {
        "scc0": lambda m: ~m.scc, "scc1": lambda m: m.scc,
        "execz": lambda m: ~m.execute.any(axis=1), "execnz": lambda m: m.execute.any(axis=1),
        "vccz": lambda m: ~_vcc(m), "vccnz": _vcc,
    }  # fmt: skip
    if name == "s_branch":
        return lambda m: target
    test = tests.get(name.removeprefix("s_cbranch_"))
    if test is None:
        raise c.unknown()
    return lambda m: m.branch(test(m), target)


def _vcc(m: Waves) -> Any:
    return m.mask(106).any(axis=1)


def _mode(c: Context) -> Step:
    """The mode register: rounding to nearest and denormals are what is emulated, so only settings of them are accepted."""
    name, operands = c.instruction.name, c.instruction.operands
    if name == "s_denorm_mode" or name == "s_version":
        return lambda m: None
    if name == "s_round_mode" and c.integer(operands[0]) == 0:
        return lambda m: None
    if name == "s_setreg_imm32_b32":
        field = re.fullmatch(r"hwreg\(HW_REG_(?:WAVE_)?MODE,\s*(\d+),\s*(\d+)\)", operands[0])
        if field is not None and int(field[1]) >= 4:
            return lambda m: None  # denormals: always kept here
    raise c.unknown()


def _compare(c: Context) -> Step:
    name, operands = c.instruction.name, c.instruction.operands
    bit = re.fullmatch(r"s_bitcmp([01])_b(32|64)", name)
    if bit is not None:
        kind = f"u{bit[2]}"
        a, b = c.source(operands[0], kind, 0, scalar=True), c.source(operands[1], "u32", 1, scalar=True)
        dtype, size = KINDS[kind].dtype, int(bit[2])

        def test_bit(m: Waves) -> None:
            found = (a(m) >> (np.asarray(b(m)) & U32(size - 1)).astype(dtype)) & dtype(1)
            _set_scc(m, found == int(bit[1]))

        return test_bit
    match = re.fullmatch(r"s_cmpk?_(\w+)_(\w+)", name)
    if match is None or match[2] not in KINDS:
        raise c.unknown()
    kind = match[2]
    which = "ne" if match[1] == "lg" and kind[0] != "f" else match[1]
    test = comparison(which)
    if test is None:
        raise c.unknown()
    a, b = (c.source(text, kind, i, scalar=True) for i, text in enumerate(operands[:2]))
    short = np.dtype(np.int16 if kind[0] == "i" else np.uint16) if name.startswith("s_cmpk") else None

    def step(m: Waves) -> None:
        right = b(m)
        _set_scc(m, test(a(m), right if short is None else np.asarray(right).astype(short)))

    return step


def _save_exec(c: Context, function: Callable[[Array, Array], Array]) -> Step:
    """D = EXEC; EXEC = S op EXEC; SCC = EXEC is not 0."""
    operands = c.instruction.operands
    kind = "u64" if c.instruction.name.endswith("64") else "u32"
    read, write = c.source(operands[1], kind, 0, scalar=True), c.scalar_target(operands[0], kind)
    own, change = c.source("exec" if kind == "u64" else "exec_lo", kind, 0, scalar=True), c.scalar_target(
        "exec" if kind == "u64" else "exec_lo", kind)  # fmt: skip

    def step(m: Waves) -> None:
        source, old = read(m), own(m)
        write(m, old)
        fresh = function(source, old)
        change(m, fresh)
        _set_scc(m, np.asarray(fresh) != 0)

    return step

