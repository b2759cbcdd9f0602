// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// A state has a value; an update gives the next one.
// CHECK-LABEL: func.func @cache
func.func @cache(%k: !rlx.state<B x 4096 x 8 x f32>, %new: !rlx.tensor<B x S x 8 x f32>) {
  // CHECK-NEXT: %k1 = mir.cache_update %k, %new(at = P, axis = 1) : (!rlx.state<B x 4096 x 8 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.state<B x 4096 x 8 x f32>
  %k1 = mir.cache_update %k, %new(at = P, axis = 1) : (!rlx.state<B x 4096 x 8 x f32>, !rlx.tensor<B x S x 8 x f32>) -> !rlx.state<B x 4096 x 8 x f32>
  // CHECK-NEXT: %r = mir.state_read %k1(axis = 1, extent = P + S) : (!rlx.state<B x 4096 x 8 x f32>) -> !rlx.tensor<B x (P + S) x 8 x f32>
  %r = mir.state_read %k1(axis = 1, extent = P + S) : (!rlx.state<B x 4096 x 8 x f32>) -> !rlx.tensor<B x (P + S) x 8 x f32>
  // CHECK-NEXT: func.return
  func.return
}
