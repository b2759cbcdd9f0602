"""Vector instructions of AMDGCN: how one is decoded from the tables of `vector_integer` and `vector_float`.

An entry has the types of the results and of the sources, and a function of the sources' values. Results of dual instructions are
written after the sources of both are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators.gcn.dpp import permutation
from rlx_runtime.emulators.gcn.operands import KINDS, Context, Kind, Source, Write, register
from rlx_runtime.emulators.gcn.waves import EXEC, Waves
from rlx_runtime.emulators.machine import Step

Array = NDArray[Any]


@dataclass(frozen=True)
class Entry:
    """`results` and `sources` are names of types; `compute` gives one value, or a tuple for several results.

    `tied`: the first result is also the last source. `reads_vcc`: VCC is a source that the text does not name. `saturating`: the
    function of values as int64 whose result is clamped, for the modifier `clamp` of integers.
    """

    results: tuple[str, ...]
    sources: tuple[str, ...]
    compute: Callable[..., Any]
    tied: bool = False
    reads_vcc: bool = False
    saturating: Callable[..., Any] | None = None


def entry(results: str, sources: str, compute: Callable[..., Any], **options: Any) -> Entry:
    return Entry(tuple(results.split()), tuple(sources.split()), compute, **options)


Part = tuple[Callable[[Waves], Any], Write]


def decode(c: Context, table: dict[str, Entry]) -> Step | None:
    """The step of a vector instruction (or of two, dual); None if the table has no such."""
    first = c.instruction
    parts: list[Part] = []
    each = first
    while each is not None:
        c.instruction = each
        name = each.name.replace("v_dual_", "v_")
        found = _part(c, name, table)
        if found is None:
            return None
        parts.append(found)
        each = each.also
    c.instruction = first
    if len(parts) == 1:
        compute, write = parts[0]
        return lambda m: write(m, compute(m))

    def dual(m: Waves) -> None:
        values = [np.array(compute(m)) for compute, _ in parts]
        for value, (_, write) in zip(values, parts):
            write(m, value)

    return dual


def _part(c: Context, name: str, table: dict[str, Entry]) -> Part | None:
    if name.startswith(("v_cmp_", "v_cmpx_")):
        return _compare(c, name)
    if name in ("v_mov_b32", "v_accvgpr_read_b32", "v_accvgpr_write_b32", "v_accvgpr_mov_b32") and not c.instruction.form:
        return _move(c, 1)
    if name == "v_mov_b64" and not c.instruction.form:
        return _move(c, 2)
    spec = table.get(name)
    if spec is None:
        return None
    operands = list(c.instruction.operands)
    results, given = operands[: len(spec.results)], operands[len(spec.results) :]
    kinds = list(spec.sources)
    if spec.tied:
        given.append(results[0])
    if spec.reads_vcc:
        given.append("vcc" if c.lanes == 64 else "vcc_lo")
    if len(given) == len(kinds) - 1 and kinds[-1] == "mask":
        given.append("vcc" if c.lanes == 64 else "vcc_lo")  # the short encoding of dual instructions does not name it
    if len(given) != len(kinds):
        raise c.malformed(f"{len(given)} sources, {name} has {len(kinds)}")
    sources: list[Source] = []
    for i, (text, kind) in enumerate(zip(given, kinds)):
        tied = spec.tied and i == len(given) - 1
        sources.append(c.source(text, kind, len(results) + 9 if tied else i))
    writes = [c.target(text, kind) for text, kind in zip(results, spec.results)]
    compute = _with_modifiers(c, spec, KINDS[spec.results[0]])
    if c.instruction.form == "dpp":
        return _by_permutation(c, sources, writes, compute)

    def values(m: Waves) -> Any:
        return compute(*[source(m) for source in sources])

    return values, _all(writes)


def _all(writes: list[Write]) -> Write:
    if len(writes) == 1:
        return writes[0]

    def write(m: Waves, value: Any) -> None:
        for one, part in zip(writes, value):
            one(m, part)

    return write


def _with_modifiers(c: Context, spec: Entry, kind: Kind) -> Callable[..., Any]:
    """Output modifiers: `clamp`, `mul:2`, `mul:4`, `div:2`."""
    modifiers, compute = c.instruction.modifiers, spec.compute
    scale = float(modifiers["mul"]) if "mul" in modifiers else 1 / float(modifiers["div"]) if "div" in modifiers else 1.0
    if scale != 1.0:
        plain = compute
        compute = lambda *sources: plain(*sources) * kind.dtype(scale)  # noqa: E731
    if "clamp" not in modifiers:
        return compute
    if kind.group == "f":
        inner = compute

        def clamped(*sources: Array) -> Array:
            value = inner(*sources)
            return np.where(np.isnan(value), 0, np.clip(value, 0, 1))

        return clamped
    if spec.saturating is None:
        raise c.unknown(f"{c.instruction.name} with clamp")
    info, wide = np.iinfo(kind.dtype), spec.saturating
    return lambda *sources: np.clip(wide(*[np.asarray(x, np.int64) for x in sources]), info.min, info.max)


def _by_permutation(c: Context, sources: list[Source], writes: list[Write], compute: Callable[..., Any]) -> Part:
    """DPP: the first source comes from other lanes; lanes without one keep their result, or read 0 (`bound_ctrl`)."""
    lanes = permutation(c)
    zero = "bound_ctrl" in c.instruction.modifiers

    def values(m: Waves) -> Any:
        first = np.broadcast_to(sources[0](m), m.lane_exists.shape + np.shape(sources[0](m))[2:])
        source, valid, kept = lanes(m)
        moved = np.take_along_axis(first, source.reshape(source.shape + (1,) * (first.ndim - 2)), 1)
        moved = np.where(valid, moved, np.zeros(1, moved.dtype))
        found = compute(moved, *[source(m) for source in sources[1:]])
        return found, kept & (valid | zero)

    write = _all(writes)

    def masked(m: Waves, value: Any) -> None:
        found, enabled = value
        lanes_before, full = m.lanes, m.full_lanes
        m.lanes, m.full_lanes = m.lanes & enabled, False
        write(m, found)
        m.lanes, m.full_lanes = lanes_before, full

    return values, masked


def _move(c: Context, count: int) -> Part | None:
    """A copy of a register keeps what was never written so."""
    to, source = (register(text) for text in c.instruction.operands[:2])
    if to is None or to.file != "v":
        return None
    if source is not None and source.file == "v" and not c.instruction.modifiers and not source.half:
        pairs = [(to.number + i, source.number + i) for i in range(count)]
        if pairs[0][1] < pairs[0][0]:
            pairs.reverse()

        def move(m: Waves, value: Any) -> None:
            for target, origin in pairs:
                m.move_vector(target, origin)

        return lambda m: None, move
    kind = KINDS["u32" if count == 1 else "u64"]
    read, write = c.source(c.instruction.operands[1], kind), c.target(c.instruction.operands[0], kind)
    return read, write


# -- comparisons

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "lg": lambda a, b: (a < b) | (a > b), "o": lambda a, b: ~(np.isnan(a) | np.isnan(b)),
}  # fmt: skip
_NEGATED = {"nge": "ge", "nlg": "lg", "ngt": "gt", "nle": "le", "neq": "eq", "nlt": "lt", "u": "o"}


def comparison(name: str) -> Callable[[Any, Any], Any] | None:
    """The test of that name; of floats, names with `n` are true for NaN."""
    if name in _COMPARE:
        return _COMPARE[name]
    base = _COMPARE.get(_NEGATED.get(name, ""))
    return None if base is None else lambda a, b: ~base(a, b)


def _compare(c: Context, name: str) -> Part | None:
    """v_cmp: a lane mask; v_cmpx: EXEC too."""
    _, what, *rest = name.split("_")
    test_name, kind = "_".join(rest[:-1]), rest[-1]
    exec_too = what == "cmpx"
    operands = list(c.instruction.operands)
    if exec_too and c.generation >= 11:
        operands.insert(0, "exec")
    if kind not in KINDS:
        return None
    if test_name == "class":
        a, b = c.source(operands[1], kind, 0), c.source(operands[2], "u32", 1)
        test: Callable[[Any, Any], Any] | None = lambda x, mask: classify(x, mask, kind)  # noqa: E731
    else:
        test = comparison(test_name)
        a, b = c.source(operands[1], kind, 0), c.source(operands[2], kind, 1)
    if test is None:
        return None
    target = register(operands[0])
    if target is None or target.file != "s":
        raise c.malformed(f"{operands[0]} is no lane mask")
    numbers = {target.number} | ({EXEC} if exec_too else set())

    def write(m: Waves, value: Any) -> None:
        lanes = m.lanes
        old = m.execute
        for number in sorted(numbers):
            m.write_mask(number, (value & lanes) if number == EXEC else value & old & lanes)

    return lambda m: test(a(m), b(m)), write


def classify(x: Array, mask: Array, kind: str) -> Array:
    """v_cmp_class: whether `x` is of one of the classes whose bit is set."""
    tiny = {"f16": 2.0**-14, "f32": 2.0**-126, "f64": 2.0**-1022}[kind]
    negative, size = np.signbit(x), np.abs(x)
    nan = np.isnan(x)
    normal = np.isfinite(x) & (size >= tiny)
    small = (size > 0) & (size < tiny)
    infinite, zero = np.isinf(x), x == 0
    classes = [(nan, 1), (infinite & negative, 2), (normal & negative, 3), (small & negative, 4), (zero & negative, 5),
               (zero & ~negative, 6), (small & ~negative, 7), (normal & ~negative, 8), (infinite & ~negative, 9)]  # fmt: skip
    result = np.zeros(np.broadcast_shapes(np.shape(x), np.shape(mask)), bool)
    for is_in, bit in classes:
        result |= is_in & ((mask >> np.uint32(bit)) & np.uint32(1) != 0)
    return result
