// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// Products over any axes.
// CHECK-LABEL: func.func @products
func.func @products(%a: !rlx.tensor<B x S x 8 x f32>, %b: !rlx.tensor<8 x B x 5 x f32>, %x: !rlx.tensor<M x 8 x f32>, %w: !rlx.tensor<4 x 8 x 5 x f32>, %i: !rlx.tensor<M x i64>, %v: !rlx.tensor<8 x 5 x f32>, %p: !rlx.tensor<8 x 2 x f32>, %q: !rlx.tensor<2 x 5 x f32>) {
  // CHECK-NEXT: %r = mir.dot_general %a, %b(lhs_contracting = [2], rhs_contracting = [0], lhs_batch = [0], rhs_batch = [1]) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x B x 5 x f32>) -> !rlx.tensor<B x S x 5 x f32>
  %r = mir.dot_general %a, %b(lhs_contracting = [2], rhs_contracting = [0], lhs_batch = [0], rhs_batch = [1]) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x B x 5 x f32>) -> !rlx.tensor<B x S x 5 x f32>
  // CHECK-NEXT: %s = mir.dot_general %a, %b(lhs_contracting = [], rhs_contracting = [], lhs_batch = [], rhs_batch = []) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x B x 5 x f32>) -> !rlx.tensor<B x S x 8 x 8 x B x 5 x f32>
  %s = mir.dot_general %a, %b(lhs_contracting = [], rhs_contracting = [], lhs_batch = [], rhs_batch = []) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x B x 5 x f32>) -> !rlx.tensor<B x S x 8 x 8 x B x 5 x f32>
  // CHECK-NEXT: %t = mir.grouped_matmul %x, %w, %i : (!rlx.tensor<M x 8 x f32>, !rlx.tensor<4 x 8 x 5 x f32>, !rlx.tensor<M x i64>) -> !rlx.tensor<M x 5 x f32>
  %t = mir.grouped_matmul %x, %w, %i : (!rlx.tensor<M x 8 x f32>, !rlx.tensor<4 x 8 x 5 x f32>, !rlx.tensor<M x i64>) -> !rlx.tensor<M x 5 x f32>
  // CHECK-NEXT: %u = mir.lora_matmul %x, %v, %p, %q(scale = 0.5) : (!rlx.tensor<M x 8 x f32>, !rlx.tensor<8 x 5 x f32>, !rlx.tensor<8 x 2 x f32>, !rlx.tensor<2 x 5 x f32>) -> !rlx.tensor<M x 5 x f32>
  %u = mir.lora_matmul %x, %v, %p, %q(scale = 0.5) : (!rlx.tensor<M x 8 x f32>, !rlx.tensor<8 x 5 x f32>, !rlx.tensor<8 x 2 x f32>, !rlx.tensor<2 x 5 x f32>) -> !rlx.tensor<M x 5 x f32>
  // CHECK-NEXT: func.return
  func.return
}
