// RUN: rlx-opt %s -p convert-hir-to-mir | filecheck %s --check-prefixes=CHECK,DIRECT
// RUN: rlx-opt %s -p 'convert-hir-to-mir{policy=fusable}' | filecheck %s --check-prefixes=CHECK,FUSABLE

// Direct: one fused op. Fusable: product, bias, activation.
// CHECK-LABEL: func.func @linear(
func.func @linear(%x: !rlx.tensor<B x S x 8 x f32>, %w: !rlx.tensor<8 x 4 x f32>, %b: !rlx.tensor<4 x f32>) -> !rlx.tensor<B x S x 4 x f32> {
  // DIRECT-NEXT: %y = mir.matmul_bias_act %x, %w, bias %b(activation = gelu) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<4 x f32>) -> !rlx.tensor<B x S x 4 x f32>
  // DIRECT-NEXT: func.return %y : !rlx.tensor<B x S x 4 x f32>
  // FUSABLE-NEXT: %0 = mir.matmul %x, %w : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x S x 4 x f32>
  // FUSABLE-NEXT: %1 = mir.broadcast %b : (!rlx.tensor<4 x f32>) -> !rlx.tensor<B x S x 4 x f32>
  // FUSABLE-NEXT: %2 = mir.add %0, %1 : !rlx.tensor<B x S x 4 x f32>
  // FUSABLE-NEXT: %y = mir.gelu %2 : !rlx.tensor<B x S x 4 x f32>
  // FUSABLE-NEXT: func.return %y : !rlx.tensor<B x S x 4 x f32>
  %y = hir.linear %x, %w, bias %b(activation = gelu) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<4 x f32>) -> !rlx.tensor<B x S x 4 x f32>
  func.return %y : !rlx.tensor<B x S x 4 x f32>
}

// CHECK-LABEL: func.func @matmul(
func.func @matmul(%a: !rlx.tensor<B x 2 x S x 8 x f32>, %b: !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x 2 x S x 4 x f32> {
  // CHECK-NEXT: %y = mir.matmul %a, %b : (!rlx.tensor<B x 2 x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x 2 x S x 4 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 2 x S x 4 x f32>
  %y = hir.matmul %a, %b : (!rlx.tensor<B x 2 x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x 2 x S x 4 x f32>
  func.return %y : !rlx.tensor<B x 2 x S x 4 x f32>
}

// CHECK-LABEL: func.func @layer_norm(
func.func @layer_norm(%x: !rlx.tensor<B x 8 x f32>, %g: !rlx.tensor<8 x f32>, %b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = mir.layer_norm %x, %g, %b(eps = 1.0e-05) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 8 x f32>
  %y = hir.layer_norm %x, %g, bias %b(eps = 1.0e-05) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @rms_norm(
func.func @rms_norm(%x: !rlx.tensor<B x 8 x f32>, %g: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = mir.rms_norm %x, %g(eps = 1.0e-06) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 8 x f32>
  %y = hir.rms_norm %x, %g(eps = 1.0e-06) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @residual_layer_norm(
func.func @residual_layer_norm(%x: !rlx.tensor<B x 8 x f32>, %r: !rlx.tensor<B x 8 x f32>, %g: !rlx.tensor<8 x f32>, %b: !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>) {
  // DIRECT-NEXT: %s, %y = mir.residual_layer_norm %x, %r, %g, %b(eps = 1.0e-05) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>)
  // DIRECT-NEXT: func.return %s, %y : !rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>
  // FUSABLE-NEXT: %s = mir.add %x, %r : !rlx.tensor<B x 8 x f32>
  // FUSABLE-NEXT: %y = mir.layer_norm %s, %g, %b(eps = 1.0e-05) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  // FUSABLE-NEXT: func.return %s, %y : !rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>
  %s, %y = hir.residual_layer_norm %x, %r, %g, bias %b(eps = 1.0e-05) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>)
  func.return %s, %y : !rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @residual_rms_norm(
func.func @residual_rms_norm(%x: !rlx.tensor<B x 8 x f32>, %r: !rlx.tensor<B x 8 x f32>, %g: !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>) {
  // DIRECT-NEXT: %s, %y = mir.residual_rms_norm %x, %r, %g(eps = 1.0e-06) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>)
  // DIRECT-NEXT: func.return %s, %y : !rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>
  // FUSABLE-NEXT: %s = mir.add %x, %r : !rlx.tensor<B x 8 x f32>
  // FUSABLE-NEXT: %y = mir.rms_norm %s, %g(eps = 1.0e-06) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  // FUSABLE-NEXT: func.return %s, %y : !rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>
  %s, %y = hir.residual_rms_norm %x, %r, %g(eps = 1.0e-06) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>)
  func.return %s, %y : !rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @embedding(
func.func @embedding(%table: !rlx.tensor<100 x 8 x f32>, %ids: !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32> {
  // CHECK-NEXT: %y = mir.gather %table, %ids(oob = clamp) : (!rlx.tensor<100 x 8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x S x 8 x f32>
  %y = hir.embedding %table, %ids(oob = clamp) : (!rlx.tensor<100 x 8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32>
  func.return %y : !rlx.tensor<B x S x 8 x f32>
}

// The mask counts as a number.
// CHECK-LABEL: func.func @mean_pool(
func.func @mean_pool(%x: !rlx.tensor<B x S x 8 x f32>, %mask: !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %0 = mir.cast %mask : (!rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x f32>
  // CHECK-NEXT: %1 = mir.broadcast %0(axes = [0, 1]) : (!rlx.tensor<B x S x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: %2 = mir.mul %x, %1 : !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: %3 = mir.reduce_sum %2(axes = [1]) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %4 = mir.reduce_sum %0(axes = [1], keepdims) : (!rlx.tensor<B x S x f32>) -> !rlx.tensor<B x 1 x f32>
  // CHECK-NEXT: %5 = mir.constant dense<1.0e-09> : !rlx.tensor<f32>
  // CHECK-NEXT: %6 = mir.broadcast %5 : (!rlx.tensor<f32>) -> !rlx.tensor<B x 1 x f32>
  // CHECK-NEXT: %7 = mir.max %4, %6 : !rlx.tensor<B x 1 x f32>
  // CHECK-NEXT: %8 = mir.broadcast %7 : (!rlx.tensor<B x 1 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %y = mir.div %3, %8 : !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 8 x f32>
  %y = hir.mean_pool %x, %mask : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @l2_normalize(
func.func @l2_normalize(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %0 = mir.mul %x, %x : !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %1 = mir.reduce_sum %0(axes = [1], keepdims) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 1 x f32>
  // CHECK-NEXT: %2 = mir.sqrt %1 : !rlx.tensor<B x 1 x f32>
  // CHECK-NEXT: %3 = mir.constant dense<1.0e-12> : !rlx.tensor<f32>
  // CHECK-NEXT: %4 = mir.broadcast %3 : (!rlx.tensor<f32>) -> !rlx.tensor<B x 1 x f32>
  // CHECK-NEXT: %5 = mir.max %2, %4 : !rlx.tensor<B x 1 x f32>
  // CHECK-NEXT: %6 = mir.broadcast %5 : (!rlx.tensor<B x 1 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %y = mir.div %x, %6 : !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 8 x f32>
  %y = hir.l2_normalize %x(eps = 1.0e-12) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// Packed heads are split by views; a key mask is MIR's custom mask.
// CHECK-LABEL: func.func @attention(
func.func @attention(%q: !rlx.tensor<B x S x 8 x f32>, %k: !rlx.tensor<B x S x 8 x f32>, %v: !rlx.tensor<B x S x 8 x f32>, %m: !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32> {
  // CHECK-NEXT: %0 = mir.reshape %q : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // CHECK-NEXT: %1 = mir.reshape %k : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // CHECK-NEXT: %2 = mir.reshape %v : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // CHECK-NEXT: %3 = mir.attention %0, %1, %2, mask %m(layout = bshd, kind = custom, scale = 0.5) : (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // CHECK-NEXT: %y = mir.reshape %3 : (!rlx.tensor<B x S x 2 x 4 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x S x 8 x f32>
  %y = hir.attention %q, %k, %v, key_mask %m(heads = 2, kv_heads = 2) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32>
  func.return %y : !rlx.tensor<B x S x 8 x f32>
}

// States hold heads before positions, so the queries are transposed.
// CHECK-LABEL: func.func @attention_1(
func.func @attention_1(%q: !rlx.tensor<B x S x 8 x f32>, %ks: !rlx.state<B x 1 x 64 x 4 x f32>, %vs: !rlx.state<B x 1 x 64 x 4 x f32>) -> !rlx.tensor<B x S x 8 x f32> {
  // CHECK-NEXT: %0 = mir.reshape %q : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // CHECK-NEXT: %1 = mir.transpose %0(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x S x 2 x 4 x f32>) -> !rlx.tensor<B x 2 x S x 4 x f32>
  // CHECK-NEXT: %2 = mir.attention %1, %ks, %vs(layout = bhsd, kind = causal, scale = 0.5, past = P, key_extent = P + S) : (!rlx.tensor<B x 2 x S x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>) -> !rlx.tensor<B x 2 x S x 4 x f32>
  // CHECK-NEXT: %3 = mir.transpose %2(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x 2 x S x 4 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // CHECK-NEXT: %z = mir.reshape %3 : (!rlx.tensor<B x S x 2 x 4 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: func.return %z : !rlx.tensor<B x S x 8 x f32>
  %z = hir.attention %q, %ks, %vs(mask = causal, heads = 2, kv_heads = 1, past = P) : (!rlx.tensor<B x S x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  func.return %z : !rlx.tensor<B x S x 8 x f32>
}

// CHECK-LABEL: func.func @rope(
func.func @rope(%x: !rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32> {
  // CHECK-NEXT: %0 = mir.reshape %x : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // CHECK-NEXT: %1 = mir.rope %0(layout = bshd, theta = 10000.0, n_rot = 4, offset = P) : !rlx.tensor<B x S x 2 x 4 x f32>
  // CHECK-NEXT: %y = mir.reshape %1 : (!rlx.tensor<B x S x 2 x 4 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x S x 8 x f32>
  %y = hir.rope %x(head_dim = 4, theta = 10000.0, offset = P) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  func.return %y : !rlx.tensor<B x S x 8 x f32>
}

// Packed rows take the layout of the state.
// CHECK-LABEL: func.func @cache_update(
func.func @cache_update(%k0: !rlx.state<B x 2 x 64 x 4 x f32>, %new: !rlx.tensor<B x S x 8 x f32>) -> !rlx.state<B x 2 x 64 x 4 x f32> {
  // CHECK-NEXT: %0 = mir.reshape %new : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // CHECK-NEXT: %1 = mir.transpose %0(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x S x 2 x 4 x f32>) -> !rlx.tensor<B x 2 x S x 4 x f32>
  // CHECK-NEXT: %k1 = mir.cache_update %k0, %1(at = P, axis = 2) : (!rlx.state<B x 2 x 64 x 4 x f32>, !rlx.tensor<B x 2 x S x 4 x f32>) -> !rlx.state<B x 2 x 64 x 4 x f32>
  // CHECK-NEXT: func.return %k1 : !rlx.state<B x 2 x 64 x 4 x f32>
  %k1 = hir.cache_update %k0, %new(at = P) : (!rlx.state<B x 2 x 64 x 4 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.state<B x 2 x 64 x 4 x f32>
  func.return %k1 : !rlx.state<B x 2 x 64 x 4 x f32>
}

// CHECK-LABEL: func.func @swiglu_ffn(
func.func @swiglu_ffn(%x: !rlx.tensor<B x S x 8 x f32>, %up: !rlx.tensor<8 x 16 x f32>, %gate: !rlx.tensor<8 x 16 x f32>, %down: !rlx.tensor<16 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32> {
  // DIRECT-NEXT: %0 = mir.swiglu_matmul %x, %up, %gate : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<8 x 16 x f32>) -> !rlx.tensor<B x S x 16 x f32>
  // DIRECT-NEXT: %y = mir.matmul %0, %down : (!rlx.tensor<B x S x 16 x f32>, !rlx.tensor<16 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: func.return %y : !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %0 = mir.matmul %x, %up : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 16 x f32>) -> !rlx.tensor<B x S x 16 x f32>
  // FUSABLE-NEXT: %1 = mir.matmul %x, %gate : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 16 x f32>) -> !rlx.tensor<B x S x 16 x f32>
  // FUSABLE-NEXT: %2 = mir.silu %1 : !rlx.tensor<B x S x 16 x f32>
  // FUSABLE-NEXT: %3 = mir.mul %2, %0 : !rlx.tensor<B x S x 16 x f32>
  // FUSABLE-NEXT: %y = mir.matmul %3, %down : (!rlx.tensor<B x S x 16 x f32>, !rlx.tensor<16 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: func.return %y : !rlx.tensor<B x S x 8 x f32>
  %y = hir.swiglu_ffn %x, %up, %gate, %down : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<16 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  func.return %y : !rlx.tensor<B x S x 8 x f32>
}

// The residual sums ride in the products before them.
// CHECK-LABEL: func.func @encoder_block(
func.func @encoder_block(%x: !rlx.tensor<B x S x 8 x f32>, %qw: !rlx.tensor<8 x 8 x f32>, %qb: !rlx.tensor<8 x f32>, %kw: !rlx.tensor<8 x 8 x f32>, %kb: !rlx.tensor<8 x f32>, %vw: !rlx.tensor<8 x 8 x f32>, %vb: !rlx.tensor<8 x f32>, %ow: !rlx.tensor<8 x 8 x f32>, %ob: !rlx.tensor<8 x f32>, %g1: !rlx.tensor<8 x f32>, %b1: !rlx.tensor<8 x f32>, %uw: !rlx.tensor<8 x 16 x f32>, %ub: !rlx.tensor<16 x f32>, %dw: !rlx.tensor<16 x 8 x f32>, %db: !rlx.tensor<8 x f32>, %g2: !rlx.tensor<8 x f32>, %b2: !rlx.tensor<8 x f32>, %m: !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32> {
  // DIRECT-NEXT: %0 = mir.matmul_bias_act %x, %qw, bias %qb(activation = none) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: %1 = mir.reshape %0 : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // DIRECT-NEXT: %2 = mir.matmul_bias_act %x, %kw, bias %kb(activation = none) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: %3 = mir.reshape %2 : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // DIRECT-NEXT: %4 = mir.matmul_bias_act %x, %vw, bias %vb(activation = none) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: %5 = mir.reshape %4 : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // DIRECT-NEXT: %6 = mir.attention %1, %3, %5, mask %m(layout = bshd, kind = custom, scale = 0.5) : (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // DIRECT-NEXT: %7 = mir.reshape %6 : (!rlx.tensor<B x S x 2 x 4 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: %8 = mir.matmul_bias_act %7, %ow, bias %ob, residual %x(activation = none) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: %9 = mir.layer_norm %8, %g1, %b1(eps = 1.0e-12) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: %10 = mir.matmul_bias_act %9, %uw, bias %ub(activation = gelu) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<16 x f32>) -> !rlx.tensor<B x S x 16 x f32>
  // DIRECT-NEXT: %11 = mir.matmul_bias_act %10, %dw, bias %db, residual %9(activation = none) : (!rlx.tensor<B x S x 16 x f32>, !rlx.tensor<16 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: %y = mir.layer_norm %11, %g2, %b2(eps = 1.0e-12) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: func.return %y : !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %0 = mir.matmul %x, %qw : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %1 = mir.broadcast %qb : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %2 = mir.add %0, %1 : !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %3 = mir.reshape %2 : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // FUSABLE-NEXT: %4 = mir.matmul %x, %kw : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %5 = mir.broadcast %kb : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %6 = mir.add %4, %5 : !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %7 = mir.reshape %6 : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // FUSABLE-NEXT: %8 = mir.matmul %x, %vw : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %9 = mir.broadcast %vb : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %10 = mir.add %8, %9 : !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %11 = mir.reshape %10 : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // FUSABLE-NEXT: %12 = mir.attention %3, %7, %11, mask %m(layout = bshd, kind = custom, scale = 0.5) : (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // FUSABLE-NEXT: %13 = mir.reshape %12 : (!rlx.tensor<B x S x 2 x 4 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %14 = mir.matmul %13, %ow : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %15 = mir.broadcast %ob : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %16 = mir.add %14, %15 : !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %17 = mir.add %16, %x : !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %18 = mir.layer_norm %17, %g1, %b1(eps = 1.0e-12) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %19 = mir.matmul %18, %uw : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 16 x f32>) -> !rlx.tensor<B x S x 16 x f32>
  // FUSABLE-NEXT: %20 = mir.broadcast %ub : (!rlx.tensor<16 x f32>) -> !rlx.tensor<B x S x 16 x f32>
  // FUSABLE-NEXT: %21 = mir.add %19, %20 : !rlx.tensor<B x S x 16 x f32>
  // FUSABLE-NEXT: %22 = mir.gelu %21 : !rlx.tensor<B x S x 16 x f32>
  // FUSABLE-NEXT: %23 = mir.matmul %22, %dw : (!rlx.tensor<B x S x 16 x f32>, !rlx.tensor<16 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %24 = mir.broadcast %db : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %25 = mir.add %23, %24 : !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %26 = mir.add %25, %18 : !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %y = mir.layer_norm %26, %g2, %b2(eps = 1.0e-12) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: func.return %y : !rlx.tensor<B x S x 8 x f32>
  %y = hir.encoder_block %x, query %qw, %qb, key %kw, %kb, value %vw, %vb, output %ow, %ob, norm1 %g1, %b1, up %uw, %ub, down %dw, %db, norm2 %g2, %b2, mask %m(heads = 2, eps = 1.0e-12) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<16 x f32>, !rlx.tensor<16 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32>
  func.return %y : !rlx.tensor<B x S x 8 x f32>
}

// Keys and values are rotated, laid out like the cache and written before attention reads them.
// CHECK-LABEL: func.func @decoder_block(
func.func @decoder_block(%x: !rlx.tensor<B x S x 8 x f32>, %g1: !rlx.tensor<8 x f32>, %qw: !rlx.tensor<8 x 8 x f32>, %kw: !rlx.tensor<8 x 4 x f32>, %vw: !rlx.tensor<8 x 4 x f32>, %ow: !rlx.tensor<8 x 8 x f32>, %g2: !rlx.tensor<8 x f32>, %up: !rlx.tensor<8 x 16 x f32>, %gate: !rlx.tensor<8 x 16 x f32>, %down: !rlx.tensor<16 x 8 x f32>, %k0: !rlx.state<B x 1 x 64 x 4 x f32>, %v0: !rlx.state<B x 1 x 64 x 4 x f32>) -> (!rlx.tensor<B x S x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>) {
  // DIRECT-NEXT: %0 = mir.rms_norm %x, %g1(eps = 1.0e-06) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: %1 = mir.matmul %0, %qw : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: %2 = mir.reshape %1 : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // DIRECT-NEXT: %3 = mir.rope %2(layout = bshd, theta = 10000.0, n_rot = 4, offset = P) : !rlx.tensor<B x S x 2 x 4 x f32>
  // DIRECT-NEXT: %4 = mir.matmul %0, %kw : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x S x 4 x f32>
  // DIRECT-NEXT: %5 = mir.reshape %4 : (!rlx.tensor<B x S x 4 x f32>) -> !rlx.tensor<B x S x 1 x 4 x f32>
  // DIRECT-NEXT: %6 = mir.rope %5(layout = bshd, theta = 10000.0, n_rot = 4, offset = P) : !rlx.tensor<B x S x 1 x 4 x f32>
  // DIRECT-NEXT: %7 = mir.matmul %0, %vw : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x S x 4 x f32>
  // DIRECT-NEXT: %8 = mir.reshape %7 : (!rlx.tensor<B x S x 4 x f32>) -> !rlx.tensor<B x S x 1 x 4 x f32>
  // DIRECT-NEXT: %9 = mir.transpose %3(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x S x 2 x 4 x f32>) -> !rlx.tensor<B x 2 x S x 4 x f32>
  // DIRECT-NEXT: %10 = mir.transpose %6(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x S x 1 x 4 x f32>) -> !rlx.tensor<B x 1 x S x 4 x f32>
  // DIRECT-NEXT: %11 = mir.transpose %8(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x S x 1 x 4 x f32>) -> !rlx.tensor<B x 1 x S x 4 x f32>
  // DIRECT-NEXT: %k1 = mir.cache_update %k0, %10(at = P, axis = 2) : (!rlx.state<B x 1 x 64 x 4 x f32>, !rlx.tensor<B x 1 x S x 4 x f32>) -> !rlx.state<B x 1 x 64 x 4 x f32>
  // DIRECT-NEXT: %v1 = mir.cache_update %v0, %11(at = P, axis = 2) : (!rlx.state<B x 1 x 64 x 4 x f32>, !rlx.tensor<B x 1 x S x 4 x f32>) -> !rlx.state<B x 1 x 64 x 4 x f32>
  // DIRECT-NEXT: %12 = mir.attention %9, %k1, %v1(layout = bhsd, kind = causal, scale = 0.5, past = P, key_extent = P + S) : (!rlx.tensor<B x 2 x S x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>) -> !rlx.tensor<B x 2 x S x 4 x f32>
  // DIRECT-NEXT: %13 = mir.transpose %12(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x 2 x S x 4 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // DIRECT-NEXT: %14 = mir.reshape %13 : (!rlx.tensor<B x S x 2 x 4 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: %15 = mir.matmul_bias_act %14, %ow, residual %x(activation = none) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: %16 = mir.rms_norm %15, %g2(eps = 1.0e-06) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: %17 = mir.swiglu_matmul %16, %up, %gate : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<8 x 16 x f32>) -> !rlx.tensor<B x S x 16 x f32>
  // DIRECT-NEXT: %y = mir.matmul_bias_act %17, %down, residual %15(activation = none) : (!rlx.tensor<B x S x 16 x f32>, !rlx.tensor<16 x 8 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // DIRECT-NEXT: func.return %y, %k1, %v1 : !rlx.tensor<B x S x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>
  // FUSABLE-NEXT: %0 = mir.rms_norm %x, %g1(eps = 1.0e-06) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %1 = mir.matmul %0, %qw : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %2 = mir.reshape %1 : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // FUSABLE-NEXT: %3 = mir.rope %2(layout = bshd, theta = 10000.0, n_rot = 4, offset = P) : !rlx.tensor<B x S x 2 x 4 x f32>
  // FUSABLE-NEXT: %4 = mir.matmul %0, %kw : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x S x 4 x f32>
  // FUSABLE-NEXT: %5 = mir.reshape %4 : (!rlx.tensor<B x S x 4 x f32>) -> !rlx.tensor<B x S x 1 x 4 x f32>
  // FUSABLE-NEXT: %6 = mir.rope %5(layout = bshd, theta = 10000.0, n_rot = 4, offset = P) : !rlx.tensor<B x S x 1 x 4 x f32>
  // FUSABLE-NEXT: %7 = mir.matmul %0, %vw : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x S x 4 x f32>
  // FUSABLE-NEXT: %8 = mir.reshape %7 : (!rlx.tensor<B x S x 4 x f32>) -> !rlx.tensor<B x S x 1 x 4 x f32>
  // FUSABLE-NEXT: %9 = mir.transpose %3(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x S x 2 x 4 x f32>) -> !rlx.tensor<B x 2 x S x 4 x f32>
  // FUSABLE-NEXT: %10 = mir.transpose %6(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x S x 1 x 4 x f32>) -> !rlx.tensor<B x 1 x S x 4 x f32>
  // FUSABLE-NEXT: %11 = mir.transpose %8(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x S x 1 x 4 x f32>) -> !rlx.tensor<B x 1 x S x 4 x f32>
  // FUSABLE-NEXT: %k1 = mir.cache_update %k0, %10(at = P, axis = 2) : (!rlx.state<B x 1 x 64 x 4 x f32>, !rlx.tensor<B x 1 x S x 4 x f32>) -> !rlx.state<B x 1 x 64 x 4 x f32>
  // FUSABLE-NEXT: %v1 = mir.cache_update %v0, %11(at = P, axis = 2) : (!rlx.state<B x 1 x 64 x 4 x f32>, !rlx.tensor<B x 1 x S x 4 x f32>) -> !rlx.state<B x 1 x 64 x 4 x f32>
  // FUSABLE-NEXT: %12 = mir.attention %9, %k1, %v1(layout = bhsd, kind = causal, scale = 0.5, past = P, key_extent = P + S) : (!rlx.tensor<B x 2 x S x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>) -> !rlx.tensor<B x 2 x S x 4 x f32>
  // FUSABLE-NEXT: %13 = mir.transpose %12(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x 2 x S x 4 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // FUSABLE-NEXT: %14 = mir.reshape %13 : (!rlx.tensor<B x S x 2 x 4 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %15 = mir.matmul %14, %ow : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %16 = mir.add %15, %x : !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %17 = mir.rms_norm %16, %g2(eps = 1.0e-06) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %18 = mir.matmul %17, %up : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 16 x f32>) -> !rlx.tensor<B x S x 16 x f32>
  // FUSABLE-NEXT: %19 = mir.matmul %17, %gate : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 16 x f32>) -> !rlx.tensor<B x S x 16 x f32>
  // FUSABLE-NEXT: %20 = mir.silu %19 : !rlx.tensor<B x S x 16 x f32>
  // FUSABLE-NEXT: %21 = mir.mul %20, %18 : !rlx.tensor<B x S x 16 x f32>
  // FUSABLE-NEXT: %22 = mir.matmul %21, %down : (!rlx.tensor<B x S x 16 x f32>, !rlx.tensor<16 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: %y = mir.add %22, %16 : !rlx.tensor<B x S x 8 x f32>
  // FUSABLE-NEXT: func.return %y, %k1, %v1 : !rlx.tensor<B x S x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>
  %y, %k1, %v1 = hir.decoder_block %x, norm1 %g1, qkv %qw, %kw, %vw, output %ow, norm2 %g2, ffn %up, %gate, %down, cache %k0, %v0(heads = 2, kv_heads = 1, eps = 1.0e-06, theta = 10000.0, past = P) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<16 x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>) -> (!rlx.tensor<B x S x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>)
  func.return %y, %k1, %v1 : !rlx.tensor<B x S x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>
}

// Elementwise ops map one to one.
// CHECK-LABEL: func.func @neg(
func.func @neg(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = mir.neg %x : !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 8 x f32>
  %y = hir.neg %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// Broadcasting becomes an op.
// CHECK-LABEL: func.func @add(
func.func @add(%x: !rlx.tensor<B x 8 x f32>, %b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %0 = mir.broadcast %b : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %y = mir.add %x, %0 : !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 8 x f32>
  %y = hir.add %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @compare(
func.func @compare(%x: !rlx.tensor<B x 8 x f32>, %b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x i1> {
  // CHECK-NEXT: %0 = mir.broadcast %b : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %p = mir.lt %x, %0 : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x i1>
  // CHECK-NEXT: func.return %p : !rlx.tensor<B x 8 x i1>
  %p = hir.compare %x, %b(kind = lt) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x i1>
  func.return %p : !rlx.tensor<B x 8 x i1>
}

// CHECK-LABEL: func.func @select(
func.func @select(%p: !rlx.tensor<B x 8 x i1>, %x: !rlx.tensor<B x 8 x f32>, %b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %0 = mir.broadcast %b : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %y = mir.select %p, %x, %0 : (!rlx.tensor<B x 8 x i1>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 8 x f32>
  %y = hir.select %p, %x, %b : (!rlx.tensor<B x 8 x i1>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @cast(
func.func @cast(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x bf16> {
  // CHECK-NEXT: %y = mir.cast %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x bf16>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 8 x bf16>
  %y = hir.cast %x(dtype = bf16) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x bf16>
  func.return %y : !rlx.tensor<B x 8 x bf16>
}

// CHECK-LABEL: func.func @reduce(
func.func @reduce(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 1 x f32> {
  // CHECK-NEXT: %y = mir.reduce_mean %x(axes = [1], keepdims) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 1 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 1 x f32>
  %y = hir.reduce %x(kind = mean, axes = [1], keepdims) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 1 x f32>
  func.return %y : !rlx.tensor<B x 1 x f32>
}

// CHECK-LABEL: func.func @softmax(
func.func @softmax(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = mir.softmax %x(axis = 1) : !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 8 x f32>
  %y = hir.softmax %x(axis = -1) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @reshape(
func.func @reshape(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<(B * 2) x 4 x f32> {
  // CHECK-NEXT: %y = mir.reshape %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<(B * 2) x 4 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<(B * 2) x 4 x f32>
  %y = hir.reshape %x(shape = [B * 2, 4]) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<(B * 2) x 4 x f32>
  func.return %y : !rlx.tensor<(B * 2) x 4 x f32>
}

// CHECK-LABEL: func.func @transpose(
func.func @transpose(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<8 x B x f32> {
  // CHECK-NEXT: %y = mir.transpose %x(perm = [1, 0]) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<8 x B x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<8 x B x f32>
  %y = hir.transpose %x(perm = [1, 0]) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<8 x B x f32>
  func.return %y : !rlx.tensor<8 x B x f32>
}

// CHECK-LABEL: func.func @slice(
func.func @slice(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 4 x f32> {
  // CHECK-NEXT: %y = mir.slice %x(starts = [0, 2], sizes = [B, 4]) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 4 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 4 x f32>
  %y = hir.slice %x(axis = 1, start = 2, length = 4) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 4 x f32>
  func.return %y : !rlx.tensor<B x 4 x f32>
}

// CHECK-LABEL: func.func @concat(
func.func @concat(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 16 x f32> {
  // CHECK-NEXT: %y = mir.concat %x, %x(axis = 1) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 16 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 16 x f32>
  %y = hir.concat %x, %x(axis = 1) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 16 x f32>
  func.return %y : !rlx.tensor<B x 16 x f32>
}

// CHECK-LABEL: func.func @broadcast(
func.func @broadcast(%b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = mir.broadcast %b : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 8 x f32>
  %y = hir.broadcast %b(shape = [B, 8]) : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// A vector is a matrix of one row.
// CHECK-LABEL: func.func @linear_vector(
func.func @linear_vector(%x: !rlx.tensor<8 x f32>, %w: !rlx.tensor<8 x 4 x f32>, %b: !rlx.tensor<4 x f32>) -> !rlx.tensor<4 x f32> {
  // CHECK-NEXT: %0 = mir.reshape %x : (!rlx.tensor<8 x f32>) -> !rlx.tensor<1 x 8 x f32>
  // CHECK-NEXT: %1 = mir.matmul %0, %w : (!rlx.tensor<1 x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<1 x 4 x f32>
  // CHECK-NEXT: %2 = mir.reshape %1 : (!rlx.tensor<1 x 4 x f32>) -> !rlx.tensor<4 x f32>
  // CHECK-NEXT: %y = mir.add %2, %b : !rlx.tensor<4 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<4 x f32>
  %y = hir.linear %x, %w, bias %b : (!rlx.tensor<8 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<4 x f32>) -> !rlx.tensor<4 x f32>
  func.return %y : !rlx.tensor<4 x f32>
}

// Batch axes of a product are stretched, a single matrix is not.
// CHECK-LABEL: func.func @matmul_batch(
func.func @matmul_batch(%a: !rlx.tensor<1 x S x 8 x f32>, %b: !rlx.tensor<B x 8 x 4 x f32>) -> !rlx.tensor<B x S x 4 x f32> {
  // CHECK-NEXT: %0 = mir.broadcast %a : (!rlx.tensor<1 x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: %y = mir.matmul %0, %b : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x 8 x 4 x f32>) -> !rlx.tensor<B x S x 4 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x S x 4 x f32>
  %y = hir.matmul %a, %b : (!rlx.tensor<1 x S x 8 x f32>, !rlx.tensor<B x 8 x 4 x f32>) -> !rlx.tensor<B x S x 4 x f32>
  func.return %y : !rlx.tensor<B x S x 4 x f32>
}

// A norm without a bias has one of zeros.
// CHECK-LABEL: func.func @layer_norm_plain(
func.func @layer_norm_plain(%x: !rlx.tensor<B x 8 x f32>, %g: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %0 = mir.constant dense<0.0> : !rlx.tensor<f32>
  // CHECK-NEXT: %1 = mir.broadcast %0 : (!rlx.tensor<f32>) -> !rlx.tensor<8 x f32>
  // CHECK-NEXT: %y = mir.layer_norm %x, %g, %1(eps = 1.0e-05) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 8 x f32>
  %y = hir.layer_norm %x, %g(eps = 1.0e-05) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// Sums of bf16 are taken in f32.
// CHECK-LABEL: func.func @l2_normalize_bf16(
func.func @l2_normalize_bf16(%x: !rlx.tensor<B x 8 x bf16>) -> !rlx.tensor<B x 8 x bf16> {
  // CHECK-NEXT: %0 = mir.cast %x : (!rlx.tensor<B x 8 x bf16>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %1 = mir.mul %0, %0 : !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %2 = mir.reduce_sum %1(axes = [1], keepdims) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 1 x f32>
  // CHECK-NEXT: %3 = mir.sqrt %2 : !rlx.tensor<B x 1 x f32>
  // CHECK-NEXT: %4 = mir.constant dense<1.0e-12> : !rlx.tensor<f32>
  // CHECK-NEXT: %5 = mir.broadcast %4 : (!rlx.tensor<f32>) -> !rlx.tensor<B x 1 x f32>
  // CHECK-NEXT: %6 = mir.max %3, %5 : !rlx.tensor<B x 1 x f32>
  // CHECK-NEXT: %7 = mir.broadcast %6 : (!rlx.tensor<B x 1 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %8 = mir.div %0, %7 : !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %y = mir.cast %8 : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x bf16>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 8 x bf16>
  %y = hir.l2_normalize %x(eps = 1.0e-12) : (!rlx.tensor<B x 8 x bf16>) -> !rlx.tensor<B x 8 x bf16>
  func.return %y : !rlx.tensor<B x 8 x bf16>
}

// A mask of positions and one of keys become one bias.
// CHECK-LABEL: func.func @attention_two_masks(
func.func @attention_two_masks(%q: !rlx.tensor<B x S x 8 x f32>, %k: !rlx.tensor<B x T x 8 x f32>, %m: !rlx.tensor<B x T x i1>) -> !rlx.tensor<B x S x 8 x f32> {
  // CHECK-NEXT: %0 = mir.dim_value(expr = -S + T) : !rlx.tensor<i64>
  // CHECK-NEXT: %1 = mir.broadcast %0 : (!rlx.tensor<i64>) -> !rlx.tensor<S x i64>
  // CHECK-NEXT: %2 = mir.iota : !rlx.tensor<S x i64>
  // CHECK-NEXT: %3 = mir.add %2, %1 : !rlx.tensor<S x i64>
  // CHECK-NEXT: %4 = mir.broadcast %3(axes = [0]) : (!rlx.tensor<S x i64>) -> !rlx.tensor<S x T x i64>
  // CHECK-NEXT: %5 = mir.iota : !rlx.tensor<T x i64>
  // CHECK-NEXT: %6 = mir.broadcast %5 : (!rlx.tensor<T x i64>) -> !rlx.tensor<S x T x i64>
  // CHECK-NEXT: %7 = mir.le %6, %4 : (!rlx.tensor<S x T x i64>, !rlx.tensor<S x T x i64>) -> !rlx.tensor<S x T x i1>
  // CHECK-NEXT: %8 = mir.constant dense<4> : !rlx.tensor<i64>
  // CHECK-NEXT: %9 = mir.broadcast %8 : (!rlx.tensor<i64>) -> !rlx.tensor<S x T x i64>
  // CHECK-NEXT: %10 = mir.sub %4, %9 : !rlx.tensor<S x T x i64>
  // CHECK-NEXT: %11 = mir.ge %6, %10 : (!rlx.tensor<S x T x i64>, !rlx.tensor<S x T x i64>) -> !rlx.tensor<S x T x i1>
  // CHECK-NEXT: %12 = mir.and %7, %11 : !rlx.tensor<S x T x i1>
  // CHECK-NEXT: %13 = mir.broadcast %m(axes = [0, 3]) : (!rlx.tensor<B x T x i1>) -> !rlx.tensor<B x 1 x S x T x i1>
  // CHECK-NEXT: %14 = mir.broadcast %12 : (!rlx.tensor<S x T x i1>) -> !rlx.tensor<B x 1 x S x T x i1>
  // CHECK-NEXT: %15 = mir.and %14, %13 : !rlx.tensor<B x 1 x S x T x i1>
  // CHECK-NEXT: %16 = mir.constant dense<0.0> : !rlx.tensor<f32>
  // CHECK-NEXT: %17 = mir.broadcast %16 : (!rlx.tensor<f32>) -> !rlx.tensor<B x 1 x S x T x f32>
  // CHECK-NEXT: %18 = mir.constant dense<-inf> : !rlx.tensor<f32>
  // CHECK-NEXT: %19 = mir.broadcast %18 : (!rlx.tensor<f32>) -> !rlx.tensor<B x 1 x S x T x f32>
  // CHECK-NEXT: %20 = mir.select %15, %17, %19 : (!rlx.tensor<B x 1 x S x T x i1>, !rlx.tensor<B x 1 x S x T x f32>, !rlx.tensor<B x 1 x S x T x f32>) -> !rlx.tensor<B x 1 x S x T x f32>
  // CHECK-NEXT: %21 = mir.reshape %q : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // CHECK-NEXT: %22 = mir.reshape %k : (!rlx.tensor<B x T x 8 x f32>) -> !rlx.tensor<B x T x 2 x 4 x f32>
  // CHECK-NEXT: %23 = mir.reshape %k : (!rlx.tensor<B x T x 8 x f32>) -> !rlx.tensor<B x T x 2 x 4 x f32>
  // CHECK-NEXT: %24 = mir.attention %21, %22, %23, mask %20(layout = bshd, kind = bias, scale = 0.5) : (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x T x 2 x 4 x f32>, !rlx.tensor<B x T x 2 x 4 x f32>, !rlx.tensor<B x 1 x S x T x f32>) -> !rlx.tensor<B x S x 2 x 4 x f32>
  // CHECK-NEXT: %y = mir.reshape %24 : (!rlx.tensor<B x S x 2 x 4 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x S x 8 x f32>
  %y = hir.attention %q, %k, %k, key_mask %m(mask = sliding, window = 4, heads = 2, kv_heads = 2) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x T x 8 x f32>, !rlx.tensor<B x T x 8 x f32>, !rlx.tensor<B x T x i1>) -> !rlx.tensor<B x S x 8 x f32>
  func.return %y : !rlx.tensor<B x S x 8 x f32>
}

// Dims that are equal by a stated fact may be written differently on both sides of a rule.
// CHECK-LABEL: func.func @stated(
func.func @stated(%x: !rlx.tensor<S x f32>, %y: !rlx.tensor<T x f32>) -> !rlx.tensor<T x f32> attributes {rlx.constraints = [#rlx.constraint<S == T>]} {
  // CHECK-NEXT: %0 = mir.broadcast %x : (!rlx.tensor<S x f32>) -> !rlx.tensor<T x f32>
  // CHECK-NEXT: %z = mir.add %0, %y : !rlx.tensor<T x f32>
  // CHECK-NEXT: func.return %z : !rlx.tensor<T x f32>
  %z = hir.add %x, %y : (!rlx.tensor<S x f32>, !rlx.tensor<T x f32>) -> !rlx.tensor<T x f32>
  func.return %z : !rlx.tensor<T x f32>
}

// Ops of MIR stay.
// CHECK-LABEL: func.func @mixed(
func.func @mixed(%x: !rlx.tensor<B x f32>) -> !rlx.tensor<B x f32> {
  // CHECK-NEXT: %y = mir.exp %x : !rlx.tensor<B x f32>
  // CHECK-NEXT: %z = mir.log %y : !rlx.tensor<B x f32>
  // CHECK-NEXT: func.return %z : !rlx.tensor<B x f32>
  %y = mir.exp %x : !rlx.tensor<B x f32>
  %z = hir.log %y : (!rlx.tensor<B x f32>) -> !rlx.tensor<B x f32>
  func.return %z : !rlx.tensor<B x f32>
}

// The function's own policy counts where the pass is given none.
// CHECK-LABEL: func.func @policy(
func.func @policy(%x: !rlx.tensor<B x 8 x f32>, %w: !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x 4 x f32> attributes {hir.policy = "fusable"} {
  // CHECK-NEXT: %0 = mir.matmul %x, %w : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x 4 x f32>
  // CHECK-NEXT: %y = mir.relu %0 : !rlx.tensor<B x 4 x f32>
  // CHECK-NEXT: func.return %y : !rlx.tensor<B x 4 x f32>
  %y = hir.linear %x, %w(activation = relu) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x 4 x f32>
  func.return %y : !rlx.tensor<B x 4 x f32>
}

