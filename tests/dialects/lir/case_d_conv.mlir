// RUN: rlx-opt %s | rlx-opt | filecheck %s

// Convolution with padding, stride 2, bias, residual and relu: guarded access and affine index maps in one contract.
// CHECK-LABEL: lir.program @main
// CHECK: lir.contract (n : N, o : 5, p : 6, q : 7 | c : 3, r : 3, s : 3)
// CHECK-SAME: %x[n, c, p * 2 + r - 1, q * 2 + s - 1] else 0.000000e+00 : f32
lir.program @main attributes {rlx.dims = [#rlx.dim<N in [1, 4]>]} {
  %x = lir.input @x : !lir.buffer<N x 3 x 11 x 13 x f32>
  %w = lir.param @w : !lir.buffer<5 x 3 x 3 x 3 x f32>
  %b = lir.param @b : !lir.buffer<5 x f32>
  %res = lir.input @res : !lir.buffer<N x 5 x 6 x 7 x f32>
  %y = lir.output @y : !lir.buffer<N x 5 x 6 x 7 x f32>
  lir.contract (n : N, o : 5, p : 6, q : 7 | c : 3, r : 3, s : 3) ins(%x[n, c, 2 * p + r - 1, 2 * q + s - 1] else 0.0 : f32, %w[o, c, r, s]) extra(%b[o], %res[n, o, p, q]) outs(%y[n, o, p, q]) {
  ^bb0(%a: f32, %k: f32):
    lir.product (%a, %k) : f32
  } epilogue {
  ^bb0(%acc: f32, %bias: f32, %r: f32):
    %t = arith.addf %acc, %bias : f32
    %u = arith.addf %t, %r : f32
    %zero = arith.constant 0.0 : f32
    %v = arith.maximumf %u, %zero : f32
    lir.yield %v : f32
  } : !lir.buffer<N x 3 x 11 x 13 x f32>, !lir.buffer<5 x 3 x 3 x 3 x f32>, !lir.buffer<5 x f32>, !lir.buffer<N x 5 x 6 x 7 x f32>, !lir.buffer<N x 5 x 6 x 7 x f32>
}
