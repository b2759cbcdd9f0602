// RUN: rlx-opt %s -p "convert-mir-to-lir,lir-select-schedules{cpu=x86-64-v4},lir-plan-memory,convert-lir-to-kernel{cpu=x86-64-v4}" | filecheck %s

// A short row is one vector: x is read once, what the second pass computes stays in registers, results are written as soon as they are known.
// CHECK:      kernel.func @reduce_0(%[[x:\d+]]: !kernel.ptr<f32, global>, %[[g:\d+]]: !kernel.ptr<f32, global>, %[[b:\d+]]: !kernel.ptr<f32, global>, %[[y:\d+]]: !kernel.ptr<f32, global>, %B: index) {
// CHECK:        %[[n:\d+]] = arith.constant 3.840000e+02 : f32
// CHECK:        %[[lo:\d+]], %[[hi:\d+]] = kernel.partition %B
// CHECK-NEXT:   scf.for %[[i:\d+]] = %[[lo]] to %[[hi]]
// CHECK-NEXT:     %[[at:\d+]] = kernel.apply [i0 * 384](i0 = %[[i]])
// CHECK-NEXT:     %[[row:\d+]] = kernel.load %[[x]][%[[at]]] : !kernel.ptr<f32, global> -> vector<384xf32>
// CHECK-NEXT:     %[[sum:\d+]] = kernel.reduce add %[[row]] : vector<384xf32> -> f32
// CHECK-NEXT:     %[[mean:\d+]] = arith.divf %[[sum]], %[[n]] : f32
// CHECK-NEXT:     %[[means:\d+]] = kernel.broadcast %[[mean]] : f32 -> vector<384xf32>
// CHECK-NEXT:     %[[d:\d+]] = arith.subf %[[row]], %[[means]] : vector<384xf32>
// CHECK-NEXT:     %[[d2:\d+]] = arith.mulf %[[d]], %[[d]] : vector<384xf32>
// CHECK-NEXT:     %[[squares:\d+]] = kernel.reduce add %[[d2]] : vector<384xf32> -> f32
// CHECK-NEXT:     %[[variance:\d+]] = arith.divf %[[squares]], %[[n]] : f32
// CHECK:          %[[scale:\d+]] = math.rsqrt
// CHECK-NOT:      kernel.load %[[x]]
// CHECK:          %[[gs:\d+]] = kernel.load %[[g]]
// CHECK:          %[[bs:\d+]] = kernel.load %[[b]]
// CHECK:          %[[r:\d+]] = arith.addf %{{.*}}, %[[bs]] : vector<384xf32>
// CHECK-NEXT:     kernel.store %[[r]], %[[y]][%[[at]]] : vector<384xf32>, !kernel.ptr<f32, global>
func.func @main(%x: !rlx.tensor<B x 384 x f32> {rlx.input = "x"}, %g: !rlx.tensor<384 x f32> {rlx.param = "g"}, %b: !rlx.tensor<384 x f32> {rlx.param = "b"}) -> (!rlx.tensor<B x 384 x f32> {rlx.output = "y"}) attributes {rlx.dims = [#rlx.dim<B in [1, 64]>]} {
  %y = mir.layer_norm %x, %g, %b(eps = 1.0e-05) : (!rlx.tensor<B x 384 x f32>, !rlx.tensor<384 x f32>, !rlx.tensor<384 x f32>) -> !rlx.tensor<B x 384 x f32>
  func.return %y : !rlx.tensor<B x 384 x f32>
}
