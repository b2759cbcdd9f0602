// RUN: rlx-opt %s | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// CHECK-LABEL: rocm.kernel @math(%x: f32, %v: vector<4xf32>) attributes {arch = "gfx942", block = array<i64: 32>} {
rocm.kernel @math(%x: f32, %v: vector<4xf32>) attributes {arch = "gfx942", block = array<i64: 32>} {
  // CHECK-NEXT: %exp2 = rocm.exp2 %x : f32
  %exp2 = rocm.exp2 %x : f32
  // CHECK-NEXT: %v_exp2 = rocm.exp2 %v : vector<4xf32>
  %v_exp2 = rocm.exp2 %v : vector<4xf32>
  // CHECK-NEXT: %log2 = rocm.log2 %x : f32
  %log2 = rocm.log2 %x : f32
  // CHECK-NEXT: %v_log2 = rocm.log2 %v : vector<4xf32>
  %v_log2 = rocm.log2 %v : vector<4xf32>
  // CHECK-NEXT: %rcp = rocm.rcp %x : f32
  %rcp = rocm.rcp %x : f32
  // CHECK-NEXT: %v_rcp = rocm.rcp %v : vector<4xf32>
  %v_rcp = rocm.rcp %v : vector<4xf32>
  // CHECK-NEXT: %rsq = rocm.rsq %x : f32
  %rsq = rocm.rsq %x : f32
  // CHECK-NEXT: %v_rsq = rocm.rsq %v : vector<4xf32>
  %v_rsq = rocm.rsq %v : vector<4xf32>
  // CHECK-NEXT: %sqrt = rocm.sqrt %x : f32
  %sqrt = rocm.sqrt %x : f32
  // CHECK-NEXT: %v_sqrt = rocm.sqrt %v : vector<4xf32>
  %v_sqrt = rocm.sqrt %v : vector<4xf32>
  // CHECK-NEXT: kernel.return
  kernel.return
}
