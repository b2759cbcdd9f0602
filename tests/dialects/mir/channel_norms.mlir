// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// Norms with parameters by channel.
// CHECK-LABEL: func.func @norms
func.func @norms(%x: !rlx.tensor<B x 6 x H x f32>, %g: !rlx.tensor<6 x f32>, %b: !rlx.tensor<6 x f32>) {
  // CHECK-NEXT: %r = mir.group_norm %x, %g, %b(groups = 2, eps = 1.0e-05) : (!rlx.tensor<B x 6 x H x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  %r = mir.group_norm %x, %g, %b(groups = 2, eps = 1.0e-05) : (!rlx.tensor<B x 6 x H x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  // CHECK-NEXT: %s = mir.channel_norm %x, %g, %b(eps = 1.0e-06) : (!rlx.tensor<B x 6 x H x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  %s = mir.channel_norm %x, %g, %b(eps = 1.0e-06) : (!rlx.tensor<B x 6 x H x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  // CHECK-NEXT: %t = mir.batch_norm %x, %g, %b, %g, %b(eps = 1.0e-05) : (!rlx.tensor<B x 6 x H x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  %t = mir.batch_norm %x, %g, %b, %g, %b(eps = 1.0e-05) : (!rlx.tensor<B x 6 x H x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  // CHECK-NEXT: func.return
  func.return
}
