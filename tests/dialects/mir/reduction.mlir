// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// Every reduction, with and without the reduced axes.
// CHECK-LABEL: func.func @reduce
func.func @reduce(%x: !rlx.tensor<B x S x 8 x f32>, %i: !rlx.tensor<3 x i64>) {
  // CHECK-NEXT: %y0 = mir.reduce_sum %x(axes = [0]) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<S x 8 x f32>
  %y0 = mir.reduce_sum %x(axes = [0]) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<S x 8 x f32>
  // CHECK-NEXT: %y1 = mir.reduce_mean %x(axes = [1], keepdims) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x 1 x 8 x f32>
  %y1 = mir.reduce_mean %x(axes = [1], keepdims) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x 1 x 8 x f32>
  // CHECK-NEXT: %y2 = mir.reduce_max %x(axes = [2]) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x f32>
  %y2 = mir.reduce_max %x(axes = [2]) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x f32>
  // CHECK-NEXT: %y3 = mir.reduce_min %x(axes = [0], keepdims) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<1 x S x 8 x f32>
  %y3 = mir.reduce_min %x(axes = [0], keepdims) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<1 x S x 8 x f32>
  // CHECK-NEXT: %y4 = mir.reduce_prod %x(axes = [1]) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y4 = mir.reduce_prod %x(axes = [1]) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %z = mir.reduce_sum %i(axes = [0]) : (!rlx.tensor<3 x i64>) -> !rlx.tensor<i64>
  %z = mir.reduce_sum %i(axes = [0]) : (!rlx.tensor<3 x i64>) -> !rlx.tensor<i64>
  // CHECK-NEXT: %n = mir.reduce_sum %x(axes = []) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  %n = mir.reduce_sum %x(axes = []) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: func.return
  func.return
}
