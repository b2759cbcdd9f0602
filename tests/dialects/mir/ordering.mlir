// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// Running sums, positions of extremes, sorting.
// CHECK-LABEL: func.func @ordering
func.func @ordering(%x: !rlx.tensor<B x S x f32>, %y: !rlx.tensor<B x 8 x f32>) {
  // CHECK-NEXT: %c0 = mir.cumsum %x(axis = 1) : (!rlx.tensor<B x S x f32>) -> !rlx.tensor<B x S x f32>
  %c0 = mir.cumsum %x(axis = 1) : (!rlx.tensor<B x S x f32>) -> !rlx.tensor<B x S x f32>
  // CHECK-NEXT: %c1 = mir.cumsum %x(axis = 0, exclusive, reverse) : (!rlx.tensor<B x S x f32>) -> !rlx.tensor<B x S x f32>
  %c1 = mir.cumsum %x(axis = 0, exclusive, reverse) : (!rlx.tensor<B x S x f32>) -> !rlx.tensor<B x S x f32>
  // CHECK-NEXT: %a = mir.arg_max %x(axis = 1) : (!rlx.tensor<B x S x f32>) -> !rlx.tensor<B x i64>
  %a = mir.arg_max %x(axis = 1) : (!rlx.tensor<B x S x f32>) -> !rlx.tensor<B x i64>
  // CHECK-NEXT: %b = mir.arg_min %x(axis = 0, keepdims) : (!rlx.tensor<B x S x f32>) -> !rlx.tensor<1 x S x i64>
  %b = mir.arg_min %x(axis = 0, keepdims) : (!rlx.tensor<B x S x f32>) -> !rlx.tensor<1 x S x i64>
  // CHECK-NEXT: %s, %i = mir.sort %x(axis = 1) : (!rlx.tensor<B x S x f32>) -> (!rlx.tensor<B x S x f32>, !rlx.tensor<B x S x i64>)
  %s, %i = mir.sort %x(axis = 1) : (!rlx.tensor<B x S x f32>) -> (!rlx.tensor<B x S x f32>, !rlx.tensor<B x S x i64>)
  // CHECK-NEXT: %d, %j = mir.sort %x(axis = 1, descending) : (!rlx.tensor<B x S x f32>) -> (!rlx.tensor<B x S x f32>, !rlx.tensor<B x S x i64>)
  %d, %j = mir.sort %x(axis = 1, descending) : (!rlx.tensor<B x S x f32>) -> (!rlx.tensor<B x S x f32>, !rlx.tensor<B x S x i64>)
  // CHECK-NEXT: %t, %k = mir.top_k %y(k = 3, axis = 1) : (!rlx.tensor<B x 8 x f32>) -> (!rlx.tensor<B x 3 x f32>, !rlx.tensor<B x 3 x i64>)
  %t, %k = mir.top_k %y(k = 3, axis = 1) : (!rlx.tensor<B x 8 x f32>) -> (!rlx.tensor<B x 3 x f32>, !rlx.tensor<B x 3 x i64>)
  // CHECK-NEXT: func.return
  func.return
}
