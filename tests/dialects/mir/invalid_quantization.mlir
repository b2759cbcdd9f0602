// RUN: rlx-opt %s --split-input-file --verify-diagnostics

func.func @code(%x: !rlx.tensor<B x 8 x f32>, %s0: !rlx.tensor<f32>, %z: !rlx.tensor<i32>) {
  // expected-error@+1 {{the type of zero is 'i32'; it must be one of i8, u8}}
  %a = mir.quantize %x, %s0, %z : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<f32>, !rlx.tensor<i32>) -> !rlx.tensor<B x 8 x i32>
  func.return
}

// -----

func.func @scale_rank(%x: !rlx.tensor<B x 8 x f32>, %s: !rlx.tensor<8 x f32>, %z0: !rlx.tensor<i8>) {
  // expected-error@+1 {{scale must have rank 0, found 8 x f32}}
  %a = mir.quantize %x, %s, %z0 : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<i8>) -> !rlx.tensor<B x 8 x i8>
  func.return
}

// -----

func.func @scale_length(%q: !rlx.tensor<B x 8 x i8>, %s: !rlx.tensor<7 x f32>, %z: !rlx.tensor<8 x i8>) {
  // expected-error@+1 {{length of scale and axis 1 of x: 7 and 8 differ}}
  %a = mir.dequantize %q, %s, %z(axis = 1) : (!rlx.tensor<B x 8 x i8>, !rlx.tensor<7 x f32>, !rlx.tensor<8 x i8>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

func.func @bits(%x: !rlx.tensor<B x 8 x f32>) {
  // expected-error@+1 {{bits is 2, 4 or 8, found 3}}
  %f = mir.fake_quantize %x(bits = 3) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
  func.return
}

// -----

func.func @float_product(%x: !rlx.tensor<B x 8 x f32>, %w: !rlx.tensor<8 x 6 x i8>, %b: !rlx.tensor<6 x i32>, %s0: !rlx.tensor<f32>) {
  // expected-error@+1 {{the type of x is 'f32'; it must be one of i8}}
  %g = mir.quantized_matmul %x, %w, %b, %s0(x_zero = 1, w_zero = 0, zero = -2) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x 6 x i8>, !rlx.tensor<6 x i32>, !rlx.tensor<f32>) -> !rlx.tensor<B x 6 x i8>
  func.return
}

// -----

func.func @zero_range(%q: !rlx.tensor<B x 8 x i8>, %w: !rlx.tensor<8 x 6 x i8>, %b: !rlx.tensor<6 x i32>, %s0: !rlx.tensor<f32>) {
  // expected-error@+1 {{x_zero is an i8, found 200}}
  %g = mir.quantized_matmul %q, %w, %b, %s0(x_zero = 200, w_zero = 0, zero = -2) : (!rlx.tensor<B x 8 x i8>, !rlx.tensor<8 x 6 x i8>, !rlx.tensor<6 x i32>, !rlx.tensor<f32>) -> !rlx.tensor<B x 6 x i8>
  func.return
}

// -----

func.func @blocks(%x: !rlx.tensor<B x 8 x f32>, %c: !rlx.tensor<8 x 6 x i8>, %p: !rlx.tensor<2 x 6 x f32>) {
  // expected-error@+1 {{rows of q in blocks: 8 is not a multiple of 3}}
  %h = mir.dequant_matmul %x, %c, %p(block = 3) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x 6 x i8>, !rlx.tensor<2 x 6 x f32>) -> !rlx.tensor<B x 6 x f32>
  func.return
}

// -----

func.func @planes(%x: !rlx.tensor<B x 8 x f32>, %c: !rlx.tensor<8 x 6 x i8>, %p: !rlx.tensor<2 x 6 x f32>) {
  // expected-error@+1 {{scale and the blocks of q: shapes [2, 6] and [4, 6] at dim 0: 2 and 4 differ}}
  %h = mir.dequant_matmul %x, %c, %p(block = 2) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x 6 x i8>, !rlx.tensor<2 x 6 x f32>) -> !rlx.tensor<B x 6 x f32>
  func.return
}
