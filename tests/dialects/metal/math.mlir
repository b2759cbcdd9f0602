// RUN: rlx-opt %s | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// CHECK-LABEL: metal.kernel @math(%x: f32, %v: vector<4xf32>) attributes {arch = "apple9", block = array<i64: 32>} {
metal.kernel @math(%x: f32, %v: vector<4xf32>) attributes {arch = "apple9", block = array<i64: 32>} {
  // CHECK-NEXT: %fast_exp2 = metal.fast_exp2 %x : f32
  %fast_exp2 = metal.fast_exp2 %x : f32
  // CHECK-NEXT: %v_fast_exp2 = metal.fast_exp2 %v : vector<4xf32>
  %v_fast_exp2 = metal.fast_exp2 %v : vector<4xf32>
  // CHECK-NEXT: %fast_log2 = metal.fast_log2 %x : f32
  %fast_log2 = metal.fast_log2 %x : f32
  // CHECK-NEXT: %v_fast_log2 = metal.fast_log2 %v : vector<4xf32>
  %v_fast_log2 = metal.fast_log2 %v : vector<4xf32>
  // CHECK-NEXT: %fast_divide_one = metal.fast_divide_one %x : f32
  %fast_divide_one = metal.fast_divide_one %x : f32
  // CHECK-NEXT: %v_fast_divide_one = metal.fast_divide_one %v : vector<4xf32>
  %v_fast_divide_one = metal.fast_divide_one %v : vector<4xf32>
  // CHECK-NEXT: %fast_rsqrt = metal.fast_rsqrt %x : f32
  %fast_rsqrt = metal.fast_rsqrt %x : f32
  // CHECK-NEXT: %v_fast_rsqrt = metal.fast_rsqrt %v : vector<4xf32>
  %v_fast_rsqrt = metal.fast_rsqrt %v : vector<4xf32>
  // CHECK-NEXT: %fast_sqrt = metal.fast_sqrt %x : f32
  %fast_sqrt = metal.fast_sqrt %x : f32
  // CHECK-NEXT: %v_fast_sqrt = metal.fast_sqrt %v : vector<4xf32>
  %v_fast_sqrt = metal.fast_sqrt %v : vector<4xf32>
  // CHECK-NEXT: kernel.return
  kernel.return
}
