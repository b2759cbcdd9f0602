// RUN: rlx-opt %s | rlx-opt | filecheck %s

// Top-k of logits: the classified order, values and positions; then the same by an opaque comparator (largest magnitude first).
// CHECK-LABEL: lir.program @main
// CHECK: lir.sort (i : B | j : 33 | t : 5) ins(%x[i, j]) outs(%v[i, t], %p[i, t]) params {order = "descending"} :
// CHECK: params {order = "opaque"} comparator {
lir.program @main attributes {rlx.dims = [#rlx.dim<B in [1, 8]>]} {
  %x = lir.input @x : !lir.buffer<B x 33 x f32>
  %v = lir.output @values : !lir.buffer<B x 5 x f32>
  %p = lir.output @positions : !lir.buffer<B x 5 x i64>
  %m = lir.output @magnitudes : !lir.buffer<B x 7 x f32>
  lir.sort (i : B | j : 33 | t : 5) ins(%x[i, j]) outs(%v[i, t], %p[i, t]) params {order = "descending"} : !lir.buffer<B x 33 x f32>, !lir.buffer<B x 5 x f32>, !lir.buffer<B x 5 x i64>
  lir.sort (i : B | j : 33 | t : 7) ins(%x[i, j]) outs(%m[i, t]) params {order = "opaque"} comparator {
  ^bb0(%a: f32, %b: f32):
    %aa = math.absf %a : f32
    %ab = math.absf %b : f32
    %before = arith.cmpf ogt, %aa, %ab : f32
    lir.yield %before : i1
  } : !lir.buffer<B x 33 x f32>, !lir.buffer<B x 7 x f32>
}
