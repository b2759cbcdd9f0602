// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @rank(%x: !rlx.tensor<B x 4 x f32>, %w: !rlx.tensor<6 x 2 x 3 x f32>) {
  // expected-error@+1 {{x has dims N, C and at least one spatial one, found B x 4 x f32}}
  %a = mir.conv %x, %w(strides = [1], padding = [1, 1], dilation = [1], groups = 1) : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<6 x 2 x 3 x f32>) -> !rlx.tensor<B x 6 x f32>
  func.return
}

// -----

func.func @channels(%x: !rlx.tensor<B x 4 x H x f32>, %w: !rlx.tensor<6 x 2 x 3 x f32>) {
  // expected-error@+1 {{channels of x and of w in 1 groups: 4 and 2 differ}}
  %a = mir.conv %x, %w(strides = [1], padding = [1, 1], dilation = [1], groups = 1) : (!rlx.tensor<B x 4 x H x f32>, !rlx.tensor<6 x 2 x 3 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  func.return
}

// -----

func.func @groups(%x: !rlx.tensor<B x 4 x H x f32>, %w: !rlx.tensor<6 x 2 x 3 x f32>) {
  // expected-error@+1 {{groups is 1 or more, found 0}}
  %a = mir.conv %x, %w(strides = [1], padding = [1, 1], dilation = [1], groups = 0) : (!rlx.tensor<B x 4 x H x f32>, !rlx.tensor<6 x 2 x 3 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  func.return
}

// -----

func.func @strides(%x: !rlx.tensor<B x 4 x H x f32>, %w: !rlx.tensor<6 x 2 x 3 x f32>) {
  // expected-error@+1 {{strides has 1 positive entries, found [0]}}
  %a = mir.conv %x, %w(strides = [0], padding = [1, 1], dilation = [1], groups = 2) : (!rlx.tensor<B x 4 x H x f32>, !rlx.tensor<6 x 2 x 3 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  func.return
}

// -----

func.func @padding(%x: !rlx.tensor<B x 4 x H x f32>, %w: !rlx.tensor<6 x 2 x 3 x f32>) {
  // expected-error@+1 {{padding has 2 entries, 0 or more, before and after each axis, found [1]}}
  %a = mir.conv %x, %w(strides = [1], padding = [1], dilation = [1], groups = 2) : (!rlx.tensor<B x 4 x H x f32>, !rlx.tensor<6 x 2 x 3 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  func.return
}

// -----

func.func @window(%x: !rlx.tensor<B x 4 x 2 x f32>) {
  // expected-error@+1 {{a window and the axis with its padding: 3 exceeds 2}}
  %a = mir.max_pool %x(window = [3], strides = [1], padding = [0, 0], dilation = [1]) : (!rlx.tensor<B x 4 x 2 x f32>) -> !rlx.tensor<B x 4 x 0 x f32>
  func.return
}

// -----

func.func @integers(%x: !rlx.tensor<B x 4 x 8 x i32>) {
  // expected-error@+1 {{x needs a float type as element type, found i32}}
  %a = mir.avg_pool %x(window = [2], strides = [2], padding = [0, 0], dilation = [1]) : (!rlx.tensor<B x 4 x 8 x i32>) -> !rlx.tensor<B x 4 x 4 x i32>
  func.return
}

// -----

func.func @extra(%x: !rlx.tensor<B x 4 x H x f32>, %v: !rlx.tensor<4 x 3 x 3 x f32>) {
  // expected-error@+1 {{extra has 1 entries, each less than its stride, found [2]}}
  %b = mir.conv_transpose %x, %v(strides = [2], padding = [1, 1], dilation = [1], groups = 1, extra = [2]) : (!rlx.tensor<B x 4 x H x f32>, !rlx.tensor<4 x 3 x 3 x f32>) -> !rlx.tensor<B x 3 x (H * 2) x f32>
  func.return
}

// -----

func.func @mode(%x: !rlx.tensor<B x f32>) {
  // expected-error@+1 {{mode is 'wrap'; it must be one of constant, edge, reflect}}
  %e = mir.pad %x(low = [1], high = [1], mode = wrap, value = 0.0) : (!rlx.tensor<B x f32>) -> !rlx.tensor<(B + 2) x f32>
  func.return
}

// -----

func.func @low(%x: !rlx.tensor<B x f32>) {
  // expected-error@+1 {{low has 1 entries, 0 or more, for [B], found [-1]}}
  %e = mir.pad %x(low = [-1], high = [1], mode = edge, value = 0.0) : (!rlx.tensor<B x f32>) -> !rlx.tensor<B x f32>
  func.return
}

// -----

func.func @too_short(%x: !rlx.tensor<2 x f32>) {
  // expected-error@+1 {{pad: elements that mode reflect needs and the axis: 3 exceeds 2}}
  %e = mir.pad %x(low = [2], high = [0], mode = reflect, value = 0.0) : (!rlx.tensor<2 x f32>) -> !rlx.tensor<4 x f32>
  func.return
}

// -----

func.func @scale(%x: !rlx.tensor<B x 3 x H x 8 x f32>) {
  // expected-error@+1 {{scale has 2 positive entries, found [2]}}
  %g = mir.resize %x(scale = [2], mode = nearest) : (!rlx.tensor<B x 3 x H x 8 x f32>) -> !rlx.tensor<B x 3 x (H * 2) x 8 x f32>
  func.return
}
