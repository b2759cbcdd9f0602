// RUN: rlx-opt %s --split-input-file --verify-diagnostics

// expected-error@+1 {{the literal has shape [2], but the type is !rlx.tensor<3 x f32>}}
%a = mir.constant dense<[1.0, 2.0]> : !rlx.tensor<3 x f32>

// -----

// expected-error@+1 {{300 does not fit ui8, whose range is [0, 255]}}
%a = mir.constant dense<[300, 1]> : !rlx.tensor<2 x ui8>

// -----

// expected-error@+1 {{a constant has a static shape, found B x f32; broadcast a scalar instead}}
%a = mir.constant dense<1.0> : !rlx.tensor<B x f32>

// -----

// expected-error@+1 {{2 x f32 has 8 bytes (or 4 as a splat), found 3}}
%a = mir.constant dense<"0x000000"> : !rlx.tensor<2 x f32>

// -----

// expected-error@+1 {{the rows of the literal differ in shape}}
%a = mir.constant dense<[[1.0], [2.0, 3.0]]> : !rlx.tensor<2 x 2 x f32>
