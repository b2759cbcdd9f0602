// RUN: rlx-opt %s -p lir-plan-memory,lir-verify-plan --split-input-file | filecheck %s

// A result takes the place of an operand that dies; transposed access is not in place, so that result lies beside it.
// CHECK-LABEL: lir.program @in_place arena(((B * B + 15) floordiv 16) * 128)
lir.program @in_place attributes {rlx.dims = [#rlx.dim<B in [1, 64]>]} {
  %x = lir.input @x : !lir.buffer<B x B x f32>
  %y = lir.output @y : !lir.buffer<B x B x f32>
  // CHECK: %a = lir.slot at(0)
  // CHECK-NEXT: %b = lir.slot at(0)
  // CHECK-NEXT: %c = lir.slot at(((B * B + 15) floordiv 16) * 64)
  %a = lir.alloc : !lir.buffer<B x B x f32>
  %b = lir.alloc : !lir.buffer<B x B x i32>
  %c = lir.alloc : !lir.buffer<B x B x i32>
  lir.map (i : B, j : B) ins(%x[i, j]) outs(%a[i, j]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<B x B x f32>, !lir.buffer<B x B x f32>
  lir.map (i : B, j : B) ins(%a[i, j]) outs(%b[i, j]) {
  ^bb0(%e: f32):
    %r = arith.fptosi %e : f32 to i32
    lir.yield %r : i32
  } : !lir.buffer<B x B x f32>, !lir.buffer<B x B x i32>
  lir.map (i : B, j : B) ins(%b[j, i]) outs(%c[i, j]) {
  ^bb0(%e: i32):
    lir.yield %e : i32
  } : !lir.buffer<B x B x i32>, !lir.buffer<B x B x i32>
  lir.map (i : B, j : B) ins(%c[i, j]) outs(%y[i, j]) {
  ^bb0(%e: i32):
    %r = arith.sitofp %e : i32 to f32
    lir.yield %r : f32
  } : !lir.buffer<B x B x i32>, !lir.buffer<B x B x f32>
}

// -----

// Constant sizes are packed exactly: 192 bytes are live at most, and 192 is the arena. What nothing touches has no place.
// CHECK-LABEL: lir.program @constant arena(192)
lir.program @constant {
  %x = lir.input @x : !lir.buffer<16 x f32>
  %y = lir.output @y : !lir.buffer<32 x f32>
  // CHECK: lir.slot
  // CHECK-NEXT: lir.slot
  // CHECK-NEXT: lir.slot
  // CHECK-NOT: lir.slot
  %unused = lir.alloc : !lir.buffer<1024 x f32>
  %a = lir.alloc : !lir.buffer<16 x f32>
  %b = lir.alloc : !lir.buffer<32 x f32>
  %c = lir.alloc : !lir.buffer<16 x f32>
  lir.copy %x to %a : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
  lir.map (i : 32) ins(%a[i floordiv 2]) outs(%b[i]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<16 x f32>, !lir.buffer<32 x f32>
  lir.map (i : 16) ins(%b[i * 2]) outs(%c[i]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<32 x f32>, !lir.buffer<16 x f32>
  lir.map (i : 32) ins(%c[i floordiv 2]) outs(%y[i]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<16 x f32>, !lir.buffer<32 x f32>
}

// -----

// Scratch of a thread is there once for each: copies of 128 bytes side by side.
// CHECK-LABEL: lir.program @scratch arena(threads * 128)
lir.program @scratch {
  %x = lir.input @x : !lir.buffer<16 x f32>
  %y = lir.output @y : !lir.buffer<16 x f32>
  // CHECK: lir.slot at(0) per_thread(128) : !lir.buffer<20 x f32>
  %s = lir.alloc per_thread : !lir.buffer<20 x f32>
  lir.map (i : 16) ins(%x[i]) outs(%y[i]) scratch(%s) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>, !lir.buffer<20 x f32>
}

// -----

// Branches share space; what the loop carries lives through the whole loop, beside what a round makes.
// CHECK-LABEL: lir.program @regions arena(128)
lir.program @regions {
  %x = lir.input @x : !lir.buffer<16 x f32>
  %f = lir.input @f : !lir.buffer<1 x i1>
  %y = lir.output @y : !lir.buffer<16 x f32>
  // CHECK: %r = lir.slot at([[R:[0-9]+]])
  %r = lir.alloc : !lir.buffer<16 x f32>
  // CHECK: lir.if
  lir.if %f {
    // CHECK-NEXT: %a = lir.slot at([[A:[0-9]+]])
    %a = lir.alloc : !lir.buffer<16 x f32>
    lir.copy %x to %a : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
    lir.copy %a to %r : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
  } else {
    // CHECK: %b = lir.slot at([[A]])
    %b = lir.alloc : !lir.buffer<16 x f32>
    lir.copy %x to %b : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
    lir.copy %b to %r : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
  } : !lir.buffer<1 x i1>
  lir.while limit(3) {
    lir.condition %f : !lir.buffer<1 x i1>
  } do {
    // CHECK: %n = lir.slot at([[A]])
    %n = lir.alloc : !lir.buffer<16 x f32>
    lir.map (i : 16) ins(%r[i]) outs(%n[i]) {
    ^bb0(%e: f32):
      lir.yield %e : f32
    } : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
    lir.copy %n to %r : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
  }
  lir.copy %r to %y : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
}
