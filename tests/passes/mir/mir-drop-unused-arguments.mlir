// RUN: rlx-opt %s -p mir-drop-unused-arguments --split-input-file | filecheck %s

// Unused inputs and parameters go; a state stays.
// CHECK-LABEL: func.func @main(%x: !rlx.tensor<B x 4 x f32> {rlx.input = "x"}, %k: !rlx.state<4 x f32> {rlx.state = "k"}) -> (!rlx.tensor<B x 4 x f32> {rlx.output = "y"}) {
// CHECK-NEXT: %y = mir.exp %x : !rlx.tensor<B x 4 x f32>
// CHECK-NEXT: func.return %y : !rlx.tensor<B x 4 x f32>
// CHECK-NEXT: }
func.func @main(%x: !rlx.tensor<B x 4 x f32> {rlx.input = "x"}, %z: !rlx.tensor<B x f32> {rlx.input = "z"}, %w: !rlx.tensor<4 x f32> {rlx.param = "w"}, %k: !rlx.state<4 x f32> {rlx.state = "k"}) -> (!rlx.tensor<B x 4 x f32> {rlx.output = "y"}) {
  %y = mir.exp %x : !rlx.tensor<B x 4 x f32>
  func.return %y : !rlx.tensor<B x 4 x f32>
}

// -----

// Nothing else tells S: the mask stays. P is named by the rotation, Q by nothing.
// CHECK-LABEL: func.func @main(%x: !rlx.tensor<1 x 8 x 2 x 4 x f32> {rlx.input = "x"}, %m: !rlx.tensor<S x i1> {rlx.input = "m"}, %p: !rlx.tensor<i64> {rlx.dim_input = "P"}) -> (!rlx.tensor<1 x 8 x 2 x 4 x f32> {rlx.output = "y"}) attributes {rlx.dims = [#rlx.dim<P in [0, 8]>]} {
// CHECK-NEXT: %y = mir.rope %x(layout = bshd, theta = 100.0, n_rot = 4, offset = P) : !rlx.tensor<1 x 8 x 2 x 4 x f32>
// CHECK-NEXT: func.return %y : !rlx.tensor<1 x 8 x 2 x 4 x f32>
// CHECK-NEXT: }
func.func @main(%x: !rlx.tensor<1 x 8 x 2 x 4 x f32> {rlx.input = "x"}, %m: !rlx.tensor<S x i1> {rlx.input = "m"}, %p: !rlx.tensor<i64> {rlx.dim_input = "P"}, %q: !rlx.tensor<i64> {rlx.dim_input = "Q"}) -> (!rlx.tensor<1 x 8 x 2 x 4 x f32> {rlx.output = "y"}) attributes {rlx.dims = [#rlx.dim<P in [0, 8]>]} {
  %y = mir.rope %x(layout = bshd, theta = 100.0, n_rot = 4, offset = P) : !rlx.tensor<1 x 8 x 2 x 4 x f32>
  func.return %y : !rlx.tensor<1 x 8 x 2 x 4 x f32>
}

// -----

// What @main does not take, @prepare does not make; and then it does not take what that came from.
// CHECK-LABEL: func.func @main(%x: !rlx.tensor<4 x f32> {rlx.input = "x"}, %a: !rlx.tensor<4 x f32> {rlx.param = "a.0"}) -> (!rlx.tensor<4 x f32> {rlx.output = "y"}) {
// CHECK-NEXT: %y = mir.mul %x, %a : !rlx.tensor<4 x f32>
// CHECK-NEXT: func.return %y : !rlx.tensor<4 x f32>
// CHECK-NEXT: }
// CHECK-LABEL: func.func @prepare(%a: !rlx.tensor<4 x f32> {rlx.param = "a"}) -> (!rlx.tensor<4 x f32> {rlx.param = "a.0"}) {
// CHECK-NEXT: %c = mir.exp %a : !rlx.tensor<4 x f32>
// CHECK-NEXT: func.return %c : !rlx.tensor<4 x f32>
// CHECK-NEXT: }
func.func @main(%x: !rlx.tensor<4 x f32> {rlx.input = "x"}, %a: !rlx.tensor<4 x f32> {rlx.param = "a.0"}, %b: !rlx.tensor<4 x f32> {rlx.param = "b.0"}) -> (!rlx.tensor<4 x f32> {rlx.output = "y"}) {
  %y = mir.mul %x, %a : !rlx.tensor<4 x f32>
  func.return %y : !rlx.tensor<4 x f32>
}
func.func @prepare(%a: !rlx.tensor<4 x f32> {rlx.param = "a"}, %b: !rlx.tensor<4 x f32> {rlx.param = "b"}) -> (!rlx.tensor<4 x f32> {rlx.param = "a.0"}, !rlx.tensor<4 x f32> {rlx.param = "b.0"}) {
  %c = mir.exp %a : !rlx.tensor<4 x f32>
  %d = mir.exp %b : !rlx.tensor<4 x f32>
  func.return %c, %d : !rlx.tensor<4 x f32>, !rlx.tensor<4 x f32>
}
