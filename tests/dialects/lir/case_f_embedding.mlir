// RUN: rlx-opt %s | rlx-opt | filecheck %s

// Token embedding plus position: indirect reads with a fault policy; the position starts at a runtime symbol.
// CHECK-LABEL: lir.program @main
// CHECK: lir.map (b : B, s : S, c : 9) ins(%ids[b, s], %table, %pos) outs(%y[b, s, c]) {
// CHECK: lir.read %{{.*}}[%{{.*}}, %{{.*}}] oob(error) : !lir.buffer<50 x 9 x f16>, i64, index
// CHECK: lir.index P + s
// CHECK: lir.read %{{.*}}[%{{.*}}, %{{.*}}] oob(clamp) : !lir.buffer<20 x 9 x f16>, index, index
lir.program @main attributes {rlx.dims = [#rlx.dim<B in [1, 4]>, #rlx.dim<S in [1, 16]>, #rlx.dim<P in [0, 64] runtime>]} {
  %ids = lir.input @ids : !lir.buffer<B x S x i64>
  %p = lir.dim_input @P : !lir.buffer<i64>
  %table = lir.param @table : !lir.buffer<50 x 9 x f16>
  %pos = lir.param @pos : !lir.buffer<20 x 9 x f16>
  %y = lir.output @y : !lir.buffer<B x S x 9 x f16>
  lir.map (b : B, s : S, c : 9) ins(%ids[b, s], %table, %pos) outs(%y[b, s, c]) {
  ^bb0(%id: i64, %t: !lir.buffer<50 x 9 x f16>, %u: !lir.buffer<20 x 9 x f16>):
    %c = lir.index c
    %word = lir.read %t[%id, %c] oob(error) : !lir.buffer<50 x 9 x f16>, i64, index
    %at = lir.index P + s
    %place = lir.read %u[%at, %c] oob(clamp) : !lir.buffer<20 x 9 x f16>, index, index
    %sum = arith.addf %word, %place : f16
    lir.yield %sum : f16
  } : !lir.buffer<B x S x i64>, !lir.buffer<50 x 9 x f16>, !lir.buffer<20 x 9 x f16>, !lir.buffer<B x S x 9 x f16>
}
