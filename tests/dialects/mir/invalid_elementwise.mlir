// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @dims(%x: !rlx.tensor<4 x f32>, %y: !rlx.tensor<8 x f32>) {
  // expected-error@+1 {{lhs and rhs: shapes [4] and [8] at dim 0: 4 and 8 differ}}
  %z = mir.add %x, %y : (!rlx.tensor<4 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<4 x f32>
  func.return
}

// -----

func.func @symbols(%x: !rlx.tensor<S x f32>, %y: !rlx.tensor<T x f32>) {
  // expected-error@+1 {{lhs and rhs: shapes [S] and [T] at dim 0: cannot prove S == T; if it always holds, state it: b.constrain(S == T)}}
  %z = mir.add %x, %y : (!rlx.tensor<S x f32>, !rlx.tensor<T x f32>) -> !rlx.tensor<S x f32>
  func.return
}

// -----

func.func @dtype(%x: !rlx.tensor<4 x f32>, %y: !rlx.tensor<4 x f16>) {
  // expected-error@+1 {{lhs and rhs: element types f32 and f16 differ; insert a mir.cast}}
  %z = mir.lt %x, %y : (!rlx.tensor<4 x f32>, !rlx.tensor<4 x f16>) -> !rlx.tensor<4 x i1>
  func.return
}

// -----

func.func @result(%x: !rlx.tensor<4 x f32>) {
  // expected-error@+1 {{the result type is !rlx.tensor<4 x f32>, but the operands give !rlx.tensor<4 x i1>}}
  %z = mir.lt %x, %x : (!rlx.tensor<4 x f32>, !rlx.tensor<4 x f32>) -> !rlx.tensor<4 x f32>
  func.return
}

// -----

func.func @integers_have_no_exp(%x: !rlx.tensor<4 x i32>) {
  // expected-error@+1 {{operand needs a float type as element type, found i32}}
  %z = mir.exp %x : !rlx.tensor<4 x i32>
  func.return
}

// -----

func.func @unsigned_has_no_neg(%x: !rlx.tensor<4 x ui8>) {
  // expected-error@+1 {{operand needs a float or signed integer type as element type, found ui8}}
  %z = mir.neg %x : !rlx.tensor<4 x ui8>
  func.return
}

// -----

func.func @bool_has_no_sum(%x: !rlx.tensor<4 x i1>) {
  // expected-error@+1 {{operand needs a float or integer type as element type, found i1}}
  %z = mir.add %x, %x : !rlx.tensor<4 x i1>
  func.return
}

// -----

func.func @condition(%x: !rlx.tensor<4 x f32>, %c: !rlx.tensor<1 x i1>) {
  // expected-error@+1 {{condition and lhs: shapes [1] and [4] at dim 0: 1 and 4 differ}}
  %z = mir.select %c, %x, %x : (!rlx.tensor<1 x i1>, !rlx.tensor<4 x f32>, !rlx.tensor<4 x f32>) -> !rlx.tensor<4 x f32>
  func.return
}

// -----

func.func @cast_keeps_the_shape(%x: !rlx.tensor<4 x f32>) {
  // expected-error@+1 {{the result type is !rlx.tensor<8 x i1>, but the operands give !rlx.tensor<4 x i1>}}
  %z = mir.cast %x : (!rlx.tensor<4 x f32>) -> !rlx.tensor<8 x i1>
  func.return
}
