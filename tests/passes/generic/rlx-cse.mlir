// RUN: rlx-opt %s -p rlx-cse --split-input-file | filecheck %s

// A chain of copies collapses in one walk.
// CHECK-LABEL: func.func @chain
func.func @chain(%x: f32, %y: f32) -> f32 {
  // CHECK-NEXT: %[[A:\w+]] = arith.mulf %x, %y : f32
  // CHECK-NEXT: %[[C:\w+]] = arith.addf %[[A]], %x : f32
  // CHECK-NEXT: %[[E:\w+]] = arith.subf %[[C]], %[[C]] : f32
  // CHECK-NEXT: func.return %[[E]] : f32
  %a = arith.mulf %x, %y : f32
  %b = arith.mulf %x, %y : f32
  %c = arith.addf %a, %x : f32
  %d = arith.addf %b, %x : f32
  %e = arith.subf %c, %d : f32
  func.return %e : f32
}

// -----

// Different operand order, attributes or types are different operations. Signed zeros differ too.
// CHECK-LABEL: func.func @different
func.func @different(%x: f32, %y: f32) -> (f32, f32, f32, f32, f32, i32, i64) {
  // CHECK-NEXT: arith.subf %x, %y : f32
  // CHECK-NEXT: arith.subf %y, %x : f32
  // CHECK-NEXT: arith.subf %x, %y fastmath<fast> : f32
  // CHECK-NEXT: arith.constant 0.000000e+00 : f32
  // CHECK-NEXT: arith.constant -0.000000e+00 : f32
  // CHECK-NEXT: arith.constant 1 : i32
  // CHECK-NEXT: arith.constant 1 : i64
  %a = arith.subf %x, %y : f32
  %b = arith.subf %y, %x : f32
  %c = arith.subf %x, %y fastmath<fast> : f32
  %d = arith.constant 0.0 : f32
  %e = arith.constant -0.0 : f32
  %f = arith.constant 1 : i32
  %g = arith.constant 1 : i64
  func.return %a, %b, %c, %d, %e, %f, %g : f32, f32, f32, f32, f32, i32, i64
}

// -----

// A region sees what stands before it; two regions do not see each other, and nothing after sees inside.
// CHECK-LABEL: func.func @regions
func.func @regions(%p: i1, %x: f32) -> (f32, f32) {
  // CHECK-NEXT: %[[A:\w+]] = arith.addf %x, %x : f32
  // CHECK-NEXT: %[[R:\w+]] = scf.if %p -> (f32) {
  // CHECK-NEXT:   %[[M:\w+]] = arith.mulf %[[A]], %x : f32
  // CHECK-NEXT:   scf.yield %[[M]] : f32
  // CHECK-NEXT: } else {
  // CHECK-NEXT:   %[[N:\w+]] = arith.mulf %[[A]], %x : f32
  // CHECK-NEXT:   scf.yield %[[N]] : f32
  // CHECK-NEXT: }
  // CHECK-NEXT: %[[L:\w+]] = arith.mulf %[[A]], %x : f32
  // CHECK-NEXT: func.return %[[R]], %[[L]]
  %a = arith.addf %x, %x : f32
  %r = scf.if %p -> (f32) {
    %b = arith.addf %x, %x : f32
    %m = arith.mulf %b, %x : f32
    scf.yield %m : f32
  } else {
    %b2 = arith.addf %x, %x : f32
    %n = arith.mulf %b2, %x : f32
    scf.yield %n : f32
  }
  %l = arith.mulf %a, %x : f32
  func.return %r, %l : f32, f32
}

// -----

// Equal reads are shared until something may write: a store, or an operation whose effects nobody knows.
// CHECK-LABEL: func.func @reads
func.func @reads(%m: memref<4xf32>, %i: index, %v: f32) -> (f32, f32, f32, f32) {
  // CHECK-NEXT: %[[A:\w+]] = memref.load %m[%i]
  // CHECK-NEXT: memref.store %v, %m[%i]
  // CHECK-NEXT: %[[C:\w+]] = memref.load %m[%i]
  // CHECK-NEXT: "test.op"() : () -> ()
  // CHECK-NEXT: %[[D:\w+]] = memref.load %m[%i]
  // CHECK-NEXT: func.return %[[A]], %[[A]], %[[C]], %[[D]]
  %a = memref.load %m[%i] : memref<4xf32>
  %b = memref.load %m[%i] : memref<4xf32>
  memref.store %v, %m[%i] : memref<4xf32>
  %c = memref.load %m[%i] : memref<4xf32>
  "test.op"() : () -> ()
  %d = memref.load %m[%i] : memref<4xf32>
  func.return %a, %b, %c, %d : f32, f32, f32, f32
}

// -----

// A loop body reads again on every turn, after its own store.
// CHECK-LABEL: func.func @read_in_loop
func.func @read_in_loop(%m: memref<4xf32>, %i: index, %n: index, %one: index) -> f32 {
  // CHECK-NEXT: %[[A:\w+]] = memref.load %m[%i]
  // CHECK-NEXT: scf.for
  // CHECK-NEXT:   %[[B:\w+]] = memref.load %m[%i]
  // CHECK-NEXT:   %[[C:\w+]] = arith.addf %[[B]], %[[A]]
  // CHECK-NEXT:   memref.store %[[C]], %m[%i]
  %a = memref.load %m[%i] : memref<4xf32>
  scf.for %k = %i to %n step %one {
    %b = memref.load %m[%i] : memref<4xf32>
    %c = arith.addf %b, %a : f32
    memref.store %c, %m[%i] : memref<4xf32>
  }
  func.return %a : f32
}

// -----

// Allocations are never one: each gives storage of its own. Unknown effects keep an operation apart as well.
// CHECK-LABEL: func.func @distinct
func.func @distinct() -> (memref<4xf32>, memref<4xf32>, i32, i32) {
  // CHECK-NEXT: memref.alloc()
  // CHECK-NEXT: memref.alloc()
  // CHECK-NEXT: "test.op"()
  // CHECK-NEXT: "test.op"()
  %a = memref.alloc() : memref<4xf32>
  %b = memref.alloc() : memref<4xf32>
  %c = "test.op"() : () -> i32
  %d = "test.op"() : () -> i32
  func.return %a, %b, %c, %d : memref<4xf32>, memref<4xf32>, i32, i32
}
