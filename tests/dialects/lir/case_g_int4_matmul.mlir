// RUN: rlx-opt %s | rlx-opt | filecheck %s

// Matmul with int4 weights as planes: codes, scales and minimums per group of 32 along k; the body dequantizes before the product.
// CHECK-LABEL: lir.program @main
// CHECK: lir.param @codes : !lir.buffer<96 x 11 x i4>
// CHECK: ins(%x[m, k], %codes[k, n], %scales[k floordiv 32, n], %minimums[k floordiv 32, n])
lir.program @main attributes {rlx.dims = [#rlx.dim<M in [1, 64]>]} {
  %x = lir.input @x : !lir.buffer<M x 96 x f32>
  %codes = lir.param @codes : !lir.buffer<96 x 11 x i4>
  %scales = lir.param @scales : !lir.buffer<3 x 11 x f32>
  %minimums = lir.param @minimums : !lir.buffer<3 x 11 x f32>
  %y = lir.output @y : !lir.buffer<M x 11 x f32>
  lir.contract (m : M, n : 11 | k : 96) ins(%x[m, k], %codes[k, n], %scales[k floordiv 32, n], %minimums[k floordiv 32, n]) outs(%y[m, n]) {
  ^bb0(%a: f32, %q: i4, %s: f32, %z: f32):
    %f = arith.sitofp %q : i4 to f32
    %scaled = arith.mulf %f, %s : f32
    %w = arith.subf %scaled, %z : f32
    lir.product (%a, %w) : f32
  } epilogue {
  ^bb0(%acc: f32):
    lir.yield %acc : f32
  } : !lir.buffer<M x 96 x f32>, !lir.buffer<96 x 11 x i4>, !lir.buffer<3 x 11 x f32>, !lir.buffer<3 x 11 x f32>, !lir.buffer<M x 11 x f32>
}
