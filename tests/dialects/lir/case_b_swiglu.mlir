// RUN: rlx-opt %s | rlx-opt | filecheck %s

// SwiGLU with packed weights: two accumulators over one iteration space, gate and up interleaved in one packed buffer that @prepare writes.
// CHECK-LABEL: lir.program @prepare
// CHECK: lir.packed @gate_up.0 : !lir.buffer<21 x 2 x 35 x f32, #lir.layout<(k, s, n) -> (n floordiv 16, k, s, n mod 16) in [3, 21, 2, 16]>>
// CHECK-LABEL: lir.program @main
// CHECK: lir.product (%{{.*}}, %{{.*}}), (%{{.*}}, %{{.*}}) : f32
!packed = !lir.buffer<21 x 2 x 35 x f32, #lir.layout<(k, s, n) -> (n floordiv 16, k, s, n mod 16) in [3, 21, 2, 16]>>

lir.program @prepare {
  %gate = lir.param @gate : !lir.buffer<21 x 35 x f32>
  %up = lir.param @up : !lir.buffer<21 x 35 x f32>
  %both = lir.packed @"gate_up.0" : !packed
  lir.map (k : 21, n : 35) ins(%gate[k, n], %up[k, n]) outs(%both[k, 0, n], %both[k, 1, n]) {
  ^bb0(%g: f32, %u: f32):
    lir.yield %g, %u : f32, f32
  } : !lir.buffer<21 x 35 x f32>, !lir.buffer<21 x 35 x f32>, !packed, !packed
}

lir.program @main attributes {rlx.dims = [#rlx.dim<B in [1, 8]>, #rlx.dim<S in [1, 64]>]} {
  %x = lir.input @x : !lir.buffer<(B * S) x 21 x f32>
  %both = lir.packed @"gate_up.0" : !packed
  %down = lir.param @down : !lir.buffer<35 x 21 x f32>
  %y = lir.output @y : !lir.buffer<(B * S) x 21 x f32>
  %t = lir.alloc : !lir.buffer<(B * S) x 35 x f32>
  lir.contract (m : B * S, n : 35 | k : 21) ins(%x[m, k], %both[k, 0, n], %both[k, 1, n]) outs(%t[m, n]) {
  ^bb0(%a: f32, %g: f32, %u: f32):
    lir.product (%a, %g), (%a, %u) : f32
  } epilogue {
  ^bb0(%gate: f32, %up: f32):
    %one = arith.constant 1.0 : f32
    %neg = arith.negf %gate : f32
    %exp = math.exp %neg : f32
    %den = arith.addf %exp, %one : f32
    %silu = arith.divf %gate, %den : f32
    %r = arith.mulf %silu, %up : f32
    lir.yield %r : f32
  } : !lir.buffer<(B * S) x 21 x f32>, !packed, !packed, !lir.buffer<(B * S) x 35 x f32>
  lir.contract (m : B * S, n : 21 | k : 35) ins(%t[m, k], %down[k, n]) extra(%x[m, n]) outs(%y[m, n]) {
  ^bb0(%a: f32, %w: f32):
    lir.product (%a, %w) : f32
  } epilogue {
  ^bb0(%acc: f32, %res: f32):
    %r = arith.addf %acc, %res : f32
    lir.yield %r : f32
  } : !lir.buffer<(B * S) x 35 x f32>, !lir.buffer<35 x 21 x f32>, !lir.buffer<(B * S) x 21 x f32>, !lir.buffer<(B * S) x 21 x f32>
}
