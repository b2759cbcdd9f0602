// RUN: rlx-opt %s | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// CHECK-LABEL: kernel.func @memory(%p: !kernel.ptr<f32, global, align 64> {kernel.noalias}, %i: index, %ld: index, %n: index) {
kernel.func @memory(%p: !kernel.ptr<f32, global, align 64> {kernel.noalias}, %i: index, %ld: index, %n: index) {
  // CHECK-NEXT: %zero = arith.constant 0.000000e+00 : f32
  %zero = arith.constant 0.0 : f32
  // CHECK-NEXT: %m = kernel.mask %n : vector<16xi1>
  %m = kernel.mask %n : vector<16xi1>
  // CHECK-NEXT: %tm = kernel.mask %n, %ld : vector<8x32xi1>
  %tm = kernel.mask %n, %ld : vector<8x32xi1>
  // CHECK-NEXT: %s = kernel.load %p[%i] : !kernel.ptr<f32, global, align 64> -> f32
  %s = kernel.load %p[%i] : !kernel.ptr<f32, global, align 64> -> f32
  // CHECK-NEXT: %v = kernel.load %p[%i] mask %m else %zero nontemporal : !kernel.ptr<f32, global, align 64> -> vector<16xf32>
  %v = kernel.load %p[%i] mask %m else %zero nontemporal : !kernel.ptr<f32, global, align 64> -> vector<16xf32>
  // CHECK-NEXT: %c = kernel.load %p[%i] stride %ld : !kernel.ptr<f32, global, align 64> -> vector<8xf32>
  %c = kernel.load %p[%i] stride %ld : !kernel.ptr<f32, global, align 64> -> vector<8xf32>
  // CHECK-NEXT: %t = kernel.load %p[%i] stride %ld mask %tm : !kernel.ptr<f32, global, align 64> -> vector<8x32xf32>
  %t = kernel.load %p[%i] stride %ld mask %tm : !kernel.ptr<f32, global, align 64> -> vector<8x32xf32>
  // CHECK-NEXT: kernel.store %s, %p[%i] : f32, !kernel.ptr<f32, global, align 64>
  kernel.store %s, %p[%i] : f32, !kernel.ptr<f32, global, align 64>
  // CHECK-NEXT: kernel.store %v, %p[%i] mask %m nontemporal : vector<16xf32>, !kernel.ptr<f32, global, align 64>
  kernel.store %v, %p[%i] mask %m nontemporal : vector<16xf32>, !kernel.ptr<f32, global, align 64>
  // CHECK-NEXT: kernel.store %t, %p[%i] stride %ld mask %tm : vector<8x32xf32>, !kernel.ptr<f32, global, align 64>
  kernel.store %t, %p[%i] stride %ld mask %tm : vector<8x32xf32>, !kernel.ptr<f32, global, align 64>
  // CHECK-NEXT: %q = kernel.offset %p, %i : !kernel.ptr<f32, global, align 64> -> !kernel.ptr<f32, global>
  %q = kernel.offset %p, %i : !kernel.ptr<f32, global, align 64> -> !kernel.ptr<f32, global>
  // CHECK-NEXT: %w = kernel.ptr_cast %q : !kernel.ptr<f32, global> to !kernel.ptr<i32, global>
  %w = kernel.ptr_cast %q : !kernel.ptr<f32, global> to !kernel.ptr<i32, global>
  // CHECK-NEXT: kernel.prefetch %p[%i] locality 0 : !kernel.ptr<f32, global, align 64>
  kernel.prefetch %p[%i] locality 0 : !kernel.ptr<f32, global, align 64>
  // CHECK-NEXT: kernel.prefetch %p[%i] locality 3 write : !kernel.ptr<f32, global, align 64>
  kernel.prefetch %p[%i] locality 3 write : !kernel.ptr<f32, global, align 64>
  // CHECK-NEXT: %scratch = kernel.alloca 1024 : !kernel.ptr<f32, private, align 64>
  %scratch = kernel.alloca 1024 : !kernel.ptr<f32, private, align 64>
  // CHECK-NEXT: %lanes = kernel.iota : vector<16xindex>
  %lanes = kernel.iota : vector<16xindex>
  // CHECK-NEXT: %g = kernel.gather %p[%lanes] mask %m else %zero : !kernel.ptr<f32, global, align 64>, vector<16xindex> -> vector<16xf32>
  %g = kernel.gather %p[%lanes] mask %m else %zero : !kernel.ptr<f32, global, align 64>, vector<16xindex> -> vector<16xf32>
  // CHECK-NEXT: kernel.scatter %g, %p[%lanes] mask %m : vector<16xf32>, !kernel.ptr<f32, global, align 64>, vector<16xindex>
  kernel.scatter %g, %p[%lanes] mask %m : vector<16xf32>, !kernel.ptr<f32, global, align 64>, vector<16xindex>
  kernel.return
}

// CHECK-LABEL: kernel.func @vectors(
kernel.func @vectors(%s: f32, %v: vector<8xf32>, %w: vector<32xf32>, %t: vector<8x32xf32>, %x: vector<8xi32>, %y: vector<32xi32>, %u: vector<8x32xi32>) -> (f32, vector<8xf32>) {
  // CHECK-NEXT: %b0 = kernel.broadcast %s : f32 -> vector<8x32xf32>
  %b0 = kernel.broadcast %s : f32 -> vector<8x32xf32>
  // CHECK-NEXT: %b1 = kernel.broadcast %w as row : vector<32xf32> -> vector<8x32xf32>
  %b1 = kernel.broadcast %w as row : vector<32xf32> -> vector<8x32xf32>
  // CHECK-NEXT: %b2 = kernel.broadcast %v as column : vector<8xf32> -> vector<8x32xf32>
  %b2 = kernel.broadcast %v as column : vector<8xf32> -> vector<8x32xf32>
  // CHECK-NEXT: %o = kernel.outer_fma %v, %w, %t : vector<8xf32>, vector<32xf32>, vector<8x32xf32>
  %o = kernel.outer_fma %v, %w, %t : vector<8xf32>, vector<32xf32>, vector<8x32xf32>
  // CHECK-NEXT: %d = kernel.outer_dot bf16 %x, %y, %t : vector<8xi32>, vector<32xi32>, vector<8x32xf32>
  %d = kernel.outer_dot bf16 %x, %y, %t : vector<8xi32>, vector<32xi32>, vector<8x32xf32>
  // CHECK-NEXT: %e = kernel.outer_dot u8s8 %x, %y, %u : vector<8xi32>, vector<32xi32>, vector<8x32xi32>
  %e = kernel.outer_dot u8s8 %x, %y, %u : vector<8xi32>, vector<32xi32>, vector<8x32xi32>
  // CHECK-NEXT: %r0 = kernel.reduce add %v : vector<8xf32> -> f32
  %r0 = kernel.reduce add %v : vector<8xf32> -> f32
  // CHECK-NEXT: %r1 = kernel.reduce maximumf %t over columns : vector<8x32xf32> -> vector<8xf32>
  %r1 = kernel.reduce maximumf %t over columns : vector<8x32xf32> -> vector<8xf32>
  // CHECK-NEXT: %r2 = kernel.reduce minnumf %t over rows : vector<8x32xf32> -> vector<32xf32>
  %r2 = kernel.reduce minnumf %t over rows : vector<8x32xf32> -> vector<32xf32>
  // CHECK-NEXT: %r3 = kernel.reduce xor %u : vector<8x32xi32> -> i32
  %r3 = kernel.reduce xor %u : vector<8x32xi32> -> i32
  // CHECK-NEXT: %i = kernel.iota : vector<8xi64>
  %i = kernel.iota : vector<8xi64>
  // CHECK-NEXT: %best, %at = kernel.reduce_with (%v, %i) : vector<8xf32>, vector<8xi64> {
  // CHECK-NEXT: ^{{.*}}(%p: f32, %pi: i64, %q: f32, %qi: i64):
  // CHECK:        kernel.yield %{{.*}}, %{{.*}} : f32, i64
  %best, %at = kernel.reduce_with (%v, %i) : vector<8xf32>, vector<8xi64> {
  ^bb0(%p: f32, %pi: i64, %q: f32, %qi: i64):
    %keep = arith.cmpf oge, %p, %q : f32
    %z = arith.select %keep, %p, %q : f32
    %zi = arith.select %keep, %pi, %qi : i64
    kernel.yield %z, %zi : f32, i64
  }
  // CHECK: %tt = kernel.transpose %t : vector<8x32xf32> -> vector<32x8xf32>
  %tt = kernel.transpose %t : vector<8x32xf32> -> vector<32x8xf32>
  // CHECK-NEXT: %sh = kernel.shuffle %v, %v [0, 8, 1, 9] : vector<8xf32> -> vector<4xf32>
  %sh = kernel.shuffle %v, %v [0, 8, 1, 9] : vector<8xf32> -> vector<4xf32>
  // CHECK-NEXT: %row = kernel.extract %t[3] : vector<8x32xf32>
  %row = kernel.extract %t[3] : vector<8x32xf32>
  // CHECK-NEXT: %one = kernel.extract %row[31] : vector<32xf32>
  %one = kernel.extract %row[31] : vector<32xf32>
  // CHECK-NEXT: %in = kernel.insert %row, %t[0] : vector<32xf32>, vector<8x32xf32>
  %in = kernel.insert %row, %t[0] : vector<32xf32>, vector<8x32xf32>
  // CHECK-NEXT: %m = kernel.cmp olt %t, %in : vector<8x32xf32>
  %m = kernel.cmp olt %t, %in : vector<8x32xf32>
  // CHECK-NEXT: %sel = kernel.select %m, %t, %in : vector<8x32xf32>
  %sel = kernel.select %m, %t, %in : vector<8x32xf32>
  // CHECK-NEXT: %cast = kernel.cast fptosi %sel : vector<8x32xf32> to vector<8x32xi32>
  %cast = kernel.cast fptosi %sel : vector<8x32xf32> to vector<8x32xi32>
  // CHECK-NEXT: %ci = kernel.cast trunci %cast : vector<8x32xi32> to vector<8x32xi8>
  %ci = kernel.cast trunci %cast : vector<8x32xi32> to vector<8x32xi8>
  // CHECK-NEXT: kernel.return %r0, %r1 : f32, vector<8xf32>
  kernel.return %r0, %r1 : f32, vector<8xf32>
}

// CHECK-LABEL: kernel.func @team(%rows: index, %columns: index) -> index {
kernel.func @team(%rows: index, %columns: index) -> index {
  // CHECK-NEXT: %t = kernel.thread_id
  %t = kernel.thread_id
  // CHECK-NEXT: %n = kernel.num_threads
  %n = kernel.num_threads
  // CHECK-NEXT: %lo, %hi = kernel.partition %rows unit 8
  %lo, %hi = kernel.partition %rows unit 8
  // CHECK-NEXT: %r0, %r1, %c0, %c1 = kernel.partition2d %rows, %columns unit [8, 32] prefer columns
  %r0, %r1, %c0, %c1 = kernel.partition2d %rows, %columns unit [8, 32] prefer columns
  // CHECK-NEXT: %at = kernel.apply [i + n * 2](i = %lo, n = %n)
  %at = kernel.apply [2 * n + i](i = %lo, n = %n)
  // CHECK-NEXT: %iota = kernel.iota : vector<16xindex>
  %iota = kernel.iota : vector<16xindex>
  // CHECK-NEXT: %lanes = kernel.apply [(a + l) mod 3](l = %iota : vector<16xindex>, a = %at)
  %lanes = kernel.apply [(l + a) mod 3](l = %iota : vector<16xindex>, a = %at)
  // CHECK-NEXT: kernel.barrier
  kernel.barrier
  // CHECK-NEXT: %bad = arith.cmpi slt, %lo, %hi : index
  %bad = arith.cmpi slt, %lo, %hi : index
  // CHECK-NEXT: kernel.fault 1 item %t(%lo, %hi) if %bad
  kernel.fault 1 item %t (%lo, %hi) if %bad
  kernel.return %at : index
}

// CHECK-LABEL: kernel.entry @rlx_main {
kernel.entry @rlx_main {
  // CHECK-NEXT: %x = kernel.buffer 0 : !kernel.ptr<bf16, global, align 64>
  %x = kernel.buffer 0 : !kernel.ptr<bf16, global, align 64>
  // CHECK-NEXT: %s = kernel.dim 0
  %s = kernel.dim 0
  // CHECK-NEXT: %a = kernel.arena %s : !kernel.ptr<f8E4M3FN, global>
  %a = kernel.arena %s : !kernel.ptr<f8E4M3FN, global>
  // CHECK-NEXT: %r = kernel.call @team(%s, %s) : (index, index) -> index
  %r = kernel.call @team(%s, %s) : (index, index) -> index
  // CHECK-NEXT: kernel.barrier interruptible
  kernel.barrier interruptible
  // CHECK-NEXT: kernel.return
  kernel.return
}

// CHECK-LABEL: kernel.plan @rlx_main_plan {
kernel.plan @rlx_main_plan {
  // CHECK-NEXT: %s = kernel.dim 0
  %s = kernel.dim 0
  // CHECK-NEXT: %n = kernel.num_threads
  %n = kernel.num_threads
  // CHECK-NEXT: %ok = arith.cmpi sle, %s, %n : index
  %ok = arith.cmpi sle, %s, %n : index
  // CHECK-NEXT: kernel.guard 3, %ok
  kernel.guard 3, %ok
  // CHECK-NEXT: kernel.plan_result 0, %s
  kernel.plan_result 0, %s
  // CHECK-NEXT: kernel.return
  kernel.return
}
