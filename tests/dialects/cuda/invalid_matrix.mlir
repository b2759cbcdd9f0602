// RUN: rlx-opt %s --split-input-file --verify-diagnostics

// A shape that no instruction has.
cuda.kernel @k(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // expected-error@+1 {{sm_90a has no matrix instruction that takes !kernel.fragment<5 x 8 x f32, c, mma>}}
  %c = cuda.mma_fill %z : f32 -> !kernel.fragment<5 x 8 x f32, c, mma>
  kernel.return
}

// -----

// A role nobody knows.
cuda.kernel @k(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // expected-error@+1 {{a fragment is one of a, b, c, found 'd'}}
  %c = cuda.mma_fill %z : f32 -> !kernel.fragment<16 x 8 x f32, d, mma>
  kernel.return
}

// -----

// Memory of another type.
cuda.kernel @k(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // expected-error@+1 {{the memory holds f32, the fragment bf16}}
  %a = cuda.mma_load %q[%i] stride %ld : !kernel.ptr<f32, global> -> !kernel.fragment<16 x 16 x bf16, a, mma>
  kernel.return
}

// -----

// A fill of another type.
cuda.kernel @k(%z: f16) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // expected-error@+1 {{a fragment of f32 is filled with f16}}
  %c = cuda.mma_fill %z : f16 -> !kernel.fragment<16 x 8 x f32, c, mma>
  kernel.return
}

// -----

// Roles in the wrong order.
cuda.kernel @k(%a: index) attributes {arch = "sm_90a", block = array<i64: 128>} {
  %z = arith.constant 0.0 : f32
  %c = cuda.mma_fill %z : f32 -> !kernel.fragment<16 x 8 x f32, c, mma>
  // expected-error@+1 {{the operands are fragments a, b and c, found c, c, c}}
  %r = cuda.mma_sync %c, %c, %c : !kernel.fragment<16 x 8 x f32, c, mma>, !kernel.fragment<16 x 8 x f32, c, mma>, !kernel.fragment<16 x 8 x f32, c, mma>
  kernel.return
}

// -----

// Math of another type.
cuda.kernel @k(%x: f64) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // expected-error@+1 {{cuda.ex2_approx takes and gives f32, found f64 and f64}}
  %y = cuda.ex2_approx %x : f64
  kernel.return
}

// -----

// What sm_80 lacks.
cuda.kernel @k(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "sm_80", block = array<i64: 128>} {
  // expected-error@+1 {{sm_80 has no matrix instruction that takes !kernel.fragment<64 x 128 x f32, c, wgmma>}}
  %c = cuda.mma_fill %z : f32 -> !kernel.fragment<64 x 128 x f32, c, wgmma>
  kernel.return
}
