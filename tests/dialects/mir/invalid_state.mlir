// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @room(%k: !rlx.state<16 x 8 x f32>, %new: !rlx.tensor<17 x 8 x f32>) {
  // expected-error@+1 {{end of the update and room of the state: 17 exceeds 16}}
  %k1 = mir.cache_update %k, %new(at = 0, axis = 0) : (!rlx.state<16 x 8 x f32>, !rlx.tensor<17 x 8 x f32>) -> !rlx.state<16 x 8 x f32>
  func.return
}

// -----

func.func @other_dims(%k: !rlx.state<16 x 8 x f32>, %new: !rlx.tensor<1 x 4 x f32>) {
  // expected-error@+1 {{state and new at dim 1: 8 and 4 differ}}
  %k1 = mir.cache_update %k, %new(at = P, axis = 0) : (!rlx.state<16 x 8 x f32>, !rlx.tensor<1 x 4 x f32>) -> !rlx.state<16 x 8 x f32>
  func.return
}

// -----

func.func @tensor(%k: !rlx.tensor<16 x 8 x f32>) {
  // expected-error@+1 {{should be of base attribute rlx.state}}
  %y = mir.state_read %k(axis = 0, extent = 4) : (!rlx.tensor<16 x 8 x f32>) -> !rlx.tensor<4 x 8 x f32>
  func.return
}
