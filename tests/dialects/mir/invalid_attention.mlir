// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @layout(%q: !rlx.tensor<1 x 2 x 4 x 8 x f32>) {
  // expected-error@+1 {{layout is 'sbhd'; it must be one of bshd, bhsd}}
  %o = mir.attention %q, %q, %q(layout = sbhd, kind = none, scale = 1.0) : (!rlx.tensor<1 x 2 x 4 x 8 x f32>, !rlx.tensor<1 x 2 x 4 x 8 x f32>, !rlx.tensor<1 x 2 x 4 x 8 x f32>) -> !rlx.tensor<1 x 2 x 4 x 8 x f32>
  func.return
}

// -----

func.func @rank(%q: !rlx.tensor<1 x 2 x 4 x 8 x f32>, %k: !rlx.tensor<1 x 2 x 4 x f32>) {
  // expected-error@+1 {{k must have rank 4, found 1 x 2 x 4 x f32}}
  %o = mir.attention %q, %k, %k(layout = bshd, kind = none, scale = 1.0) : (!rlx.tensor<1 x 2 x 4 x 8 x f32>, !rlx.tensor<1 x 2 x 4 x f32>, !rlx.tensor<1 x 2 x 4 x f32>) -> !rlx.tensor<1 x 2 x 4 x 8 x f32>
  func.return
}

// -----

func.func @heads(%q: !rlx.tensor<1 x 2 x 4 x 8 x f32>, %k: !rlx.tensor<1 x 2 x 3 x 8 x f32>) {
  // expected-error@+1 {{query heads and key heads: 4 is not a multiple of 3}}
  %o = mir.attention %q, %k, %k(layout = bshd, kind = none, scale = 1.0) : (!rlx.tensor<1 x 2 x 4 x 8 x f32>, !rlx.tensor<1 x 2 x 3 x 8 x f32>, !rlx.tensor<1 x 2 x 3 x 8 x f32>) -> !rlx.tensor<1 x 2 x 4 x 8 x f32>
  func.return
}

// -----

func.func @window(%q: !rlx.tensor<1 x 2 x 4 x 8 x f32>) {
  // expected-error@+1 {{kind = sliding needs window = n with n ≥ 0, and no other kind takes it}}
  %o = mir.attention %q, %q, %q(layout = bshd, kind = sliding, scale = 1.0) : (!rlx.tensor<1 x 2 x 4 x 8 x f32>, !rlx.tensor<1 x 2 x 4 x 8 x f32>, !rlx.tensor<1 x 2 x 4 x 8 x f32>) -> !rlx.tensor<1 x 2 x 4 x 8 x f32>
  func.return
}

// -----

func.func @mask_missing(%q: !rlx.tensor<1 x 2 x 4 x 8 x f32>) {
  // expected-error@+1 {{kind = bias needs mask operand}}
  %o = mir.attention %q, %q, %q(layout = bshd, kind = bias, scale = 1.0) : (!rlx.tensor<1 x 2 x 4 x 8 x f32>, !rlx.tensor<1 x 2 x 4 x 8 x f32>, !rlx.tensor<1 x 2 x 4 x 8 x f32>) -> !rlx.tensor<1 x 2 x 4 x 8 x f32>
  func.return
}

// -----

func.func @mask_shape(%q: !rlx.tensor<1 x 2 x 4 x 8 x f32>, %m: !rlx.tensor<1 x 3 x i1>) {
  // expected-error@+1 {{mask and [batch, keys]: shapes [1, 3] and [1, 2] at dim 1: 3 and 2 differ}}
  %o = mir.attention %q, %q, %q, mask %m(layout = bshd, kind = custom, scale = 1.0) : (!rlx.tensor<1 x 2 x 4 x 8 x f32>, !rlx.tensor<1 x 2 x 4 x 8 x f32>, !rlx.tensor<1 x 2 x 4 x 8 x f32>, !rlx.tensor<1 x 3 x i1>) -> !rlx.tensor<1 x 2 x 4 x 8 x f32>
  func.return
}

// -----

func.func @past_the_cache(%q: !rlx.tensor<1 x 2 x 4 x 8 x f32>, %k: !rlx.state<1 x 16 x 4 x 8 x f32>) {
  // expected-error@+1 {{key_extent and the room of k: 17 exceeds 16}}
  %o = mir.attention %q, %k, %k(layout = bshd, kind = none, scale = 1.0, key_extent = 17) : (!rlx.tensor<1 x 2 x 4 x 8 x f32>, !rlx.state<1 x 16 x 4 x 8 x f32>, !rlx.state<1 x 16 x 4 x 8 x f32>) -> !rlx.tensor<1 x 2 x 4 x 8 x f32>
  func.return
}

// -----

func.func @odd_rotation(%x: !rlx.tensor<1 x 2 x 4 x 8 x f32>) {
  // expected-error@+1 {{n_rot must be positive and even, found 3}}
  %y = mir.rope %x(layout = bshd, theta = 10000.0, n_rot = 3) : !rlx.tensor<1 x 2 x 4 x 8 x f32>
  func.return
}

// -----

func.func @wide_rotation(%x: !rlx.tensor<1 x 2 x 4 x 8 x f32>) {
  // expected-error@+1 {{n_rot and head dim: 16 exceeds 8}}
  %y = mir.rope %x(layout = bshd, theta = 10000.0, n_rot = 16) : !rlx.tensor<1 x 2 x 4 x 8 x f32>
  func.return
}
