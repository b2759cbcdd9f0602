// RUN: rlx-opt %s --split-input-file --verify-diagnostics

// A width that CDNA 3 lacks.
rocm.kernel @k(%d: !kernel.ptr<f32, shared>, %s: !kernel.ptr<f32, global>, %i: index) attributes {arch = "gfx942", block = array<i64: 128>} {
  // expected-error@+1 {{gfx942 has no rocm.load_to_lds of 16 bytes}}
  rocm.load_to_lds %d[%i], %s[%i] bytes 16 : !kernel.ptr<f32, shared>, !kernel.ptr<f32, global>
  kernel.return
}

// -----

// The wrong way.
rocm.kernel @k(%d: !kernel.ptr<f32, shared>, %s: !kernel.ptr<f32, global>, %i: index) attributes {arch = "gfx942", block = array<i64: 128>} {
  // expected-error@+1 {{a copy goes from global to shared memory, found shared to global}}
  rocm.load_to_lds %s[%i], %d[%i] bytes 4 : !kernel.ptr<f32, global>, !kernel.ptr<f32, shared>
  kernel.return
}
