// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @bias_length(%x: !rlx.tensor<B x 4 x f32>, %w: !rlx.tensor<4 x 8 x f32>, %b: !rlx.tensor<1 x f32>) {
  // expected-error@+1 {{length of bias and last dim of the product: 1 and 8 differ}}
  %y = mir.matmul_bias_act %x, %w, bias %b(activation = none) : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 8 x f32>, !rlx.tensor<1 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

func.func @activation(%x: !rlx.tensor<B x 4 x f32>, %w: !rlx.tensor<4 x 8 x f32>) {
  // expected-error@+1 {{activation is 'mish'; it must be one of none, relu, gelu, gelu_tanh, silu, tanh, sigmoid}}
  %y = mir.matmul_bias_act %x, %w(activation = mish) : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

func.func @widths(%x: !rlx.tensor<B x 4 x f32>, %u: !rlx.tensor<4 x 8 x f32>, %g: !rlx.tensor<4 x 16 x f32>) {
  // expected-error@+1 {{up and gate: shapes [4, 8] and [4, 16] at dim 1: 8 and 16 differ}}
  %y = mir.swiglu_matmul %x, %u, %g : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 8 x f32>, !rlx.tensor<4 x 16 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}
