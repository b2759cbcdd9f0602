// RUN: rlx-opt %s --split-input-file --verify-diagnostics

// A shape that no instruction has.
metal.kernel @k(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "apple9", block = array<i64: 128>} {
  // expected-error@+1 {{apple9 has no matrix instruction that takes !kernel.fragment<5 x 8 x f32, c, simdgroup>}}
  %c = metal.simdgroup_fill %z : f32 -> !kernel.fragment<5 x 8 x f32, c, simdgroup>
  kernel.return
}

// -----

// A role nobody knows.
metal.kernel @k(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "apple9", block = array<i64: 128>} {
  // expected-error@+1 {{a fragment is one of a, b, c, found 'd'}}
  %c = metal.simdgroup_fill %z : f32 -> !kernel.fragment<8 x 8 x f32, d, simdgroup>
  kernel.return
}

// -----

// Memory of another type.
metal.kernel @k(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "apple9", block = array<i64: 128>} {
  // expected-error@+1 {{the memory holds f32, the fragment bf16}}
  %a = metal.simdgroup_load %q[%i] stride %ld : !kernel.ptr<f32, global> -> !kernel.fragment<8 x 8 x bf16, a, simdgroup>
  kernel.return
}

// -----

// A fill of another type.
metal.kernel @k(%z: f16) attributes {arch = "apple9", block = array<i64: 128>} {
  // expected-error@+1 {{a fragment of f32 is filled with f16}}
  %c = metal.simdgroup_fill %z : f16 -> !kernel.fragment<8 x 8 x f32, c, simdgroup>
  kernel.return
}

// -----

// Roles in the wrong order.
metal.kernel @k(%a: index) attributes {arch = "apple9", block = array<i64: 128>} {
  %z = arith.constant 0.0 : f32
  %c = metal.simdgroup_fill %z : f32 -> !kernel.fragment<8 x 8 x f32, c, simdgroup>
  // expected-error@+1 {{the operands are fragments a, b and c, found c, c, c}}
  %r = metal.simdgroup_multiply_accumulate %c, %c, %c : !kernel.fragment<8 x 8 x f32, c, simdgroup>, !kernel.fragment<8 x 8 x f32, c, simdgroup>, !kernel.fragment<8 x 8 x f32, c, simdgroup>
  kernel.return
}

// -----

// Math of another type.
metal.kernel @k(%x: f64) attributes {arch = "apple9", block = array<i64: 128>} {
  // expected-error@+1 {{metal.fast_exp2 takes and gives f32, found f64 and f64}}
  %y = metal.fast_exp2 %x : f64
  kernel.return
}
