// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @axis(%x: !rlx.tensor<B x 4 x f32>) {
  // expected-error@+1 {{axis 2 is outside of [0, 1], the axes of B x 4 x f32}}
  %y = mir.reduce_sum %x(axes = [2]) : (!rlx.tensor<B x 4 x f32>) -> !rlx.tensor<B x f32>
  func.return
}

// -----

func.func @twice(%x: !rlx.tensor<B x 4 x f32>) {
  // expected-error@+1 {{axes = [1, 1] must increase strictly}}
  %y = mir.reduce_sum %x(axes = [1, 1]) : (!rlx.tensor<B x 4 x f32>) -> !rlx.tensor<B x f32>
  func.return
}

// -----

func.func @mean_of_integers(%x: !rlx.tensor<B x 4 x i32>) {
  // expected-error@+1 {{operand needs a float type as element type, found i32}}
  %y = mir.reduce_mean %x(axes = [1]) : (!rlx.tensor<B x 4 x i32>) -> !rlx.tensor<B x i32>
  func.return
}

// -----

func.func @keepdims(%x: !rlx.tensor<B x 4 x f32>) {
  // expected-error@+1 {{the result type is !rlx.tensor<B x f32>, but the operands give !rlx.tensor<B x 1 x f32>}}
  %y = mir.reduce_sum %x(axes = [1], keepdims) : (!rlx.tensor<B x 4 x f32>) -> !rlx.tensor<B x f32>
  func.return
}
