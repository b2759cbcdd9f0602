// RUN: rlx-opt %s -p 'lir-select-schedules{cpu=x86-64-v4},lir-pack-parameters{cpu=x86-64-v4}' --split-input-file | filecheck %s

// A weight read by two products is packed once, and the raw parameter leaves @main.
// CHECK: lir.program @prepare {
// CHECK-NEXT: lir.packed @w.packed
// CHECK-NEXT: lir.param @w
// CHECK-NEXT: lir.map (i0 : 8, i1 : 32)
// CHECK-NOT: lir.map
// CHECK: lir.program @main {
// CHECK-NOT: lir.param
// CHECK: lir.contract {{.*}} ins(%x[m, k], %w[k, n])
// CHECK: lir.contract {{.*}} ins(%z[a, c], %w[c, b])
lir.program @main {
  %x = lir.input @x : !lir.buffer<9 x 8 x f32>
  %z = lir.input @z : !lir.buffer<9 x 8 x f32>
  %w = lir.param @w : !lir.buffer<8 x 32 x f32>
  %y = lir.output @y : !lir.buffer<9 x 32 x f32>
  %v = lir.output @v : !lir.buffer<9 x 32 x f32>
  lir.contract (m : 9, n : 32 | k : 8) ins(%x[m, k], %w[k, n]) outs(%y[m, n]) {
  ^bb0(%a: f32, %b: f32):
    lir.product (%a, %b) : f32
  } epilogue {
  ^bb0(%acc: f32):
    lir.yield %acc : f32
  } : !lir.buffer<9 x 8 x f32>, !lir.buffer<8 x 32 x f32>, !lir.buffer<9 x 32 x f32>
  lir.contract (a : 9, b : 32 | c : 8) ins(%z[a, c], %w[c, b]) outs(%v[a, b]) {
  ^bb0(%a: f32, %b: f32):
    lir.product (%a, %b) : f32
  } epilogue {
  ^bb0(%acc: f32):
    lir.yield %acc : f32
  } : !lir.buffer<9 x 8 x f32>, !lir.buffer<8 x 32 x f32>, !lir.buffer<9 x 32 x f32>
}

// -----

// Two run-time operands: nothing to pack, no prepare program.
// CHECK-NOT: @prepare
// CHECK: lir.program @main
// CHECK: lir.contract {{.*}} ins(%x[m, k], %w[k, n])
lir.program @main {
  %x = lir.input @x : !lir.buffer<9 x 8 x f32>
  %w = lir.input @w : !lir.buffer<8 x 32 x f32>
  %y = lir.output @y : !lir.buffer<9 x 32 x f32>
  lir.contract (m : 9, n : 32 | k : 8) ins(%x[m, k], %w[k, n]) outs(%y[m, n]) {
  ^bb0(%a: f32, %b: f32):
    lir.product (%a, %b) : f32
  } epilogue {
  ^bb0(%acc: f32):
    lir.yield %acc : f32
  } : !lir.buffer<9 x 8 x f32>, !lir.buffer<8 x 32 x f32>, !lir.buffer<9 x 32 x f32>
}
