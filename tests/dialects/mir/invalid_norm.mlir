// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @axis(%x: !rlx.tensor<B x 4 x f32>) {
  // expected-error@+1 {{axis 2 is outside of [0, 1], the axes of B x 4 x f32}}
  %y = mir.softmax %x(axis = 2) : !rlx.tensor<B x 4 x f32>
  func.return
}

// -----

func.func @scale_length(%x: !rlx.tensor<B x 4 x f32>, %g: !rlx.tensor<8 x f32>) {
  // expected-error@+1 {{length of scale and last axis of x: 8 and 4 differ}}
  %y = mir.rms_norm %x, %g(eps = 1.0e-06) : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 4 x f32>
  func.return
}

// -----

func.func @scale_rank(%x: !rlx.tensor<B x 4 x f32>, %g: !rlx.tensor<1 x 4 x f32>) {
  // expected-error@+1 {{scale must have rank 1, found 1 x 4 x f32}}
  %y = mir.rms_norm %x, %g(eps = 1.0e-06) : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<1 x 4 x f32>) -> !rlx.tensor<B x 4 x f32>
  func.return
}

// -----

// A residual of another shape is not broadcast.
func.func @residual(%x: !rlx.tensor<B x 4 x f32>, %r: !rlx.tensor<4 x f32>, %g: !rlx.tensor<4 x f32>) {
  // expected-error@+1 {{x and residual: shapes [B, 4] and [4] have different ranks}}
  %s, %y = mir.residual_rms_norm %x, %r, %g(eps = 1.0e-06) : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x f32>, !rlx.tensor<4 x f32>) -> (!rlx.tensor<B x 4 x f32>, !rlx.tensor<B x 4 x f32>)
  func.return
}

// -----

func.func @missing_eps(%x: !rlx.tensor<B x 4 x f32>, %g: !rlx.tensor<4 x f32>) {
  // expected-error@+1 {{mir.rms_norm needs the property 'eps'}}
  %y = mir.rms_norm %x, %g : (!rlx.tensor<B x 4 x f32>, !rlx.tensor<4 x f32>) -> !rlx.tensor<B x 4 x f32>
  func.return
}

// -----

func.func @unknown_property(%x: !rlx.tensor<B x 4 x f32>) {
  // expected-error@+1 {{'dim' is not a property of mir.softmax; it has: axis}}
  %y = mir.softmax %x(dim = 1) : !rlx.tensor<B x 4 x f32>
  func.return
}
