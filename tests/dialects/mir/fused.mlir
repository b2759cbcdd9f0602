// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// Optional operands are named.
// CHECK-LABEL: func.func @matmul_bias_act
func.func @matmul_bias_act(%x: !rlx.tensor<B x S x 64 x f32>, %w: !rlx.tensor<64 x 8 x f32>, %b: !rlx.tensor<8 x f32>, %r: !rlx.tensor<B x S x 8 x f32>) {
  // CHECK-NEXT: %y0 = mir.matmul_bias_act %x, %w(activation = relu) : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<64 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  %y0 = mir.matmul_bias_act %x, %w(activation = relu) : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<64 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: %y1 = mir.matmul_bias_act %x, %w, bias %b(activation = gelu) : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<64 x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  %y1 = mir.matmul_bias_act %x, %w, bias %b(activation = gelu) : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<64 x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: %y2 = mir.matmul_bias_act %x, %w, residual %r(activation = none) : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<64 x 8 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  %y2 = mir.matmul_bias_act %x, %w, residual %r(activation = none) : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<64 x 8 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: %y3 = mir.matmul_bias_act %x, %w, bias %b, residual %r(activation = silu) : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<64 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  %y3 = mir.matmul_bias_act %x, %w, bias %b, residual %r(activation = silu) : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<64 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: func.return
  func.return
}

// Gated linear units.
// CHECK-LABEL: func.func @swiglu
func.func @swiglu(%x: !rlx.tensor<B x S x 64 x f32>, %u: !rlx.tensor<64 x 8 x f32>, %g: !rlx.tensor<64 x 8 x f32>) {
  // CHECK-NEXT: %y0 = mir.swiglu_matmul %x, %u, %g : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<64 x 8 x f32>, !rlx.tensor<64 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  %y0 = mir.swiglu_matmul %x, %u, %g : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<64 x 8 x f32>, !rlx.tensor<64 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: %y1 = mir.swiglu %y0, %y0 : !rlx.tensor<B x S x 8 x f32>
  %y1 = mir.swiglu %y0, %y0 : !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: func.return
  func.return
}
