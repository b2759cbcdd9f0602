// RUN: rlx-opt %s -p lir-order-for-memory --split-input-file | filecheck %s

// What a state's readers and writers are to each other stays, whatever it costs.
// CHECK-LABEL: lir.program @state
lir.program @state {
  %x = lir.input @x : !lir.buffer<64 x f32>
  %s = lir.state @s : !lir.buffer<64 x f32>
  %y = lir.output @y : !lir.buffer<64 x f32>
  %z = lir.output @z : !lir.buffer<64 x f32>
  %a = lir.alloc : !lir.buffer<64 x f32>
  // CHECK: lir.copy %s to %a
  // CHECK-NEXT: lir.copy %x to %s
  // CHECK-NEXT: lir.copy %s to %y
  // CHECK-NEXT: lir.copy %a to %z
  lir.copy %s to %a : !lir.buffer<64 x f32>, !lir.buffer<64 x f32>
  lir.copy %x to %s : !lir.buffer<64 x f32>, !lir.buffer<64 x f32>
  lir.copy %s to %y : !lir.buffer<64 x f32>, !lir.buffer<64 x f32>
  lir.copy %a to %z : !lir.buffer<64 x f32>, !lir.buffer<64 x f32>
}

// -----

// Symbolic sizes: the two chains run one after the other, since that needs less for every B.
// CHECK-LABEL: lir.program @chains
lir.program @chains attributes {rlx.dims = [#rlx.dim<B in [1, 64]>]} {
  %x = lir.input @x : !lir.buffer<B x 64 x f32>
  %y = lir.output @y : !lir.buffer<B x 64 x f32>
  %z = lir.output @z : !lir.buffer<B x 64 x f32>
  // CHECK: lir.copy %x to %a
  // CHECK-NEXT: lir.copy %a to %y
  // CHECK-NEXT: lir.copy %x to %b
  // CHECK-NEXT: lir.copy %b to %z
  %a = lir.alloc : !lir.buffer<B x 64 x f32>
  %b = lir.alloc : !lir.buffer<B x 64 x f32>
  lir.copy %x to %a : !lir.buffer<B x 64 x f32>, !lir.buffer<B x 64 x f32>
  lir.copy %x to %b : !lir.buffer<B x 64 x f32>, !lir.buffer<B x 64 x f32>
  lir.copy %a to %y : !lir.buffer<B x 64 x f32>, !lir.buffer<B x 64 x f32>
  lir.copy %b to %z : !lir.buffer<B x 64 x f32>, !lir.buffer<B x 64 x f32>
}
