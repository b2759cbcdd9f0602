// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// Every float unary op.
// CHECK-LABEL: func.func @unary
func.func @unary(%x: !rlx.tensor<B x 3 x f32>) {
  // CHECK-NEXT: %y0 = mir.neg %x : !rlx.tensor<B x 3 x f32>
  %y0 = mir.neg %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y1 = mir.abs %x : !rlx.tensor<B x 3 x f32>
  %y1 = mir.abs %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y2 = mir.exp %x : !rlx.tensor<B x 3 x f32>
  %y2 = mir.exp %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y3 = mir.log %x : !rlx.tensor<B x 3 x f32>
  %y3 = mir.log %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y4 = mir.sqrt %x : !rlx.tensor<B x 3 x f32>
  %y4 = mir.sqrt %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y5 = mir.rsqrt %x : !rlx.tensor<B x 3 x f32>
  %y5 = mir.rsqrt %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y6 = mir.recip %x : !rlx.tensor<B x 3 x f32>
  %y6 = mir.recip %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y7 = mir.tanh %x : !rlx.tensor<B x 3 x f32>
  %y7 = mir.tanh %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y8 = mir.erf %x : !rlx.tensor<B x 3 x f32>
  %y8 = mir.erf %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y9 = mir.sigmoid %x : !rlx.tensor<B x 3 x f32>
  %y9 = mir.sigmoid %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y10 = mir.relu %x : !rlx.tensor<B x 3 x f32>
  %y10 = mir.relu %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y11 = mir.gelu %x : !rlx.tensor<B x 3 x f32>
  %y11 = mir.gelu %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y12 = mir.gelu_tanh %x : !rlx.tensor<B x 3 x f32>
  %y12 = mir.gelu_tanh %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y13 = mir.silu %x : !rlx.tensor<B x 3 x f32>
  %y13 = mir.silu %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y14 = mir.sin %x : !rlx.tensor<B x 3 x f32>
  %y14 = mir.sin %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y15 = mir.cos %x : !rlx.tensor<B x 3 x f32>
  %y15 = mir.cos %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y16 = mir.tan %x : !rlx.tensor<B x 3 x f32>
  %y16 = mir.tan %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y17 = mir.atan %x : !rlx.tensor<B x 3 x f32>
  %y17 = mir.atan %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y18 = mir.round %x : !rlx.tensor<B x 3 x f32>
  %y18 = mir.round %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y19 = mir.floor %x : !rlx.tensor<B x 3 x f32>
  %y19 = mir.floor %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y20 = mir.ceil %x : !rlx.tensor<B x 3 x f32>
  %y20 = mir.ceil %x : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: func.return
  func.return
}

// Integers where the op is defined on them; i1 for the logical one.
// CHECK-LABEL: func.func @integer_unary
func.func @integer_unary(%x: !rlx.tensor<3 x i8>, %p: !rlx.tensor<3 x i1>) {
  // CHECK-NEXT: %a = mir.neg %x : !rlx.tensor<3 x i8>
  %a = mir.neg %x : !rlx.tensor<3 x i8>
  // CHECK-NEXT: %b = mir.abs %x : !rlx.tensor<3 x i8>
  %b = mir.abs %x : !rlx.tensor<3 x i8>
  // CHECK-NEXT: %c = mir.relu %x : !rlx.tensor<3 x i8>
  %c = mir.relu %x : !rlx.tensor<3 x i8>
  // CHECK-NEXT: %d = mir.logical_not %p : !rlx.tensor<3 x i1>
  %d = mir.logical_not %p : !rlx.tensor<3 x i1>
  // CHECK-NEXT: func.return
  func.return
}

// Every binary op; rank 0 and bf16 work alike.
// CHECK-LABEL: func.func @binary
func.func @binary(%x: !rlx.tensor<(B * S) x bf16>, %y: !rlx.tensor<(B * S) x bf16>, %s: !rlx.tensor<f32>, %i: !rlx.tensor<4 x ui8>, %p: !rlx.tensor<i1>) {
  // CHECK-NEXT: %z0 = mir.add %x, %y : !rlx.tensor<(B * S) x bf16>
  %z0 = mir.add %x, %y : !rlx.tensor<(B * S) x bf16>
  // CHECK-NEXT: %z1 = mir.sub %x, %y : !rlx.tensor<(B * S) x bf16>
  %z1 = mir.sub %x, %y : !rlx.tensor<(B * S) x bf16>
  // CHECK-NEXT: %z2 = mir.mul %x, %y : !rlx.tensor<(B * S) x bf16>
  %z2 = mir.mul %x, %y : !rlx.tensor<(B * S) x bf16>
  // CHECK-NEXT: %z3 = mir.div %x, %y : !rlx.tensor<(B * S) x bf16>
  %z3 = mir.div %x, %y : !rlx.tensor<(B * S) x bf16>
  // CHECK-NEXT: %z4 = mir.max %x, %y : !rlx.tensor<(B * S) x bf16>
  %z4 = mir.max %x, %y : !rlx.tensor<(B * S) x bf16>
  // CHECK-NEXT: %z5 = mir.min %x, %y : !rlx.tensor<(B * S) x bf16>
  %z5 = mir.min %x, %y : !rlx.tensor<(B * S) x bf16>
  // CHECK-NEXT: %z6 = mir.pow %x, %y : !rlx.tensor<(B * S) x bf16>
  %z6 = mir.pow %x, %y : !rlx.tensor<(B * S) x bf16>
  // CHECK-NEXT: %s1 = mir.add %s, %s : !rlx.tensor<f32>
  %s1 = mir.add %s, %s : !rlx.tensor<f32>
  // CHECK-NEXT: %i1 = mir.mul %i, %i : !rlx.tensor<4 x ui8>
  %i1 = mir.mul %i, %i : !rlx.tensor<4 x ui8>
  // CHECK-NEXT: %i2 = mir.and %i, %i1 : !rlx.tensor<4 x ui8>
  %i2 = mir.and %i, %i1 : !rlx.tensor<4 x ui8>
  // CHECK-NEXT: %p1 = mir.or %p, %p : !rlx.tensor<i1>
  %p1 = mir.or %p, %p : !rlx.tensor<i1>
  // CHECK-NEXT: func.return
  func.return
}

// Dims that are stated equal may stand for each other; then all types are printed.
// CHECK-LABEL: func.func @stated
func.func @stated(%x: !rlx.tensor<S x f32>, %y: !rlx.tensor<T x f32>) attributes {rlx.constraints = [#rlx.constraint<S == T>]} {
  // CHECK-NEXT: %z = mir.add %x, %y : (!rlx.tensor<S x f32>, !rlx.tensor<T x f32>) -> !rlx.tensor<S x f32>
  %z = mir.add %x, %y : (!rlx.tensor<S x f32>, !rlx.tensor<T x f32>) -> !rlx.tensor<S x f32>
  // CHECK-NEXT: func.return
  func.return
}

// Comparisons give i1.
// CHECK-LABEL: func.func @compare
func.func @compare(%x: !rlx.tensor<B x f32>, %p: !rlx.tensor<B x i1>) {
  // CHECK-NEXT: %c0 = mir.eq %x, %x : (!rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x i1>
  %c0 = mir.eq %x, %x : (!rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x i1>
  // CHECK-NEXT: %c1 = mir.ne %x, %x : (!rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x i1>
  %c1 = mir.ne %x, %x : (!rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x i1>
  // CHECK-NEXT: %c2 = mir.lt %x, %x : (!rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x i1>
  %c2 = mir.lt %x, %x : (!rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x i1>
  // CHECK-NEXT: %c3 = mir.le %x, %x : (!rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x i1>
  %c3 = mir.le %x, %x : (!rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x i1>
  // CHECK-NEXT: %c4 = mir.gt %x, %x : (!rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x i1>
  %c4 = mir.gt %x, %x : (!rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x i1>
  // CHECK-NEXT: %c5 = mir.ge %x, %x : (!rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x i1>
  %c5 = mir.ge %x, %x : (!rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x i1>
  // CHECK-NEXT: %q = mir.eq %p, %c0 : (!rlx.tensor<B x i1>, !rlx.tensor<B x i1>) -> !rlx.tensor<B x i1>
  %q = mir.eq %p, %c0 : (!rlx.tensor<B x i1>, !rlx.tensor<B x i1>) -> !rlx.tensor<B x i1>
  // CHECK-NEXT: func.return
  func.return
}

// Choice and conversion.
// CHECK-LABEL: func.func @select_and_cast
func.func @select_and_cast(%c: !rlx.tensor<B x i1>, %x: !rlx.tensor<B x f32>) {
  // CHECK-NEXT: %a = mir.select %c, %x, %x : (!rlx.tensor<B x i1>, !rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x f32>
  %a = mir.select %c, %x, %x : (!rlx.tensor<B x i1>, !rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x f32>
  // CHECK-NEXT: %b = mir.cast %a : (!rlx.tensor<B x f32>) -> !rlx.tensor<B x f8E4M3FN>
  %b = mir.cast %a : (!rlx.tensor<B x f32>) -> !rlx.tensor<B x f8E4M3FN>
  // CHECK-NEXT: %d = mir.cast %b : (!rlx.tensor<B x f8E4M3FN>) -> !rlx.tensor<B x i64>
  %d = mir.cast %b : (!rlx.tensor<B x f8E4M3FN>) -> !rlx.tensor<B x i64>
  // CHECK-NEXT: %e = mir.cast %d : (!rlx.tensor<B x i64>) -> !rlx.tensor<B x i1>
  %e = mir.cast %d : (!rlx.tensor<B x i64>) -> !rlx.tensor<B x i1>
  // CHECK-NEXT: func.return
  func.return
}
