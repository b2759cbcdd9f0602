"""Pieces of LIR programs for the tests of forms over rows."""

from __future__ import annotations


def fold(op: str, row: str, init: str = "0.0", element: str = "f32") -> str:
    """A fold of a row by one op."""
    step = f"%fn = arith.{op} %fa, %fb : {element}\n      lir.yield %fn : {element}"
    body = f"\n    ^bb0(%fa: {element}, %fb: {element}):\n      {step}\n    "
    start = init if element == "i1" else f"{init} : {element}"
    return f"lir.fold({row}) init [{start}] {{{body}}} combine {{{body}}} : (!lir.row<{element}>) -> {element}"


def each(op: str, args: str, element: str = "f32") -> str:
    """A pointwise stage: `op` is text over %a (and %b) that gives %t."""
    rows = args.split(", ")
    given = ", ".join(f"%{'ab'[i]}: {element}" for i in range(len(rows)))
    kinds = ", ".join([f"!lir.row<{element}>"] * len(rows))
    return f"lir.each({args}) {{\n    ^bb0({given}):\n      {op}\n      lir.yield %t : {element}\n    }} : ({kinds}) -> !lir.row<{element}>"


def softmax(shape: str, order: str, extents: str) -> str:
    """A softmax over j of %x, of any shape."""
    return f"""
  %x = lir.input @x : !lir.buffer<{shape} x f32>
  %y = lir.output @y : !lir.buffer<{shape} x f32>
  lir.reduce ({extents}) ins(%x[{order}]) outs(%y[{order}]) {{
  ^bb0(%r: !lir.row<f32>):
    %top = {fold("maximumf", "%r", "-3.0e38")}
    %e = {each("%d = arith.subf %a, %top : f32 %t = math.exp %d : f32".replace(" %t", chr(10) + "      %t"), "%r")}
    %s = {fold("addf", "%e")}
    %o = {each("%t = arith.divf %a, %s : f32", "%e")}
    lir.yield %o : !lir.row<f32>
  }} : !lir.buffer<{shape} x f32>, !lir.buffer<{shape} x f32>"""


def layer_norm(shape: str, n: str, count: str, leaf: str = "input", place: str = "i, j", rows: str = "i : B") -> str:
    """A layer norm over j : n with a gain; `leaf` "state" writes it in place. `count` is the extent as a float constant."""
    out, y = ("", "x") if leaf == "state" else (f"%y = lir.output @y : !lir.buffer<{shape} x f32>", "y")
    return f"""
  %x = lir.{leaf} @x : !lir.buffer<{shape} x f32>
  %g = lir.param @g : !lir.buffer<{n} x f32>
  {out}
  lir.reduce ({rows} | j : {n}) ins(%x[{place}], %g[j]) outs(%{y}[{place}]) {{
  ^bb0(%r: !lir.row<f32>, %gr: !lir.row<f32>):
    %s = {fold("addf", "%r")}
    %c = arith.constant {count} : f32
    %mean = arith.divf %s, %c : f32
    %d = {each("%t = arith.subf %a, %mean : f32", "%r")}
    %sq = {each("%t = arith.mulf %a, %a : f32", "%d")}
    %v = {fold("addf", "%sq")}
    %var = arith.divf %v, %c : f32
    %eps = arith.constant 1.0e-05 : f32
    %ve = arith.addf %var, %eps : f32
    %inv = math.rsqrt %ve : f32
    %z = {each("%u = arith.mulf %a, %inv : f32" + chr(10) + "      %t = arith.mulf %u, %b : f32", "%d, %gr")}
    lir.yield %z : !lir.row<f32>
  }} : !lir.buffer<{shape} x f32>, !lir.buffer<{n} x f32>, !lir.buffer<{shape} x f32>"""


ARGMAX_MERGE = """
      %gt = arith.cmpf ogt, %e, %v : f32
      %eq = arith.cmpf oeq, %e, %v : f32
      %lo = arith.cmpi slt, %k, %i : i64
      %both = arith.andi %eq, %lo : i1
      %c = arith.ori %gt, %both : i1
      %v1 = arith.select %c, %e, %v : f32
      %i1 = arith.select %c, %k, %i : i64
      lir.yield %v1, %i1 : f32, i64
    """


def argmax(shape: str, order: str, extents: str, out: str) -> str:
    """The first place of the largest element along j, a tuple fold."""
    return f"""
  %x = lir.input @x : !lir.buffer<{shape} x f32>
  %y = lir.output @y : !lir.buffer<{out} x i64>
  lir.reduce ({extents}) ins(%x[{order}]) outs(%y[i]) {{
  ^bb0(%r: !lir.row<f32>):
    %at = lir.each(%r) {{
    ^bb0(%a: f32):
      %p = lir.index j
      %q = arith.index_cast %p : index to i64
      lir.yield %q : i64
    }} : (!lir.row<f32>) -> !lir.row<i64>
    %best, %where = lir.fold(%r, %at) init [-3.0e38 : f32, 9223372036854775807 : i64] {{
    ^bb0(%v: f32, %i: i64, %e: f32, %k: i64):{ARGMAX_MERGE}}} combine {{
    ^bb0(%v: f32, %i: i64, %e: f32, %k: i64):{ARGMAX_MERGE}}} : (!lir.row<f32>, !lir.row<i64>) -> f32, i64
    lir.yield %where : i64
  }} : !lir.buffer<{shape} x f32>, !lir.buffer<{out} x i64>"""


WELFORD = """
  %x = lir.input @x : !lir.buffer<{shape} x f32>
  %m = lir.output @m : !lir.buffer<B x f32>
  %v = lir.output @v : !lir.buffer<B x f32>
  lir.reduce (i : B | j : {n}) ins(%x[{order}]) outs(%m[i], %v[i]) {{
  ^bb0(%r: !lir.row<f32>):
    %count, %mean, %square = lir.fold(%r) init [0.0 : f32, 0.0 : f32, 0.0 : f32] {{
    ^bb0(%c: f32, %a: f32, %s: f32, %e: f32):
      %one = arith.constant 1.0 : f32
      %n = arith.addf %c, %one : f32
      %d = arith.subf %e, %a : f32
      %p = arith.divf %d, %n : f32
      %a1 = arith.addf %a, %p : f32
      %d1 = arith.subf %e, %a1 : f32
      %q = arith.mulf %d, %d1 : f32
      %s1 = arith.addf %s, %q : f32
      lir.yield %n, %a1, %s1 : f32, f32, f32
    }} combine {{
    ^bb0(%c: f32, %a: f32, %s: f32, %d: f32, %b: f32, %t: f32):
      %n = arith.addf %c, %d : f32
      %one = arith.constant 1.0 : f32
      %n1 = arith.maximumf %n, %one : f32
      %w = arith.divf %d, %n1 : f32
      %e = arith.subf %b, %a : f32
      %p = arith.mulf %e, %w : f32
      %a1 = arith.addf %a, %p : f32
      %q = arith.mulf %e, %p : f32
      %q1 = arith.mulf %q, %c : f32
      %u = arith.addf %s, %t : f32
      %s1 = arith.addf %u, %q1 : f32
      lir.yield %n, %a1, %s1 : f32, f32, f32
    }} : (!lir.row<f32>) -> f32, f32, f32
    %var = arith.divf %square, %count : f32
    lir.yield %mean, %var : f32, f32
  }} : !lir.buffer<{shape} x f32>, !lir.buffer<B x f32>, !lir.buffer<B x f32>"""
"""Mean and variance of rows in one fold whose combine is no plain op: `n`, `shape` and `order` to be filled in."""
