// RUN: rlx-opt %s | rlx-opt | filecheck %s
// RUN: rlx-opt %s --print-op-generic | rlx-opt | filecheck %s

// Quantized numbers.
// CHECK-LABEL: func.func @quantized
func.func @quantized(%x: !rlx.tensor<B x 8 x f32>, %q: !rlx.tensor<B x 8 x i8>, %s: !rlx.tensor<8 x f32>, %z: !rlx.tensor<8 x i8>, %s0: !rlx.tensor<f32>, %z0: !rlx.tensor<i8>, %w: !rlx.tensor<8 x 6 x i8>, %b: !rlx.tensor<6 x i32>, %c: !rlx.tensor<8 x 6 x i4>, %p: !rlx.tensor<2 x 6 x f32>) {
  // CHECK-NEXT: %a = mir.quantize %x, %s0, %z0 : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<f32>, !rlx.tensor<i8>) -> !rlx.tensor<B x 8 x i8>
  %a = mir.quantize %x, %s0, %z0 : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<f32>, !rlx.tensor<i8>) -> !rlx.tensor<B x 8 x i8>
  // CHECK-NEXT: %d = mir.quantize %x, %s, %z(axis = 1) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x i8>) -> !rlx.tensor<B x 8 x i8>
  %d = mir.quantize %x, %s, %z(axis = 1) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x i8>) -> !rlx.tensor<B x 8 x i8>
  // CHECK-NEXT: %e = mir.dequantize %q, %s, %z(axis = 1) : (!rlx.tensor<B x 8 x i8>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x i8>) -> !rlx.tensor<B x 8 x f32>
  %e = mir.dequantize %q, %s, %z(axis = 1) : (!rlx.tensor<B x 8 x i8>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x i8>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %f = mir.fake_quantize %x(bits = 4) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  %f = mir.fake_quantize %x(bits = 4) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  // CHECK-NEXT: %g = mir.quantized_matmul %q, %w, %b, %s0(x_zero = 1, w_zero = 0, zero = -2) : (!rlx.tensor<B x 8 x i8>, !rlx.tensor<8 x 6 x i8>, !rlx.tensor<6 x i32>, !rlx.tensor<f32>) -> !rlx.tensor<B x 6 x i8>
  %g = mir.quantized_matmul %q, %w, %b, %s0(x_zero = 1, w_zero = 0, zero = -2) : (!rlx.tensor<B x 8 x i8>, !rlx.tensor<8 x 6 x i8>, !rlx.tensor<6 x i32>, !rlx.tensor<f32>) -> !rlx.tensor<B x 6 x i8>
  // CHECK-NEXT: %h = mir.dequant_matmul %x, %c, %p(block = 4) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x 6 x i4>, !rlx.tensor<2 x 6 x f32>) -> !rlx.tensor<B x 6 x f32>
  %h = mir.dequant_matmul %x, %c, %p(block = 4) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x 6 x i4>, !rlx.tensor<2 x 6 x f32>) -> !rlx.tensor<B x 6 x f32>
  // CHECK-NEXT: %i = mir.dequant_matmul %x, %c, %p, minimum %p(block = 4) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x 6 x i4>, !rlx.tensor<2 x 6 x f32>, !rlx.tensor<2 x 6 x f32>) -> !rlx.tensor<B x 6 x f32>
  %i = mir.dequant_matmul %x, %c, %p, minimum %p(block = 4) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x 6 x i4>, !rlx.tensor<2 x 6 x f32>, !rlx.tensor<2 x 6 x f32>) -> !rlx.tensor<B x 6 x f32>
  // CHECK-NEXT: func.return
  func.return
}
