// RUN: rlx-opt %s -p lir-coalesce-copies --split-input-file | filecheck %s

// A part of a concat is written where it belongs, through a view; the other part is an input and stays a copy.
// CHECK-LABEL: lir.program @concat
lir.program @concat {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<8 x 8 x f32>
  // CHECK: %[[V:.*]] = lir.view %y from 32 : !lir.buffer<8 x 8 x f32> to !lir.buffer<4 x 8 x f32>
  // CHECK: lir.map {{.*}} outs(%[[V]][i, j])
  // CHECK: lir.copy %x to %{{.*}}
  // CHECK-NOT: lir.copy
  %t = lir.alloc : !lir.buffer<4 x 8 x f32>
  lir.map (i : 4, j : 8) ins(%x[i, j]) outs(%t[i, j]) {
  ^bb0(%e: f32):
    %r = math.exp %e : f32
    lir.yield %r : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
  %low = lir.view %y : !lir.buffer<8 x 8 x f32> to !lir.buffer<8 x 8 x f32>
  %first = lir.view %low from 0 : !lir.buffer<8 x 8 x f32> to !lir.buffer<4 x 8 x f32>
  lir.copy %x to %first : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
  %high = lir.view %y from 32 : !lir.buffer<8 x 8 x f32> to !lir.buffer<4 x 8 x f32>
  lir.copy %t to %high : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

// The state's old value is still read when the new one is made, and the other temporary is read after it changed: both stay.
// CHECK-LABEL: lir.program @stays
lir.program @stays {
  %x = lir.input @x : !lir.buffer<8 x f32>
  %s = lir.state @s : !lir.buffer<8 x f32>
  %y = lir.output @y : !lir.buffer<8 x f32>
  // CHECK-COUNT-2: lir.copy
  %t = lir.alloc : !lir.buffer<8 x f32>
  lir.map (i : 8) ins(%s[7 - i]) outs(%t[i]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
  lir.copy %t to %s : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
  %u = lir.alloc : !lir.buffer<8 x f32>
  lir.map (i : 8) ins(%x[i]) outs(%u[i]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
  lir.copy %u to %y : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
  lir.map (i : 8) ins(%x[7 - i]) outs(%u[i]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
}

// -----

// A chain of temporaries ends as one, the output.
// CHECK-LABEL: lir.program @chain
lir.program @chain {
  %x = lir.input @x : !lir.buffer<8 x f32>
  %y = lir.output @y : !lir.buffer<8 x f32>
  // CHECK-NOT: lir.alloc
  // CHECK: lir.map {{.*}} outs(%y[i])
  // CHECK-NOT: lir.copy
  %t = lir.alloc : !lir.buffer<8 x f32>
  %u = lir.alloc : !lir.buffer<8 x f32>
  lir.map (i : 8) ins(%x[i]) outs(%t[i]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
  lir.copy %t to %u : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
  lir.copy %u to %y : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
}
