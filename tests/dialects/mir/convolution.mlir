// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// Windows over spatial axes.
// CHECK-LABEL: func.func @windows
func.func @windows(%x: !rlx.tensor<B x 4 x H x f32>, %w: !rlx.tensor<6 x 2 x 3 x f32>, %v: !rlx.tensor<4 x 3 x 3 x f32>, %y: !rlx.tensor<B x 3 x H x 8 x f32>) {
  // CHECK-NEXT: %a = mir.conv %x, %w(strides = [1], padding = [1, 1], dilation = [1], groups = 2) : (!rlx.tensor<B x 4 x H x f32>, !rlx.tensor<6 x 2 x 3 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  %a = mir.conv %x, %w(strides = [1], padding = [1, 1], dilation = [1], groups = 2) : (!rlx.tensor<B x 4 x H x f32>, !rlx.tensor<6 x 2 x 3 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  // CHECK-NEXT: %b = mir.conv_transpose %x, %v(strides = [2], padding = [1, 1], dilation = [1], groups = 1, extra = [1]) : (!rlx.tensor<B x 4 x H x f32>, !rlx.tensor<4 x 3 x 3 x f32>) -> !rlx.tensor<B x 3 x (H * 2) x f32>
  %b = mir.conv_transpose %x, %v(strides = [2], padding = [1, 1], dilation = [1], groups = 1, extra = [1]) : (!rlx.tensor<B x 4 x H x f32>, !rlx.tensor<4 x 3 x 3 x f32>) -> !rlx.tensor<B x 3 x (H * 2) x f32>
  // CHECK-NEXT: %c = mir.max_pool %y(window = [2, 2], strides = [1, 2], padding = [0, 1, 0, 0], dilation = [1, 1]) : (!rlx.tensor<B x 3 x H x 8 x f32>) -> !rlx.tensor<B x 3 x H x 4 x f32>
  %c = mir.max_pool %y(window = [2, 2], strides = [1, 2], padding = [0, 1, 0, 0], dilation = [1, 1]) : (!rlx.tensor<B x 3 x H x 8 x f32>) -> !rlx.tensor<B x 3 x H x 4 x f32>
  // CHECK-NEXT: %d = mir.avg_pool %y(count_padding, window = [1, 2], strides = [1, 2], padding = [0, 0, 0, 0], dilation = [1, 1]) : (!rlx.tensor<B x 3 x H x 8 x f32>) -> !rlx.tensor<B x 3 x H x 4 x f32>
  %d = mir.avg_pool %y(count_padding, window = [1, 2], strides = [1, 2], padding = [0, 0, 0, 0], dilation = [1, 1]) : (!rlx.tensor<B x 3 x H x 8 x f32>) -> !rlx.tensor<B x 3 x H x 4 x f32>
  // CHECK-NEXT: %e = mir.pad %x(low = [0, 0, 1], high = [0, 2, 0], mode = constant, value = 1.0) : (!rlx.tensor<B x 4 x H x f32>) -> !rlx.tensor<B x 6 x (H + 1) x f32>
  %e = mir.pad %x(low = [0, 0, 1], high = [0, 2, 0], mode = constant, value = 1.0) : (!rlx.tensor<B x 4 x H x f32>) -> !rlx.tensor<B x 6 x (H + 1) x f32>
  // CHECK-NEXT: %f = mir.pad %x(low = [0, 1, 0], high = [0, 1, 0], mode = reflect, value = 0.0) : (!rlx.tensor<B x 4 x H x f32>) -> !rlx.tensor<B x 6 x H x f32>
  %f = mir.pad %x(low = [0, 1, 0], high = [0, 1, 0], mode = reflect, value = 0.0) : (!rlx.tensor<B x 4 x H x f32>) -> !rlx.tensor<B x 6 x H x f32>
  // CHECK-NEXT: %g = mir.resize %y(scale = [2, 3], mode = linear) : (!rlx.tensor<B x 3 x H x 8 x f32>) -> !rlx.tensor<B x 3 x (H * 2) x 24 x f32>
  %g = mir.resize %y(scale = [2, 3], mode = linear) : (!rlx.tensor<B x 3 x H x 8 x f32>) -> !rlx.tensor<B x 3 x (H * 2) x 24 x f32>
  // CHECK-NEXT: func.return
  func.return
}
