// RUN: rlx-opt %s -p convert-mir-to-lir --split-input-file | filecheck %s

// A reshape is a view, a result is computed into its output, a weight is read where it lies.
// CHECK-LABEL: lir.program @main
// CHECK-SAME: rlx.guards = [#rlx.constraint<P + S <= 16>]
// CHECK-NEXT: %x = lir.input @x : !lir.buffer<B x S x 4 x f32>
// CHECK-NEXT: %w = lir.param @w : !lir.buffer<4 x 8 x f32>
// CHECK-NEXT: %k = lir.state @k0 : !lir.buffer<B x 16 x 4 x f32>
// CHECK-NEXT: %P = lir.dim_input @P : !lir.buffer<i64>
// CHECK-NEXT: %y = lir.output @y : !lir.buffer<B x S x 8 x f32>
// CHECK-NEXT: lir.map (i0 : B, i1 : S, i2 : 4) ins(%x[i0, i1, i2]) outs(%k[i0, P + i1, i2]) params {label = "cache_update"} {
// CHECK-NEXT: ^bb0(%[[A:.*]]: f32):
// CHECK-NEXT:   lir.yield %[[A]] : f32
// CHECK-NEXT: } : !lir.buffer<B x S x 4 x f32>, !lir.buffer<B x 16 x 4 x f32>
// CHECK-NEXT: %[[X:\w+]] = lir.view %x : !lir.buffer<B x S x 4 x f32> to !lir.buffer<(B * S) x 4 x f32>
// CHECK-NEXT: %[[Y:\w+]] = lir.view %y : !lir.buffer<B x S x 8 x f32> to !lir.buffer<(B * S) x 8 x f32>
// CHECK-NEXT: lir.contract (m : B * S, n : 8 | k : 4) ins(%[[X]][m, k], %w[k, n]) outs(%[[Y]][m, n]) params {label = "matmul_bias_act"} {
// CHECK-NEXT: ^bb0(%[[L:.*]]: f32, %[[R:.*]]: f32):
// CHECK-NEXT:   lir.product (%[[L]], %[[R]]) : f32
// CHECK-NEXT: } epilogue {
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: f32):
// CHECK-NEXT:   %[[ZERO:.*]] = arith.constant 0.000000e+00 : f32
// CHECK-NEXT:   %[[MAX:.*]] = arith.maximumf %[[ACC]], %[[ZERO]] : f32
// CHECK-NEXT:   lir.yield %[[MAX]] : f32
// CHECK-NEXT: } : !lir.buffer<(B * S) x 4 x f32>, !lir.buffer<4 x 8 x f32>, !lir.buffer<(B * S) x 8 x f32>
// CHECK-NEXT: }
func.func @main(%x: !rlx.tensor<B x S x 4 x f32> {rlx.input = "x"}, %w: !rlx.tensor<4 x 8 x f32> {rlx.param = "w"}, %k: !rlx.state<B x 16 x 4 x f32> {rlx.state = "k0"}, %P: !rlx.tensor<i64> {rlx.dim_input = "P"}) -> (!rlx.tensor<B x S x 8 x f32> {rlx.output = "y"}, !rlx.state<B x 16 x 4 x f32> {rlx.state = "k0"}) attributes {rlx.dims = [#rlx.dim<B in [1, 4]>, #rlx.dim<S in [1, 16]>, #rlx.dim<P in [0, 15] runtime>]} {
  %k1 = mir.cache_update %k, %x(at = P, axis = 1) : (!rlx.state<B x 16 x 4 x f32>, !rlx.tensor<B x S x 4 x f32>) -> !rlx.state<B x 16 x 4 x f32>
  %f = mir.reshape %x : (!rlx.tensor<B x S x 4 x f32>) -> !rlx.tensor<(B * S) x 4 x f32>
  %m = mir.matmul_bias_act %f, %w(activation = relu) : (!rlx.tensor<(B * S) x 4 x f32>, !rlx.tensor<4 x 8 x f32>) -> !rlx.tensor<(B * S) x 8 x f32>
  %y = mir.reshape %m : (!rlx.tensor<(B * S) x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
  func.return %y, %k1 : !rlx.tensor<B x S x 8 x f32>, !rlx.state<B x 16 x 4 x f32>
}

// -----

// An input returned as it is costs a visible copy.
// CHECK-LABEL: lir.program @main
// CHECK-NEXT: %x = lir.input @x
// CHECK-NEXT: %y = lir.output @y
// CHECK-NEXT: lir.copy %x to %y : !lir.buffer<4 x f32>, !lir.buffer<4 x f32>
// CHECK-NEXT: }
func.func @main(%x: !rlx.tensor<4 x f32> {rlx.input = "x"}) -> (!rlx.tensor<4 x f32> {rlx.output = "y"}) {
  func.return %x : !rlx.tensor<4 x f32>
}
