// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @count(%a: !rlx.tensor<B x S x 8 x f32>, %b: !rlx.tensor<8 x B x 5 x f32>) {
  // expected-error@+1 {{lhs and rhs have 1 and 0 contracting axes}}
  %r = mir.dot_general %a, %b(lhs_contracting = [2], rhs_contracting = [], lhs_batch = [], rhs_batch = []) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x B x 5 x f32>) -> !rlx.tensor<B x S x 8 x B x 5 x f32>
  func.return
}

// -----

func.func @axis(%a: !rlx.tensor<B x S x 8 x f32>, %b: !rlx.tensor<8 x B x 5 x f32>) {
  // expected-error@+1 {{axis of lhs 3 is outside of [0, 2], the axes of B x S x 8 x f32}}
  %r = mir.dot_general %a, %b(lhs_contracting = [3], rhs_contracting = [0], lhs_batch = [], rhs_batch = []) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x B x 5 x f32>) -> !rlx.tensor<B x S x B x 5 x f32>
  func.return
}

// -----

func.func @twice(%a: !rlx.tensor<B x S x 8 x f32>, %b: !rlx.tensor<8 x B x 5 x f32>) {
  // expected-error@+1 {{axes [2, 2] of lhs name one twice}}
  %r = mir.dot_general %a, %b(lhs_contracting = [2], rhs_contracting = [0], lhs_batch = [2], rhs_batch = [1]) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x B x 5 x f32>) -> !rlx.tensor<B x S x 5 x f32>
  func.return
}

// -----

func.func @extents(%a: !rlx.tensor<B x S x 8 x f32>, %b: !rlx.tensor<8 x B x 5 x f32>) {
  // expected-error@+1 {{contracting axes 2 of lhs and 2 of rhs: 8 and 5 differ}}
  %r = mir.dot_general %a, %b(lhs_contracting = [2], rhs_contracting = [2], lhs_batch = [], rhs_batch = []) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x B x 5 x f32>) -> !rlx.tensor<B x S x 8 x B x f32>
  func.return
}

// -----

func.func @experts(%x: !rlx.tensor<M x 8 x f32>, %w: !rlx.tensor<4 x 8 x 5 x f32>, %i: !rlx.tensor<3 x i64>) {
  // expected-error@+1 {{rows of x and indices: cannot prove M == 3; if it always holds, state it: b.constrain(M == 3)}}
  %t = mir.grouped_matmul %x, %w, %i : (!rlx.tensor<M x 8 x f32>, !rlx.tensor<4 x 8 x 5 x f32>, !rlx.tensor<3 x i64>) -> !rlx.tensor<M x 5 x f32>
  func.return
}

// -----

func.func @expert_rank(%x: !rlx.tensor<M x 8 x f32>, %w: !rlx.tensor<8 x 5 x f32>, %i: !rlx.tensor<M x i64>) {
  // expected-error@+1 {{w must have rank 3, found 8 x 5 x f32}}
  %t = mir.grouped_matmul %x, %w, %i : (!rlx.tensor<M x 8 x f32>, !rlx.tensor<8 x 5 x f32>, !rlx.tensor<M x i64>) -> !rlx.tensor<M x 5 x f32>
  func.return
}

// -----

func.func @change(%x: !rlx.tensor<M x 8 x f32>, %v: !rlx.tensor<8 x 5 x f32>, %p: !rlx.tensor<8 x 2 x f32>, %q: !rlx.tensor<2 x 4 x f32>) {
  // expected-error@+1 {{x · w and its change: shapes [M, 5] and [M, 4] at dim 1: 5 and 4 differ}}
  %u = mir.lora_matmul %x, %v, %p, %q(scale = 0.5) : (!rlx.tensor<M x 8 x f32>, !rlx.tensor<8 x 5 x f32>, !rlx.tensor<8 x 2 x f32>, !rlx.tensor<2 x 4 x f32>) -> !rlx.tensor<M x 5 x f32>
  func.return
}
