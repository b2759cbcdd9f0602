// RUN: rlx-opt %s | rlx-opt - | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt - | filecheck %s

// Every op of the dialect, in custom and generic form.

// CHECK-LABEL: func.func @linear(
func.func @linear(%x: !rlx.tensor<B x S x 8 x f32>, %w: !rlx.tensor<8 x 4 x f32>, %b: !rlx.tensor<4 x f32>) -> !rlx.tensor<B x S x 4 x f32> {
  // CHECK-NEXT: %y = hir.linear %x, %w, bias %b(activation = gelu) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<4 x f32>) -> !rlx.tensor<B x S x 4 x f32>
  %y = hir.linear %x, %w, bias %b(activation = gelu) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<4 x f32>) -> !rlx.tensor<B x S x 4 x f32>
  func.return %y : !rlx.tensor<B x S x 4 x f32>
}

// CHECK-LABEL: func.func @matmul(
func.func @matmul(%a: !rlx.tensor<B x 2 x S x 8 x f32>, %b: !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x 2 x S x 4 x f32> {
  // CHECK-NEXT: %y = hir.matmul %a, %b : (!rlx.tensor<B x 2 x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x 2 x S x 4 x f32>
  %y = hir.matmul %a, %b : (!rlx.tensor<B x 2 x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x 2 x S x 4 x f32>
  func.return %y : !rlx.tensor<B x 2 x S x 4 x f32>
}

// CHECK-LABEL: func.func @layer_norm(
func.func @layer_norm(%x: !rlx.tensor<B x 8 x f32>, %g: !rlx.tensor<8 x f32>, %b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.layer_norm %x, %g, bias %b(eps = 1.0e-05) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.layer_norm %x, %g, bias %b(eps = 1.0e-05) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @rms_norm(
func.func @rms_norm(%x: !rlx.tensor<B x 8 x f32>, %g: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.rms_norm %x, %g(eps = 1.0e-06) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.rms_norm %x, %g(eps = 1.0e-06) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @residual_layer_norm(
func.func @residual_layer_norm(%x: !rlx.tensor<B x 8 x f32>, %r: !rlx.tensor<B x 8 x f32>, %g: !rlx.tensor<8 x f32>, %b: !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>) {
  // CHECK-NEXT: %s, %y = hir.residual_layer_norm %x, %r, %g, bias %b(eps = 1.0e-05) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>)
  %s, %y = hir.residual_layer_norm %x, %r, %g, bias %b(eps = 1.0e-05) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>)
  func.return %s, %y : !rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @residual_rms_norm(
func.func @residual_rms_norm(%x: !rlx.tensor<B x 8 x f32>, %r: !rlx.tensor<B x 8 x f32>, %g: !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>) {
  // CHECK-NEXT: %s, %y = hir.residual_rms_norm %x, %r, %g(eps = 1.0e-06) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>)
  %s, %y = hir.residual_rms_norm %x, %r, %g(eps = 1.0e-06) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>)
  func.return %s, %y : !rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @embedding(
func.func @embedding(%table: !rlx.tensor<100 x 8 x f32>, %ids: !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32> {
  // CHECK-NEXT: %y = hir.embedding %table, %ids(oob = clamp) : (!rlx.tensor<100 x 8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32>
  %y = hir.embedding %table, %ids(oob = clamp) : (!rlx.tensor<100 x 8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32>
  func.return %y : !rlx.tensor<B x S x 8 x f32>
}

// CHECK-LABEL: func.func @mean_pool(
func.func @mean_pool(%x: !rlx.tensor<B x S x 8 x f32>, %mask: !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.mean_pool %x, %mask : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.mean_pool %x, %mask : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @l2_normalize(
func.func @l2_normalize(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.l2_normalize %x(eps = 1.0e-12) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.l2_normalize %x(eps = 1.0e-12) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @attention(
func.func @attention(%q: !rlx.tensor<B x S x 8 x f32>, %k: !rlx.tensor<B x S x 8 x f32>, %v: !rlx.tensor<B x S x 8 x f32>, %m: !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32> {
  // CHECK-NEXT: %y = hir.attention %q, %k, %v, key_mask %m(heads = 2, kv_heads = 2) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32>
  %y = hir.attention %q, %k, %v, key_mask %m(heads = 2, kv_heads = 2) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32>
  func.return %y : !rlx.tensor<B x S x 8 x f32>
}

// CHECK-LABEL: func.func @attention_1(
func.func @attention_1(%q: !rlx.tensor<B x S x 8 x f32>, %ks: !rlx.state<B x 1 x 64 x 4 x f32>, %vs: !rlx.state<B x 1 x 64 x 4 x f32>) -> !rlx.tensor<B x S x 8 x f32> {
  // CHECK-NEXT: %z = hir.attention %q, %ks, %vs(mask = causal, heads = 2, kv_heads = 1, past = P) : (!rlx.tensor<B x S x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  %z = hir.attention %q, %ks, %vs(mask = causal, heads = 2, kv_heads = 1, past = P) : (!rlx.tensor<B x S x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  func.return %z : !rlx.tensor<B x S x 8 x f32>
}

// CHECK-LABEL: func.func @rope(
func.func @rope(%x: !rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32> {
  // CHECK-NEXT: %y = hir.rope %x(head_dim = 4, theta = 10000.0, offset = P) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  %y = hir.rope %x(head_dim = 4, theta = 10000.0, offset = P) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  func.return %y : !rlx.tensor<B x S x 8 x f32>
}

// CHECK-LABEL: func.func @cache_update(
func.func @cache_update(%k0: !rlx.state<B x 2 x 64 x 4 x f32>, %new: !rlx.tensor<B x S x 8 x f32>) -> !rlx.state<B x 2 x 64 x 4 x f32> {
  // CHECK-NEXT: %k1 = hir.cache_update %k0, %new(at = P) : (!rlx.state<B x 2 x 64 x 4 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.state<B x 2 x 64 x 4 x f32>
  %k1 = hir.cache_update %k0, %new(at = P) : (!rlx.state<B x 2 x 64 x 4 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.state<B x 2 x 64 x 4 x f32>
  func.return %k1 : !rlx.state<B x 2 x 64 x 4 x f32>
}

// CHECK-LABEL: func.func @swiglu_ffn(
func.func @swiglu_ffn(%x: !rlx.tensor<B x S x 8 x f32>, %up: !rlx.tensor<8 x 16 x f32>, %gate: !rlx.tensor<8 x 16 x f32>, %down: !rlx.tensor<16 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32> {
  // CHECK-NEXT: %y = hir.swiglu_ffn %x, %up, %gate, %down : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<16 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  %y = hir.swiglu_ffn %x, %up, %gate, %down : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<16 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  func.return %y : !rlx.tensor<B x S x 8 x f32>
}

// CHECK-LABEL: func.func @encoder_block(
func.func @encoder_block(%x: !rlx.tensor<B x S x 8 x f32>, %qw: !rlx.tensor<8 x 8 x f32>, %qb: !rlx.tensor<8 x f32>, %kw: !rlx.tensor<8 x 8 x f32>, %kb: !rlx.tensor<8 x f32>, %vw: !rlx.tensor<8 x 8 x f32>, %vb: !rlx.tensor<8 x f32>, %ow: !rlx.tensor<8 x 8 x f32>, %ob: !rlx.tensor<8 x f32>, %g1: !rlx.tensor<8 x f32>, %b1: !rlx.tensor<8 x f32>, %uw: !rlx.tensor<8 x 16 x f32>, %ub: !rlx.tensor<16 x f32>, %dw: !rlx.tensor<16 x 8 x f32>, %db: !rlx.tensor<8 x f32>, %g2: !rlx.tensor<8 x f32>, %b2: !rlx.tensor<8 x f32>, %m: !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32> {
  // CHECK-NEXT: %y = hir.encoder_block %x, query %qw, %qb, key %kw, %kb, value %vw, %vb, output %ow, %ob, norm1 %g1, %b1, up %uw, %ub, down %dw, %db, norm2 %g2, %b2, mask %m(heads = 2, eps = 1.0e-12) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<16 x f32>, !rlx.tensor<16 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32>
  %y = hir.encoder_block %x, query %qw, %qb, key %kw, %kb, value %vw, %vb, output %ow, %ob, norm1 %g1, %b1, up %uw, %ub, down %dw, %db, norm2 %g2, %b2, mask %m(heads = 2, eps = 1.0e-12) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<16 x f32>, !rlx.tensor<16 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32>
  func.return %y : !rlx.tensor<B x S x 8 x f32>
}

// CHECK-LABEL: func.func @decoder_block(
func.func @decoder_block(%x: !rlx.tensor<B x S x 8 x f32>, %g1: !rlx.tensor<8 x f32>, %qw: !rlx.tensor<8 x 8 x f32>, %kw: !rlx.tensor<8 x 4 x f32>, %vw: !rlx.tensor<8 x 4 x f32>, %ow: !rlx.tensor<8 x 8 x f32>, %g2: !rlx.tensor<8 x f32>, %up: !rlx.tensor<8 x 16 x f32>, %gate: !rlx.tensor<8 x 16 x f32>, %down: !rlx.tensor<16 x 8 x f32>, %k0: !rlx.state<B x 1 x 64 x 4 x f32>, %v0: !rlx.state<B x 1 x 64 x 4 x f32>) -> (!rlx.tensor<B x S x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>) {
  // CHECK-NEXT: %y, %k1, %v1 = hir.decoder_block %x, norm1 %g1, qkv %qw, %kw, %vw, output %ow, norm2 %g2, ffn %up, %gate, %down, cache %k0, %v0(heads = 2, kv_heads = 1, eps = 1.0e-06, theta = 10000.0, past = P) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<16 x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>) -> (!rlx.tensor<B x S x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>)
  %y, %k1, %v1 = hir.decoder_block %x, norm1 %g1, qkv %qw, %kw, %vw, output %ow, norm2 %g2, ffn %up, %gate, %down, cache %k0, %v0(heads = 2, kv_heads = 1, eps = 1.0e-06, theta = 10000.0, past = P) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<16 x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>) -> (!rlx.tensor<B x S x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>)
  func.return %y, %k1, %v1 : !rlx.tensor<B x S x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>
}

// CHECK-LABEL: func.func @neg(
func.func @neg(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.neg %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.neg %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @abs(
func.func @abs(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.abs %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.abs %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @exp(
func.func @exp(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.exp %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.exp %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @log(
func.func @log(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.log %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.log %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @sqrt(
func.func @sqrt(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.sqrt %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.sqrt %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @rsqrt(
func.func @rsqrt(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.rsqrt %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.rsqrt %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @sin(
func.func @sin(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.sin %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.sin %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @cos(
func.func @cos(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.cos %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.cos %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @tan(
func.func @tan(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.tan %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.tan %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @atan(
func.func @atan(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.atan %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.atan %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @tanh(
func.func @tanh(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.tanh %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.tanh %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @erf(
func.func @erf(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.erf %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.erf %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @sigmoid(
func.func @sigmoid(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.sigmoid %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.sigmoid %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @relu(
func.func @relu(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.relu %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.relu %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @gelu(
func.func @gelu(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.gelu %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.gelu %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @gelu_tanh(
func.func @gelu_tanh(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.gelu_tanh %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.gelu_tanh %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @silu(
func.func @silu(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.silu %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.silu %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @floor(
func.func @floor(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.floor %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.floor %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @ceil(
func.func @ceil(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.ceil %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.ceil %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @round(
func.func @round(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.round %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.round %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @not(
func.func @not(%p: !rlx.tensor<B x 8 x i1>) -> !rlx.tensor<B x 8 x i1> {
  // CHECK-NEXT: %y = hir.not %p : (!rlx.tensor<B x 8 x i1>) -> !rlx.tensor<B x 8 x i1>
  %y = hir.not %p : (!rlx.tensor<B x 8 x i1>) -> !rlx.tensor<B x 8 x i1>
  func.return %y : !rlx.tensor<B x 8 x i1>
}

// CHECK-LABEL: func.func @add(
func.func @add(%x: !rlx.tensor<B x 8 x f32>, %b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.add %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.add %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @sub(
func.func @sub(%x: !rlx.tensor<B x 8 x f32>, %b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.sub %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.sub %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @mul(
func.func @mul(%x: !rlx.tensor<B x 8 x f32>, %b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.mul %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.mul %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @div(
func.func @div(%x: !rlx.tensor<B x 8 x f32>, %b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.div %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.div %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @max(
func.func @max(%x: !rlx.tensor<B x 8 x f32>, %b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.max %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.max %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @min(
func.func @min(%x: !rlx.tensor<B x 8 x f32>, %b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.min %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.min %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @pow(
func.func @pow(%x: !rlx.tensor<B x 8 x f32>, %b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.pow %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.pow %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @and(
func.func @and(%p: !rlx.tensor<B x 8 x i1>, %q: !rlx.tensor<8 x i1>) -> !rlx.tensor<B x 8 x i1> {
  // CHECK-NEXT: %y = hir.and %p, %q : (!rlx.tensor<B x 8 x i1>, !rlx.tensor<8 x i1>) -> !rlx.tensor<B x 8 x i1>
  %y = hir.and %p, %q : (!rlx.tensor<B x 8 x i1>, !rlx.tensor<8 x i1>) -> !rlx.tensor<B x 8 x i1>
  func.return %y : !rlx.tensor<B x 8 x i1>
}

// CHECK-LABEL: func.func @or(
func.func @or(%p: !rlx.tensor<B x 8 x i1>, %q: !rlx.tensor<8 x i1>) -> !rlx.tensor<B x 8 x i1> {
  // CHECK-NEXT: %y = hir.or %p, %q : (!rlx.tensor<B x 8 x i1>, !rlx.tensor<8 x i1>) -> !rlx.tensor<B x 8 x i1>
  %y = hir.or %p, %q : (!rlx.tensor<B x 8 x i1>, !rlx.tensor<8 x i1>) -> !rlx.tensor<B x 8 x i1>
  func.return %y : !rlx.tensor<B x 8 x i1>
}

// CHECK-LABEL: func.func @compare(
func.func @compare(%x: !rlx.tensor<B x 8 x f32>, %b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x i1> {
  // CHECK-NEXT: %p = hir.compare %x, %b(kind = lt) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x i1>
  %p = hir.compare %x, %b(kind = lt) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x i1>
  func.return %p : !rlx.tensor<B x 8 x i1>
}

// CHECK-LABEL: func.func @select(
func.func @select(%p: !rlx.tensor<B x 8 x i1>, %x: !rlx.tensor<B x 8 x f32>, %b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.select %p, %x, %b : (!rlx.tensor<B x 8 x i1>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.select %p, %x, %b : (!rlx.tensor<B x 8 x i1>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @cast(
func.func @cast(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x bf16> {
  // CHECK-NEXT: %y = hir.cast %x(dtype = bf16) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x bf16>
  %y = hir.cast %x(dtype = bf16) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x bf16>
  func.return %y : !rlx.tensor<B x 8 x bf16>
}

// CHECK-LABEL: func.func @reduce(
func.func @reduce(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 1 x f32> {
  // CHECK-NEXT: %y = hir.reduce %x(kind = mean, axes = [1], keepdims) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 1 x f32>
  %y = hir.reduce %x(kind = mean, axes = [1], keepdims) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 1 x f32>
  func.return %y : !rlx.tensor<B x 1 x f32>
}

// CHECK-LABEL: func.func @softmax(
func.func @softmax(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.softmax %x(axis = -1) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.softmax %x(axis = -1) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

// CHECK-LABEL: func.func @reshape(
func.func @reshape(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<(B * 2) x 4 x f32> {
  // CHECK-NEXT: %y = hir.reshape %x(shape = [B * 2, 4]) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<(B * 2) x 4 x f32>
  %y = hir.reshape %x(shape = [B * 2, 4]) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<(B * 2) x 4 x f32>
  func.return %y : !rlx.tensor<(B * 2) x 4 x f32>
}

// CHECK-LABEL: func.func @transpose(
func.func @transpose(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<8 x B x f32> {
  // CHECK-NEXT: %y = hir.transpose %x(perm = [1, 0]) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<8 x B x f32>
  %y = hir.transpose %x(perm = [1, 0]) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<8 x B x f32>
  func.return %y : !rlx.tensor<8 x B x f32>
}

// CHECK-LABEL: func.func @slice(
func.func @slice(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 4 x f32> {
  // CHECK-NEXT: %y = hir.slice %x(axis = 1, start = 2, length = 4) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 4 x f32>
  %y = hir.slice %x(axis = 1, start = 2, length = 4) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 4 x f32>
  func.return %y : !rlx.tensor<B x 4 x f32>
}

// CHECK-LABEL: func.func @concat(
func.func @concat(%x: !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 16 x f32> {
  // CHECK-NEXT: %y = hir.concat %x, %x(axis = 1) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 16 x f32>
  %y = hir.concat %x, %x(axis = 1) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 16 x f32>
  func.return %y : !rlx.tensor<B x 16 x f32>
}

// CHECK-LABEL: func.func @broadcast(
func.func @broadcast(%b: !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32> {
  // CHECK-NEXT: %y = hir.broadcast %b(shape = [B, 8]) : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %y = hir.broadcast %b(shape = [B, 8]) : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return %y : !rlx.tensor<B x 8 x f32>
}

