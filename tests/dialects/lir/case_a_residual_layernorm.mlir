// RUN: rlx-opt %s | rlx-opt | filecheck %s

// Residual sum and layer norm in one reduce: several stages, a row value that is kept, two results, a fold with a tuple accumulator (Welford).
// CHECK-LABEL: lir.program @main
// CHECK: lir.reduce (i : B * S | j : 37) ins(%xr[i, j], %resr[i, j], %g[j], %b[j]) outs(%hr[i, j], %yr[i, j]) {
// CHECK: lir.each(%{{.*}}, %{{.*}}) {
// CHECK: lir.fold(%{{.*}}) init [0.000000e+00 : f32, 0.000000e+00 : f32, 0.000000e+00 : f32] {
// CHECK: } combine {
// CHECK: (!lir.row<f32>) -> f32, f32, f32
lir.program @main attributes {rlx.dims = [#rlx.dim<B in [1, 8]>, #rlx.dim<S in [1, 64]>]} {
  %x = lir.input @x : !lir.buffer<B x S x 37 x f32>
  %res = lir.input @res : !lir.buffer<B x S x 37 x f32>
  %g = lir.param @g : !lir.buffer<37 x f32>
  %b = lir.param @b : !lir.buffer<37 x f32>
  %h = lir.output @h : !lir.buffer<B x S x 37 x f32>
  %y = lir.output @y : !lir.buffer<B x S x 37 x f32>
  %xr = lir.view %x : !lir.buffer<B x S x 37 x f32> to !lir.buffer<(B * S) x 37 x f32>
  %resr = lir.view %res : !lir.buffer<B x S x 37 x f32> to !lir.buffer<(B * S) x 37 x f32>
  %hr = lir.view %h : !lir.buffer<B x S x 37 x f32> to !lir.buffer<(B * S) x 37 x f32>
  %yr = lir.view %y : !lir.buffer<B x S x 37 x f32> to !lir.buffer<(B * S) x 37 x f32>
  lir.reduce (i : B * S | j : 37) ins(%xr[i, j], %resr[i, j], %g[j], %b[j]) outs(%hr[i, j], %yr[i, j]) {
  ^bb0(%xs: !lir.row<f32>, %rs: !lir.row<f32>, %gs: !lir.row<f32>, %bs: !lir.row<f32>):
    %hs = lir.each(%xs, %rs) {
    ^bb0(%e0: f32, %e1: f32):
      %sum = arith.addf %e0, %e1 : f32
      lir.yield %sum : f32
    } : (!lir.row<f32>, !lir.row<f32>) -> !lir.row<f32>
    %count, %mean, %m2 = lir.fold(%hs) init [0.0 : f32, 0.0 : f32, 0.0 : f32] {
    ^bb0(%n: f32, %m: f32, %q: f32, %e: f32):
      %one = arith.constant 1.0 : f32
      %n1 = arith.addf %n, %one : f32
      %d = arith.subf %e, %m : f32
      %dn = arith.divf %d, %n1 : f32
      %m1 = arith.addf %m, %dn : f32
      %d1 = arith.subf %e, %m1 : f32
      %dd = arith.mulf %d, %d1 : f32
      %q1 = arith.addf %q, %dd : f32
      lir.yield %n1, %m1, %q1 : f32, f32, f32
    } combine {
    ^bb0(%na: f32, %ma: f32, %qa: f32, %nb: f32, %mb: f32, %qb: f32):
      %n2 = arith.addf %na, %nb : f32
      %one = arith.constant 1.0 : f32
      %least = arith.maximumf %n2, %one : f32
      %share = arith.divf %nb, %least : f32
      %delta = arith.subf %mb, %ma : f32
      %shift = arith.mulf %delta, %share : f32
      %m3 = arith.addf %ma, %shift : f32
      %q2 = arith.addf %qa, %qb : f32
      %ds = arith.mulf %delta, %shift : f32
      %dsn = arith.mulf %ds, %na : f32
      %q3 = arith.addf %q2, %dsn : f32
      lir.yield %n2, %m3, %q3 : f32, f32, f32
    } : (!lir.row<f32>) -> f32, f32, f32
    %variance = arith.divf %m2, %count : f32
    %eps = arith.constant 1.000000e-05 : f32
    %biased = arith.addf %variance, %eps : f32
    %scale = math.rsqrt %biased : f32
    %ys = lir.each(%hs, %gs, %bs) {
    ^bb0(%e2: f32, %ge: f32, %be: f32):
      %c = arith.subf %e2, %mean : f32
      %cs = arith.mulf %c, %scale : f32
      %cg = arith.mulf %cs, %ge : f32
      %cb = arith.addf %cg, %be : f32
      lir.yield %cb : f32
    } : (!lir.row<f32>, !lir.row<f32>, !lir.row<f32>) -> !lir.row<f32>
    lir.yield %hs, %ys : !lir.row<f32>, !lir.row<f32>
  } : !lir.buffer<(B * S) x 37 x f32>, !lir.buffer<(B * S) x 37 x f32>, !lir.buffer<37 x f32>, !lir.buffer<37 x f32>, !lir.buffer<(B * S) x 37 x f32>, !lir.buffer<(B * S) x 37 x f32>
}
