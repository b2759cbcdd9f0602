// RUN: rlx-opt %s | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// CHECK-LABEL: metal.kernel @matrix(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "apple9", block = array<i64: 128>} {
metal.kernel @matrix(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "apple9", block = array<i64: 128>} {
  // CHECK-NEXT: %a = metal.simdgroup_load %p[%i] stride %ld : !kernel.ptr<bf16, shared> -> !kernel.fragment<8 x 8 x bf16, a, simdgroup>
  %a = metal.simdgroup_load %p[%i] stride %ld : !kernel.ptr<bf16, shared> -> !kernel.fragment<8 x 8 x bf16, a, simdgroup>
  // CHECK-NEXT: %b = metal.simdgroup_load %p[%i] stride %ld transposed : !kernel.ptr<bf16, shared> -> !kernel.fragment<8 x 8 x bf16, b, simdgroup>
  %b = metal.simdgroup_load %p[%i] stride %ld transposed : !kernel.ptr<bf16, shared> -> !kernel.fragment<8 x 8 x bf16, b, simdgroup>
  // CHECK-NEXT: %c = metal.simdgroup_fill %z : f32 -> !kernel.fragment<8 x 8 x f32, c, simdgroup>
  %c = metal.simdgroup_fill %z : f32 -> !kernel.fragment<8 x 8 x f32, c, simdgroup>
  // CHECK-NEXT: %r = metal.simdgroup_multiply_accumulate %a, %b, %c : !kernel.fragment<8 x 8 x bf16, a, simdgroup>, !kernel.fragment<8 x 8 x bf16, b, simdgroup>, !kernel.fragment<8 x 8 x f32, c, simdgroup>
  %r = metal.simdgroup_multiply_accumulate %a, %b, %c : !kernel.fragment<8 x 8 x bf16, a, simdgroup>, !kernel.fragment<8 x 8 x bf16, b, simdgroup>, !kernel.fragment<8 x 8 x f32, c, simdgroup>
  // CHECK-NEXT: metal.simdgroup_store %r, %q[%i] stride %ld : !kernel.fragment<8 x 8 x f32, c, simdgroup>, !kernel.ptr<f32, global>
  metal.simdgroup_store %r, %q[%i] stride %ld : !kernel.fragment<8 x 8 x f32, c, simdgroup>, !kernel.ptr<f32, global>
  // CHECK-NEXT: metal.simdgroup_store %r, %q[%i] stride %ld transposed : !kernel.fragment<8 x 8 x f32, c, simdgroup>, !kernel.ptr<f32, global>
  metal.simdgroup_store %r, %q[%i] stride %ld transposed : !kernel.fragment<8 x 8 x f32, c, simdgroup>, !kernel.ptr<f32, global>
  // CHECK-NEXT: kernel.return
  kernel.return
}
