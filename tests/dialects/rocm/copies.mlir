// RUN: rlx-opt %s | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// CHECK-LABEL: rocm.kernel @copies(%d: !kernel.ptr<f32, shared>, %s: !kernel.ptr<f32, global>, %i: index) attributes {arch = "gfx950", block = array<i64: 64>} {
rocm.kernel @copies(%d: !kernel.ptr<f32, shared>, %s: !kernel.ptr<f32, global>, %i: index) attributes {arch = "gfx950", block = array<i64: 64>} {
  // CHECK-NEXT: rocm.load_to_lds %d[%i], %s[%i] bytes 16 : !kernel.ptr<f32, shared>, !kernel.ptr<f32, global>
  rocm.load_to_lds %d[%i], %s[%i] bytes 16 : !kernel.ptr<f32, shared>, !kernel.ptr<f32, global>
  // CHECK-NEXT: kernel.return
  kernel.return
}
