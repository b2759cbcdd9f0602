// RUN: rlx-opt %s | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// CHECK-LABEL: rocm.kernel @matrix(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "gfx942", block = array<i64: 128>} {
rocm.kernel @matrix(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "gfx942", block = array<i64: 128>} {
  // CHECK-NEXT: %a = rocm.matrix_load %p[%i] stride %ld : !kernel.ptr<bf16, shared> -> !kernel.fragment<16 x 16 x bf16, a, mfma>
  %a = rocm.matrix_load %p[%i] stride %ld : !kernel.ptr<bf16, shared> -> !kernel.fragment<16 x 16 x bf16, a, mfma>
  // CHECK-NEXT: %b = rocm.matrix_load %p[%i] stride %ld transposed : !kernel.ptr<bf16, shared> -> !kernel.fragment<16 x 16 x bf16, b, mfma>
  %b = rocm.matrix_load %p[%i] stride %ld transposed : !kernel.ptr<bf16, shared> -> !kernel.fragment<16 x 16 x bf16, b, mfma>
  // CHECK-NEXT: %c = rocm.matrix_fill %z : f32 -> !kernel.fragment<16 x 16 x f32, c, mfma>
  %c = rocm.matrix_fill %z : f32 -> !kernel.fragment<16 x 16 x f32, c, mfma>
  // CHECK-NEXT: %r = rocm.matrix_multiply %a, %b, %c : !kernel.fragment<16 x 16 x bf16, a, mfma>, !kernel.fragment<16 x 16 x bf16, b, mfma>, !kernel.fragment<16 x 16 x f32, c, mfma>
  %r = rocm.matrix_multiply %a, %b, %c : !kernel.fragment<16 x 16 x bf16, a, mfma>, !kernel.fragment<16 x 16 x bf16, b, mfma>, !kernel.fragment<16 x 16 x f32, c, mfma>
  // CHECK-NEXT: rocm.matrix_store %r, %q[%i] stride %ld : !kernel.fragment<16 x 16 x f32, c, mfma>, !kernel.ptr<f32, global>
  rocm.matrix_store %r, %q[%i] stride %ld : !kernel.fragment<16 x 16 x f32, c, mfma>, !kernel.ptr<f32, global>
  // CHECK-NEXT: rocm.matrix_store %r, %q[%i] stride %ld transposed : !kernel.fragment<16 x 16 x f32, c, mfma>, !kernel.ptr<f32, global>
  rocm.matrix_store %r, %q[%i] stride %ld transposed : !kernel.fragment<16 x 16 x f32, c, mfma>, !kernel.ptr<f32, global>
  // CHECK-NEXT: kernel.return
  kernel.return
}
