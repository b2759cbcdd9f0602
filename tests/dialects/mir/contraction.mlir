// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// One right-hand matrix for all batches, equal batches, plain matrices, integers.
// CHECK-LABEL: func.func @matmul
func.func @matmul(%x: !rlx.tensor<B x S x 64 x f32>, %w: !rlx.tensor<64 x 128 x f32>, %k: !rlx.tensor<B x 64 x (P + S) x f32>, %a: !rlx.tensor<3 x 5 x i32>, %b: !rlx.tensor<5 x 1 x i32>) {
  // CHECK-NEXT: %y0 = mir.matmul %x, %w : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<64 x 128 x f32>) -> !rlx.tensor<B x S x 128 x f32>
  %y0 = mir.matmul %x, %w : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<64 x 128 x f32>) -> !rlx.tensor<B x S x 128 x f32>
  // CHECK-NEXT: %y1 = mir.matmul %x, %k : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<B x 64 x (P + S) x f32>) -> !rlx.tensor<B x S x (P + S) x f32>
  %y1 = mir.matmul %x, %k : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<B x 64 x (P + S) x f32>) -> !rlx.tensor<B x S x (P + S) x f32>
  // CHECK-NEXT: %y2 = mir.matmul %a, %b : (!rlx.tensor<3 x 5 x i32>, !rlx.tensor<5 x 1 x i32>) -> !rlx.tensor<3 x 1 x i32>
  %y2 = mir.matmul %a, %b : (!rlx.tensor<3 x 5 x i32>, !rlx.tensor<5 x 1 x i32>) -> !rlx.tensor<3 x 1 x i32>
  // CHECK-NEXT: func.return
  func.return
}
