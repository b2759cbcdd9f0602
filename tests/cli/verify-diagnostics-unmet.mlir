// RUN: not rlx-opt %s --verify-diagnostics --split-input-file 2>&1 | filecheck %s

// A comment that no error meets is an error.
// CHECK: verify-diagnostics-unmet.mlir:6:1: error: expected error was not reported: something
// CHECK-NEXT: // expected-error
// expected-error@+1 {{something}}
func.func @sound() {
  func.return
}

// -----

// So is an error that no comment announced, and one announced for another line.
// CHECK: verify-diagnostics-unmet.mlir:[[#]]:1: error: expected error was not reported: uses %c
// CHECK: verify-diagnostics-unmet.mlir:19:3: error: unexpected error: 'arith.mulf' uses %c before its definition
// expected-error@+1 {{uses %c}}
func.func @other(%x: f32) -> f32 {
  // The error stands one line below this one.
  %a = arith.mulf %c, %x : f32
  %c = arith.addf %a, %x : f32
  func.return %c : f32
}
