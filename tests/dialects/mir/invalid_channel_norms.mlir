// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @groups(%x: !rlx.tensor<B x 6 x H x f32>, %g: !rlx.tensor<6 x f32>) {
  // expected-error@+1 {{channels in groups: 6 is not a multiple of 4}}
  %r = mir.group_norm %x, %g, %g(groups = 4, eps = 1.0e-05) : (!rlx.tensor<B x 6 x H x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  func.return
}

// -----

func.func @no_groups(%x: !rlx.tensor<B x 6 x H x f32>, %g: !rlx.tensor<6 x f32>) {
  // expected-error@+1 {{groups is 1 or more, found 0}}
  %r = mir.group_norm %x, %g, %g(groups = 0, eps = 1.0e-05) : (!rlx.tensor<B x 6 x H x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  func.return
}

// -----

func.func @channels(%x: !rlx.tensor<B x 6 x H x f32>, %g: !rlx.tensor<5 x f32>) {
  // expected-error@+1 {{length of scale and channels of x: 5 and 6 differ}}
  %r = mir.channel_norm %x, %g, %g(eps = 1.0e-06) : (!rlx.tensor<B x 6 x H x f32>, !rlx.tensor<5 x f32>, !rlx.tensor<5 x f32>) -> !rlx.tensor<B x 6 x H x f32>
  func.return
}

// -----

func.func @rank(%x: !rlx.tensor<6 x f32>, %g: !rlx.tensor<6 x f32>) {
  // expected-error@+1 {{the axis of channels 1 is outside of [0, 0], the axes of 6 x f32}}
  %r = mir.batch_norm %x, %g, %g, %g, %g(eps = 1.0e-06) : (!rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>) -> !rlx.tensor<6 x f32>
  func.return
}
