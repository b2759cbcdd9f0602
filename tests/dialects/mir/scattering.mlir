// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// Lookups and writes at computed places.
// CHECK-LABEL: func.func @scattering
func.func @scattering(%x: !rlx.tensor<9 x 4 x f32>, %i: !rlx.tensor<N x i64>, %j: !rlx.tensor<N x 2 x i32>, %u: !rlx.tensor<N x 4 x f32>) {
  // CHECK-NEXT: %a = mir.take %x, %j(axis = 1, oob = clamp) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x 2 x i32>) -> !rlx.tensor<9 x N x 2 x f32>
  %a = mir.take %x, %j(axis = 1, oob = clamp) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x 2 x i32>) -> !rlx.tensor<9 x N x 2 x f32>
  // CHECK-NEXT: %b = mir.gather_nd %x, %j(oob = error) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x 2 x i32>) -> !rlx.tensor<N x f32>
  %b = mir.gather_nd %x, %j(oob = error) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x 2 x i32>) -> !rlx.tensor<N x f32>
  // CHECK-NEXT: %c0 = mir.scatter %x, %i, %u(combine = add, oob = drop) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x i64>, !rlx.tensor<N x 4 x f32>) -> !rlx.tensor<9 x 4 x f32>
  %c0 = mir.scatter %x, %i, %u(combine = add, oob = drop) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x i64>, !rlx.tensor<N x 4 x f32>) -> !rlx.tensor<9 x 4 x f32>
  // CHECK-NEXT: %c1 = mir.scatter %x, %i, %u(combine = max, oob = drop) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x i64>, !rlx.tensor<N x 4 x f32>) -> !rlx.tensor<9 x 4 x f32>
  %c1 = mir.scatter %x, %i, %u(combine = max, oob = drop) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x i64>, !rlx.tensor<N x 4 x f32>) -> !rlx.tensor<9 x 4 x f32>
  // CHECK-NEXT: %c2 = mir.scatter %x, %i, %u(combine = min, oob = drop) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x i64>, !rlx.tensor<N x 4 x f32>) -> !rlx.tensor<9 x 4 x f32>
  %c2 = mir.scatter %x, %i, %u(combine = min, oob = drop) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x i64>, !rlx.tensor<N x 4 x f32>) -> !rlx.tensor<9 x 4 x f32>
  // CHECK-NEXT: %c3 = mir.scatter %x, %i, %u(combine = set, oob = drop) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x i64>, !rlx.tensor<N x 4 x f32>) -> !rlx.tensor<9 x 4 x f32>
  %c3 = mir.scatter %x, %i, %u(combine = set, oob = drop) : (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x i64>, !rlx.tensor<N x 4 x f32>) -> !rlx.tensor<9 x 4 x f32>
  // CHECK-NEXT: %d = mir.scatter_add %u, %i(rows = 9, oob = error) : (!rlx.tensor<N x 4 x f32>, !rlx.tensor<N x i64>) -> !rlx.tensor<9 x 4 x f32>
  %d = mir.scatter_add %u, %i(rows = 9, oob = error) : (!rlx.tensor<N x 4 x f32>, !rlx.tensor<N x i64>) -> !rlx.tensor<9 x 4 x f32>
  // CHECK-NEXT: func.return
  func.return
}
