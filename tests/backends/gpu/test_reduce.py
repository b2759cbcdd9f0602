"""Reduces on the GPU dialects against float64: both kinds of teams, rows in registers and not, tuples, bounds, in place."""

from __future__ import annotations

import numpy as np
import pytest

from rlx_backends.gpu.target import gpu_target
from rlx_runtime.errors import LowerError
from tests.backends.gpu.forms import program, random
from tests.backends.gpu.harness import TARGETS, compile_program, run_everywhere, run_form
from tests.backends.gpu.row_forms import WELFORD, argmax, each, fold, layer_norm, softmax

SIZES = [0, 1, 3, 17, 33, 1000]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("order", ["i, j", "j, i"])
def test_sum_and_max_of_symbolic_rows(target: str, order: str) -> None:
    shape = "B x N" if order == "i, j" else "N x B"
    text = program(
        {"B": "[0, 64]", "N": "[0, 1024]"},
        f"""
  %x = lir.input @x : !lir.buffer<{shape} x f32>
  %s = lir.output @s : !lir.buffer<B x f32>
  %m = lir.output @m : !lir.buffer<B x f32>
  lir.reduce (i : B | j : N) ins(%x[{order}]) outs(%s[i], %m[i]) {{
  ^bb0(%r: !lir.row<f32>):
    %a = {fold("addf", "%r")}
    %b = {fold("maximumf", "%r", "-3.0e38")}
    lir.yield %a, %b : f32, f32
  }} : !lir.buffer<{shape} x f32>, !lir.buffer<B x f32>, !lir.buffer<B x f32>""",
    )
    for size in SIZES:
        for rows in (0, 1, 5, 35):
            x = random((rows, size) if order == "i, j" else (size, rows))
            run_form(text, {"x": x}, {"B": rows, "N": size}, target=target)


@pytest.mark.parametrize("size", [1, 3, 17, 33, 384, 1000])
@pytest.mark.parametrize("leaf", ["input", "state"])
def test_layer_norm_of_static_rows(size: int, leaf: str) -> None:
    text = program({"B": "[1, 64]"}, layer_norm(f"B x {size}", str(size), f"{size}.0", leaf))
    run_everywhere(text, {"x": random((5, size)), "g": random((size,), seed=1)}, {"B": 5}, rtol=1e-5 if size > 1 else 1)


def test_a_row_in_registers_is_read_once() -> None:
    text = program({"B": "[1, 64]"}, layer_norm("B x 384", "384", "384.0"))
    for target in TARGETS:
        ir = str(compile_program(text, target).module)
        assert ir.count("kernel.load") == 2 * ir.count("kernel.store") > 0, "a row, the gain, a result"


@pytest.mark.parametrize("order", ["i, j", "j, i"])
def test_softmax(order: str) -> None:
    shape = "B x N" if order == "i, j" else "N x B"
    text = program({"B": "[1, 64]", "N": "[1, 1024]"}, softmax(shape, order, "i : B | j : N"))
    for size in (1, 3, 17, 33, 200, 1000):
        x = random((5, size) if order == "i, j" else (size, 5))
        run_everywhere(text, {"x": x}, {"B": 5, "N": size}, rtol=5e-6)


TEAMS = [
    *(f'"rows" {{dim = "j", team = {team} : i64, rows = {rows} : i64, lanes = {lanes} : i64, steps = {steps} : i64}}'
      for team, rows, lanes, steps in [
          (1, 64, 1, 0), (2, 64, 1, 0), (8, 16, 4, 0), (64, 1, 1, 0), (128, 1, 4, 0), (512, 1, 1, 0), (1, 128, 4, 17),
          (4, 32, 4, 5), (16, 8, 2, 3), (64, 1, 4, 1), (128, 1, 1, 1), (256, 1, 4, 1), (8, 16, 1, 9)]),
    *(f'"columns" {{dim = "{dim}", team = {team} : i64, columns = {columns} : i64, lanes = {lanes} : i64, steps = {steps} : i64}}'
      for dim, team, columns, lanes, steps in [
          ("i", 1, 128, 1, 0), ("i", 1, 32, 4, 0), ("i", 4, 32, 1, 0), ("i", 128, 8, 1, 0), ("i", 2, 32, 2, 0), ("", 1, 64, 1, 0),
          ("i", 8, 8, 1, 9), ("i", 16, 16, 4, 5), ("i", 64, 4, 1, 2)]),
]  # fmt: skip


@pytest.mark.parametrize("schedule", TEAMS)
@pytest.mark.parametrize("order", ["i, j", "j, i"])
def test_every_team(schedule: str, order: str) -> None:
    """Teams of every size, forced: a softmax, and the mean and variance by a fold of tuples."""
    n, rows = 68, 12
    shape = f"{rows} x {n}" if order == "i, j" else f"{n} x {rows}"
    x = random((rows, n) if order == "i, j" else (n, rows))
    force = f"#lir.schedule<{schedule}>"
    moments = WELFORD.format(shape=shape, order=order, n=n).replace("B x", f"{rows} x").replace("i : B", f"i : {rows}")
    for target in ("cuda", "rocm"):  # subgroups of 32 and of 64
        run_form(program({}, softmax(shape, order, f"i : {rows} | j : {n}")), {"x": x}, target=target, schedule=force, rtol=5e-6)
        run_form(program({}, moments), {"x": x}, target=target, schedule=force, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 5, 17, 33])
def test_rows_that_do_not_fill_a_subgroup(rows: int) -> None:
    """Lanes of missing rows take part in combining and write nothing."""
    text = program({"B": "[1, 64]"}, argmax("B x 7", "i, j", "i : B | j : 7", "B"))
    x = np.round(random((rows, 7)) * 4).astype(np.float32)  # with equal values: the first one wins
    for schedule in ('{dim = "j", team = 8 : i64, rows = 16 : i64, lanes = 1 : i64, steps = 1 : i64}',
                     '{dim = "j", team = 2 : i64, rows = 64 : i64, lanes = 1 : i64, steps = 0 : i64}'):  # fmt: skip
        run_everywhere(text, {"x": x}, {"B": rows}, schedule=f'#lir.schedule<"rows" {schedule}>')


@pytest.mark.parametrize("order", ["i, j", "j, i"])
def test_argmax_folds_a_tuple(order: str) -> None:
    shape = "B x N" if order == "i, j" else "N x B"
    text = program({"B": "[1, 64]", "N": "[1, 1024]"}, argmax(shape, order, "i : B | j : N", "B"))
    for size in (1, 3, 33, 1000):
        x = np.round(random((6, size) if order == "i, j" else (size, 6)) * 4).astype(np.float32)
        run_everywhere(text, {"x": x}, {"B": 6, "N": size})


@pytest.mark.parametrize(("a", "c"), [(1, 1), (3, 8), (5, 17)])
@pytest.mark.parametrize("axes", ["i, j, k", "j, i, k", "k, i, j", "k, j, i"])
def test_two_axes(a: int, c: int, axes: str) -> None:
    sizes = {"i": a, "j": 6, "k": c}
    order = axes.split(", ")
    symbols = {"i": "A", "j": "6", "k": "C"}
    for given, dims in ((symbols, {"A": a, "C": c}), ({n: str(size) for n, size in sizes.items()}, {})):
        shape = " x ".join(given[n] for n in order)
        text = program(
            dict.fromkeys(dims, "[1, 64]"),
            f"""
  %x = lir.input @x : !lir.buffer<{shape} x f32>
  %y = lir.output @y : !lir.buffer<{given["i"]} x f32>
  lir.reduce (i : {given["i"]} | j : 6, k : {given["k"]}) ins(%x[{axes}]) outs(%y[i]) {{
  ^bb0(%r: !lir.row<f32>):
    %a = {fold("addf", "%r")}
    lir.yield %a : f32
  }} : !lir.buffer<{shape} x f32>, !lir.buffer<{given["i"]} x f32>""",
        )
        run_everywhere(text, {"x": random(tuple(sizes[n] for n in order))}, dims)


def test_everything_to_one_number_and_bounds() -> None:
    text = program(
        {"N": "[1, 512]"},
        f"""
  %x = lir.input @x : !lir.buffer<N x N x f32>
  %y = lir.output @y : !lir.buffer<f32>
  %z = lir.output @z : !lir.buffer<N x f32>
  %w = lir.output @w : !lir.buffer<f32>
  lir.reduce ( | i : N, j : N) ins(%x[i, j]) outs(%y[]) {{
  ^bb0(%r: !lir.row<f32>):
    %a = {fold("addf", "%r")}
    lir.yield %a : f32
  }} : !lir.buffer<N x N x f32>, !lir.buffer<f32>
  lir.reduce (i : N | j : N in [0, i + 1)) ins(%x[i, j]) outs(%z[i]) {{
  ^bb0(%r: !lir.row<f32>):
    %a = {fold("addf", "%r")}
    lir.yield %a : f32
  }} : !lir.buffer<N x N x f32>, !lir.buffer<N x f32>
  lir.reduce ( | i : N, j : N in [i, N)) ins(%x[i, j]) outs(%w[]) {{
  ^bb0(%r: !lir.row<f32>):
    %a = {fold("addf", "%r")}
    lir.yield %a : f32
  }} : !lir.buffer<N x N x f32>, !lir.buffer<f32>
  %v = lir.output @v : !lir.buffer<3000 x f32>
  lir.reduce (i : 3000 | j : N in [i, N)) ins(%x[0, j]) outs(%v[i]) {{
  ^bb0(%r: !lir.row<f32>):
    %a = {fold("addf", "%r")}
    lir.yield %a : f32
  }} : !lir.buffer<N x N x f32>, !lir.buffer<3000 x f32>""",
    )
    for n in (1, 19, 70):
        run_everywhere(text, {"x": random((n, n))}, {"N": n}, rtol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "op", "start"),
    [("i64", "addi", "0"), ("i32", "maxsi", "-2147483648"), ("i1", "ori", "false"), ("i1", "andi", "true"), ("i8", "xori", "0")],
)
@pytest.mark.parametrize("n", [37, 40])
def test_integers(dtype: str, op: str, start: str, n: int) -> None:
    for order, shape, size in (("i, j", f"B x {n}", (5, n)), ("j, i", f"{n} x B", (n, 5))):
        text = program(
            {"B": "[1, 64]"},
            f"""
  %x = lir.input @x : !lir.buffer<{shape} x {dtype}>
  %y = lir.output @y : !lir.buffer<B x {dtype}>
  lir.reduce (i : B | j : {n}) ins(%x[{order}]) outs(%y[i]) {{
  ^bb0(%r: !lir.row<{dtype}>):
    %a = {fold(op, "%r", start, dtype)}
    lir.yield %a : {dtype}
  }} : !lir.buffer<{shape} x {dtype}>, !lir.buffer<B x {dtype}>""",
        )
        run_everywhere(text, {"x": random(size, "bool" if dtype == "i1" else dtype)}, {"B": 5})


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
@pytest.mark.parametrize("n", [7, 64, 1000])
def test_narrow_floats_are_summed_in_f32(dtype: str, n: int) -> None:
    wide = each(f"%t = arith.extf %a : {dtype} to f32", "%r", dtype).replace(f"lir.yield %t : {dtype}", "lir.yield %t : f32")
    text = program(
        {"B": "[1, 64]"},
        f"""
  %x = lir.input @x : !lir.buffer<B x {n} x {dtype}>
  %y = lir.output @y : !lir.buffer<B x {dtype}>
  lir.reduce (i : B | j : {n}) ins(%x[i, j]) outs(%y[i]) {{
  ^bb0(%r: !lir.row<{dtype}>):
    %w = {wide.replace(f"-> !lir.row<{dtype}>", "-> !lir.row<f32>")}
    %a = {fold("addf", "%w")}
    %b = arith.truncf %a : f32 to {dtype}
    lir.yield %b : {dtype}
  }} : !lir.buffer<B x {n} x {dtype}>, !lir.buffer<B x {dtype}>""",
    )
    run_everywhere(text, {"x": random((5, n), dtype)}, {"B": 5}, rtol=2e-2 if dtype == "bf16" else 2e-3)


def test_runtime_dims_of_rows_and_of_their_number() -> None:
    """The grid is that of the largest value; blocks that have nothing to do leave memory alone."""
    for dims in ({"P": "[0, 64] runtime", "N": "[1, 64]"}, {"P": "[1, 64]", "N": "[0, 300] runtime"}):
        for order, shape in (("i, j", "P x N"), ("j, i", "N x P")):
            text = program(
                dims,
                f"""
  %x = lir.input @x : !lir.buffer<{shape} x f32>
  %y = lir.output @y : !lir.buffer<P x f32>
  lir.reduce (i : P | j : N) ins(%x[{order}]) outs(%y[i]) {{
  ^bb0(%r: !lir.row<f32>):
    %a = {fold("addf", "%r")}
    lir.yield %a : f32
  }} : !lir.buffer<{shape} x f32>, !lir.buffer<P x f32>""",
            )
            for p, n in ((1, 5), (17, 33), (64, 64)):
                run_everywhere(text, {"x": random((p, n) if order == "i, j" else (n, p))}, {"P": p, "N": n})


def test_pointwise_rows_and_scalars_without_folds() -> None:
    """No fold: a scalar result in the place of an operand is written after all members have read it."""
    text = program(
        {"B": "[1, 64]"},
        f"""
  %x = lir.input @x : !lir.buffer<B x 40 x f32>
  %s = lir.state @s : !lir.buffer<B x f32>
  %y = lir.output @y : !lir.buffer<B x 40 x f32>
  lir.reduce (i : B | j : 40) ins(%x[i, j], %s[i]) outs(%y[i, j], %s[i]) {{
  ^bb0(%r: !lir.row<f32>, %c: f32):
    %z = {each("%t = arith.mulf %a, %c : f32", "%r")}
    %d = arith.addf %c, %c : f32
    lir.yield %z, %d : !lir.row<f32>, f32
  }} : !lir.buffer<B x 40 x f32>, !lir.buffer<B x f32>, !lir.buffer<B x 40 x f32>, !lir.buffer<B x f32>""",
    )
    arrays = {"x": random((5, 40)), "s": random((5,), seed=1)}
    run_everywhere(text, arrays, {"B": 5})
    for team in (8, 128):
        force = f'#lir.schedule<"rows" {{dim = "j", team = {team} : i64, rows = {128 // team} : i64, lanes = 1 : i64, steps = 0 : i64}}>'
        run_everywhere(text, arrays, {"B": 5}, schedule=force)


@pytest.mark.parametrize(
    "schedule",
    [
        '"rows" {dim = "j", team = 3 : i64, rows = 1 : i64, lanes = 1 : i64}',
        '"rows" {dim = "j", team = 2048 : i64, rows = 1 : i64, lanes = 1 : i64}',
        '"rows" {dim = "j", team = 256 : i64, rows = 2 : i64, lanes = 1 : i64}',
        '"rows" {dim = "j", team = 2 : i64, rows = 3 : i64, lanes = 1 : i64}',
        '"rows" {dim = "j", team = 32 : i64, rows = 4 : i64, lanes = 1 : i64, steps = 1 : i64}',
        '"columns" {dim = "i", team = 64 : i64, columns = 32 : i64, lanes = 1 : i64}',
        '"tiles" {dim = "i", team = 1 : i64, lanes = 1 : i64}',
    ],
)
def test_schedules_that_do_not_fit_are_refused(schedule: str) -> None:
    text = program({"B": "[1, 64]"}, layer_norm("B x 40", "40", "40.0"))
    with pytest.raises(LowerError, match="no schedule of 'lir.reduce'"):
        compile_program(text, "cuda", f"#lir.schedule<{schedule}>")


def test_the_subgroup_of_each_target() -> None:
    assert [gpu_target(name, {}).facts.subgroup for name in TARGETS] == [32, 64, 32]
