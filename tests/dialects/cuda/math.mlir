// RUN: rlx-opt %s | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// CHECK-LABEL: cuda.kernel @math(%x: f32, %v: vector<4xf32>) attributes {arch = "sm_90a", block = array<i64: 32>} {
cuda.kernel @math(%x: f32, %v: vector<4xf32>) attributes {arch = "sm_90a", block = array<i64: 32>} {
  // CHECK-NEXT: %ex2_approx = cuda.ex2_approx %x : f32
  %ex2_approx = cuda.ex2_approx %x : f32
  // CHECK-NEXT: %v_ex2_approx = cuda.ex2_approx %v : vector<4xf32>
  %v_ex2_approx = cuda.ex2_approx %v : vector<4xf32>
  // CHECK-NEXT: %lg2_approx = cuda.lg2_approx %x : f32
  %lg2_approx = cuda.lg2_approx %x : f32
  // CHECK-NEXT: %v_lg2_approx = cuda.lg2_approx %v : vector<4xf32>
  %v_lg2_approx = cuda.lg2_approx %v : vector<4xf32>
  // CHECK-NEXT: %rcp_approx = cuda.rcp_approx %x : f32
  %rcp_approx = cuda.rcp_approx %x : f32
  // CHECK-NEXT: %v_rcp_approx = cuda.rcp_approx %v : vector<4xf32>
  %v_rcp_approx = cuda.rcp_approx %v : vector<4xf32>
  // CHECK-NEXT: %rsqrt_approx = cuda.rsqrt_approx %x : f32
  %rsqrt_approx = cuda.rsqrt_approx %x : f32
  // CHECK-NEXT: %v_rsqrt_approx = cuda.rsqrt_approx %v : vector<4xf32>
  %v_rsqrt_approx = cuda.rsqrt_approx %v : vector<4xf32>
  // CHECK-NEXT: %sqrt_approx = cuda.sqrt_approx %x : f32
  %sqrt_approx = cuda.sqrt_approx %x : f32
  // CHECK-NEXT: %v_sqrt_approx = cuda.sqrt_approx %v : vector<4xf32>
  %v_sqrt_approx = cuda.sqrt_approx %v : vector<4xf32>
  // CHECK-NEXT: %tanh_approx = cuda.tanh_approx %x : f32
  %tanh_approx = cuda.tanh_approx %x : f32
  // CHECK-NEXT: %v_tanh_approx = cuda.tanh_approx %v : vector<4xf32>
  %v_tanh_approx = cuda.tanh_approx %v : vector<4xf32>
  // CHECK-NEXT: kernel.return
  kernel.return
}
