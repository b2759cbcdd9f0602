// RUN: rlx-opt %s --split-input-file --verify-diagnostics

// A symbol is not repeated, even if it may be 1.
func.func @broadcast_a_symbol(%x: !rlx.tensor<S x f32>) {
  // expected-error@+1 {{broadcast of dim 0 of S x f32 to 8 x f32: cannot prove S == 8}}
  %y = mir.broadcast %x : (!rlx.tensor<S x f32>) -> !rlx.tensor<8 x f32>
  func.return
}

// -----

func.func @broadcast_axes(%x: !rlx.tensor<2 x 3 x f32>) {
  // expected-error@+1 {{axes = [1, 0] must give the 2 axes of 2 x 3 x f32 an axis of 3 x 2 x f32 each, in order}}
  %y = mir.broadcast %x(axes = [1, 0]) : (!rlx.tensor<2 x 3 x f32>) -> !rlx.tensor<3 x 2 x f32>
  func.return
}

// -----

func.func @reshape(%x: !rlx.tensor<B x 3 x f32>) {
  // expected-error@+1 {{number of elements of B x 3 x f32 and B x 4 x f32: cannot prove B * 3 == B * 4}}
  %y = mir.reshape %x : (!rlx.tensor<B x 3 x f32>) -> !rlx.tensor<B x 4 x f32>
  func.return
}

// -----

func.func @perm(%x: !rlx.tensor<2 x 3 x f32>) {
  // expected-error@+1 {{perm = [0, 0] is not a permutation of the axes of 2 x 3 x f32}}
  %y = mir.transpose %x(perm = [0, 0]) : (!rlx.tensor<2 x 3 x f32>) -> !rlx.tensor<2 x 2 x f32>
  func.return
}

// -----

func.func @slice_end(%x: !rlx.tensor<8 x f32>) {
  // expected-error@+1 {{end of the slice on axis 0 of 8 x f32: 9 exceeds 8}}
  %y = mir.slice %x(starts = [5], sizes = [4]) : (!rlx.tensor<8 x f32>) -> !rlx.tensor<4 x f32>
  func.return
}

// -----

// Not known to fit: no error, it becomes a guard.
func.func @slice_open(%x: !rlx.tensor<8 x f32>) {
  %y = mir.slice %x(starts = [P], sizes = [S]) : (!rlx.tensor<8 x f32>) -> !rlx.tensor<S x f32>
  func.return
}

// -----

func.func @slice_rank(%x: !rlx.tensor<8 x 8 x f32>) {
  // expected-error@+1 {{slice of 8 x 8 x f32 needs 2 starts, sizes and strides}}
  %y = mir.slice %x(starts = [5], sizes = [3]) : (!rlx.tensor<8 x 8 x f32>) -> !rlx.tensor<3 x f32>
  func.return
}

// -----

func.func @concat(%x: !rlx.tensor<B x 4 x f32>, %y: !rlx.tensor<B x 5 x f32>) {
  // expected-error@+1 {{inputs 0 and 1 of concat at dim 1: 4 and 5 differ}}
  %z = mir.concat %x, %y(axis = 0) : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<B x 5 x f32>) -> !rlx.tensor<(B * 2) x 4 x f32>
  func.return
}

// -----

func.func @concat_result(%x: !rlx.tensor<B x 4 x f32>, %y: !rlx.tensor<B x 5 x f32>) {
  // expected-error@+1 {{the result type is !rlx.tensor<B x 8 x f32>, but the operands give !rlx.tensor<B x 9 x f32>}}
  %z = mir.concat %x, %y(axis = 1) : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<B x 5 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

func.func @float_indices(%t: !rlx.tensor<8 x f32>, %i: !rlx.tensor<B x f32>) {
  // expected-error@+1 {{indices needs an integer type as element type, found f32}}
  %y = mir.gather %t, %i(oob = error) : (!rlx.tensor<8 x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x f32>
  func.return
}

// -----

func.func @oob(%t: !rlx.tensor<8 x f32>, %i: !rlx.tensor<B x i64>) {
  // expected-error@+1 {{oob is 'wrap'; it must be one of error, clamp, fill}}
  %y = mir.gather %t, %i(oob = wrap) : (!rlx.tensor<8 x f32>, !rlx.tensor<B x i64>) -> !rlx.tensor<B x f32>
  func.return
}
