// RUN: rlx-opt %s -p mir-fuse-swiglu --split-input-file | filecheck %s

// The canonical feed-forward layer, gate declared last and on the right.
// CHECK-LABEL: func.func @ffn
func.func @ffn(%x: !rlx.tensor<B x S x 5 x f32>, %up: !rlx.tensor<5 x 7 x f32>, %gate: !rlx.tensor<5 x 7 x f32>, %down: !rlx.tensor<7 x 5 x f32>) -> !rlx.tensor<B x S x 5 x f32> {
  // CHECK-NEXT: %[[H:\w+]] = mir.swiglu_matmul %x, %up, %gate : (!rlx.tensor<B x S x 5 x f32>, !rlx.tensor<5 x 7 x f32>, !rlx.tensor<5 x 7 x f32>) -> !rlx.tensor<B x S x 7 x f32>
  // CHECK-NEXT: %[[Y:\w+]] = mir.matmul %[[H]], %down
  // CHECK-NEXT: func.return %[[Y]]
  %u = mir.matmul %x, %up : (!rlx.tensor<B x S x 5 x f32>, !rlx.tensor<5 x 7 x f32>) -> !rlx.tensor<B x S x 7 x f32>
  %g = mir.matmul %x, %gate : (!rlx.tensor<B x S x 5 x f32>, !rlx.tensor<5 x 7 x f32>) -> !rlx.tensor<B x S x 7 x f32>
  %s = mir.silu %g : !rlx.tensor<B x S x 7 x f32>
  %h = mir.mul %u, %s : !rlx.tensor<B x S x 7 x f32>
  %y = mir.matmul %h, %down : (!rlx.tensor<B x S x 7 x f32>, !rlx.tensor<7 x 5 x f32>) -> !rlx.tensor<B x S x 5 x f32>
  func.return %y : !rlx.tensor<B x S x 5 x f32>
}

// -----

// Different inputs, or other widths of the halves of one product: the gated value alone.
// CHECK-LABEL: func.func @elementwise
func.func @elementwise(%x: !rlx.tensor<B x 5 x f32>, %z: !rlx.tensor<B x 5 x f32>, %up: !rlx.tensor<5 x 7 x f32>, %p: !rlx.tensor<B x 6 x f32>) -> (!rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 3 x f32>) {
  // CHECK-NEXT: %[[U:\w+]] = mir.matmul %x, %up
  // CHECK-NEXT: %[[G:\w+]] = mir.matmul %z, %up
  // CHECK-NEXT: %[[H:\w+]] = mir.swiglu %[[G]], %[[U]] : !rlx.tensor<B x 7 x f32>
  // CHECK-NEXT: %[[A:\w+]] = mir.slice %p(starts = [0, 0], sizes = [B, 3])
  // CHECK-NEXT: %[[B:\w+]] = mir.slice %p(starts = [0, 3], sizes = [B, 3])
  // CHECK-NEXT: %[[Y:\w+]] = mir.swiglu %[[A]], %[[B]] : !rlx.tensor<B x 3 x f32>
  // CHECK-NEXT: func.return %[[H]], %[[Y]]
  %u = mir.matmul %x, %up : (!rlx.tensor<B x 5 x f32>, !rlx.tensor<5 x 7 x f32>) -> !rlx.tensor<B x 7 x f32>
  %g = mir.matmul %z, %up : (!rlx.tensor<B x 5 x f32>, !rlx.tensor<5 x 7 x f32>) -> !rlx.tensor<B x 7 x f32>
  %s = mir.silu %g : !rlx.tensor<B x 7 x f32>
  %h = mir.mul %s, %u : !rlx.tensor<B x 7 x f32>
  %a = mir.slice %p(starts = [0, 0], sizes = [B, 3]) : (!rlx.tensor<B x 6 x f32>) -> !rlx.tensor<B x 3 x f32>
  %b = mir.slice %p(starts = [0, 3], sizes = [B, 3]) : (!rlx.tensor<B x 6 x f32>) -> !rlx.tensor<B x 3 x f32>
  %t = mir.silu %a : !rlx.tensor<B x 3 x f32>
  %y = mir.mul %t, %b : !rlx.tensor<B x 3 x f32>
  func.return %h, %y : !rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 3 x f32>
}

// -----

// The gate's product is an output: it has to exist, so only the rest fuses.
// CHECK-LABEL: func.func @product_is_read
func.func @product_is_read(%x: !rlx.tensor<B x 5 x f32>, %up: !rlx.tensor<5 x 7 x f32>, %gate: !rlx.tensor<5 x 7 x f32>) -> (!rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 7 x f32>) {
  // CHECK-NEXT: %[[U:\w+]] = mir.matmul %x, %up
  // CHECK-NEXT: %[[G:\w+]] = mir.matmul %x, %gate
  // CHECK-NEXT: %[[H:\w+]] = mir.swiglu %[[G]], %[[U]]
  // CHECK-NEXT: func.return %[[H]], %[[G]]
  %u = mir.matmul %x, %up : (!rlx.tensor<B x 5 x f32>, !rlx.tensor<5 x 7 x f32>) -> !rlx.tensor<B x 7 x f32>
  %g = mir.matmul %x, %gate : (!rlx.tensor<B x 5 x f32>, !rlx.tensor<5 x 7 x f32>) -> !rlx.tensor<B x 7 x f32>
  %s = mir.silu %g : !rlx.tensor<B x 7 x f32>
  %h = mir.mul %s, %u : !rlx.tensor<B x 7 x f32>
  func.return %h, %g : !rlx.tensor<B x 7 x f32>, !rlx.tensor<B x 7 x f32>
}

// -----

// The silu has another reader, or there is none: nothing happens.
// CHECK-LABEL: func.func @no_swiglu
func.func @no_swiglu(%x: !rlx.tensor<B x 5 x f32>, %y: !rlx.tensor<B x 5 x f32>) -> (!rlx.tensor<B x 5 x f32>, !rlx.tensor<B x 5 x f32>, !rlx.tensor<B x 5 x f32>) {
  // CHECK-NEXT: %[[S:\w+]] = mir.silu %x
  // CHECK-NEXT: %[[A:\w+]] = mir.mul %[[S]], %y
  // CHECK-NEXT: %[[B:\w+]] = mir.mul %x, %y
  // CHECK-NEXT: func.return %[[S]], %[[A]], %[[B]]
  %s = mir.silu %x : !rlx.tensor<B x 5 x f32>
  %a = mir.mul %s, %y : !rlx.tensor<B x 5 x f32>
  %b = mir.mul %x, %y : !rlx.tensor<B x 5 x f32>
  func.return %s, %a, %b : !rlx.tensor<B x 5 x f32>, !rlx.tensor<B x 5 x f32>, !rlx.tensor<B x 5 x f32>
}
