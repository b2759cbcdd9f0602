// RUN: rlx-opt %s | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// CHECK-LABEL: metal.kernel @core(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global> {kernel.noalias}, %d: !kernel.ptr<index, global>) attributes {arch = "apple9", block = array<i64: 128>} {
metal.kernel @core(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global> {kernel.noalias}, %d: !kernel.ptr<index, global>) attributes {arch = "apple9", block = array<i64: 128>} {
  // CHECK-NEXT: %s = metal.shared 1024 : !kernel.ptr<f32, shared, align 16>
  %s = metal.shared 1024 : !kernel.ptr<f32, shared, align 16>
  // CHECK-NEXT: %block = metal.block_id x
  %block = metal.block_id x
  // CHECK-NEXT: %size = metal.block_dim y
  %size = metal.block_dim y
  // CHECK-NEXT: %blocks = metal.grid_dim z
  %blocks = metal.grid_dim z
  // CHECK-NEXT: %thread = metal.thread_id x
  %thread = metal.thread_id x
  // CHECK-NEXT: %lane = metal.lane_id
  %lane = metal.lane_id
  // CHECK-NEXT: %group = metal.subgroup_id
  %group = metal.subgroup_id
  // CHECK-NEXT: metal.barrier
  metal.barrier
  // CHECK-NEXT: metal.subgroup_barrier
  metal.subgroup_barrier
  // CHECK-NEXT: metal.fence device
  metal.fence device
  // CHECK-NEXT: %v = kernel.load %x[%thread] : !kernel.ptr<f32, global> -> f32
  %v = kernel.load %x[%thread] : !kernel.ptr<f32, global> -> f32
  // CHECK-NEXT: %o = arith.constant 1 : i32
  %o = arith.constant 1 : i32
  // CHECK-NEXT: %w = metal.shuffle xor %v, %o : f32
  %w = metal.shuffle xor %v, %o : f32
  // CHECK-NEXT: %r = metal.subgroup_reduce add %w : f32
  %r = metal.subgroup_reduce add %w : f32
  // CHECK-NEXT: %c = arith.cmpf olt, %r, %v : f32
  %c = arith.cmpf olt, %r, %v : f32
  // CHECK-NEXT: %any = metal.vote any %c
  %any = metal.vote any %c
  // CHECK-NEXT: %a = metal.atomic add %r, %y[%thread] : !kernel.ptr<f32, global>
  %a = metal.atomic add %r, %y[%thread] : !kernel.ptr<f32, global>
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
  // CHECK-NEXT: metal.launch @core grid(%n) (%x, %x, %d) : !kernel.ptr<f32, global>, !kernel.ptr<f32, global>, !kernel.ptr<index, global>
  metal.launch @core grid(%n) (%x, %x, %d) : !kernel.ptr<f32, global>, !kernel.ptr<f32, global>, !kernel.ptr<index, global>
  // CHECK-NEXT: metal.launch @none grid(%n, %n, %n) ()
  metal.launch @none grid(%n, %n, %n) ()
  // CHECK-NEXT: kernel.return
  kernel.return
}
