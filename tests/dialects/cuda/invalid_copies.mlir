// RUN: rlx-opt %s --split-input-file --verify-diagnostics

// A width that there is not.
cuda.kernel @k(%d: !kernel.ptr<bf16, shared, align 128>, %s: !kernel.ptr<bf16, global>, %f: !kernel.ptr<f32, global>, %bar: !kernel.ptr<i64, shared>, %map: !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, %i: index, %n: i32) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // expected-error@+1 {{a copy moves 4, 8 or 16 bytes, found 32}}
  cuda.cp_async %d[%i], %s[%i] bytes 32 : !kernel.ptr<bf16, shared, align 128>, !kernel.ptr<bf16, global>
  kernel.return
}

// -----

// The wrong way.
cuda.kernel @k(%d: !kernel.ptr<bf16, shared, align 128>, %s: !kernel.ptr<bf16, global>, %f: !kernel.ptr<f32, global>, %bar: !kernel.ptr<i64, shared>, %map: !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, %i: index, %n: i32) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // expected-error@+1 {{the target lies in shared memory, found !kernel.ptr<bf16, global>}}
  cuda.cp_async %s[%i], %s[%i] bytes 16 : !kernel.ptr<bf16, global>, !kernel.ptr<bf16, global>
  kernel.return
}

// -----

// Another type.
cuda.kernel @k(%d: !kernel.ptr<bf16, shared, align 128>, %s: !kernel.ptr<bf16, global>, %f: !kernel.ptr<f32, global>, %bar: !kernel.ptr<i64, shared>, %map: !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, %i: index, %n: i32) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // expected-error@+1 {{a copy keeps the element type, found !kernel.ptr<f32, global> to !kernel.ptr<bf16, shared, align 128>}}
  cuda.cp_async %d[%i], %f[%i] bytes 16 : !kernel.ptr<bf16, shared, align 128>, !kernel.ptr<f32, global>
  kernel.return
}

// -----

// TMA before Hopper.
cuda.kernel @k(%d: !kernel.ptr<bf16, shared, align 128>, %s: !kernel.ptr<bf16, global>, %f: !kernel.ptr<f32, global>, %bar: !kernel.ptr<i64, shared>, %map: !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, %i: index, %n: i32) attributes {arch = "sm_80", block = array<i64: 128>} {
  // expected-error@+1 {{sm_80 has no cuda.tma_load}}
  cuda.tma_load %d[%i], %map(%i, %i) barrier %bar[%i] : !kernel.ptr<bf16, shared, align 128>, !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, !kernel.ptr<i64, shared>
  kernel.return
}

// -----

// A coordinate too few.
cuda.kernel @k(%d: !kernel.ptr<bf16, shared, align 128>, %s: !kernel.ptr<bf16, global>, %f: !kernel.ptr<f32, global>, %bar: !kernel.ptr<i64, shared>, %map: !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, %i: index, %n: i32) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // expected-error@+1 {{a box of !cuda.tensor_map<128 x 64 x bf16, swizzle 128> has 2 coordinates, found 1}}
  cuda.tma_load %d[%i], %map(%i) barrier %bar[%i] : !kernel.ptr<bf16, shared, align 128>, !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, !kernel.ptr<i64, shared>
  kernel.return
}

// -----

// A barrier of another type.
cuda.kernel @k(%d: !kernel.ptr<bf16, shared, align 128>, %s: !kernel.ptr<bf16, global>, %f: !kernel.ptr<f32, global>, %bar: !kernel.ptr<i64, shared>, %map: !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, %i: index, %n: i32) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // expected-error@+1 {{a barrier is an i64, found !kernel.ptr<bf16, shared, align 128>}}
  cuda.mbarrier_arrive %d[%i] : !kernel.ptr<bf16, shared, align 128>
  kernel.return
}

// -----

// Registers.
cuda.kernel @k(%d: !kernel.ptr<bf16, shared, align 128>, %s: !kernel.ptr<bf16, global>, %f: !kernel.ptr<f32, global>, %bar: !kernel.ptr<i64, shared>, %map: !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, %i: index, %n: i32) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // expected-error@+1 {{registers are a multiple of 8 from 24 to 256, found 20}}
  cuda.set_max_registers inc 20
  kernel.return
}

// -----

// Groups.
cuda.kernel @k(%d: !kernel.ptr<bf16, shared, align 128>, %s: !kernel.ptr<bf16, global>, %f: !kernel.ptr<f32, global>, %bar: !kernel.ptr<i64, shared>, %map: !cuda.tensor_map<128 x 64 x bf16, swizzle 128>, %i: index, %n: i32) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // expected-error@+1 {{groups that may be pending are 0 or more, found -1}}
  cuda.cp_async_wait -1
  kernel.return
}

// -----

// A box too large.
cuda.kernel @k(%i: index) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // expected-error@+1 {{a box has 1 to 5 extents of 1 to 256 elements, found [512, 64]}}
  %m = "test.op"() : () -> !cuda.tensor_map<512 x 64 x bf16, swizzle 128>
  kernel.return
}

// -----

// Strides.
kernel.entry @e {
  %x = kernel.buffer 0 : !kernel.ptr<bf16, global>
  %n = kernel.dim 0
  // expected-error@+1 {{!cuda.tensor_map<128 x 64 x bf16, swizzle 128> takes 2 sizes and 1 strides}}
  %m = cuda.encode_tensor_map %x sizes(%n) strides(%n) : !kernel.ptr<bf16, global> -> !cuda.tensor_map<128 x 64 x bf16, swizzle 128>
  kernel.return
}
