// RUN: rlx-opt %s | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// CHECK-LABEL: rocm.kernel @core(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global> {kernel.noalias}, %d: !kernel.ptr<index, global>) attributes {arch = "gfx942", block = array<i64: 128>} {
rocm.kernel @core(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global> {kernel.noalias}, %d: !kernel.ptr<index, global>) attributes {arch = "gfx942", block = array<i64: 128>} {
  // CHECK-NEXT: %s = rocm.shared 1024 : !kernel.ptr<f32, shared, align 16>
  %s = rocm.shared 1024 : !kernel.ptr<f32, shared, align 16>
  // CHECK-NEXT: %block = rocm.block_id x
  %block = rocm.block_id x
  // CHECK-NEXT: %size = rocm.block_dim y
  %size = rocm.block_dim y
  // CHECK-NEXT: %blocks = rocm.grid_dim z
  %blocks = rocm.grid_dim z
  // CHECK-NEXT: %thread = rocm.thread_id x
  %thread = rocm.thread_id x
  // CHECK-NEXT: %lane = rocm.lane_id
  %lane = rocm.lane_id
  // CHECK-NEXT: %group = rocm.subgroup_id
  %group = rocm.subgroup_id
  // CHECK-NEXT: rocm.barrier
  rocm.barrier
  // CHECK-NEXT: rocm.subgroup_barrier
  rocm.subgroup_barrier
  // CHECK-NEXT: rocm.fence device
  rocm.fence device
  // CHECK-NEXT: %v = kernel.load %x[%thread] : !kernel.ptr<f32, global> -> f32
  %v = kernel.load %x[%thread] : !kernel.ptr<f32, global> -> f32
  // CHECK-NEXT: %o = arith.constant 1 : i32
  %o = arith.constant 1 : i32
  // CHECK-NEXT: %w = rocm.shuffle xor %v, %o : f32
  %w = rocm.shuffle xor %v, %o : f32
  // CHECK-NEXT: %r = rocm.subgroup_reduce add %w : f32
  %r = rocm.subgroup_reduce add %w : f32
  // CHECK-NEXT: %c = arith.cmpf olt, %r, %v : f32
  %c = arith.cmpf olt, %r, %v : f32
  // CHECK-NEXT: %any = rocm.vote any %c
  %any = rocm.vote any %c
  // CHECK-NEXT: %a = rocm.atomic add %r, %y[%thread] : !kernel.ptr<f32, global>
  %a = rocm.atomic add %r, %y[%thread] : !kernel.ptr<f32, global>
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
  // CHECK-NEXT: rocm.launch @core grid(%n) (%x, %x, %d) : !kernel.ptr<f32, global>, !kernel.ptr<f32, global>, !kernel.ptr<index, global>
  rocm.launch @core grid(%n) (%x, %x, %d) : !kernel.ptr<f32, global>, !kernel.ptr<f32, global>, !kernel.ptr<index, global>
  // CHECK-NEXT: rocm.launch @none grid(%n, %n, %n) ()
  rocm.launch @none grid(%n, %n, %n) ()
  // CHECK-NEXT: kernel.return
  kernel.return
}
