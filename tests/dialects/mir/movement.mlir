// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// Aligned on the right unless axes say otherwise.
// CHECK-LABEL: func.func @broadcast
func.func @broadcast(%b: !rlx.tensor<8 x f32>, %c: !rlx.tensor<B x 1 x f32>, %s: !rlx.tensor<f32>) {
  // CHECK-NEXT: %y0 = mir.broadcast %b : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  %y0 = mir.broadcast %b : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: %y1 = mir.broadcast %c : (!rlx.tensor<B x 1 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y1 = mir.broadcast %c : (!rlx.tensor<B x 1 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %y2 = mir.broadcast %c(axes = [0, 2]) : (!rlx.tensor<B x 1 x f32>) -> !rlx.tensor<B x S x 1 x f32>
  %y2 = mir.broadcast %c(axes = [0, 2]) : (!rlx.tensor<B x 1 x f32>) -> !rlx.tensor<B x S x 1 x f32>
  // CHECK-NEXT: %y3 = mir.broadcast %s : (!rlx.tensor<f32>) -> !rlx.tensor<B x f32>
  %y3 = mir.broadcast %s : (!rlx.tensor<f32>) -> !rlx.tensor<B x f32>
  // CHECK-NEXT: func.return
  func.return
}

// Shapes of dim expressions.
// CHECK-LABEL: func.func @reshape_and_transpose
func.func @reshape_and_transpose(%x: !rlx.tensor<B x S x 512 x f32>) {
  // CHECK-NEXT: %a = mir.reshape %x : (!rlx.tensor<B x S x 512 x f32>) -> !rlx.tensor<(B * S) x 512 x f32>
  %a = mir.reshape %x : (!rlx.tensor<B x S x 512 x f32>) -> !rlx.tensor<(B * S) x 512 x f32>
  // CHECK-NEXT: %b = mir.reshape %a : (!rlx.tensor<(B * S) x 512 x f32>) -> !rlx.tensor<B x S x 8 x 64 x f32>
  %b = mir.reshape %a : (!rlx.tensor<(B * S) x 512 x f32>) -> !rlx.tensor<B x S x 8 x 64 x f32>
  // CHECK-NEXT: %c = mir.transpose %b(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x S x 8 x 64 x f32>) -> !rlx.tensor<B x 8 x S x 64 x f32>
  %c = mir.transpose %b(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x S x 8 x 64 x f32>) -> !rlx.tensor<B x 8 x S x 64 x f32>
  // CHECK-NEXT: func.return
  func.return
}

// Starts are dim expressions; strides appear where one is not 1.
// CHECK-LABEL: func.func @slice_and_concat
func.func @slice_and_concat(%x: !rlx.tensor<B x (P + S) x f32>) {
  // CHECK-NEXT: %a = mir.slice %x(starts = [0, P], sizes = [B, S]) : (!rlx.tensor<B x (P + S) x f32>) -> !rlx.tensor<B x S x f32>
  %a = mir.slice %x(starts = [0, P], sizes = [B, S]) : (!rlx.tensor<B x (P + S) x f32>) -> !rlx.tensor<B x S x f32>
  // CHECK-NEXT: %b = mir.slice %x(starts = [0, 0], sizes = [B, P]) : (!rlx.tensor<B x (P + S) x f32>) -> !rlx.tensor<B x P x f32>
  %b = mir.slice %x(starts = [0, 0], sizes = [B, P]) : (!rlx.tensor<B x (P + S) x f32>) -> !rlx.tensor<B x P x f32>
  // CHECK-NEXT: %c = mir.slice %x(starts = [0, 0], sizes = [B, (P + S + 1) floordiv 2], strides = [1, 2]) : (!rlx.tensor<B x (P + S) x f32>) -> !rlx.tensor<B x ((P + S + 1) floordiv 2) x f32>
  %c = mir.slice %x(starts = [0, 0], sizes = [B, (P + S + 1) floordiv 2], strides = [1, 2]) : (!rlx.tensor<B x (P + S) x f32>) -> !rlx.tensor<B x ((P + S + 1) floordiv 2) x f32>
  // CHECK-NEXT: %d = mir.concat %b, %a, %a(axis = 1) : (!rlx.tensor<B x P x f32>, !rlx.tensor<B x S x f32>, !rlx.tensor<B x S x f32>) -> !rlx.tensor<B x (P + S * 2) x f32>
  %d = mir.concat %b, %a, %a(axis = 1) : (!rlx.tensor<B x P x f32>, !rlx.tensor<B x S x f32>, !rlx.tensor<B x S x f32>) -> !rlx.tensor<B x (P + S * 2) x f32>
  // CHECK-NEXT: func.return
  func.return
}

// What an index out of range does; indices of any rank.
// CHECK-LABEL: func.func @gather
func.func @gather(%t: !rlx.tensor<1000 x 64 x f32>, %i: !rlx.tensor<B x S x i64>, %j: !rlx.tensor<i32>) {
  // CHECK-NEXT: %a = mir.gather %t, %i(oob = error) : (!rlx.tensor<1000 x 64 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 64 x f32>
  %a = mir.gather %t, %i(oob = error) : (!rlx.tensor<1000 x 64 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 64 x f32>
  // CHECK-NEXT: %b = mir.gather %t, %i(oob = clamp) : (!rlx.tensor<1000 x 64 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 64 x f32>
  %b = mir.gather %t, %i(oob = clamp) : (!rlx.tensor<1000 x 64 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 64 x f32>
  // CHECK-NEXT: %c = mir.gather %t, %j(oob = fill, fill = nan) : (!rlx.tensor<1000 x 64 x f32>, !rlx.tensor<i32>) -> !rlx.tensor<64 x f32>
  %c = mir.gather %t, %j(oob = fill, fill = nan) : (!rlx.tensor<1000 x 64 x f32>, !rlx.tensor<i32>) -> !rlx.tensor<64 x f32>
  // CHECK-NEXT: func.return
  func.return
}

// Values made of dims.
// CHECK-LABEL: func.func @dims
func.func @dims() {
  // CHECK-NEXT: %a = mir.iota : !rlx.tensor<(P + S) x i64>
  %a = mir.iota : !rlx.tensor<(P + S) x i64>
  // CHECK-NEXT: %b = mir.dim_value(expr = B * S) : !rlx.tensor<i64>
  %b = mir.dim_value(expr = B * S) : !rlx.tensor<i64>
  // CHECK-NEXT: func.return
  func.return
}
