// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// Every mask kind; grouped key heads; cap.
// CHECK-LABEL: func.func @masks
func.func @masks(%q: !rlx.tensor<B x S x 8 x 64 x f32>, %k: !rlx.tensor<B x S x 2 x 64 x f32>, %m: !rlx.tensor<B x S x i1>, %f: !rlx.tensor<B x S x f32>, %a: !rlx.tensor<1 x 8 x 1 x S x f32>) {
  // CHECK-NEXT: %o0 = mir.attention %q, %k, %k(layout = bshd, kind = none, scale = 0.125) : (!rlx.tensor<B x S x 8 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>) -> !rlx.tensor<B x S x 8 x 64 x f32>
  %o0 = mir.attention %q, %k, %k(layout = bshd, kind = none, scale = 0.125) : (!rlx.tensor<B x S x 8 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>) -> !rlx.tensor<B x S x 8 x 64 x f32>
  // CHECK-NEXT: %o1 = mir.attention %q, %k, %k(layout = bshd, kind = causal, scale = 0.125, softcap = 50.0) : (!rlx.tensor<B x S x 8 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>) -> !rlx.tensor<B x S x 8 x 64 x f32>
  %o1 = mir.attention %q, %k, %k(layout = bshd, kind = causal, scale = 0.125, softcap = 50.0) : (!rlx.tensor<B x S x 8 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>) -> !rlx.tensor<B x S x 8 x 64 x f32>
  // CHECK-NEXT: %o2 = mir.attention %q, %k, %k(layout = bshd, kind = sliding, scale = 0.125, window = 16) : (!rlx.tensor<B x S x 8 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>) -> !rlx.tensor<B x S x 8 x 64 x f32>
  %o2 = mir.attention %q, %k, %k(layout = bshd, kind = sliding, scale = 0.125, window = 16) : (!rlx.tensor<B x S x 8 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>) -> !rlx.tensor<B x S x 8 x 64 x f32>
  // CHECK-NEXT: %o3 = mir.attention %q, %k, %k, mask %m(layout = bshd, kind = custom, scale = 0.125) : (!rlx.tensor<B x S x 8 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x i1>) -> !rlx.tensor<B x S x 8 x 64 x f32>
  %o3 = mir.attention %q, %k, %k, mask %m(layout = bshd, kind = custom, scale = 0.125) : (!rlx.tensor<B x S x 8 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x i1>) -> !rlx.tensor<B x S x 8 x 64 x f32>
  // CHECK-NEXT: %o4 = mir.attention %q, %k, %k, mask %f(layout = bshd, kind = custom, scale = 0.125) : (!rlx.tensor<B x S x 8 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x f32>) -> !rlx.tensor<B x S x 8 x 64 x f32>
  %o4 = mir.attention %q, %k, %k, mask %f(layout = bshd, kind = custom, scale = 0.125) : (!rlx.tensor<B x S x 8 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x f32>) -> !rlx.tensor<B x S x 8 x 64 x f32>
  // CHECK-NEXT: %o5 = mir.attention %q, %k, %k, mask %a(layout = bshd, kind = bias, scale = 0.125) : (!rlx.tensor<B x S x 8 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<1 x 8 x 1 x S x f32>) -> !rlx.tensor<B x S x 8 x 64 x f32>
  %o5 = mir.attention %q, %k, %k, mask %a(layout = bshd, kind = bias, scale = 0.125) : (!rlx.tensor<B x S x 8 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<1 x 8 x 1 x S x f32>) -> !rlx.tensor<B x S x 8 x 64 x f32>
  // CHECK-NEXT: func.return
  func.return
}

// Keys in a cache: P old ones and S new ones; V's head dim decides the result's.
// CHECK-LABEL: func.func @cache
func.func @cache(%q: !rlx.tensor<B x 8 x S x 64 x bf16>, %k: !rlx.state<B x 2 x 4096 x 64 x bf16>, %v: !rlx.state<B x 2 x 4096 x 32 x bf16>) {
  // CHECK-NEXT: %o = mir.attention %q, %k, %v(layout = bhsd, kind = causal, scale = 0.125, past = P, key_extent = P + S) : (!rlx.tensor<B x 8 x S x 64 x bf16>, !rlx.state<B x 2 x 4096 x 64 x bf16>, !rlx.state<B x 2 x 4096 x 32 x bf16>) -> !rlx.tensor<B x 8 x S x 32 x bf16>
  %o = mir.attention %q, %k, %v(layout = bhsd, kind = causal, scale = 0.125, past = P, key_extent = P + S) : (!rlx.tensor<B x 8 x S x 64 x bf16>, !rlx.state<B x 2 x 4096 x 64 x bf16>, !rlx.state<B x 2 x 4096 x 32 x bf16>) -> !rlx.tensor<B x 8 x S x 32 x bf16>
  // CHECK-NEXT: func.return
  func.return
}

// Rotary embedding of all or some elements, from position 0 or P on.
// CHECK-LABEL: func.func @rope
func.func @rope(%x: !rlx.tensor<B x S x 8 x 64 x f32>, %y: !rlx.tensor<B x 8 x S x 64 x f32>) {
  // CHECK-NEXT: %o0 = mir.rope %x(layout = bshd, theta = 10000.0, n_rot = 64) : !rlx.tensor<B x S x 8 x 64 x f32>
  %o0 = mir.rope %x(layout = bshd, theta = 10000.0, n_rot = 64) : !rlx.tensor<B x S x 8 x 64 x f32>
  // CHECK-NEXT: %o1 = mir.rope %y(layout = bhsd, theta = 500000.0, n_rot = 32, offset = P) : !rlx.tensor<B x 8 x S x 64 x f32>
  %o1 = mir.rope %y(layout = bhsd, theta = 500000.0, n_rot = 32, offset = P) : !rlx.tensor<B x 8 x S x 64 x f32>
  // CHECK-NEXT: func.return
  func.return
}
