// RUN: rlx-opt %s -p rlx-dce --split-input-file | filecheck %s

// A dead chain falls in one sweep; what is used stays.
// CHECK-LABEL: func.func @chain
func.func @chain(%x: f32) -> f32 {
  // CHECK-NEXT: %[[Y:\w+]] = arith.mulf %x, %x : f32
  // CHECK-NEXT: func.return %[[Y]] : f32
  %a = arith.addf %x, %x : f32
  %b = arith.addf %a, %x : f32
  %c = arith.addf %b, %a : f32
  %y = arith.mulf %x, %x : f32
  func.return %y : f32
}

// -----

// Dead operations inside regions go, and a region operation that is left without effects and uses goes as well.
// CHECK-LABEL: func.func @regions
func.func @regions(%p: i1, %x: f32) -> f32 {
  // CHECK-NEXT: %[[R:\w+]] = scf.if %p -> (f32) {
  // CHECK-NEXT:   scf.yield %x : f32
  // CHECK-NEXT: } else {
  // CHECK-NEXT:   %[[N:\w+]] = arith.mulf %x, %x : f32
  // CHECK-NEXT:   scf.yield %[[N]] : f32
  // CHECK-NEXT: }
  // CHECK-NEXT: func.return %[[R]]
  %r = scf.if %p -> (f32) {
    %m = arith.mulf %x, %x : f32
    scf.yield %x : f32
  } else {
    %n = arith.mulf %x, %x : f32
    scf.yield %n : f32
  }
  scf.if %p {
    %dead = arith.addf %r, %x : f32
    scf.yield
  }
  func.return %r : f32
}

// -----

// A read and an allocation that nobody uses go. A store stays, and with it what it writes to.
// CHECK-LABEL: func.func @effects
func.func @effects(%m: memref<4xf32>, %i: index, %v: f32) {
  // CHECK-NEXT: %[[B:\w+]] = memref.alloc()
  // CHECK-NEXT: memref.store %v, %[[B]][%i]
  // CHECK-NEXT: func.return
  %a = memref.load %m[%i] : memref<4xf32>
  %b = memref.alloc() : memref<4xf32>
  %c = memref.alloc() : memref<4xf32>
  memref.store %v, %b[%i] : memref<4xf32>
  func.return
}

// -----

// Unknown effects and calls stay; so do functions, used or not.
// CHECK-LABEL: func.func private @callee
// CHECK:       func.func @unknown
func.func private @callee() -> i32
func.func @unknown() {
  // CHECK-NEXT: "test.op"() : () -> i32
  // CHECK-NEXT: func.call @callee() : () -> i32
  // CHECK-NEXT: func.return
  %a = "test.op"() : () -> i32
  %b = func.call @callee() : () -> i32
  func.return
}
