// RUN: rlx-opt %s -p mir-fuse-residual-norm --split-input-file | filecheck %s

// The sum has a second reader: it stays available as a result.
// CHECK-LABEL: func.func @residual_is_kept
func.func @residual_is_kept(%x: !rlx.tensor<B x 7 x f32>, %r: !rlx.tensor<B x 7 x f32>, %g: !rlx.tensor<7 x f32>) -> !rlx.tensor<B x 7 x f32> {
  // CHECK-NEXT: %[[S:\w+]], %[[Y:\w+]] = mir.residual_rms_norm %x, %r, %g(eps = 1.0e-06) : (!rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 7 x f32>, !rlx.tensor<7 x f32>) -> (!rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 7 x f32>)
  // CHECK-NEXT: %[[O:\w+]] = mir.add %[[Y]], %[[S]]
  // CHECK-NEXT: func.return %[[O]]
  %s = mir.add %x, %r : !rlx.tensor<B x 7 x f32>
  %y = mir.rms_norm %s, %g(eps = 1.0e-06) : (!rlx.tensor<B x 7 x f32>, !rlx.tensor<7 x f32>) -> !rlx.tensor<B x 7 x f32>
  %o = mir.add %y, %s : !rlx.tensor<B x 7 x f32>
  func.return %o : !rlx.tensor<B x 7 x f32>
}

// -----

// Layer norm; the sum is read before the norm and is an output.
// CHECK-LABEL: func.func @layer_norm
func.func @layer_norm(%x: !rlx.tensor<B x 7 x f32>, %r: !rlx.tensor<B x 7 x f32>, %g: !rlx.tensor<7 x f32>, %b: !rlx.tensor<7 x f32>) -> (!rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 7 x f32>) {
  // CHECK-NEXT: %[[S:\w+]], %[[Y:\w+]] = mir.residual_layer_norm %x, %r, %g, %b(eps = 1.0e-12)
  // CHECK-NEXT: %[[E:\w+]] = mir.exp %[[S]]
  // CHECK-NEXT: func.return %[[S]], %[[Y]], %[[E]]
  %s = mir.add %x, %r : !rlx.tensor<B x 7 x f32>
  %e = mir.exp %s : !rlx.tensor<B x 7 x f32>
  %y = mir.layer_norm %s, %g, %b(eps = 1.0e-12) : (!rlx.tensor<B x 7 x f32>, !rlx.tensor<7 x f32>, !rlx.tensor<7 x f32>) -> !rlx.tensor<B x 7 x f32>
  func.return %s, %y, %e : !rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 7 x f32>
}

// -----

// The scale is made after the sum: the fused op stands where the norm stood.
// CHECK-LABEL: func.func @late_scale
func.func @late_scale(%x: !rlx.tensor<B x 7 x f32>, %r: !rlx.tensor<B x 7 x f32>, %g: !rlx.tensor<7 x f32>) -> (!rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 7 x f32>) {
  // CHECK-NEXT: %[[G:\w+]] = mir.exp %g
  // CHECK-NEXT: %[[S:\w+]], %[[Y:\w+]] = mir.residual_rms_norm %x, %r, %[[G]](eps = 1.0e-06)
  // CHECK-NEXT: func.return %[[S]], %[[Y]]
  %s = mir.add %x, %r : !rlx.tensor<B x 7 x f32>
  %h = mir.exp %g : !rlx.tensor<7 x f32>
  %y = mir.rms_norm %s, %h(eps = 1.0e-06) : (!rlx.tensor<B x 7 x f32>, !rlx.tensor<7 x f32>) -> !rlx.tensor<B x 7 x f32>
  func.return %s, %y : !rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 7 x f32>
}

// -----

// The scale depends on the sum itself.
// CHECK-LABEL: func.func @scale_of_the_sum
func.func @scale_of_the_sum(%x: !rlx.tensor<3 x 7 x f32>, %r: !rlx.tensor<3 x 7 x f32>) -> !rlx.tensor<3 x 7 x f32> {
  // CHECK-NEXT: %[[S:\w+]] = mir.add %x, %r
  // CHECK-NEXT: %[[G:\w+]] = mir.reduce_max %[[S]](axes = [0])
  // CHECK-NEXT: %[[Y:\w+]] = mir.rms_norm %[[S]], %[[G]](eps = 1.0e-06)
  // CHECK-NEXT: func.return %[[Y]]
  %s = mir.add %x, %r : !rlx.tensor<3 x 7 x f32>
  %g = mir.reduce_max %s(axes = [0]) : (!rlx.tensor<3 x 7 x f32>) -> !rlx.tensor<7 x f32>
  %y = mir.rms_norm %s, %g(eps = 1.0e-06) : (!rlx.tensor<3 x 7 x f32>, !rlx.tensor<7 x f32>) -> !rlx.tensor<3 x 7 x f32>
  func.return %y : !rlx.tensor<3 x 7 x f32>
}

// -----

// Two norms of one sum: the second reads the sum that the first keeps.
// CHECK-LABEL: func.func @two_norms
func.func @two_norms(%x: !rlx.tensor<B x 7 x f32>, %r: !rlx.tensor<B x 7 x f32>, %g: !rlx.tensor<7 x f32>) -> (!rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 7 x f32>) {
  // CHECK-NEXT: %[[S:\w+]], %[[Y:\w+]] = mir.residual_rms_norm %x, %r, %g(eps = 1.0e-06)
  // CHECK-NEXT: %[[Z:\w+]] = mir.layer_norm %[[S]], %g, %g(eps = 1.0e-05)
  // CHECK-NEXT: func.return %[[Y]], %[[Z]]
  %s = mir.add %x, %r : !rlx.tensor<B x 7 x f32>
  %y = mir.rms_norm %s, %g(eps = 1.0e-06) : (!rlx.tensor<B x 7 x f32>, !rlx.tensor<7 x f32>) -> !rlx.tensor<B x 7 x f32>
  %z = mir.layer_norm %s, %g, %g(eps = 1.0e-05) : (!rlx.tensor<B x 7 x f32>, !rlx.tensor<7 x f32>, !rlx.tensor<7 x f32>) -> !rlx.tensor<B x 7 x f32>
  func.return %y, %z : !rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 7 x f32>
}

// -----

// Nothing to fuse: the norm reads an argument; the sum has a broadcast bias.
// CHECK-LABEL: func.func @no_residual
func.func @no_residual(%x: !rlx.tensor<B x 7 x f32>, %b: !rlx.tensor<7 x f32>, %g: !rlx.tensor<7 x f32>) -> (!rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 7 x f32>) {
  // CHECK-NEXT: %[[Y:\w+]] = mir.rms_norm %x, %g(eps = 1.0e-06)
  // CHECK-NEXT: %[[R:\w+]] = mir.broadcast %b
  // CHECK-NEXT: %[[S:\w+]] = mir.add %x, %[[R]]
  // CHECK-NEXT: %[[Z:\w+]] = mir.rms_norm %[[S]], %g(eps = 1.0e-06)
  // CHECK-NEXT: func.return %[[Y]], %[[Z]]
  %y = mir.rms_norm %x, %g(eps = 1.0e-06) : (!rlx.tensor<B x 7 x f32>, !rlx.tensor<7 x f32>) -> !rlx.tensor<B x 7 x f32>
  %rows = mir.broadcast %b : (!rlx.tensor<7 x f32>) -> !rlx.tensor<B x 7 x f32>
  %s = mir.add %x, %rows : !rlx.tensor<B x 7 x f32>
  %z = mir.rms_norm %s, %g(eps = 1.0e-06) : (!rlx.tensor<B x 7 x f32>, !rlx.tensor<7 x f32>) -> !rlx.tensor<B x 7 x f32>
  func.return %y, %z : !rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 7 x f32>
}
