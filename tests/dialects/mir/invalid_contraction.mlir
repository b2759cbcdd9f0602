// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @k_differs(%x: !rlx.tensor<2 x 16 x f32>, %w: !rlx.tensor<4 x 8 x f32>) {
  // expected-error@+1 {{contracted dims of 2 x 16 x f32 and 4 x 8 x f32: 16 and 4 differ}}
  %y = mir.matmul %x, %w : (!rlx.tensor<2 x 16 x f32>, !rlx.tensor<4 x 8 x f32>) -> !rlx.tensor<2 x 8 x f32>
  func.return
}

// -----

// A symbol is not silently taken to be 4.
func.func @k_unknown(%x: !rlx.tensor<B x S x f32>, %w: !rlx.tensor<4 x 8 x f32>) {
  // expected-error@+1 {{cannot prove S == 4; if it always holds, state it: b.constrain(S == 4)}}
  %y = mir.matmul %x, %w : (!rlx.tensor<B x S x f32>, !rlx.tensor<4 x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

func.func @k_out_of_range(%x: !rlx.tensor<B x S x f32>, %w: !rlx.tensor<4 x 8 x f32>) attributes {rlx.dims = [#rlx.dim<S in [8, 64]>]} {
  // expected-error@+1 {{contracted dims of B x S x f32 and 4 x 8 x f32: S and 4 differ}}
  %y = mir.matmul %x, %w : (!rlx.tensor<B x S x f32>, !rlx.tensor<4 x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

func.func @batches(%x: !rlx.tensor<2 x 3 x 4 x f32>, %w: !rlx.tensor<1 x 4 x 8 x f32>) {
  // expected-error@+1 {{batch dims of lhs and rhs: shapes [2] and [1] at dim 0: 2 and 1 differ}}
  %y = mir.matmul %x, %w : (!rlx.tensor<2 x 3 x 4 x f32>, !rlx.tensor<1 x 4 x 8 x f32>) -> !rlx.tensor<2 x 3 x 8 x f32>
  func.return
}

// -----

func.func @vector(%x: !rlx.tensor<4 x f32>, %w: !rlx.tensor<4 x 8 x f32>) {
  // expected-error@+1 {{matmul needs operands of rank 2 or more, found 4 x f32 and 4 x 8 x f32}}
  %y = mir.matmul %x, %w : (!rlx.tensor<4 x f32>, !rlx.tensor<4 x 8 x f32>) -> !rlx.tensor<8 x f32>
  func.return
}
