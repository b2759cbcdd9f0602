// RUN: rlx-opt %s -p 'mir-specialize{B=3 S=16}' --split-input-file | filecheck %s

// Types, shapes, positions, values; what is left of a constraint stays; a dim that an argument carries keeps a declaration.
// CHECK-LABEL: func.func @main(%x: !rlx.tensor<3 x 16 x 2 x 4 x f32> {rlx.input = "x"}, %k: !rlx.state<3 x 32 x 2 x 4 x f32> {rlx.state = "k"}, %p: !rlx.tensor<i64> {rlx.dim_input = "P"}) -> (!rlx.tensor<48 x 8 x f32> {rlx.output = "y"}, !rlx.tensor<i64> {rlx.output = "n"}, !rlx.state<3 x 32 x 2 x 4 x f32> {rlx.state = "k"}) attributes {rlx.dims = [#rlx.dim<P in [0, 16] runtime>], rlx.constraints = [#rlx.constraint<P + 16 <= 32>]} {
// CHECK-NEXT: %r = mir.rope %x(layout = bshd, theta = 100.0, n_rot = 4, offset = P + 16) : !rlx.tensor<3 x 16 x 2 x 4 x f32>
// CHECK-NEXT: %k1 = mir.cache_update %k, %r(at = P, axis = 1) : (!rlx.state<3 x 32 x 2 x 4 x f32>, !rlx.tensor<3 x 16 x 2 x 4 x f32>) -> !rlx.state<3 x 32 x 2 x 4 x f32>
// CHECK-NEXT: %o = mir.attention %r, %k1, %k1(layout = bshd, kind = causal, scale = 1.0, past = P, key_extent = P + 16) : (!rlx.tensor<3 x 16 x 2 x 4 x f32>, !rlx.state<3 x 32 x 2 x 4 x f32>, !rlx.state<3 x 32 x 2 x 4 x f32>) -> !rlx.tensor<3 x 16 x 2 x 4 x f32>
// CHECK-NEXT: %y = mir.reshape %o : (!rlx.tensor<3 x 16 x 2 x 4 x f32>) -> !rlx.tensor<48 x 8 x f32>
// CHECK-NEXT: %n = mir.dim_value(expr = P + 48) : !rlx.tensor<i64>
// CHECK-NEXT: func.return %y, %n, %k1 : !rlx.tensor<48 x 8 x f32>, !rlx.tensor<i64>, !rlx.state<3 x 32 x 2 x 4 x f32>
// CHECK-NEXT: }
func.func @main(%x: !rlx.tensor<B x S x 2 x 4 x f32> {rlx.input = "x"}, %k: !rlx.state<B x 32 x 2 x 4 x f32> {rlx.state = "k"}, %p: !rlx.tensor<i64> {rlx.dim_input = "P"}) -> (!rlx.tensor<(B * S) x 8 x f32> {rlx.output = "y"}, !rlx.tensor<i64> {rlx.output = "n"}, !rlx.state<B x 32 x 2 x 4 x f32> {rlx.state = "k"}) attributes {rlx.dims = [#rlx.dim<B in [1, 8]>, #rlx.dim<S in [1, 16] multiple_of 8>, #rlx.dim<P in [0, 16] runtime>], rlx.constraints = [#rlx.constraint<P + S <= 32>, #rlx.constraint<B <= S>]} {
  %r = mir.rope %x(layout = bshd, theta = 100.0, n_rot = 4, offset = P + S) : !rlx.tensor<B x S x 2 x 4 x f32>
  %k1 = mir.cache_update %k, %r(at = P, axis = 1) : (!rlx.state<B x 32 x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>) -> !rlx.state<B x 32 x 2 x 4 x f32>
  %o = mir.attention %r, %k1, %k1(layout = bshd, kind = causal, scale = 1.0, past = P, key_extent = P + S) : (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.state<B x 32 x 2 x 4 x f32>, !rlx.state<B x 32 x 2 x 4 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  %y = mir.reshape %o : (!rlx.tensor<B x S x 2 x 4 x f32>) -> !rlx.tensor<(B * S) x 8 x f32>
  %n = mir.dim_value(expr = B * S + P) : !rlx.tensor<i64>
  func.return %y, %n, %k1 : !rlx.tensor<(B * S) x 8 x f32>, !rlx.tensor<i64>, !rlx.state<B x 32 x 2 x 4 x f32>
}

// -----

// T follows from S; the slice is exact now.
// CHECK-LABEL: func.func @main(%x: !rlx.tensor<3 x 16 x f32> {rlx.input = "x"}, %y: !rlx.tensor<16 x f32> {rlx.input = "y"}) -> (!rlx.tensor<3 x 8 x f32> {rlx.output = "z"}) {
// CHECK-NEXT: %r = mir.broadcast %y : (!rlx.tensor<16 x f32>) -> !rlx.tensor<3 x 16 x f32>
// CHECK-NEXT: %s = mir.add %x, %r : !rlx.tensor<3 x 16 x f32>
// CHECK-NEXT: %z = mir.slice %s(starts = [0, 8], sizes = [3, 8]) : (!rlx.tensor<3 x 16 x f32>) -> !rlx.tensor<3 x 8 x f32>
// CHECK-NEXT: func.return %z : !rlx.tensor<3 x 8 x f32>
// CHECK-NEXT: }
func.func @main(%x: !rlx.tensor<B x S x f32> {rlx.input = "x"}, %y: !rlx.tensor<T x f32> {rlx.input = "y"}) -> (!rlx.tensor<B x (S floordiv 2) x f32> {rlx.output = "z"}) attributes {rlx.dims = [#rlx.dim<T in [1, 64]>], rlx.constraints = [#rlx.constraint<S == T>]} {
  %r = mir.broadcast %y : (!rlx.tensor<T x f32>) -> !rlx.tensor<B x T x f32>
  %s = mir.add %x, %r : (!rlx.tensor<B x S x f32>, !rlx.tensor<B x T x f32>) -> !rlx.tensor<B x S x f32>
  %z = mir.slice %s(starts = [0, S floordiv 2], sizes = [B, S floordiv 2]) : (!rlx.tensor<B x S x f32>) -> !rlx.tensor<B x (S floordiv 2) x f32>
  func.return %z : !rlx.tensor<B x (S floordiv 2) x f32>
}
