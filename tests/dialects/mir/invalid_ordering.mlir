// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @axis(%x: !rlx.tensor<B x 8 x f32>) {
  // expected-error@+1 {{axis 2 is outside of [0, 1], the axes of B x 8 x f32}}
  %c = mir.cumsum %x(axis = 2) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

func.func @bools(%x: !rlx.tensor<8 x i1>) {
  // expected-error@+1 {{operand needs a float or integer type as element type, found i1}}
  %c = mir.cumsum %x(axis = 0) : (!rlx.tensor<8 x i1>) -> !rlx.tensor<8 x i1>
  func.return
}

// -----

func.func @no_elements(%x: !rlx.tensor<B x 0 x f32>) {
  // expected-error@+1 {{axis 1 has no elements, so none is an extreme}}
  %c = mir.arg_max %x(axis = 1) : (!rlx.tensor<B x 0 x f32>) -> !rlx.tensor<B x i64>
  func.return
}

// -----

func.func @position_type(%x: !rlx.tensor<B x 8 x f32>) {
  // expected-error@+1 {{the result type is !rlx.tensor<B x f32>, but the operands give !rlx.tensor<B x i64>}}
  %c = mir.arg_max %x(axis = 1) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x f32>
  func.return
}

// -----

func.func @sort_axis(%x: !rlx.tensor<B x 8 x f32>) {
  // expected-error@+1 {{axis 5 is outside of [0, 1], the axes of B x 8 x f32}}
  %c, %i = mir.sort %x(axis = 5) : (!rlx.tensor<B x 8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x i64>)
  func.return
}

// -----

func.func @too_many(%x: !rlx.tensor<B x 8 x f32>) {
  // expected-error@+1 {{top_k: k and the elements there are: 9 exceeds 8}}
  %c, %i = mir.top_k %x(k = 9, axis = 1) : (!rlx.tensor<B x 8 x f32>) -> (!rlx.tensor<B x 9 x f32>, !rlx.tensor<B x 9 x i64>)
  func.return
}
