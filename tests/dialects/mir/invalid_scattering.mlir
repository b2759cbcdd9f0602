// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @policy(%x: !rlx.tensor<9 x 4 x f32>, %i: !rlx.tensor<N x i64>) {
  // expected-error@+1 {{oob is 'fill'; it must be one of error, clamp}}
  %a = mir.take %x, %i(axis = 0, oob = fill) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x i64>) -> !rlx.tensor<N x 4 x f32>
  func.return
}

// -----

func.func @float_indices(%x: !rlx.tensor<9 x 4 x f32>, %i: !rlx.tensor<N x f32>) {
  // expected-error@+1 {{indices needs an integer type as element type, found f32}}
  %a = mir.take %x, %i(axis = 0, oob = error) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x f32>) -> !rlx.tensor<N x 4 x f32>
  func.return
}

// -----

func.func @too_many_indices(%x: !rlx.tensor<9 x 4 x f32>, %i: !rlx.tensor<N x 3 x i64>) {
  // expected-error@+1 {{the last dim of the indices is 1 to 2 for rank 2, found 3}}
  %a = mir.gather_nd %x, %i(oob = error) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x 3 x i64>) -> !rlx.tensor<N x f32>
  func.return
}

// -----

func.func @combine(%x: !rlx.tensor<9 x 4 x f32>, %i: !rlx.tensor<N x i64>, %u: !rlx.tensor<N x 4 x f32>) {
  // expected-error@+1 {{combine is 'mul'; it must be one of add, max, min, set}}
  %a = mir.scatter %x, %i, %u(combine = mul, oob = drop) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x i64>, !rlx.tensor<N x 4 x f32>) -> !rlx.tensor<9 x 4 x f32>
  func.return
}

// -----

func.func @rows(%x: !rlx.tensor<9 x 4 x f32>, %i: !rlx.tensor<N x i64>, %u: !rlx.tensor<N x 5 x f32>) {
  // expected-error@+1 {{x and updates beyond axis 0: shapes [4] and [5] at dim 0: 4 and 5 differ}}
  %a = mir.scatter %x, %i, %u(combine = add, oob = drop) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x i64>, !rlx.tensor<N x 5 x f32>) -> !rlx.tensor<9 x 4 x f32>
  func.return
}

// -----

func.func @lengths(%i: !rlx.tensor<7 x i64>, %u: !rlx.tensor<8 x 4 x f32>) {
  // expected-error@+1 {{indices and updates: 7 and 8 differ}}
  %a = mir.scatter_add %u, %i(rows = 9, oob = error) : (!rlx.tensor<8 x 4 x f32>, !rlx.tensor<7 x i64>) -> !rlx.tensor<9 x 4 x f32>
  func.return
}
