// RUN: rlx-opt %s -p 'convert-lir-to-kernel{cpu=x86-64-v4}' --split-input-file | filecheck %s

// Equal forms share one function; a barrier stands only between the forms that depend on each other.
// CHECK: kernel.func @map_0(
// CHECK-NOT: kernel.func @map_1(
// CHECK: kernel.entry @rlx_main {
// CHECK: kernel.call @map_0(%x, %{{.*}})
// CHECK-NEXT: kernel.call @map_0(%z, %w)
// CHECK-NEXT: kernel.barrier interruptible
// CHECK: kernel.call @map_0(%{{.*}}, %y)
// CHECK-NEXT: kernel.return
lir.program @main arena(64) {
  %x = lir.input @x : !lir.buffer<4 x f32>
  %z = lir.input @z : !lir.buffer<4 x f32>
  %y = lir.output @y : !lir.buffer<4 x f32>
  %w = lir.output @w : !lir.buffer<4 x f32>
  %t = lir.slot at(0) : !lir.buffer<4 x f32>
  lir.map (i : 4) ins(%x[i]) outs(%t[i]) params {schedule = [#lir.schedule<"vector" {dim = "i", lanes = 4 : i64}>]} {
  ^bb0(%0: f32):
    %1 = arith.negf %0 : f32
    lir.yield %1 : f32
  } : !lir.buffer<4 x f32>, !lir.buffer<4 x f32>
  lir.map (i : 4) ins(%z[i]) outs(%w[i]) params {schedule = [#lir.schedule<"vector" {dim = "i", lanes = 4 : i64}>]} {
  ^bb0(%0: f32):
    %1 = arith.negf %0 : f32
    lir.yield %1 : f32
  } : !lir.buffer<4 x f32>, !lir.buffer<4 x f32>
  lir.map (i : 4) ins(%t[i]) outs(%y[i]) params {schedule = [#lir.schedule<"vector" {dim = "i", lanes = 4 : i64}>]} {
  ^bb0(%0: f32):
    %1 = arith.negf %0 : f32
    lir.yield %1 : f32
  } : !lir.buffer<4 x f32>, !lir.buffer<4 x f32>
}

// -----

// Slots that share bytes are one memory: the second writer waits for the reader of the first. The plan checks the guard.
// CHECK: kernel.entry @rlx_main {
// CHECK: kernel.call
// CHECK-NEXT: kernel.barrier interruptible
// CHECK: kernel.call
// CHECK-NEXT: kernel.barrier interruptible
// CHECK: kernel.call
// CHECK-NOT: kernel.barrier
// CHECK: kernel.plan @rlx_main_plan {
// CHECK: kernel.guard 0,
// CHECK: kernel.plan_result 0,
// CHECK: kernel.plan_result 1,
// CHECK: kernel.plan_result 2,
// CHECK: kernel.plan_result 3,
lir.program @main arena(S * 64) attributes {rlx.dims = [#rlx.dim<S in [1, 8]>], rlx.guards = [#rlx.constraint<S * S <= 36>]} {
  %x = lir.input @x : !lir.buffer<S x f32>
  %y = lir.output @y : !lir.buffer<S x f32>
  %z = lir.output @z : !lir.buffer<S x f32>
  %t = lir.slot at(0) : !lir.buffer<S x f32>
  %u = lir.slot at(0) : !lir.buffer<S x f32>
  lir.map (i : S) ins(%x[i]) outs(%t[i]) params {schedule = [#lir.schedule<"vector" {dim = "i", lanes = 4 : i64}>]} {
  ^bb0(%0: f32):
    lir.yield %0 : f32
  } : !lir.buffer<S x f32>, !lir.buffer<S x f32>
  lir.map (i : S) ins(%t[i]) outs(%y[i]) params {schedule = [#lir.schedule<"vector" {dim = "i", lanes = 4 : i64}>]} {
  ^bb0(%0: f32):
    lir.yield %0 : f32
  } : !lir.buffer<S x f32>, !lir.buffer<S x f32>
  lir.map (i : S) ins(%x[i]) outs(%u[i]) params {schedule = [#lir.schedule<"vector" {dim = "i", lanes = 4 : i64}>]} {
  ^bb0(%0: f32):
    lir.yield %0 : f32
  } : !lir.buffer<S x f32>, !lir.buffer<S x f32>
  lir.map (i : S) ins(%x[i]) outs(%z[i]) params {schedule = [#lir.schedule<"vector" {dim = "i", lanes = 4 : i64}>]} {
  ^bb0(%0: f32):
    lir.yield %0 : f32
  } : !lir.buffer<S x f32>, !lir.buffer<S x f32>
}

// -----

// A schedule with a condition on dims is chosen once per call.
// CHECK: kernel.entry @rlx_main {
// CHECK: %[[SMALL:.*]] = arith.cmpi sle, %S, %{{.*}} : index
// CHECK-NEXT: scf.if %[[SMALL]] {
// CHECK-NEXT:   kernel.call @map_0(
// CHECK-NEXT: } else {
// CHECK-NEXT:   kernel.call @map_1(
// CHECK-NEXT: }
lir.program @main arena(0) attributes {rlx.dims = [#rlx.dim<S in [1, 8]>]} {
  %x = lir.input @x : !lir.buffer<S x f32>
  %y = lir.output @y : !lir.buffer<S x f32>
  lir.map (i : S) ins(%x[i]) outs(%y[i]) params {schedule = [#lir.schedule<"vector" {dim = "i", lanes = 4 : i64} when #rlx.constraint<S <= 4>>, #lir.schedule<"vector" {dim = "i", lanes = 16 : i64}>]} {
  ^bb0(%0: f32):
    lir.yield %0 : f32
  } : !lir.buffer<S x f32>, !lir.buffer<S x f32>
}

// -----

// Threads find what they wrote themselves if their number divides the rows; sums of columns read what others wrote.
// CHECK: kernel.entry @rlx_main {
// CHECK: kernel.call @map_0(
// CHECK-NEXT: %[[ROWS:.*]] = arith.constant 24 : index
// CHECK-NEXT: %[[REST:.*]] = arith.remsi %[[ROWS]], %{{.*}} : index
// CHECK-NEXT: %[[NONE:.*]] = arith.constant 0 : index
// CHECK-NEXT: %[[OTHERS:.*]] = arith.cmpi ne, %[[REST]], %[[NONE]] : index
// CHECK-NEXT: scf.if %[[OTHERS]] {
// CHECK-NEXT:   kernel.barrier interruptible
// CHECK-NEXT: }
// CHECK-NEXT: kernel.call @reduce_1(
// CHECK-NEXT: kernel.barrier interruptible
// CHECK-NEXT: kernel.call @reduce_2(
lir.program @main arena(0) {
  %x = lir.input @x : !lir.buffer<24 x 7 x f32>
  %v = lir.input @v : !lir.buffer<7 x f32>
  %t = lir.output @t : !lir.buffer<24 x 7 x f32>
  %s = lir.output @s : !lir.buffer<24 x f32>
  %c = lir.output @c : !lir.buffer<7 x f32>
  lir.map (i : 24, j : 7) ins(%x[i, j], %v[j]) outs(%t[i, j]) params {schedule = [#lir.schedule<"vector" {dim = "j", lanes = 8 : i64}>]} {
  ^bb0(%0: f32, %1: f32):
    %2 = arith.addf %0, %1 : f32
    lir.yield %2 : f32
  } : !lir.buffer<24 x 7 x f32>, !lir.buffer<7 x f32>, !lir.buffer<24 x 7 x f32>
  lir.reduce (i : 24 | j : 7) ins(%t[i, j]) outs(%s[i]) params {schedule = [#lir.schedule<"rows" {dim = "j", lanes = 8 : i64, heavy = 8 : i64}>]} {
  ^bb0(%row: !lir.row<f32>):
    %sum = lir.fold(%row) init [0.000000e+00 : f32] {
    ^bb1(%0: f32, %1: f32):
      %2 = arith.addf %0, %1 : f32
      lir.yield %2 : f32
    } combine {
    ^bb2(%3: f32, %4: f32):
      %5 = arith.addf %3, %4 : f32
      lir.yield %5 : f32
    } : (!lir.row<f32>) -> f32
    lir.yield %sum : f32
  } : !lir.buffer<24 x 7 x f32>, !lir.buffer<24 x f32>
  lir.reduce (j : 7 | i : 24) ins(%t[i, j]) outs(%c[j]) params {schedule = [#lir.schedule<"columns" {dim = "j", lanes = 8 : i64}>]} {
  ^bb0(%row: !lir.row<f32>):
    %sum = lir.fold(%row) init [0.000000e+00 : f32] {
    ^bb1(%0: f32, %1: f32):
      %2 = arith.addf %0, %1 : f32
      lir.yield %2 : f32
    } combine {
    ^bb2(%3: f32, %4: f32):
      %5 = arith.addf %3, %4 : f32
      lir.yield %5 : f32
    } : (!lir.row<f32>) -> f32
    lir.yield %sum : f32
  } : !lir.buffer<24 x 7 x f32>, !lir.buffer<7 x f32>
}
