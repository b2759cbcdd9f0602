// RUN: rlx-opt %s | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// CHECK-LABEL: cuda.kernel @core(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global> {kernel.noalias}, %d: !kernel.ptr<index, global>) attributes {arch = "sm_90a", block = array<i64: 128>} {
cuda.kernel @core(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global> {kernel.noalias}, %d: !kernel.ptr<index, global>) attributes {arch = "sm_90a", block = array<i64: 128>} {
  // CHECK-NEXT: %s = cuda.shared 1024 : !kernel.ptr<f32, shared, align 16>
  %s = cuda.shared 1024 : !kernel.ptr<f32, shared, align 16>
  // CHECK-NEXT: %block = cuda.block_id x
  %block = cuda.block_id x
  // CHECK-NEXT: %size = cuda.block_dim y
  %size = cuda.block_dim y
  // CHECK-NEXT: %blocks = cuda.grid_dim z
  %blocks = cuda.grid_dim z
  // CHECK-NEXT: %thread = cuda.thread_id x
  %thread = cuda.thread_id x
  // CHECK-NEXT: %lane = cuda.lane_id
  %lane = cuda.lane_id
  // CHECK-NEXT: %group = cuda.subgroup_id
  %group = cuda.subgroup_id
  // CHECK-NEXT: cuda.barrier
  cuda.barrier
  // CHECK-NEXT: cuda.subgroup_barrier
  cuda.subgroup_barrier
  // CHECK-NEXT: cuda.fence device
  cuda.fence device
  // CHECK-NEXT: %v = kernel.load %x[%thread] : !kernel.ptr<f32, global> -> f32
  %v = kernel.load %x[%thread] : !kernel.ptr<f32, global> -> f32
  // CHECK-NEXT: %o = arith.constant 1 : i32
  %o = arith.constant 1 : i32
  // CHECK-NEXT: %w = cuda.shuffle xor %v, %o : f32
  %w = cuda.shuffle xor %v, %o : f32
  // CHECK-NEXT: %r = cuda.subgroup_reduce add %w : f32
  %r = cuda.subgroup_reduce add %w : f32
  // CHECK-NEXT: %c = arith.cmpf olt, %r, %v : f32
  %c = arith.cmpf olt, %r, %v : f32
  // CHECK-NEXT: %any = cuda.vote any %c
  %any = cuda.vote any %c
  // CHECK-NEXT: %a = cuda.atomic add %r, %y[%thread] : !kernel.ptr<f32, global>
  %a = cuda.atomic add %r, %y[%thread] : !kernel.ptr<f32, global>
  // CHECK-NEXT: kernel.return
  kernel.return
}

// CHECK-LABEL: kernel.entry @rlx_main {
kernel.entry @rlx_main {
  // CHECK-NEXT: %x = kernel.buffer 0 : !kernel.ptr<f32, global>
  %x = kernel.buffer 0 : !kernel.ptr<f32, global>
  // CHECK-NEXT: %d = kernel.dim_pointer 1
  %d = kernel.dim_pointer 1
  // CHECK-NEXT: %s = kernel.status_pointer
  %s = kernel.status_pointer
  // CHECK-NEXT: %n = kernel.dim 0
  %n = kernel.dim 0
  // CHECK-NEXT: cuda.launch @core grid(%n) (%x, %x, %d) : !kernel.ptr<f32, global>, !kernel.ptr<f32, global>, !kernel.ptr<index, global>
  cuda.launch @core grid(%n) (%x, %x, %d) : !kernel.ptr<f32, global>, !kernel.ptr<f32, global>, !kernel.ptr<index, global>
  // CHECK-NEXT: cuda.launch @none grid(%n, %n, %n) ()
  cuda.launch @none grid(%n, %n, %n) ()
  // CHECK-NEXT: kernel.return
  kernel.return
}
