// RUN: rlx-opt %s --split-input-file --verify-diagnostics

// A shape that no instruction has.
rocm.kernel @k(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "gfx942", block = array<i64: 128>} {
  // expected-error@+1 {{gfx942 has no matrix instruction that takes !kernel.fragment<5 x 8 x f32, c, mfma>}}
  %c = rocm.matrix_fill %z : f32 -> !kernel.fragment<5 x 8 x f32, c, mfma>
  kernel.return
}

// -----

// A role nobody knows.
rocm.kernel @k(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "gfx942", block = array<i64: 128>} {
  // expected-error@+1 {{a fragment is one of a, b, c, found 'd'}}
  %c = rocm.matrix_fill %z : f32 -> !kernel.fragment<16 x 16 x f32, d, mfma>
  kernel.return
}

// -----

// Memory of another type.
rocm.kernel @k(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "gfx942", block = array<i64: 128>} {
  // expected-error@+1 {{the memory holds f32, the fragment bf16}}
  %a = rocm.matrix_load %q[%i] stride %ld : !kernel.ptr<f32, global> -> !kernel.fragment<16 x 16 x bf16, a, mfma>
  kernel.return
}

// -----

// A fill of another type.
rocm.kernel @k(%z: f16) attributes {arch = "gfx942", block = array<i64: 128>} {
  // expected-error@+1 {{a fragment of f32 is filled with f16}}
  %c = rocm.matrix_fill %z : f16 -> !kernel.fragment<16 x 16 x f32, c, mfma>
  kernel.return
}

// -----

// Roles in the wrong order.
rocm.kernel @k(%a: index) attributes {arch = "gfx942", block = array<i64: 128>} {
  %z = arith.constant 0.0 : f32
  %c = rocm.matrix_fill %z : f32 -> !kernel.fragment<16 x 16 x f32, c, mfma>
  // expected-error@+1 {{the operands are fragments a, b and c, found c, c, c}}
  %r = rocm.matrix_multiply %c, %c, %c : !kernel.fragment<16 x 16 x f32, c, mfma>, !kernel.fragment<16 x 16 x f32, c, mfma>, !kernel.fragment<16 x 16 x f32, c, mfma>
  kernel.return
}

// -----

// Math of another type.
rocm.kernel @k(%x: f64) attributes {arch = "gfx942", block = array<i64: 128>} {
  // expected-error@+1 {{rocm.exp2 takes and gives f32, found f64 and f64}}
  %y = rocm.exp2 %x : f64
  kernel.return
}

// -----

// What gfx1100 lacks.
rocm.kernel @k(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "gfx1100", block = array<i64: 128>} {
  // expected-error@+1 {{gfx1100 has no matrix instruction that takes !kernel.fragment<16 x 16 x f32, c, mfma>}}
  %c = rocm.matrix_fill %z : f32 -> !kernel.fragment<16 x 16 x f32, c, mfma>
  kernel.return
}
