// RUN: rlx-opt %s --verify-diagnostics --split-input-file --allow-unregistered-dialect | filecheck %s --allow-empty

// An error two lines down, announced by its distance.
func.func @distance(%x: f32) -> f32 {
  // expected-error@+1 {{uses %c before its definition}}
  %a = arith.mulf %c, %x : f32
  %c = arith.addf %a, %x : f32
  func.return %c : f32
}

// -----

// Several errors in one piece, each matched with its own comment.
func.func @several(%x: f32) -> f32 {
  %a = arith.mulf %c, %x : f32 // expected-error {{uses %c before its definition}}
  %b = arith.mulf %d, %x : f32
  // expected-error@above {{uses %d before its definition}}
  %c = arith.addf %a, %x : f32
  %d = arith.addf %b, %x : f32
  func.return %c : f32
}

// -----

// A parse error counts as well, and no output follows from its piece.
// CHECK-NOT: @parse
func.func @parse() {
  // expected-error@+2 {{type expected}}
  %a = arith.constant 1 :
}

// -----

// A sound piece is printed.
// CHECK: func.func @sound
func.func @sound() {
  func.return
}
