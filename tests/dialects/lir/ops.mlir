// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// One of each: what prints, parses back.

// CHECK-LABEL: lir.program @boundary attributes {rlx.dims = [#rlx.dim<B in [1, 64]>, #rlx.dim<P in [0, 8] runtime>]}
lir.program @boundary attributes {rlx.dims = [#rlx.dim<B in [1, 64]>, #rlx.dim<P in [0, 8] runtime>]} {
  // CHECK: %x = lir.input @x : !lir.buffer<B x (P + 1) x f32>
  %x = lir.input @x : !lir.buffer<B x (P + 1) x f32>
  // CHECK-NEXT: %y = lir.output @y : !lir.buffer<B x f32>
  %y = lir.output @y : !lir.buffer<B x f32>
  // CHECK-NEXT: %w = lir.param @layer.w : !lir.buffer<8 x 16 x ui8>
  %w = lir.param @layer.w : !lir.buffer<8 x 16 x ui8>
  // CHECK-NEXT: %p = lir.packed @w.0 : !lir.buffer<24 x 70 x bf16, #lir.layout<(k, n) -> (n floordiv 32, k, n mod 32) in [3, 24, 32]>>
  %p = lir.packed @w.0 : !lir.buffer<24 x 70 x bf16, #lir.layout<(k, n) -> (n floordiv 32, k, n mod 32) in [3, 24, 32]>>
  // CHECK-NEXT: %s = lir.state @k0 : !lir.buffer<B x 128 x f16>
  %s = lir.state @k0 : !lir.buffer<B x 128 x f16>
  // CHECK-NEXT: %d = lir.dim_input @P : !lir.buffer<i64>
  %d = lir.dim_input @P : !lir.buffer<i64>
  // CHECK-NEXT: %c = lir.constant dense<[1.000000e+00, 2.000000e+00]> : tensor<2xf32> to !lir.buffer<2 x f32>
  %c = lir.constant dense<[1.0, 2.0]> : tensor<2xf32> to !lir.buffer<2 x f32>
}

// CHECK-LABEL: lir.program @places arena(B * 64 + threads * 4096)
lir.program @places arena(B * 64 + threads * 4096) {
  // CHECK: %t = lir.alloc : !lir.buffer<B x 16 x f32>
  %t = lir.alloc : !lir.buffer<B x 16 x f32>
  // CHECK-NEXT: %u = lir.alloc per_thread : !lir.buffer<16 x i4>
  %u = lir.alloc per_thread : !lir.buffer<16 x i4>
  // CHECK-NEXT: %a = lir.slot at(B * 64) : !lir.buffer<B x 16 x f32>
  %a = lir.slot at(B * 64) : !lir.buffer<B x 16 x f32>
  // CHECK-NEXT: %b = lir.slot at(0) per_thread(4096) : !lir.buffer<1024 x f32>
  %b = lir.slot at(0) per_thread(4096) : !lir.buffer<1024 x f32>
  // CHECK-NEXT: %v = lir.view %a : !lir.buffer<B x 16 x f32> to !lir.buffer<(B * 16) x f32>
  %v = lir.view %a : !lir.buffer<B x 16 x f32> to !lir.buffer<(B * 16) x f32>
  // CHECK-NEXT: %q = lir.view %a from 8 : !lir.buffer<B x 16 x f32> to !lir.buffer<8 x f32>
  %q = lir.view %a from 8 : !lir.buffer<B x 16 x f32> to !lir.buffer<8 x f32>
  // CHECK-NEXT: lir.copy %t to %a : !lir.buffer<B x 16 x f32>, !lir.buffer<B x 16 x f32>
  lir.copy %t to %a : !lir.buffer<B x 16 x f32>, !lir.buffer<B x 16 x f32>
}

// CHECK-LABEL: lir.program @map
lir.program @map {
  %x = lir.input @x : !lir.buffer<4 x 8 x i8>
  %y = lir.output @y : !lir.buffer<8 x 4 x i8>
  %s = lir.alloc per_thread : !lir.buffer<16 x f32>
  // A guard of zero is a guard; the scratch has no map; schedules and labels are kept.
  // CHECK: lir.map (i : 4, j : 8) ins(%x[i, j + 1] else 0 : i8) outs(%y[j, i]) scratch(%s)
  // CHECK-SAME: params {schedule = [#lir.schedule<"wide" {tile = [4 : i64, 8 : i64]} when #rlx.constraint<B <= 4>>, #lir.schedule<"narrow">], label = "shift"} {
  lir.map (i : 4, j : 8) ins(%x[i, j + 1] else 0 : i8) outs(%y[j, i]) scratch(%s) params {schedule = [#lir.schedule<"wide" {tile = [4, 8]} when #rlx.constraint<B <= 4>>, #lir.schedule<"narrow">], label = "shift"} {
  ^bb0(%a: i8):
    // CHECK: lir.yield %{{.*}} : i8
    lir.yield %a : i8
  } : !lir.buffer<4 x 8 x i8>, !lir.buffer<8 x 4 x i8>, !lir.buffer<16 x f32>
}

// CHECK-LABEL: lir.program @reads
lir.program @reads {
  %t = lir.param @t : !lir.buffer<8 x f32>
  %y = lir.output @y : !lir.buffer<4 x f32>
  // CHECK: lir.map (i : 4) ins(%t) outs(%y[i]) {
  lir.map (i : 4) ins(%t) outs(%y[i]) {
  ^bb0(%b: !lir.buffer<8 x f32>):
    // CHECK: %[[I:.*]] = lir.index i * 2 + 1
    %i = lir.index i * 2 + 1
    // CHECK-NEXT: lir.read %{{.*}}[%[[I]]] oob(error) : !lir.buffer<8 x f32>, index
    %e = lir.read %b[%i] oob(error) : !lir.buffer<8 x f32>, index
    // CHECK-NEXT: lir.read %{{.*}}[%[[I]]] oob(clamp) : !lir.buffer<8 x f32>, index
    %c = lir.read %b[%i] oob(clamp) : !lir.buffer<8 x f32>, index
    // CHECK-NEXT: lir.read %{{.*}}[%[[I]]] oob(fill) 1.000000e+00 : f32 : !lir.buffer<8 x f32>, index
    %f = lir.read %b[%i] oob(fill) 1.0 : f32 : !lir.buffer<8 x f32>, index
    %s = arith.addf %e, %c : f32
    %u = arith.addf %s, %f : f32
    lir.yield %u : f32
  } : !lir.buffer<8 x f32>, !lir.buffer<4 x f32>
}

// CHECK-LABEL: lir.program @scatter_and_scan
lir.program @scatter_and_scan {
  %u = lir.input @u : !lir.buffer<4 x f32>
  %id = lir.input @id : !lir.buffer<4 x i64>
  %c = lir.input @c : !lir.buffer<f32>
  %v = lir.output @v : !lir.buffer<8 x f32>
  %f = lir.output @f : !lir.buffer<f32>
  // CHECK: lir.scatter (n : 4) ins(%u[n], %id[n]) outs(%v) params {combine = "max", oob = "drop"} {
  lir.scatter (n : 4) ins(%u[n], %id[n]) outs(%v) params {combine = "max", oob = "drop"} {
  ^bb0(%a: f32, %i: i64):
    lir.yield %i, %a : i64, f32
  } : !lir.buffer<4 x f32>, !lir.buffer<4 x i64>, !lir.buffer<8 x f32>
  // No parallel dims, buffers of rank 0.
  // CHECK: lir.scan ( | t : 4) ins(%u[t]) extra(%c[]) outs(%v[t + 4], %f[]) {
  lir.scan ( | t : 4) ins(%u[t]) extra(%c[]) outs(%v[t + 4], %f[]) {
  ^bb0(%a: f32, %e: f32):
    %n = arith.addf %a, %e : f32
    lir.yield %n, %n : f32, f32
  } : !lir.buffer<4 x f32>, !lir.buffer<f32>, !lir.buffer<8 x f32>, !lir.buffer<f32>
}

// CHECK-LABEL: lir.program @control
lir.program @control {
  %f = lir.input @f : !lir.buffer<i1>
  %x = lir.input @x : !lir.buffer<4 x f32>
  %y = lir.output @y : !lir.buffer<4 x f32>
  // CHECK: lir.if %f {
  // CHECK-NEXT: lir.copy
  // CHECK-NEXT: } : !lir.buffer<i1>
  lir.if %f {
    lir.copy %x to %y : !lir.buffer<4 x f32>, !lir.buffer<4 x f32>
  } : !lir.buffer<i1>
  // CHECK-NEXT: lir.while limit(7) {
  // CHECK-NEXT: lir.condition %f : !lir.buffer<i1>
  // CHECK-NEXT: } do {
  // CHECK-NEXT: }
  lir.while limit(7) {
    lir.condition %f : !lir.buffer<i1>
  } do {
  }
}
