// RUN: rlx-opt %s | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// CHECK-LABEL: cuda.kernel @matrix(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "sm_90a", block = array<i64: 128>} {
cuda.kernel @matrix(%p: !kernel.ptr<bf16, shared>, %q: !kernel.ptr<f32, global>, %i: index, %ld: index, %z: f32) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // CHECK-NEXT: %a = cuda.mma_load %p[%i] stride %ld : !kernel.ptr<bf16, shared> -> !kernel.fragment<16 x 16 x bf16, a, mma>
  %a = cuda.mma_load %p[%i] stride %ld : !kernel.ptr<bf16, shared> -> !kernel.fragment<16 x 16 x bf16, a, mma>
  // CHECK-NEXT: %b = cuda.mma_load %p[%i] stride %ld transposed : !kernel.ptr<bf16, shared> -> !kernel.fragment<16 x 8 x bf16, b, mma>
  %b = cuda.mma_load %p[%i] stride %ld transposed : !kernel.ptr<bf16, shared> -> !kernel.fragment<16 x 8 x bf16, b, mma>
  // CHECK-NEXT: %c = cuda.mma_fill %z : f32 -> !kernel.fragment<16 x 8 x f32, c, mma>
  %c = cuda.mma_fill %z : f32 -> !kernel.fragment<16 x 8 x f32, c, mma>
  // CHECK-NEXT: %r = cuda.mma_sync %a, %b, %c : !kernel.fragment<16 x 16 x bf16, a, mma>, !kernel.fragment<16 x 8 x bf16, b, mma>, !kernel.fragment<16 x 8 x f32, c, mma>
  %r = cuda.mma_sync %a, %b, %c : !kernel.fragment<16 x 16 x bf16, a, mma>, !kernel.fragment<16 x 8 x bf16, b, mma>, !kernel.fragment<16 x 8 x f32, c, mma>
  // CHECK-NEXT: cuda.mma_store %r, %q[%i] stride %ld : !kernel.fragment<16 x 8 x f32, c, mma>, !kernel.ptr<f32, global>
  cuda.mma_store %r, %q[%i] stride %ld : !kernel.fragment<16 x 8 x f32, c, mma>, !kernel.ptr<f32, global>
  // CHECK-NEXT: cuda.mma_store %r, %q[%i] stride %ld transposed : !kernel.fragment<16 x 8 x f32, c, mma>, !kernel.ptr<f32, global>
  cuda.mma_store %r, %q[%i] stride %ld transposed : !kernel.fragment<16 x 8 x f32, c, mma>, !kernel.ptr<f32, global>
  // CHECK-NEXT: %w = cuda.mma_fill %z : f32 -> !kernel.fragment<64 x 128 x f32, c, wgmma>
  %w = cuda.mma_fill %z : f32 -> !kernel.fragment<64 x 128 x f32, c, wgmma>
  // CHECK-NEXT: %w1 = cuda.wgmma %p[%i], %p[%i], %w k 64 : !kernel.ptr<bf16, shared>, !kernel.ptr<bf16, shared>, !kernel.fragment<64 x 128 x f32, c, wgmma>
  %w1 = cuda.wgmma %p[%i], %p[%i], %w k 64 : !kernel.ptr<bf16, shared>, !kernel.ptr<bf16, shared>, !kernel.fragment<64 x 128 x f32, c, wgmma>
  // CHECK-NEXT: %w2 = cuda.wgmma %p[%i], %p[%i], %w1 k 16 transposed : !kernel.ptr<bf16, shared>, !kernel.ptr<bf16, shared>, !kernel.fragment<64 x 128 x f32, c, wgmma>
  %w2 = cuda.wgmma %p[%i], %p[%i], %w1 k 16 transposed : !kernel.ptr<bf16, shared>, !kernel.ptr<bf16, shared>, !kernel.fragment<64 x 128 x f32, c, wgmma>
  // CHECK-NEXT: %w3 = cuda.wgmma_wait %w2 pending 0 : !kernel.fragment<64 x 128 x f32, c, wgmma>
  %w3 = cuda.wgmma_wait %w2 pending 0 : !kernel.fragment<64 x 128 x f32, c, wgmma>
  // CHECK-NEXT: kernel.return
  kernel.return
}
