// RUN: rlx-opt %s | rlx-opt | filecheck %s

// A while with a carried value and a limit, then an if: Newton steps for square roots until all have settled; the sign of a flag picks the result.
// CHECK-LABEL: lir.program @main
// CHECK: lir.while limit(40) {
// CHECK: lir.condition %{{.*}} : !lir.buffer<1 x i1>
// CHECK: } do {
// CHECK: lir.if %negate {
// CHECK: } else {
// CHECK: } : !lir.buffer<1 x i1>
lir.program @main attributes {rlx.dims = [#rlx.dim<N in [1, 100]>]} {
  %a = lir.input @a : !lir.buffer<N x f64>
  %negate = lir.input @negate : !lir.buffer<1 x i1>
  %y = lir.output @y : !lir.buffer<N x f64>
  %r = lir.alloc : !lir.buffer<N x f64>
  %flag = lir.alloc : !lir.buffer<1 x i1>
  lir.copy %a to %r : !lir.buffer<N x f64>, !lir.buffer<N x f64>
  lir.while limit(40) {
    lir.reduce (u : 1 | i : N) ins(%a[i], %r[i]) outs(%flag[u]) {
    ^bb0(%as: !lir.row<f64>, %rs: !lir.row<f64>):
      %worst = lir.fold(%as, %rs) init [0.0 : f64] {
      ^bb0(%acc: f64, %e: f64, %x: f64):
        %square = arith.mulf %x, %x : f64
        %off = arith.subf %square, %e : f64
        %size = math.absf %off : f64
        %share = arith.divf %size, %e : f64
        %n = arith.maximumf %acc, %share : f64
        lir.yield %n : f64
      } combine {
      ^bb0(%b: f64, %c: f64):
        %n = arith.maximumf %b, %c : f64
        lir.yield %n : f64
      } : (!lir.row<f64>, !lir.row<f64>) -> f64
      %limit = arith.constant 1.000000e-12 : f64
      %go = arith.cmpf ogt, %worst, %limit : f64
      lir.yield %go : i1
    } : !lir.buffer<N x f64>, !lir.buffer<N x f64>, !lir.buffer<1 x i1>
    lir.condition %flag : !lir.buffer<1 x i1>
  } do {
    %next = lir.alloc : !lir.buffer<N x f64>
    lir.map (i : N) ins(%a[i], %r[i]) outs(%next[i]) {
    ^bb0(%e: f64, %x: f64):
      %q = arith.divf %e, %x : f64
      %s = arith.addf %q, %x : f64
      %half = arith.constant 5.000000e-01 : f64
      %n = arith.mulf %s, %half : f64
      lir.yield %n : f64
    } : !lir.buffer<N x f64>, !lir.buffer<N x f64>, !lir.buffer<N x f64>
    lir.copy %next to %r : !lir.buffer<N x f64>, !lir.buffer<N x f64>
  }
  lir.if %negate {
    lir.map (i : N) ins(%r[i]) outs(%y[i]) {
    ^bb0(%x: f64):
      %n = arith.negf %x : f64
      lir.yield %n : f64
    } : !lir.buffer<N x f64>, !lir.buffer<N x f64>
  } else {
    lir.copy %r to %y : !lir.buffer<N x f64>, !lir.buffer<N x f64>
  } : !lir.buffer<1 x i1>
}
