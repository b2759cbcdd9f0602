// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @contraction_differs(%x: !rlx.tensor<B x 8 x f32>, %w: !rlx.tensor<4 x 16 x f32>) {
  // expected-error@below {{the last axis of x and the rows of w differ: 8 and 4}}
  %y = hir.linear %x, %w : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<4 x 16 x f32>) -> !rlx.tensor<B x 16 x f32>
  func.return
}

// -----

// A symbol is never taken for the number that would make it fit.
func.func @contraction_unknown(%x: !rlx.tensor<B x S x f32>, %w: !rlx.tensor<4 x 8 x f32>) {
  // expected-error@below {{hint: b.constrain(S == 4)}}
  %y = hir.linear %x, %w : (!rlx.tensor<B x S x f32>, !rlx.tensor<4 x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

// Stated, the same is accepted.
func.func @contraction_stated(%x: !rlx.tensor<B x S x f32>, %w: !rlx.tensor<4 x 8 x f32>) attributes {rlx.constraints = [#rlx.constraint<S == 4>]} {
  %y = hir.linear %x, %w : (!rlx.tensor<B x S x f32>, !rlx.tensor<4 x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

// A dim that may be 1 is not stretched.
func.func @broadcast_symbol(%x: !rlx.tensor<B x 8 x f32>, %y: !rlx.tensor<S x 8 x f32>) attributes {rlx.dims = [#rlx.dim<B in [1, 4]>, #rlx.dim<S in [1, 4]>]} {
  // expected-error@below {{broadcast only if B == S (axis -2), which is not known}}
  %z = hir.add %x, %y : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<S x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

func.func @broadcast_differs(%x: !rlx.tensor<B x 8 x f32>, %y: !rlx.tensor<4 x f32>) {
  // expected-error@below {{shapes [B, 8] and [4] do not broadcast: 8 and 4 (axis -1) differ}}
  %z = hir.add %x, %y : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<4 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

// A result type is compared with what the operands give.
func.func @result_type(%x: !rlx.tensor<B x 8 x f32>) {
  // expected-error@below {{the result is declared !rlx.tensor<B x 9 x f32>, but the operands make it !rlx.tensor<B x 8 x f32>}}
  %y = hir.exp %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 9 x f32>
  func.return
}

// -----

func.func @dtype(%x: !rlx.tensor<8 x f32>, %y: !rlx.tensor<8 x bf16>) {
  // expected-error@below {{rhs is bf16, but lhs is f32}}
  %z = hir.add %x, %y : (!rlx.tensor<8 x f32>, !rlx.tensor<8 x bf16>) -> !rlx.tensor<8 x f32>
  func.return
}

// -----

func.func @domain(%x: !rlx.tensor<8 x i64>) {
  // expected-error@below {{x is i64; a float type is needed}}
  %z = hir.gelu %x : (!rlx.tensor<8 x i64>) -> !rlx.tensor<8 x i64>
  func.return
}

// -----

func.func @activation(%x: !rlx.tensor<B x 8 x f32>, %w: !rlx.tensor<8 x 4 x f32>) {
  // expected-error@below {{activation is 'swish'; it must be one of none, relu, gelu, gelu_tanh, silu, tanh, sigmoid}}
  %y = hir.linear %x, %w(activation = swish) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x 4 x f32>
  func.return
}

// -----

func.func @norm_scale(%x: !rlx.tensor<B x 8 x f32>, %g: !rlx.tensor<4 x f32>) {
  // expected-error@below {{scale has shape [4], but the last axis of x needs [8]}}
  %y = hir.rms_norm %x, %g(eps = 1.0e-06) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<4 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

func.func @heads(%q: !rlx.tensor<B x S x 8 x f32>) {
  // expected-error@below {{3 query heads cannot share 2 key heads evenly}}
  %y = hir.attention %q, %q, %q(heads = 3, kv_heads = 2) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  func.return
}

// -----

func.func @key_heads(%q: !rlx.tensor<B x S x 8 x f32>) {
  // expected-error@below {{k has shape [B, S, 8], but q with 1 key heads needs [B, S, 4]}}
  %y = hir.attention %q, %q, %q(heads = 2, kv_heads = 1) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  func.return
}

// -----

func.func @window(%q: !rlx.tensor<B x S x 8 x f32>) {
  // expected-error@below {{'window' and mask = sliding need each other}}
  %y = hir.attention %q, %q, %q(mask = sliding, heads = 2, kv_heads = 2) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  func.return
}

// -----

func.func @key_mask(%q: !rlx.tensor<B x S x 8 x f32>, %m: !rlx.tensor<B x T x i64>) {
  // expected-error@below {{key_mask has shape [B, T], and the keys needs [B, S]; T == S (axis 1) is not known}}
  %y = hir.attention %q, %q, %q, key_mask %m(heads = 2, kv_heads = 2) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x T x i64>) -> !rlx.tensor<B x S x 8 x f32>
  func.return
}

// -----

func.func @cache_full(%k: !rlx.state<B x 2 x 16 x 4 x f32>, %new: !rlx.tensor<B x 17 x 8 x f32>) {
  // expected-error@below {{rows written and the capacity of the state: P + 17 is larger than 16}}
  %y = hir.cache_update %k, %new(at = P) : (!rlx.state<B x 2 x 16 x 4 x f32>, !rlx.tensor<B x 17 x 8 x f32>) -> !rlx.state<B x 2 x 16 x 4 x f32>
  func.return
}

// -----

func.func @reshape(%x: !rlx.tensor<B x 8 x f32>) {
  // expected-error@below {{the elements of [B, 8] and [B, 4] must be equal}}
  %y = hir.reshape %x(shape = [B, 4]) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 4 x f32>
  func.return
}

// -----

func.func @perm(%x: !rlx.tensor<B x 8 x f32>) {
  // expected-error@below {{perm [0, 0] is not a permutation of the 2 axes of x}}
  %y = hir.transpose %x(perm = [0, 0]) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x B x f32>
  func.return
}

// -----

func.func @slice_end(%x: !rlx.tensor<B x 8 x f32>) {
  // expected-error@below {{the end of the slice and axis 1 of x: 9 is larger than 8}}
  %y = hir.slice %x(axis = 1, start = 2, length = 7) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 7 x f32>
  func.return
}

// -----

func.func @axis(%x: !rlx.tensor<B x 8 x f32>) {
  // expected-error@below {{axis 2 is out of range for 2 axes}}
  %y = hir.softmax %x(axis = 2) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

func.func @group(%x: !rlx.tensor<B x S x 8 x f32>, %w: !rlx.tensor<8 x 8 x f32>) {
  // expected-error@below {{'hir.encoder_block' takes 2 operand(s) after 'query' (q_w, q_b), found 1}}
  %y = hir.encoder_block %x, query %w(heads = 2, eps = 1.0e-12) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  func.return
}

// -----

func.func @property_missing(%x: !rlx.tensor<B x 8 x f32>, %g: !rlx.tensor<8 x f32>) {
  // expected-error@below {{'hir.rms_norm' needs the property 'eps'}}
  %y = hir.rms_norm %x, %g : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

func.func @property_unknown(%x: !rlx.tensor<B x 8 x f32>) {
  // expected-error@below {{'axes' is not a property of 'hir.softmax'; it has: axis}}
  %y = hir.softmax %x(axes = 1) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}
