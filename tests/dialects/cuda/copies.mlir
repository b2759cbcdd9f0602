// RUN: rlx-opt %s | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// CHECK-LABEL: cuda.kernel @copies(%d: !kernel.ptr<bf16, shared, align 128>, %s: !kernel.ptr<bf16, global>, %bar: !kernel.ptr<i64, shared>, %map: !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, %i: index, %n: i32) attributes {arch = "sm_90a", block = array<i64: 128>} {
cuda.kernel @copies(%d: !kernel.ptr<bf16, shared, align 128>, %s: !kernel.ptr<bf16, global>, %bar: !kernel.ptr<i64, shared>, %map: !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, %i: index, %n: i32) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // CHECK-NEXT: cuda.cp_async %d[%i], %s[%i] bytes 16 : !kernel.ptr<bf16, shared, align 128>, !kernel.ptr<bf16, global>
  cuda.cp_async %d[%i], %s[%i] bytes 16 : !kernel.ptr<bf16, shared, align 128>, !kernel.ptr<bf16, global>
  // CHECK-NEXT: cuda.cp_async %d[%i], %s[%i] bytes 8 valid %n : !kernel.ptr<bf16, shared, align 128>, !kernel.ptr<bf16, global>
  cuda.cp_async %d[%i], %s[%i] bytes 8 valid %n : !kernel.ptr<bf16, shared, align 128>, !kernel.ptr<bf16, global>
  // CHECK-NEXT: cuda.cp_async_commit
  cuda.cp_async_commit
  // CHECK-NEXT: cuda.cp_async_wait 1
  cuda.cp_async_wait 1
  // CHECK-NEXT: cuda.mbarrier_init %bar[%i] count 2 : !kernel.ptr<i64, shared>
  cuda.mbarrier_init %bar[%i] count 2 : !kernel.ptr<i64, shared>
  // CHECK-NEXT: cuda.mbarrier_expect %bar[%i] bytes 16384 : !kernel.ptr<i64, shared>
  cuda.mbarrier_expect %bar[%i] bytes 16384 : !kernel.ptr<i64, shared>
  // CHECK-NEXT: cuda.mbarrier_arrive %bar[%i] : !kernel.ptr<i64, shared>
  cuda.mbarrier_arrive %bar[%i] : !kernel.ptr<i64, shared>
  // CHECK-NEXT: cuda.mbarrier_wait %bar[%i] parity %n : !kernel.ptr<i64, shared>
  cuda.mbarrier_wait %bar[%i] parity %n : !kernel.ptr<i64, shared>
  // CHECK-NEXT: cuda.tma_load %d[%i], %map(%i, %i) barrier %bar[%i] : !kernel.ptr<bf16, shared, align 128>, !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, !kernel.ptr<i64, shared>
  cuda.tma_load %d[%i], %map(%i, %i) barrier %bar[%i] : !kernel.ptr<bf16, shared, align 128>, !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, !kernel.ptr<i64, shared>
  // CHECK-NEXT: cuda.fence_async
  cuda.fence_async
  // CHECK-NEXT: cuda.tma_store %d[%i], %map(%i, %i) : !kernel.ptr<bf16, shared, align 128>, !cuda.tensor_map<128 x 64 x bf16, swizzle 128>
  cuda.tma_store %d[%i], %map(%i, %i) : !kernel.ptr<bf16, shared, align 128>, !cuda.tensor_map<128 x 64 x bf16, swizzle 128>
  // CHECK-NEXT: cuda.tma_store_commit
  cuda.tma_store_commit
  // CHECK-NEXT: cuda.tma_store_wait 0
  cuda.tma_store_wait 0
  // CHECK-NEXT: cuda.set_max_registers dec 24
  cuda.set_max_registers dec 24
  // CHECK-NEXT: kernel.return
  kernel.return
}

// CHECK-LABEL: kernel.entry @rlx_main {
kernel.entry @rlx_main {
  // CHECK-NEXT: %x = kernel.buffer 0 : !kernel.ptr<bf16, global>
  %x = kernel.buffer 0 : !kernel.ptr<bf16, global>
  // CHECK-NEXT: %n = kernel.dim 0
  %n = kernel.dim 0
  // CHECK-NEXT: %map = cuda.encode_tensor_map %x sizes(%n, %n) strides(%n) : !kernel.ptr<bf16, global> -> !cuda.tensor_map<128 x 64 x bf16, swizzle 128>
  %map = cuda.encode_tensor_map %x sizes(%n, %n) strides(%n) : !kernel.ptr<bf16, global> -> !cuda.tensor_map<128 x 64 x bf16, swizzle 128>
  // CHECK-NEXT: cuda.launch @copies grid(%n) (%map) : !cuda.tensor_map<128 x 64 x bf16, swizzle 128>
  cuda.launch @copies grid(%n) (%map) : !cuda.tensor_map<128 x 64 x bf16, swizzle 128>
  // CHECK-NEXT: kernel.return
  kernel.return
}
