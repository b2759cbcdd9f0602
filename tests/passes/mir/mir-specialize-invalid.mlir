// RUN: rlx-opt %s -p 'mir-specialize{S=12}' --split-input-file --verify-diagnostics

// expected-error@+1 {{S = 12 is outside of its range [1, 8]}}
func.func @main(%x: !rlx.tensor<S x f32> {rlx.input = "x"}) attributes {rlx.dims = [#rlx.dim<S in [1, 8]>]} {
  func.return
}

// -----

// expected-error@+1 {{S = 12 is not a multiple of 8}}
func.func @main(%x: !rlx.tensor<S x f32> {rlx.input = "x"}) attributes {rlx.dims = [#rlx.dim<S in [8, 64] multiple_of 8>]} {
  func.return
}

// -----

// expected-error@+1 {{S = 12 contradicts S <= 10}}
func.func @main(%x: !rlx.tensor<S x f32> {rlx.input = "x"}) attributes {rlx.constraints = [#rlx.constraint<S <= 10>]} {
  func.return
}

// -----

// The dim that follows has a range too.
// expected-error@+1 {{T = 24 is outside of its range [1, 16]}}
func.func @main(%x: !rlx.tensor<S x f32> {rlx.input = "x"}) attributes {rlx.dims = [#rlx.dim<T in [1, 16]>], rlx.constraints = [#rlx.constraint<S * 2 == T>]} {
  func.return
}

// -----

// expected-error@unknown {{the model has no dim 'S'}}
func.func @main(%x: !rlx.tensor<B x f32> {rlx.input = "x"}) {
  func.return
}
