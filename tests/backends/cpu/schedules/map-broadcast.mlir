// RUN: rlx-opt %s -p "lir-select-schedules{cpu=x86-64-v4},lir-pack-parameters{cpu=x86-64-v4},lir-plan-memory,convert-lir-to-kernel{cpu=x86-64-v4}" | filecheck %s

// Rows and vectors are shared by the team; what does not vary along a row is loaded once for it; the last vector of a row is masked.
// CHECK:      kernel.func @map_0(%[[x:\d+]]: !kernel.ptr<f32, global>, %[[r:\d+]]: !kernel.ptr<f32, global>, %[[y:\d+]]: !kernel.ptr<f32, global>, %B: index, %N: index)
// CHECK:        %[[r0:\d+]], %[[r1:\d+]], %[[c0:\d+]], %[[c1:\d+]] = kernel.partition2d %B, %N unit [1, 32] prefer rows
// CHECK-NEXT:   scf.for %[[i:\d+]] = %[[r0]] to %[[r1]]
// CHECK-NEXT:     %[[scale:\d+]] = kernel.load %[[r]][%[[i]]] : !kernel.ptr<f32, global> -> f32
// CHECK-NEXT:     %[[end:\d+]] = kernel.apply [(n floordiv 32) * 32](n = %[[c1]])
// CHECK-NEXT:     %[[row:\d+]] = kernel.apply [N * i](N = %N, i = %[[i]])
// CHECK-NEXT:     scf.for %[[j:\d+]] = %[[c0]] to %[[end]]
// CHECK-NEXT:       %[[at:\d+]] = arith.addi %[[row]], %[[j]] : index
// CHECK-NEXT:       kernel.load %[[x]][%[[at]]] : !kernel.ptr<f32, global> -> vector<32xf32>
// CHECK:            kernel.store %{{.*}}, %[[y]][%[[at]]] : vector<32xf32>
// CHECK:          scf.if
// CHECK:            kernel.load %[[x]][%{{.*}}] mask %{{.*}} -> vector<32xf32>
// CHECK:            kernel.store %{{.*}}, %[[y]][%{{.*}}] mask
// CHECK:        kernel.return
lir.program @main attributes {rlx.dims = [#rlx.dim<B in [1, 64]>, #rlx.dim<N in [1, 512]>]} {
  %x = lir.input @x : !lir.buffer<B x N x f32>
  %r = lir.input @r : !lir.buffer<B x f32>
  %y = lir.output @y : !lir.buffer<B x N x f32>
  lir.map (i : B, j : N) ins(%x[i, j], %r[i]) outs(%y[i, j]) {
  ^bb0(%a: f32, %b: f32):
    %c = arith.mulf %a, %b : f32
    lir.yield %c : f32
  } : !lir.buffer<B x N x f32>, !lir.buffer<B x f32>, !lir.buffer<B x N x f32>
}
