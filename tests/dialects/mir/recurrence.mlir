// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// Recurrences with a state.
// CHECK-LABEL: func.func @recurrences
func.func @recurrences(%x: !rlx.tensor<B x S x 6 x f32>, %a: !rlx.tensor<6 x 4 x f32>, %b: !rlx.tensor<B x S x 4 x f32>, %h: !rlx.tensor<B x 6 x 4 x f32>, %q: !rlx.tensor<B x S x 2 x 4 x f32>, %g: !rlx.tensor<B x S x 2 x f32>, %s: !rlx.tensor<B x 2 x 4 x 4 x f32>) {
  // CHECK-NEXT: %y, %e = mir.selective_scan %x, %x, %a, %b, %b : (!rlx.tensor<B x S x 6 x f32>, !rlx.tensor<B x S x 6 x f32>, !rlx.tensor<6 x 4 x f32>, !rlx.tensor<B x S x 4 x f32>, !rlx.tensor<B x S x 4 x f32>) -> (!rlx.tensor<B x S x 6 x f32>, !rlx.tensor<B x 6 x 4 x f32>)
  %y, %e = mir.selective_scan %x, %x, %a, %b, %b : (!rlx.tensor<B x S x 6 x f32>, !rlx.tensor<B x S x 6 x f32>, !rlx.tensor<6 x 4 x f32>, !rlx.tensor<B x S x 4 x f32>, !rlx.tensor<B x S x 4 x f32>) -> (!rlx.tensor<B x S x 6 x f32>, !rlx.tensor<B x 6 x 4 x f32>)
  // CHECK-NEXT: %z, %f = mir.selective_scan %x, %x, %a, %b, %b, initial %h : (!rlx.tensor<B x S x 6 x f32>, !rlx.tensor<B x S x 6 x f32>, !rlx.tensor<6 x 4 x f32>, !rlx.tensor<B x S x 4 x f32>, !rlx.tensor<B x S x 4 x f32>, !rlx.tensor<B x 6 x 4 x f32>) -> (!rlx.tensor<B x S x 6 x f32>, !rlx.tensor<B x 6 x 4 x f32>)
  %z, %f = mir.selective_scan %x, %x, %a, %b, %b, initial %h : (!rlx.tensor<B x S x 6 x f32>, !rlx.tensor<B x S x 6 x f32>, !rlx.tensor<6 x 4 x f32>, !rlx.tensor<B x S x 4 x f32>, !rlx.tensor<B x S x 4 x f32>, !rlx.tensor<B x 6 x 4 x f32>) -> (!rlx.tensor<B x S x 6 x f32>, !rlx.tensor<B x 6 x 4 x f32>)
  // CHECK-NEXT: %u, %v = mir.gated_delta %q, %q, %q, %g, %g : (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x f32>, !rlx.tensor<B x S x 2 x f32>) -> (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x 2 x 4 x 4 x f32>)
  %u, %v = mir.gated_delta %q, %q, %q, %g, %g : (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x f32>, !rlx.tensor<B x S x 2 x f32>) -> (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x 2 x 4 x 4 x f32>)
  // CHECK-NEXT: %w, %t = mir.gated_delta %q, %q, %q, %g, %g, initial %s : (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x f32>, !rlx.tensor<B x S x 2 x f32>, !rlx.tensor<B x 2 x 4 x 4 x f32>) -> (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x 2 x 4 x 4 x f32>)
  %w, %t = mir.gated_delta %q, %q, %q, %g, %g, initial %s : (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x f32>, !rlx.tensor<B x S x 2 x f32>, !rlx.tensor<B x 2 x 4 x 4 x f32>) -> (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x 2 x 4 x 4 x f32>)
  // CHECK-NEXT: func.return
  func.return
}
