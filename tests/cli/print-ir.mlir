// RUN: rlx-opt %s -p 'rlx-cse,rlx-dce' --print-ir-before=rlx-cse --print-ir-after=rlx-dce 2>&1 | filecheck %s
// RUN: rlx-opt %s --pass-pipeline='builtin.module(func.func(rlx-cse),rlx-dce)' --print-ir-after-all 2>&1 | filecheck %s --check-prefix=ALL
// RUN: rlx-opt %s -p 'rlx-cse,rlx-dce' --timing 2>&1 | filecheck %s --check-prefix=TIMING

// CHECK:      IR before rlx-cse
// CHECK-NEXT: builtin.module {
// CHECK:      arith.addf
// CHECK:      arith.addf
// CHECK-NOT:  IR after rlx-cse
// CHECK:      IR after rlx-dce
// CHECK:      arith.mulf
// CHECK-NOT:  arith.addf

// ALL: IR after rlx-cse
// ALL: IR after rlx-dce

// TIMING:      ms  share      ops   change  pass
// TIMING-NEXT: {{.*}} rlx-cse
// TIMING-NEXT: {{.*}} rlx-dce
// TIMING:      total
func.func @f(%x: f32) -> f32 {
  %a = arith.addf %x, %x : f32
  %b = arith.addf %x, %x : f32
  %c = arith.mulf %x, %x : f32
  func.return %c : f32
}
