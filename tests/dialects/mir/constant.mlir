// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// Scalars, splats and nested lists; floats print as the shortest text that reads back.
// CHECK-LABEL: func.func @constants
func.func @constants() {
  // CHECK-NEXT: %a = mir.constant dense<0.1> : !rlx.tensor<f32>
  %a = mir.constant dense<0.1> : !rlx.tensor<f32>
  // CHECK-NEXT: %b = mir.constant dense<0.1> : !rlx.tensor<f64>
  %b = mir.constant dense<0.1> : !rlx.tensor<f64>
  // CHECK-NEXT: %c = mir.constant dense<0.10009765625> : !rlx.tensor<2 x 3 x bf16>
  %c = mir.constant dense<0.10009765625> : !rlx.tensor<2 x 3 x bf16>
  // CHECK-NEXT: %d = mir.constant dense<[1.0, -2.5, 1.0e-30, inf, -inf, nan]> : !rlx.tensor<6 x f32>
  %d = mir.constant dense<[1.0, -2.5, 1.0e-30, inf, -inf, nan]> : !rlx.tensor<6 x f32>
  // CHECK-NEXT: %e = mir.constant dense<{{\[\[}}1, 2], [3, -4{{\]\]}}> : !rlx.tensor<2 x 2 x i8>
  %e = mir.constant dense<[[1, 2], [3, -4]]> : !rlx.tensor<2 x 2 x i8>
  // CHECK-NEXT: %f = mir.constant dense<[true, false]> : !rlx.tensor<2 x i1>
  %f = mir.constant dense<[true, false]> : !rlx.tensor<2 x i1>
  // CHECK-NEXT: %g = mir.constant dense<[0, 18446744073709551615]> : !rlx.tensor<2 x ui64>
  %g = mir.constant dense<[0, 18446744073709551615]> : !rlx.tensor<2 x ui64>
  // CHECK-NEXT: %h = mir.constant dense<[0.5, 448.0]> : !rlx.tensor<2 x f8E4M3FN>
  %h = mir.constant dense<[0.5, 448.0]> : !rlx.tensor<2 x f8E4M3FN>
  // CHECK-NEXT: %i = mir.constant dense<[-8, 7]> : !rlx.tensor<2 x i4>
  %i = mir.constant dense<[-8, 7]> : !rlx.tensor<2 x i4>
  // CHECK-NEXT: %j = mir.constant dense<0.0> : !rlx.tensor<0 x f32>
  %j = mir.constant dense<0.0> : !rlx.tensor<0 x f32>
  // CHECK-NEXT: func.return
  func.return
}
