// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// Softmax along any axis.
// CHECK-LABEL: func.func @softmax
func.func @softmax(%x: !rlx.tensor<B x 3 x f32>) {
  // CHECK-NEXT: %y0 = mir.softmax %x(axis = 0) : !rlx.tensor<B x 3 x f32>
  %y0 = mir.softmax %x(axis = 0) : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: %y1 = mir.softmax %x(axis = 1) : !rlx.tensor<B x 3 x f32>
  %y1 = mir.softmax %x(axis = 1) : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: func.return
  func.return
}

// Norms, and the fused forms with two results.
// CHECK-LABEL: func.func @norms
func.func @norms(%x: !rlx.tensor<B x S x 384 x f32>, %r: !rlx.tensor<B x S x 384 x f32>, %g: !rlx.tensor<384 x f32>, %b: !rlx.tensor<384 x f32>) {
  // CHECK-NEXT: %y0 = mir.layer_norm %x, %g, %b(eps = 1.0e-12) : (!rlx.tensor<B x S x 384 x f32>, !rlx.tensor<384 x f32>, !rlx.tensor<384 x f32>) -> !rlx.tensor<B x S x 384 x f32>
  %y0 = mir.layer_norm %x, %g, %b(eps = 1.0e-12) : (!rlx.tensor<B x S x 384 x f32>, !rlx.tensor<384 x f32>, !rlx.tensor<384 x f32>) -> !rlx.tensor<B x S x 384 x f32>
  // CHECK-NEXT: %y1 = mir.rms_norm %x, %g(eps = 1.0e-06) : (!rlx.tensor<B x S x 384 x f32>, !rlx.tensor<384 x f32>) -> !rlx.tensor<B x S x 384 x f32>
  %y1 = mir.rms_norm %x, %g(eps = 1.0e-06) : (!rlx.tensor<B x S x 384 x f32>, !rlx.tensor<384 x f32>) -> !rlx.tensor<B x S x 384 x f32>
  // CHECK-NEXT: %s2, %y2 = mir.residual_layer_norm %x, %r, %g, %b(eps = 1.0e-05) : (!rlx.tensor<B x S x 384 x f32>, !rlx.tensor<B x S x 384 x f32>, !rlx.tensor<384 x f32>, !rlx.tensor<384 x f32>) -> (!rlx.tensor<B x S x 384 x f32>, !rlx.tensor<B x S x 384 x f32>)
  %s2, %y2 = mir.residual_layer_norm %x, %r, %g, %b(eps = 1.0e-05) : (!rlx.tensor<B x S x 384 x f32>, !rlx.tensor<B x S x 384 x f32>, !rlx.tensor<384 x f32>, !rlx.tensor<384 x f32>) -> (!rlx.tensor<B x S x 384 x f32>, !rlx.tensor<B x S x 384 x f32>)
  // CHECK-NEXT: %s3, %y3 = mir.residual_rms_norm %x, %r, %g(eps = 0.5) : (!rlx.tensor<B x S x 384 x f32>, !rlx.tensor<B x S x 384 x f32>, !rlx.tensor<384 x f32>) -> (!rlx.tensor<B x S x 384 x f32>, !rlx.tensor<B x S x 384 x f32>)
  %s3, %y3 = mir.residual_rms_norm %x, %r, %g(eps = 0.5) : (!rlx.tensor<B x S x 384 x f32>, !rlx.tensor<B x S x 384 x f32>, !rlx.tensor<384 x f32>) -> (!rlx.tensor<B x S x 384 x f32>, !rlx.tensor<B x S x 384 x f32>)
  // CHECK-NEXT: func.return
  func.return
}
