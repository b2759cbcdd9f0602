// RUN: rlx-opt %s -p mir-hoist-parameters --split-input-file | filecheck %s
// RUN: rlx-opt %s -p 'mir-hoist-parameters,mir-hoist-parameters' --split-input-file | filecheck %s

// A chain moves as a whole; what it ends in is a derived parameter; the raw ones are not arguments of @main any more.
// CHECK-LABEL: func.func @main(%x: !rlx.tensor<B x 4 x f32> {rlx.input = "x"}, %t: !rlx.tensor<4 x 3 x f32> {rlx.param = "w.0"}) -> (!rlx.tensor<B x 3 x f32> {rlx.output = "y"}) {
// CHECK-NEXT: %y = mir.matmul %x, %t : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
// CHECK-NEXT: func.return %y : !rlx.tensor<B x 3 x f32>
// CHECK-NEXT: }
// CHECK-LABEL: func.func @prepare(%s: !rlx.tensor<3 x f32> {rlx.param = "s"}, %w: !rlx.tensor<3 x 4 x f32> {rlx.param = "w"}) -> (!rlx.tensor<4 x 3 x f32> {rlx.param = "w.0"}) {
// CHECK-NEXT: %c = mir.constant dense<2.0> : !rlx.tensor<f32>
// CHECK-NEXT: %twos = mir.broadcast %c : (!rlx.tensor<f32>) -> !rlx.tensor<3 x f32>
// CHECK-NEXT: %d = mir.mul %s, %twos : !rlx.tensor<3 x f32>
// CHECK-NEXT: %rows = mir.broadcast %d(axes = [0]) : (!rlx.tensor<3 x f32>) -> !rlx.tensor<3 x 4 x f32>
// CHECK-NEXT: %v = mir.mul %w, %rows : !rlx.tensor<3 x 4 x f32>
// CHECK-NEXT: %t = mir.transpose %v(perm = [1, 0]) : (!rlx.tensor<3 x 4 x f32>) -> !rlx.tensor<4 x 3 x f32>
// CHECK-NEXT: func.return %t : !rlx.tensor<4 x 3 x f32>
// CHECK-NEXT: }
func.func @main(%x: !rlx.tensor<B x 4 x f32> {rlx.input = "x"}, %w: !rlx.tensor<3 x 4 x f32> {rlx.param = "w"}, %s: !rlx.tensor<3 x f32> {rlx.param = "s"}) -> (!rlx.tensor<B x 3 x f32> {rlx.output = "y"}) {
  %c = mir.constant dense<2.0> : !rlx.tensor<f32>
  %twos = mir.broadcast %c : (!rlx.tensor<f32>) -> !rlx.tensor<3 x f32>
  %d = mir.mul %s, %twos : !rlx.tensor<3 x f32>
  %rows = mir.broadcast %d(axes = [0]) : (!rlx.tensor<3 x f32>) -> !rlx.tensor<3 x 4 x f32>
  %v = mir.mul %w, %rows : !rlx.tensor<3 x 4 x f32>
  %t = mir.transpose %v(perm = [1, 0]) : (!rlx.tensor<3 x 4 x f32>) -> !rlx.tensor<4 x 3 x f32>
  %y = mir.matmul %x, %t : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  func.return %y : !rlx.tensor<B x 3 x f32>
}

// -----

// A parameter read on both sides stays an argument of both; two derived ones of one source are told apart.
// CHECK-LABEL: func.func @main(%x: !rlx.tensor<B x 3 x f32> {rlx.input = "x"}, %w: !rlx.tensor<3 x 3 x f32> {rlx.param = "w"}, %t: !rlx.tensor<3 x 3 x f32> {rlx.param = "w.0"}, %e: !rlx.tensor<3 x 3 x f32> {rlx.param = "w.1"}) -> (!rlx.tensor<B x 3 x f32> {rlx.output = "y"}) {
// CHECK-NEXT: %a = mir.matmul %x, %t : (!rlx.tensor<B x 3 x f32>, !rlx.tensor<3 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
// CHECK-NEXT: %b = mir.matmul %a, %w : (!rlx.tensor<B x 3 x f32>, !rlx.tensor<3 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
// CHECK-NEXT: %y = mir.matmul %b, %e : (!rlx.tensor<B x 3 x f32>, !rlx.tensor<3 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
// CHECK-NEXT: func.return %y : !rlx.tensor<B x 3 x f32>
// CHECK-NEXT: }
// CHECK-LABEL: func.func @prepare(%w: !rlx.tensor<3 x 3 x f32> {rlx.param = "w"}) -> (!rlx.tensor<3 x 3 x f32> {rlx.param = "w.0"}, !rlx.tensor<3 x 3 x f32> {rlx.param = "w.1"}) {
// CHECK-NEXT: %t = mir.transpose %w(perm = [1, 0]) : (!rlx.tensor<3 x 3 x f32>) -> !rlx.tensor<3 x 3 x f32>
// CHECK-NEXT: %e = mir.exp %w : !rlx.tensor<3 x 3 x f32>
// CHECK-NEXT: func.return %t, %e : !rlx.tensor<3 x 3 x f32>, !rlx.tensor<3 x 3 x f32>
// CHECK-NEXT: }
func.func @main(%x: !rlx.tensor<B x 3 x f32> {rlx.input = "x"}, %w: !rlx.tensor<3 x 3 x f32> {rlx.param = "w"}) -> (!rlx.tensor<B x 3 x f32> {rlx.output = "y"}) {
  %t = mir.transpose %w(perm = [1, 0]) : (!rlx.tensor<3 x 3 x f32>) -> !rlx.tensor<3 x 3 x f32>
  %e = mir.exp %w : !rlx.tensor<3 x 3 x f32>
  %a = mir.matmul %x, %t : (!rlx.tensor<B x 3 x f32>, !rlx.tensor<3 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  %b = mir.matmul %a, %w : (!rlx.tensor<B x 3 x f32>, !rlx.tensor<3 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  %y = mir.matmul %b, %e : (!rlx.tensor<B x 3 x f32>, !rlx.tensor<3 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  func.return %y : !rlx.tensor<B x 3 x f32>
}

// -----

// Views and repetitions stay; so does what depends on a symbol, and what has no parameter in it.
// CHECK-LABEL: func.func @main(%x: !rlx.tensor<B x 6 x f32> {rlx.input = "x"}, %w: !rlx.tensor<2 x 3 x f32> {rlx.param = "w"}) -> (!rlx.tensor<B x 6 x f32> {rlx.output = "y"}) {
// CHECK-NEXT: %v = mir.reshape %w : (!rlx.tensor<2 x 3 x f32>) -> !rlx.tensor<6 x f32>
// CHECK-NEXT: %r = mir.broadcast %v : (!rlx.tensor<6 x f32>) -> !rlx.tensor<B x 6 x f32>
// CHECK-NEXT: %e = mir.exp %r : !rlx.tensor<B x 6 x f32>
// CHECK-NEXT: %y = mir.add %x, %e : !rlx.tensor<B x 6 x f32>
// CHECK-NEXT: func.return %y : !rlx.tensor<B x 6 x f32>
// CHECK-NEXT: }
func.func @main(%x: !rlx.tensor<B x 6 x f32> {rlx.input = "x"}, %w: !rlx.tensor<2 x 3 x f32> {rlx.param = "w"}) -> (!rlx.tensor<B x 6 x f32> {rlx.output = "y"}) {
  %v = mir.reshape %w : (!rlx.tensor<2 x 3 x f32>) -> !rlx.tensor<6 x f32>
  %r = mir.broadcast %v : (!rlx.tensor<6 x f32>) -> !rlx.tensor<B x 6 x f32>
  %e = mir.exp %r : !rlx.tensor<B x 6 x f32>
  %y = mir.add %x, %e : !rlx.tensor<B x 6 x f32>
  func.return %y : !rlx.tensor<B x 6 x f32>
}

// -----

// A view that both sides read is copied; an unused parameter stays an argument; a derived parameter may be an output.
// CHECK-LABEL: func.func @main(%w: !rlx.tensor<2 x 3 x f32> {rlx.param = "w"}, %u: !rlx.tensor<f32> {rlx.param = "unused"}, %e: !rlx.tensor<6 x f32> {rlx.param = "w.0"}) -> (!rlx.tensor<6 x f32> {rlx.output = "v"}, !rlx.tensor<6 x f32> {rlx.output = "e"}) {
// CHECK-NEXT: %v = mir.reshape %w : (!rlx.tensor<2 x 3 x f32>) -> !rlx.tensor<6 x f32>
// CHECK-NEXT: func.return %v, %e : !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>
// CHECK-NEXT: }
// CHECK-LABEL: func.func @prepare(%w: !rlx.tensor<2 x 3 x f32> {rlx.param = "w"}) -> (!rlx.tensor<6 x f32> {rlx.param = "w.0"}) {
// CHECK-NEXT: %v = mir.reshape %w : (!rlx.tensor<2 x 3 x f32>) -> !rlx.tensor<6 x f32>
// CHECK-NEXT: %e = mir.exp %v : !rlx.tensor<6 x f32>
// CHECK-NEXT: func.return %e : !rlx.tensor<6 x f32>
// CHECK-NEXT: }
func.func @main(%w: !rlx.tensor<2 x 3 x f32> {rlx.param = "w"}, %u: !rlx.tensor<f32> {rlx.param = "unused"}) -> (!rlx.tensor<6 x f32> {rlx.output = "v"}, !rlx.tensor<6 x f32> {rlx.output = "e"}) {
  %v = mir.reshape %w : (!rlx.tensor<2 x 3 x f32>) -> !rlx.tensor<6 x f32>
  %e = mir.exp %v : !rlx.tensor<6 x f32>
  func.return %v, %e : !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>
}

// -----

// There is a @prepare already: the work on its result joins it, and @main takes the new result instead.
// CHECK-LABEL: func.func @main(%x: !rlx.tensor<B x 4 x f32> {rlx.input = "x"}, %e: !rlx.tensor<4 x 3 x f32> {rlx.param = "w.0.0"}) -> (!rlx.tensor<B x 3 x f32> {rlx.output = "y"}) {
// CHECK-NEXT: %y = mir.matmul %x, %e : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
// CHECK-NEXT: func.return %y : !rlx.tensor<B x 3 x f32>
// CHECK-NEXT: }
// CHECK-LABEL: func.func @prepare(%w: !rlx.tensor<3 x 4 x f32> {rlx.param = "w"}) -> (!rlx.tensor<4 x 3 x f32> {rlx.param = "w.0.0"}) {
// CHECK-NEXT: %t = mir.transpose %w(perm = [1, 0]) : (!rlx.tensor<3 x 4 x f32>) -> !rlx.tensor<4 x 3 x f32>
// CHECK-NEXT: %e = mir.exp %t : !rlx.tensor<4 x 3 x f32>
// CHECK-NEXT: func.return %e : !rlx.tensor<4 x 3 x f32>
// CHECK-NEXT: }
func.func @main(%x: !rlx.tensor<B x 4 x f32> {rlx.input = "x"}, %t: !rlx.tensor<4 x 3 x f32> {rlx.param = "w.0"}) -> (!rlx.tensor<B x 3 x f32> {rlx.output = "y"}) {
  %e = mir.exp %t : !rlx.tensor<4 x 3 x f32>
  %y = mir.matmul %x, %e : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  func.return %y : !rlx.tensor<B x 3 x f32>
}
func.func @prepare(%w: !rlx.tensor<3 x 4 x f32> {rlx.param = "w"}) -> (!rlx.tensor<4 x 3 x f32> {rlx.param = "w.0"}) {
  %t = mir.transpose %w(perm = [1, 0]) : (!rlx.tensor<3 x 4 x f32>) -> !rlx.tensor<4 x 3 x f32>
  func.return %t : !rlx.tensor<4 x 3 x f32>
}
