"""Barriers that a team may leave out: kernels of real schedules, run by one thread of the team after the other to the end."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from rlx.pass_manager import PassManager
from rlx_dialects.lir import FormOp, programs
from rlx_dialects.rlx import facts_of
from tests.backends.cpu.harness import ENTRY, CallStruct, Program, aligned
from tests.backends.cpu.schedules.forms import parse, reference

TO_KERNEL = "lir-select-schedules{program=main},lir-pack-parameters,lir-select-schedules{program=prepare},lir-plan-memory,convert-lir-to-kernel"

# Every result is an output, so that none shares memory with another. The weight, packed, is what it was: one panel.
CHAIN = """
lir.program @main {{
  %x = lir.input @x : !lir.buffer<{rows} x 32 x f32>
  %w = lir.param @w : !lir.buffer<32 x 32 x f32>
  %a = lir.output @a : !lir.buffer<{rows} x 32 x f32>
  %b = lir.output @b : !lir.buffer<{rows} x 32 x f32>
  %c = lir.output @c : !lir.buffer<{batch} x {length} x 2 x 16 x f32>
  %d = lir.output @d : !lir.buffer<{rows} x f32>
  %e = lir.output @e : !lir.buffer<{rows} x 32 x f32>
  lir.map (i : {rows}, j : 32) ins(%x[i, j]) outs(%a[i, j]) {{
  ^bb0(%0: f32):
    %1 = arith.negf %0 : f32
    lir.yield %1 : f32
  }} : !lir.buffer<{rows} x 32 x f32>, !lir.buffer<{rows} x 32 x f32>
  lir.contract (m : {rows}, n : 32 | k : 32) ins(%a[m, k], %w[k, n]) outs(%b[m, n]) {{
  ^bb0(%0: f32, %1: f32):
    lir.product (%0, %1) : f32
  }} epilogue {{
  ^bb0(%0: f32):
    lir.yield %0 : f32
  }} : !lir.buffer<{rows} x 32 x f32>, !lir.buffer<32 x 32 x f32>, !lir.buffer<{rows} x 32 x f32>
  %h = lir.view %b : !lir.buffer<{rows} x 32 x f32> to !lir.buffer<{batch} x {length} x 2 x 16 x f32>
  lir.attention (b : {batch}, h : 2, q : {length} | k : {length} | d : 16 | e : 16) ins(%h[b, q, h, d], %h[b, k, h, d], %h[b, k, h, e]) outs(%c[b, q, h, e]) params {{scale = 0.25 : f32}} {{
  ^bb0(%s: f32):
    lir.yield %s : f32
  }} : !lir.buffer<{batch} x {length} x 2 x 16 x f32>, !lir.buffer<{batch} x {length} x 2 x 16 x f32>, !lir.buffer<{batch} x {length} x 2 x 16 x f32>, !lir.buffer<{batch} x {length} x 2 x 16 x f32>
  %r = lir.view %c : !lir.buffer<{batch} x {length} x 2 x 16 x f32> to !lir.buffer<{rows} x 32 x f32>
  lir.reduce (i : {rows} | j : 32) ins(%r[i, j]) outs(%d[i]) {{
  ^bb0(%row: !lir.row<f32>):
    %sum = lir.fold(%row) init [0.000000e+00 : f32] {{
    ^bb0(%0: f32, %1: f32):
      %2 = arith.addf %0, %1 : f32
      lir.yield %2 : f32
    }} combine {{
    ^bb0(%0: f32, %1: f32):
      %2 = arith.addf %0, %1 : f32
      lir.yield %2 : f32
    }} : (!lir.row<f32>) -> f32
    lir.yield %sum : f32
  }} : !lir.buffer<{rows} x 32 x f32>, !lir.buffer<{rows} x f32>
  lir.map (i : {rows}, j : 32) ins(%r[i, j], %d[i]) outs(%e[i, j]) {{
  ^bb0(%0: f32, %1: f32):
    %2 = arith.mulf %0, %1 : f32
    lir.yield %2 : f32
  }} : !lir.buffer<{rows} x 32 x f32>, !lir.buffer<{rows} x f32>, !lir.buffer<{rows} x 32 x f32>
}}
"""


def compiled(text: str) -> tuple[Program, list[str]]:
    """The program and the lines of its entry."""
    module = PassManager(TO_KERNEL).run(parse(text))
    lines = [line.strip() for line in str(module).splitlines()]
    start = lines.index("kernel.entry @rlx_main {")
    return Program(module), lines[start : lines.index("kernel.return", start)]


def in_turn(program: Program, buffers: list[np.ndarray], threads: int) -> None:
    """Each thread runs the whole entry, the last one first: whoever waited for another would wait for ever."""
    pointers = (ctypes.c_void_p * len(buffers))(*(array.ctypes.data for array in buffers))
    arena, lines, status = aligned(1 << 16, np.uint8), aligned(64 * threads, np.uint8), np.zeros(6, np.int64)
    lines[:] = 0
    call = CallStruct(1, ctypes.addressof(pointers), None, arena.ctypes.data, lines.ctypes.data, status.ctypes.data)
    function = ENTRY(program.address("rlx_main"))
    for thread in reversed(range(threads)):
        assert function(ctypes.addressof(call), thread, threads) == 0


@pytest.mark.parametrize(
    ("batch", "length", "teams"), [(4, 16, (1, 2, 4)), (6, 8, (1, 2, 3, 6)), (8, 24, (1, 2, 4, 8)), (9, 8, (1, 3, 9))]
)
def test_threads_need_no_other(batch, length, teams):
    rows = batch * length
    text = CHAIN.format(batch=batch, length=length, rows=rows)
    program, lines = compiled(text)
    barriers = [i for i, line in enumerate(lines) if line.startswith("kernel.barrier")]
    assert barriers, "the team's size is not known"
    assert all(lines[i - 1].startswith("scf.if") for i in barriers)
    rng = np.random.default_rng(rows)
    given = {"x": rng.standard_normal((rows, 32)).astype(np.float32), "w": rng.standard_normal((32, 32)).astype(np.float32)}
    expected = reference(text, given, {})
    shapes = {"a": (rows, 32), "b": (rows, 32), "c": (batch, length, 2, 16), "d": (rows,), "e": (rows, 32)}
    first: dict[str, np.ndarray] = {}
    for threads in teams:
        found = {name: aligned(shape) for name, shape in shapes.items()}
        inputs = [aligned(array.shape) for array in given.values()]
        for copy, array in zip(inputs, given.values(), strict=True):
            copy[...] = array
        in_turn(program, [*inputs, *found.values()], threads)
        for name, array in found.items():
            assert np.abs(array - expected[name]).max() <= 5e-6 * np.abs(expected[name]).max(), (name, threads)
            assert array.tobytes() == first.setdefault(name, array).tobytes(), (name, threads)


def test_parts_that_do_not_match_need_a_barrier():
    """One batch: heads are shared, whose columns other threads wrote."""
    lines = compiled(CHAIN.format(batch=1, length=16, rows=16))[1]
    calls = [i for i, line in enumerate(lines) if line.startswith("kernel.call")]
    before = [lines[i - 1] for i, line in enumerate(lines) if line.startswith("kernel.barrier")]
    around = lines[calls[1] : calls[3]]
    assert sum(line.startswith("kernel.barrier") for line in around) == 2
    assert not any(line.startswith("scf.if") for line in around)
    assert any(line.startswith("scf.if") for line in before), "rows of maps and products still match"


def test_whole_splits_cover_their_parts():
    """What a split says of its operands is true of every point, for all teams that divide the number."""
    from rlx_backends.cpu import BACKEND
    from rlx_backends.support.sharing import equal_parts
    from rlx_backends.support.spaces import Space

    module = PassManager("lir-select-schedules").run(parse(CHAIN.format(batch=6, length=8, rows=48)))
    checked = 0
    for form in (op for program in programs(module) for op in program.block.ops if isinstance(op, FormOp)):
        facts = facts_of(form)
        assert form.schedule is not None
        (schedule,) = form.schedule.data
        split = BACKEND.schedules(form).split(form, schedule, facts)
        assert split is not None
        names, unit = split
        extents = {name: extent.value for name, extent in form.extents.items()}
        grid = np.stack(np.meshgrid(*(np.arange(n) for n in extents.values()), indexing="ij"), -1).reshape(-1, len(extents))
        points = dict(zip(extents, grid.T, strict=True))
        place = np.zeros(len(grid), np.int64)
        for name in names:
            place = place * extents[name] + points[name]
        count = int(np.prod([extents[name] for name in names]))
        space = Space(form, facts)
        for (value, _), offset, parts in zip(space.operands, space.offsets, equal_parts(form, split, facts), strict=True):
            if parts is None:
                continue
            assert offset is not None
            (number,) = parts
            size = int(np.prod([dim.value for dim in value.type.dims]))
            offsets = np.array(
                [offset.evaluate(dict(zip(extents, map(int, row), strict=True))) for row in grid[:: 1 + len(grid) // 3000]]
            )
            shares = place[:: 1 + len(grid) // 3000]
            for threads in (t for t in range(2, 9) if number.value % t == 0):
                units = -(-count // unit)
                bounds = np.minimum(np.array([units * t // threads for t in range(threads + 1)]) * unit, count)
                thread = np.searchsorted(bounds, shares, "right") - 1
                assert (offsets * threads // size == thread).all(), (form.name, str(offset), threads)
                checked += 1
    assert checked > 20
