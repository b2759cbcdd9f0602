// RUN: rlx-opt %s -p mir-canonicalize --split-input-file | filecheck %s

// Constants fold through the semantics, to the last bit.
// CHECK-LABEL: func.func @fold
func.func @fold() -> (!rlx.tensor<2 x f32>, !rlx.tensor<2 x i8>, !rlx.tensor<i64>) {
  // CHECK-NEXT: %[[A:.*]] = mir.constant dense<[1.5, 4.0]> : !rlx.tensor<2 x f32>
  // CHECK-NEXT: %[[B:.*]] = mir.constant dense<[1, -127]> : !rlx.tensor<2 x i8>
  // CHECK-NEXT: %[[C:.*]] = mir.constant dense<12> : !rlx.tensor<i64>
  // CHECK-NEXT: func.return %[[A]], %[[B]], %[[C]]
  %x = mir.constant dense<[0.5, 2.0]> : !rlx.tensor<2 x f32>
  %y = mir.constant dense<[1.0, 2.0]> : !rlx.tensor<2 x f32>
  %a = mir.add %x, %y : !rlx.tensor<2 x f32>
  %i = mir.constant dense<[1, 129]> : !rlx.tensor<2 x i32>
  %b = mir.cast %i : (!rlx.tensor<2 x i32>) -> !rlx.tensor<2 x i8>
  %c = mir.dim_value(expr = 12) : !rlx.tensor<i64>
  func.return %a, %b, %c : !rlx.tensor<2 x f32>, !rlx.tensor<2 x i8>, !rlx.tensor<i64>
}

// -----

// A value of dims is not known yet; a broadcast of a constant stays one.
// CHECK-LABEL: func.func @stay
func.func @stay() -> (!rlx.tensor<i64>, !rlx.tensor<4 x f32>) {
  // CHECK-NEXT: %[[A:.*]] = mir.dim_value(expr = B * 2) : !rlx.tensor<i64>
  // CHECK-NEXT: %[[B:.*]] = mir.constant dense<0.5> : !rlx.tensor<f32>
  // CHECK-NEXT: %[[C:.*]] = mir.broadcast %[[B]] : (!rlx.tensor<f32>) -> !rlx.tensor<4 x f32>
  // CHECK-NEXT: func.return %[[A]], %[[C]]
  %a = mir.dim_value(expr = B * 2) : !rlx.tensor<i64>
  %b = mir.constant dense<0.5> : !rlx.tensor<f32>
  %c = mir.broadcast %b : (!rlx.tensor<f32>) -> !rlx.tensor<4 x f32>
  func.return %a, %c : !rlx.tensor<i64>, !rlx.tensor<4 x f32>
}

// -----

// An index out of range is an error when the model runs, so it is not folded.
// CHECK-LABEL: func.func @fault_stays
func.func @fault_stays() -> !rlx.tensor<f32> {
  // CHECK-NEXT: %[[T:.*]] = mir.constant dense<[0.5, 2.0]> : !rlx.tensor<2 x f32>
  // CHECK-NEXT: %[[I:.*]] = mir.constant dense<5> : !rlx.tensor<i64>
  // CHECK-NEXT: %[[Y:.*]] = mir.gather %[[T]], %[[I]](oob = error)
  // CHECK-NEXT: func.return %[[Y]]
  %t = mir.constant dense<[0.5, 2.0]> : !rlx.tensor<2 x f32>
  %i = mir.constant dense<5> : !rlx.tensor<i64>
  %y = mir.gather %t, %i(oob = error) : (!rlx.tensor<2 x f32>, !rlx.tensor<i64>) -> !rlx.tensor<f32>
  func.return %y : !rlx.tensor<f32>
}

// -----

// Arithmetic on repeated numbers happens once, on the numbers.
// CHECK-LABEL: func.func @scalars
func.func @scalars(%s: !rlx.tensor<f32>) -> !rlx.tensor<B x 3 x f32> {
  // CHECK-NEXT: %[[C:.*]] = mir.constant dense<2.0> : !rlx.tensor<f32>
  // CHECK-NEXT: %[[M:.*]] = mir.mul %s, %[[C]] : !rlx.tensor<f32>
  // CHECK-NEXT: %[[Y:.*]] = mir.broadcast %[[M]] : (!rlx.tensor<f32>) -> !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: func.return %[[Y]]
  %a = mir.broadcast %s : (!rlx.tensor<f32>) -> !rlx.tensor<B x 3 x f32>
  %one = mir.constant dense<4.0> : !rlx.tensor<f32>
  %half = mir.sqrt %one : !rlx.tensor<f32>
  %b = mir.broadcast %half : (!rlx.tensor<f32>) -> !rlx.tensor<B x 3 x f32>
  %y = mir.mul %a, %b : !rlx.tensor<B x 3 x f32>
  func.return %y : !rlx.tensor<B x 3 x f32>
}

// -----

// Neutral elements.
// CHECK-LABEL: func.func @neutral
func.func @neutral(%x: !rlx.tensor<B x f32>, %i: !rlx.tensor<B x i32>, %p: !rlx.tensor<B x i1>) -> (!rlx.tensor<B x f32>, !rlx.tensor<B x i32>, !rlx.tensor<B x i1>) {
  // CHECK-NEXT: func.return %x, %i, %p
  %c1 = mir.constant dense<1.0> : !rlx.tensor<f32>
  %c0 = mir.constant dense<0.0> : !rlx.tensor<f32>
  %cm = mir.constant dense<-0.0> : !rlx.tensor<f32>
  %ones = mir.broadcast %c1 : (!rlx.tensor<f32>) -> !rlx.tensor<B x f32>
  %zeros = mir.broadcast %c0 : (!rlx.tensor<f32>) -> !rlx.tensor<B x f32>
  %minus = mir.broadcast %cm : (!rlx.tensor<f32>) -> !rlx.tensor<B x f32>
  %a = mir.mul %ones, %x : !rlx.tensor<B x f32>
  %b = mir.div %a, %ones : !rlx.tensor<B x f32>
  %c = mir.sub %b, %zeros : !rlx.tensor<B x f32>
  %d = mir.add %c, %minus : !rlx.tensor<B x f32>
  %e = mir.pow %d, %ones : !rlx.tensor<B x f32>
  %f = mir.neg %e : !rlx.tensor<B x f32>
  %g = mir.neg %f : !rlx.tensor<B x f32>
  %i0 = mir.constant dense<0> : !rlx.tensor<i32>
  %izeros = mir.broadcast %i0 : (!rlx.tensor<i32>) -> !rlx.tensor<B x i32>
  %j = mir.add %izeros, %i : !rlx.tensor<B x i32>
  %t = mir.constant dense<true> : !rlx.tensor<i1>
  %true = mir.broadcast %t : (!rlx.tensor<i1>) -> !rlx.tensor<B x i1>
  %q = mir.and %p, %true : !rlx.tensor<B x i1>
  %s = mir.select %true, %q, %p : (!rlx.tensor<B x i1>, !rlx.tensor<B x i1>, !rlx.tensor<B x i1>) -> !rlx.tensor<B x i1>
  func.return %g, %j, %s : !rlx.tensor<B x f32>, !rlx.tensor<B x i32>, !rlx.tensor<B x i1>
}

// -----

// -0 + 0 is 0 and 0 - x is not x: both stay.
// CHECK-LABEL: func.func @not_neutral
func.func @not_neutral(%x: !rlx.tensor<B x f32>) -> (!rlx.tensor<B x f32>, !rlx.tensor<B x f32>) {
  // CHECK-NEXT: %[[C:.*]] = mir.constant dense<0.0> : !rlx.tensor<f32>
  // CHECK-NEXT: %[[Z:.*]] = mir.broadcast %[[C]] : (!rlx.tensor<f32>) -> !rlx.tensor<B x f32>
  // CHECK-NEXT: %[[A:.*]] = mir.add %x, %[[Z]] : !rlx.tensor<B x f32>
  // CHECK-NEXT: %[[B:.*]] = mir.sub %[[Z]], %x : !rlx.tensor<B x f32>
  // CHECK-NEXT: func.return %[[A]], %[[B]]
  %c0 = mir.constant dense<0.0> : !rlx.tensor<f32>
  %zeros = mir.broadcast %c0 : (!rlx.tensor<f32>) -> !rlx.tensor<B x f32>
  %a = mir.add %x, %zeros : !rlx.tensor<B x f32>
  %b = mir.sub %zeros, %x : !rlx.tensor<B x f32>
  func.return %a, %b : !rlx.tensor<B x f32>, !rlx.tensor<B x f32>
}

// -----

// A square is a product.
// CHECK-LABEL: func.func @square
func.func @square(%x: !rlx.tensor<4 x f32>) -> !rlx.tensor<4 x f32> {
  // CHECK-NEXT: %[[Y:.*]] = mir.mul %x, %x : !rlx.tensor<4 x f32>
  // CHECK-NEXT: func.return %[[Y]]
  %two = mir.constant dense<2.0> : !rlx.tensor<4 x f32>
  %y = mir.pow %x, %two : !rlx.tensor<4 x f32>
  func.return %y : !rlx.tensor<4 x f32>
}

// -----

// There and back, through a type that holds every value.
// CHECK-LABEL: func.func @casts
func.func @casts(%x: !rlx.tensor<B x bf16>, %i: !rlx.tensor<B x i8>) -> (!rlx.tensor<B x bf16>, !rlx.tensor<B x f16>, !rlx.tensor<B x f32>) {
  // CHECK-NEXT: %[[A:.*]] = mir.cast %x : (!rlx.tensor<B x bf16>) -> !rlx.tensor<B x f16>
  // CHECK-NEXT: %[[B:.*]] = mir.cast %i : (!rlx.tensor<B x i8>) -> !rlx.tensor<B x f32>
  // CHECK-NEXT: func.return %x, %[[A]], %[[B]]
  %w = mir.cast %x : (!rlx.tensor<B x bf16>) -> !rlx.tensor<B x f32>
  %same = mir.cast %w : (!rlx.tensor<B x f32>) -> !rlx.tensor<B x bf16>
  %a = mir.cast %w : (!rlx.tensor<B x f32>) -> !rlx.tensor<B x f16>
  %j = mir.cast %i : (!rlx.tensor<B x i8>) -> !rlx.tensor<B x i32>
  %b = mir.cast %j : (!rlx.tensor<B x i32>) -> !rlx.tensor<B x f32>
  func.return %same, %a, %b : !rlx.tensor<B x bf16>, !rlx.tensor<B x f16>, !rlx.tensor<B x f32>
}

// -----

// Rounding in between, and saturation instead of wrapping, are kept.
// CHECK-LABEL: func.func @casts_that_lose
func.func @casts_that_lose(%x: !rlx.tensor<B x f32>, %i: !rlx.tensor<B x i16>) -> (!rlx.tensor<B x f32>, !rlx.tensor<B x i8>) {
  // CHECK-NEXT: %[[A:.*]] = mir.cast %x : (!rlx.tensor<B x f32>) -> !rlx.tensor<B x bf16>
  // CHECK-NEXT: %[[B:.*]] = mir.cast %[[A]] : (!rlx.tensor<B x bf16>) -> !rlx.tensor<B x f32>
  // CHECK-NEXT: %[[C:.*]] = mir.cast %i : (!rlx.tensor<B x i16>) -> !rlx.tensor<B x f32>
  // CHECK-NEXT: %[[D:.*]] = mir.cast %[[C]] : (!rlx.tensor<B x f32>) -> !rlx.tensor<B x i8>
  // CHECK-NEXT: func.return %[[B]], %[[D]]
  %a = mir.cast %x : (!rlx.tensor<B x f32>) -> !rlx.tensor<B x bf16>
  %b = mir.cast %a : (!rlx.tensor<B x bf16>) -> !rlx.tensor<B x f32>
  %c = mir.cast %i : (!rlx.tensor<B x i16>) -> !rlx.tensor<B x f32>
  %d = mir.cast %c : (!rlx.tensor<B x f32>) -> !rlx.tensor<B x i8>
  func.return %b, %d : !rlx.tensor<B x f32>, !rlx.tensor<B x i8>
}

// -----

// Shape ops compose and vanish.
// CHECK-LABEL: func.func @shapes
func.func @shapes(%x: !rlx.tensor<B x 1 x 3 x f32>) -> (!rlx.tensor<B x 1 x 3 x f32>, !rlx.tensor<B x 1 x 3 x f32>, !rlx.tensor<1 x B x 3 x f32>) {
  // CHECK-NEXT: %[[A:.*]] = mir.reshape %x : (!rlx.tensor<B x 1 x 3 x f32>) -> !rlx.tensor<1 x B x 3 x f32>
  // CHECK-NEXT: func.return %x, %x, %[[A]]
  %a = mir.reshape %x : (!rlx.tensor<B x 1 x 3 x f32>) -> !rlx.tensor<(B * 3) x f32>
  %b = mir.reshape %a : (!rlx.tensor<(B * 3) x f32>) -> !rlx.tensor<B x 1 x 3 x f32>
  %c = mir.transpose %x(perm = [2, 0, 1]) : (!rlx.tensor<B x 1 x 3 x f32>) -> !rlx.tensor<3 x B x 1 x f32>
  %d = mir.transpose %c(perm = [1, 2, 0]) : (!rlx.tensor<3 x B x 1 x f32>) -> !rlx.tensor<B x 1 x 3 x f32>
  %e = mir.transpose %x(perm = [1, 0, 2]) : (!rlx.tensor<B x 1 x 3 x f32>) -> !rlx.tensor<1 x B x 3 x f32>
  func.return %b, %d, %e : !rlx.tensor<B x 1 x 3 x f32>, !rlx.tensor<B x 1 x 3 x f32>, !rlx.tensor<1 x B x 3 x f32>
}

// -----

// Broadcasts compose; axes of length 1 that a reshape adds are part of the broadcast.
// CHECK-LABEL: func.func @broadcasts
func.func @broadcasts(%x: !rlx.tensor<S x f32>) -> (!rlx.tensor<B x S x 4 x f32>, !rlx.tensor<B x S x 4 x f32>) {
  // CHECK-NEXT: %[[A:.*]] = mir.broadcast %x(axes = [1]) : (!rlx.tensor<S x f32>) -> !rlx.tensor<B x S x 4 x f32>
  // CHECK-NEXT: %[[B:.*]] = mir.broadcast %x(axes = [1]) : (!rlx.tensor<S x f32>) -> !rlx.tensor<B x S x 4 x f32>
  // CHECK-NEXT: func.return %[[A]], %[[B]]
  %a = mir.broadcast %x(axes = [0]) : (!rlx.tensor<S x f32>) -> !rlx.tensor<S x 4 x f32>
  %b = mir.broadcast %a : (!rlx.tensor<S x 4 x f32>) -> !rlx.tensor<B x S x 4 x f32>
  %c = mir.reshape %x : (!rlx.tensor<S x f32>) -> !rlx.tensor<1 x S x 1 x f32>
  %d = mir.broadcast %c : (!rlx.tensor<1 x S x 1 x f32>) -> !rlx.tensor<B x S x 4 x f32>
  func.return %b, %d : !rlx.tensor<B x S x 4 x f32>, !rlx.tensor<B x S x 4 x f32>
}

// -----

// Slices compose where the second is known to stay inside the first; a concat in a concat is one.
// CHECK-LABEL: func.func @slices
func.func @slices(%x: !rlx.tensor<17 x f32>, %y: !rlx.tensor<N x f32>) -> (!rlx.tensor<2 x f32>, !rlx.tensor<4 x f32>, !rlx.tensor<(N * 2 + 17) x f32>, !rlx.tensor<N x f32>) {
  // CHECK-NEXT: %[[A:.*]] = mir.slice %x(starts = [5], sizes = [2], strides = [6]) : (!rlx.tensor<17 x f32>) -> !rlx.tensor<2 x f32>
  // CHECK-NEXT: %[[B:.*]] = mir.slice %y(starts = [0], sizes = [P + 3]) : (!rlx.tensor<N x f32>) -> !rlx.tensor<(P + 3) x f32>
  // CHECK-NEXT: %[[C:.*]] = mir.slice %[[B]](starts = [0], sizes = [4]) : (!rlx.tensor<(P + 3) x f32>) -> !rlx.tensor<4 x f32>
  // CHECK-NEXT: %[[D:.*]] = mir.concat %y, %x, %y(axis = 0) : (!rlx.tensor<N x f32>, !rlx.tensor<17 x f32>, !rlx.tensor<N x f32>) -> !rlx.tensor<(N * 2 + 17) x f32>
  // CHECK-NEXT: func.return %[[A]], %[[C]], %[[D]], %y
  %a = mir.slice %x(starts = [1], sizes = [8], strides = [2]) : (!rlx.tensor<17 x f32>) -> !rlx.tensor<8 x f32>
  %b = mir.slice %a(starts = [2], sizes = [2], strides = [3]) : (!rlx.tensor<8 x f32>) -> !rlx.tensor<2 x f32>
  %c = mir.slice %y(starts = [0], sizes = [P + 3]) : (!rlx.tensor<N x f32>) -> !rlx.tensor<(P + 3) x f32>
  %d = mir.slice %c(starts = [0], sizes = [4]) : (!rlx.tensor<(P + 3) x f32>) -> !rlx.tensor<4 x f32>
  %e = mir.concat %x, %y(axis = 0) : (!rlx.tensor<17 x f32>, !rlx.tensor<N x f32>) -> !rlx.tensor<(N + 17) x f32>
  %f = mir.concat %y, %e(axis = 0) : (!rlx.tensor<N x f32>, !rlx.tensor<(N + 17) x f32>) -> !rlx.tensor<(N * 2 + 17) x f32>
  %g = mir.slice %y(starts = [0], sizes = [N]) : (!rlx.tensor<N x f32>) -> !rlx.tensor<N x f32>
  func.return %b, %d, %f, %g : !rlx.tensor<2 x f32>, !rlx.tensor<4 x f32>, !rlx.tensor<(N * 2 + 17) x f32>, !rlx.tensor<N x f32>
}

// -----

// A value of a type that is equal only by a stated fact does not replace one of another text.
// CHECK-LABEL: func.func @stated
func.func @stated(%x: !rlx.tensor<T x f32>) -> !rlx.tensor<S x f32> attributes {rlx.constraints = [#rlx.constraint<S == T>]} {
  // CHECK-NEXT: %[[C:.*]] = mir.constant dense<1.0> : !rlx.tensor<f32>
  // CHECK-NEXT: %[[O:.*]] = mir.broadcast %[[C]] : (!rlx.tensor<f32>) -> !rlx.tensor<S x f32>
  // CHECK-NEXT: %[[Y:.*]] = mir.mul %[[O]], %x
  // CHECK-NEXT: func.return %[[Y]]
  %c = mir.constant dense<1.0> : !rlx.tensor<f32>
  %ones = mir.broadcast %c : (!rlx.tensor<f32>) -> !rlx.tensor<S x f32>
  %y = mir.mul %ones, %x : (!rlx.tensor<S x f32>, !rlx.tensor<T x f32>) -> !rlx.tensor<S x f32>
  func.return %y : !rlx.tensor<S x f32>
}
