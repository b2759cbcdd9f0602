// RUN: rlx-opt %s | rlx-opt | filecheck %s

// Grouped causal attention over past keys: the cache has capacity C and is read to P + S, bounds on the keys are affine in the query's index,
// the score region caps the score and adds a distance bias from indices. New keys enter the state first.
// CHECK-LABEL: lir.program @main
// CHECK: lir.state @kc : !lir.buffer<B x 2 x 40 x 8 x bf16>
// CHECK: lir.attention (b : B, h : 6, q : S | k : P + S in [0, P + q + 1) | d : 8 | e : 8)
// CHECK-SAME: ins(%q[b, q, h, d], %kc[b, h floordiv 3, k, d], %vc[b, h floordiv 3, k, e]) outs(%o[b, q, h, e]) params {scale = 3.750000e-01 : f32}
// CHECK: lir.index P - k + q
lir.program @main attributes {rlx.dims = [#rlx.dim<B in [1, 4]>, #rlx.dim<S in [1, 16]>, #rlx.dim<P in [0, 24] runtime>], rlx.constraints = [#rlx.constraint<P + S <= 40>]} {
  %q = lir.input @q : !lir.buffer<B x S x 6 x 8 x bf16>
  %kn = lir.input @k : !lir.buffer<B x S x 2 x 8 x bf16>
  %vn = lir.input @v : !lir.buffer<B x S x 2 x 8 x bf16>
  %kc = lir.state @kc : !lir.buffer<B x 2 x 40 x 8 x bf16>
  %vc = lir.state @vc : !lir.buffer<B x 2 x 40 x 8 x bf16>
  %p = lir.dim_input @P : !lir.buffer<i64>
  %o = lir.output @o : !lir.buffer<B x S x 6 x 8 x bf16>
  lir.map (b : B, s : S, h : 2, d : 8) ins(%kn[b, s, h, d], %vn[b, s, h, d]) outs(%kc[b, h, P + s, d], %vc[b, h, P + s, d]) {
  ^bb0(%a: bf16, %c: bf16):
    lir.yield %a, %c : bf16, bf16
  } : !lir.buffer<B x S x 2 x 8 x bf16>, !lir.buffer<B x S x 2 x 8 x bf16>, !lir.buffer<B x 2 x 40 x 8 x bf16>, !lir.buffer<B x 2 x 40 x 8 x bf16>
  lir.attention (b : B, h : 6, q : S | k : P + S in [0, P + q + 1) | d : 8 | e : 8) ins(%q[b, q, h, d], %kc[b, h floordiv 3, k, d], %vc[b, h floordiv 3, k, e]) outs(%o[b, q, h, e]) params {scale = 0.375 : f32} {
  ^bb0(%s: f32):
    %cap = arith.constant 5.0 : f32
    %u = arith.divf %s, %cap : f32
    %t = math.tanh %u : f32
    %capped = arith.mulf %t, %cap : f32
    %distance = lir.index P + q - k
    %di = arith.index_cast %distance : index to i64
    %df = arith.sitofp %di : i64 to f32
    %slope = arith.constant 6.250000e-02 : f32
    %bias = arith.mulf %df, %slope : f32
    %biased = arith.subf %capped, %bias : f32
    lir.yield %biased : f32
  } : !lir.buffer<B x S x 6 x 8 x bf16>, !lir.buffer<B x 2 x 40 x 8 x bf16>, !lir.buffer<B x 2 x 40 x 8 x bf16>, !lir.buffer<B x S x 6 x 8 x bf16>
}
