// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @channels(%x: !rlx.tensor<B x S x 6 x f32>, %a: !rlx.tensor<5 x 4 x f32>, %b: !rlx.tensor<B x S x 4 x f32>) {
  // expected-error@+1 {{rows of a and channels of x: 5 and 6 differ}}
  %y, %e = mir.selective_scan %x, %x, %a, %b, %b : (!rlx.tensor<B x S x 6 x f32>, !rlx.tensor<B x S x 6 x f32>, !rlx.tensor<5 x 4 x f32>, !rlx.tensor<B x S x 4 x f32>, !rlx.tensor<B x S x 4 x f32>) -> (!rlx.tensor<B x S x 6 x f32>, !rlx.tensor<B x 6 x 4 x f32>)
  func.return
}

// -----

func.func @steps(%x: !rlx.tensor<B x S x 6 x f32>, %a: !rlx.tensor<6 x 4 x f32>, %b: !rlx.tensor<B x 3 x 4 x f32>) {
  // expected-error@+1 {{b, and batch, steps and state of x and a: shapes [B, 3, 4] and [B, S, 4] at dim 1: cannot prove 3 == S; if it always holds, state it: b.constrain(3 == S)}}
  %y, %e = mir.selective_scan %x, %x, %a, %b, %b : (!rlx.tensor<B x S x 6 x f32>, !rlx.tensor<B x S x 6 x f32>, !rlx.tensor<6 x 4 x f32>, !rlx.tensor<B x 3 x 4 x f32>, !rlx.tensor<B x 3 x 4 x f32>) -> (!rlx.tensor<B x S x 6 x f32>, !rlx.tensor<B x 6 x 4 x f32>)
  func.return
}

// -----

func.func @size(%q: !rlx.tensor<B x S x 2 x N x f32>, %g: !rlx.tensor<B x S x 2 x f32>) {
  // expected-error@+1 {{the last dim of q is a number from 1 to 128, found N}}
  %u, %v = mir.gated_delta %q, %q, %q, %g, %g : (!rlx.tensor<B x S x 2 x N x f32>, !rlx.tensor<B x S x 2 x N x f32>, !rlx.tensor<B x S x 2 x N x f32>, !rlx.tensor<B x S x 2 x f32>, !rlx.tensor<B x S x 2 x f32>) -> (!rlx.tensor<B x S x 2 x N x f32>, !rlx.tensor<B x 2 x N x N x f32>)
  func.return
}

// -----

func.func @state(%q: !rlx.tensor<B x S x 2 x 4 x f32>, %g: !rlx.tensor<B x S x 2 x f32>, %s: !rlx.tensor<B x 2 x 4 x 5 x f32>) {
  // expected-error@+1 {{the state and its initial value: shapes [B, 2, 4, 4] and [B, 2, 4, 5] at dim 3: 4 and 5 differ}}
  %w, %t = mir.gated_delta %q, %q, %q, %g, %g, initial %s : (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x f32>, !rlx.tensor<B x S x 2 x f32>, !rlx.tensor<B x 2 x 4 x 5 x f32>) -> (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x 2 x 4 x 4 x f32>)
  func.return
}
