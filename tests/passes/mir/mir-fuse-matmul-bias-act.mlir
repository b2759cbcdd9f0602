// RUN: rlx-opt %s -p mir-fuse-matmul-bias-act --split-input-file | filecheck %s

// The whole chain; the add's operands may come in either order.
// CHECK-LABEL: func.func @all
func.func @all(%x: !rlx.tensor<B x 4 x f32>, %w: !rlx.tensor<4 x 3 x f32>, %b: !rlx.tensor<3 x f32>, %r: !rlx.tensor<B x 3 x f32>) -> !rlx.tensor<B x 3 x f32> {
  // CHECK-NEXT: %[[Y:.*]] = mir.matmul_bias_act %x, %w, bias %b, residual %r(activation = silu) : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>, !rlx.tensor<3 x f32>, !rlx.tensor<B x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: func.return %[[Y]]
  %p = mir.matmul %x, %w : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  %rows = mir.broadcast %b : (!rlx.tensor<3 x f32>) -> !rlx.tensor<B x 3 x f32>
  %s = mir.add %rows, %p : !rlx.tensor<B x 3 x f32>
  %t = mir.add %s, %r : !rlx.tensor<B x 3 x f32>
  %y = mir.silu %t : !rlx.tensor<B x 3 x f32>
  func.return %y : !rlx.tensor<B x 3 x f32>
}

// -----

// Parts of the chain; a bias that is made after the product.
// CHECK-LABEL: func.func @parts
func.func @parts(%x: !rlx.tensor<B x 4 x f32>, %w: !rlx.tensor<4 x 3 x f32>, %b: !rlx.tensor<3 x f32>, %r: !rlx.tensor<B x 3 x f32>) -> (!rlx.tensor<B x 3 x f32>, !rlx.tensor<B x 3 x f32>, !rlx.tensor<B x 3 x f32>) {
  // CHECK-NEXT: %[[C:.*]] = mir.exp %b
  // CHECK-NEXT: %[[A:.*]] = mir.matmul_bias_act %x, %w, bias %[[C]](activation = none)
  // CHECK-NEXT: %[[D:.*]] = mir.matmul_bias_act %x, %w(activation = relu)
  // CHECK-NEXT: %[[E:.*]] = mir.matmul_bias_act %x, %w, residual %r(activation = none)
  // CHECK-NEXT: func.return %[[A]], %[[D]], %[[E]]
  %p = mir.matmul %x, %w : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  %c = mir.exp %b : !rlx.tensor<3 x f32>
  %rows = mir.broadcast %c : (!rlx.tensor<3 x f32>) -> !rlx.tensor<B x 3 x f32>
  %a = mir.add %p, %rows : !rlx.tensor<B x 3 x f32>
  %q = mir.matmul %x, %w : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  %d = mir.relu %q : !rlx.tensor<B x 3 x f32>
  %s = mir.matmul %x, %w : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  %e = mir.add %s, %r : !rlx.tensor<B x 3 x f32>
  func.return %a, %d, %e : !rlx.tensor<B x 3 x f32>, !rlx.tensor<B x 3 x f32>, !rlx.tensor<B x 3 x f32>
}

// -----

// The product, or the sum, is an output itself: the chain ends there.
// CHECK-LABEL: func.func @outputs
func.func @outputs(%x: !rlx.tensor<B x 4 x f32>, %w: !rlx.tensor<4 x 3 x f32>, %b: !rlx.tensor<3 x f32>) -> (!rlx.tensor<B x 3 x f32>, !rlx.tensor<B x 3 x f32>, !rlx.tensor<B x 3 x f32>, !rlx.tensor<B x 3 x f32>) {
  // CHECK-NEXT: %[[P:.*]] = mir.matmul %x, %w
  // CHECK-NEXT: %[[R:.*]] = mir.broadcast %b
  // CHECK-NEXT: %[[A:.*]] = mir.add %[[P]], %[[R]]
  // CHECK-NEXT: %[[S:.*]] = mir.matmul_bias_act %x, %w, bias %b(activation = none)
  // CHECK-NEXT: %[[G:.*]] = mir.gelu %[[S]]
  // CHECK-NEXT: func.return %[[P]], %[[A]], %[[S]], %[[G]]
  %p = mir.matmul %x, %w : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  %rows = mir.broadcast %b : (!rlx.tensor<3 x f32>) -> !rlx.tensor<B x 3 x f32>
  %a = mir.add %p, %rows : !rlx.tensor<B x 3 x f32>
  %q = mir.matmul %x, %w : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  %s = mir.add %q, %rows : !rlx.tensor<B x 3 x f32>
  %g = mir.gelu %s : !rlx.tensor<B x 3 x f32>
  func.return %p, %a, %s, %g : !rlx.tensor<B x 3 x f32>, !rlx.tensor<B x 3 x f32>, !rlx.tensor<B x 3 x f32>, !rlx.tensor<B x 3 x f32>
}

// -----

// Not a bias: a scalar, a [1], a column.
// CHECK-LABEL: func.func @not_a_bias
func.func @not_a_bias(%x: !rlx.tensor<3 x 4 x f32>, %w: !rlx.tensor<4 x 3 x f32>, %s: !rlx.tensor<f32>, %o: !rlx.tensor<1 x f32>, %c: !rlx.tensor<3 x f32>) -> (!rlx.tensor<3 x 3 x f32>, !rlx.tensor<3 x 3 x f32>, !rlx.tensor<3 x 3 x f32>) {
  // CHECK-NEXT: %[[P:.*]] = mir.broadcast %s
  // CHECK-NEXT: %[[A:.*]] = mir.matmul_bias_act %x, %w, residual %[[P]](activation = none)
  // CHECK-NEXT: %[[Q:.*]] = mir.broadcast %o
  // CHECK-NEXT: %[[B:.*]] = mir.matmul_bias_act %x, %w, residual %[[Q]](activation = none)
  // CHECK-NEXT: %[[R:.*]] = mir.broadcast %c(axes = [0])
  // CHECK-NEXT: %[[C:.*]] = mir.matmul_bias_act %x, %w, residual %[[R]](activation = none)
  // CHECK-NEXT: func.return %[[A]], %[[B]], %[[C]]
  %p = mir.matmul %x, %w : (!rlx.tensor<3 x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<3 x 3 x f32>
  %p1 = mir.broadcast %s : (!rlx.tensor<f32>) -> !rlx.tensor<3 x 3 x f32>
  %a = mir.add %p, %p1 : !rlx.tensor<3 x 3 x f32>
  %q = mir.matmul %x, %w : (!rlx.tensor<3 x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<3 x 3 x f32>
  %q1 = mir.broadcast %o : (!rlx.tensor<1 x f32>) -> !rlx.tensor<3 x 3 x f32>
  %b = mir.add %q, %q1 : !rlx.tensor<3 x 3 x f32>
  %r = mir.matmul %x, %w : (!rlx.tensor<3 x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<3 x 3 x f32>
  %r1 = mir.broadcast %c(axes = [0]) : (!rlx.tensor<3 x f32>) -> !rlx.tensor<3 x 3 x f32>
  %d = mir.add %r, %r1 : !rlx.tensor<3 x 3 x f32>
  func.return %a, %b, %d : !rlx.tensor<3 x 3 x f32>, !rlx.tensor<3 x 3 x f32>, !rlx.tensor<3 x 3 x f32>
}

// -----

// A bias after the residual would change the order of the sums; what follows an activation stays outside.
// CHECK-LABEL: func.func @order
func.func @order(%x: !rlx.tensor<B x 4 x f32>, %w: !rlx.tensor<4 x 3 x f32>, %b: !rlx.tensor<3 x f32>, %r: !rlx.tensor<B x 3 x f32>) -> !rlx.tensor<B x 3 x f32> {
  // CHECK-NEXT: %[[S:.*]] = mir.matmul_bias_act %x, %w, residual %r(activation = none)
  // CHECK-NEXT: %[[R:.*]] = mir.broadcast %b
  // CHECK-NEXT: %[[T:.*]] = mir.add %[[S]], %[[R]]
  // CHECK-NEXT: %[[U:.*]] = mir.exp %[[T]]
  // CHECK-NEXT: func.return %[[U]]
  %p = mir.matmul %x, %w : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  %s = mir.add %p, %r : !rlx.tensor<B x 3 x f32>
  %rows = mir.broadcast %b : (!rlx.tensor<3 x f32>) -> !rlx.tensor<B x 3 x f32>
  %t = mir.add %s, %rows : !rlx.tensor<B x 3 x f32>
  %u = mir.exp %t : !rlx.tensor<B x 3 x f32>
  func.return %u : !rlx.tensor<B x 3 x f32>
}

// -----

// The product doubled, an op that is no epilogue, integers.
// CHECK-LABEL: func.func @no_epilogue
func.func @no_epilogue(%x: !rlx.tensor<B x 4 x f32>, %w: !rlx.tensor<4 x 3 x f32>, %i: !rlx.tensor<3 x 3 x i32>) -> (!rlx.tensor<B x 3 x f32>, !rlx.tensor<3 x 3 x i32>) {
  // CHECK-NEXT: %[[P:.*]] = mir.matmul %x, %w
  // CHECK-NEXT: %[[A:.*]] = mir.add %[[P]], %[[P]]
  // CHECK-NEXT: %[[Q:.*]] = mir.matmul %i, %i
  // CHECK-NEXT: %[[B:.*]] = mir.add %[[Q]], %i
  // CHECK-NEXT: func.return %[[A]], %[[B]]
  %p = mir.matmul %x, %w : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x 3 x f32>) -> !rlx.tensor<B x 3 x f32>
  %a = mir.add %p, %p : !rlx.tensor<B x 3 x f32>
  %q = mir.matmul %i, %i : (!rlx.tensor<3 x 3 x i32>, !rlx.tensor<3 x 3 x i32>) -> !rlx.tensor<3 x 3 x i32>
  %b = mir.add %q, %i : !rlx.tensor<3 x 3 x i32>
  func.return %a, %b : !rlx.tensor<B x 3 x f32>, !rlx.tensor<3 x 3 x i32>
}
