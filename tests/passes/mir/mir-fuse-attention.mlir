// RUN: rlx-opt %s -p mir-fuse-attention --split-input-file | filecheck %s

// A scale by division; the keys' transpose goes.
// CHECK-LABEL: func.func @scaled
func.func @scaled(%q: !rlx.tensor<B x 4 x S x 6 x f32>, %k: !rlx.tensor<B x 4 x S x 6 x f32>, %v: !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32> {
  // CHECK-NEXT: %[[O:\w+]] = mir.attention %q, %k, %v(layout = bhsd, kind = none, scale = 0.5) : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  // CHECK-NEXT: func.return %[[O]]
  %kt = mir.transpose %k(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x 6 x S x f32>
  %s0 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %twoc = mir.constant dense<2.0> : !rlx.tensor<f32>
  %two = mir.broadcast %twoc : (!rlx.tensor<f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %s = mir.div %s0, %two : !rlx.tensor<B x 4 x S x S x f32>
  %p = mir.softmax %s(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  func.return %o : !rlx.tensor<B x 4 x S x 6 x f32>
}

// -----

// Scales on the queries and on the keys, as exporters split them; no transpose yet.
// CHECK-LABEL: func.func @split_scale
func.func @split_scale(%q: !rlx.tensor<B x 4 x S x 6 x f32>, %kt: !rlx.tensor<B x 4 x 6 x S x f32>, %v: !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32> {
  // CHECK-NEXT: %[[K:\w+]] = mir.transpose %kt(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  // CHECK-NEXT: %[[O:\w+]] = mir.attention %q, %[[K]], %v(layout = bhsd, kind = none, scale = 0.25)
  // CHECK-NEXT: func.return %[[O]]
  %hc = mir.constant dense<0.5> : !rlx.tensor<f32>
  %h = mir.broadcast %hc : (!rlx.tensor<f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  %gc = mir.constant dense<0.5> : !rlx.tensor<f32>
  %g = mir.broadcast %gc : (!rlx.tensor<f32>) -> !rlx.tensor<B x 4 x 6 x S x f32>
  %q1 = mir.mul %q, %h : !rlx.tensor<B x 4 x S x 6 x f32>
  %k1 = mir.mul %g, %kt : !rlx.tensor<B x 4 x 6 x S x f32>
  %s = mir.matmul %q1, %k1 : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %p = mir.softmax %s(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  func.return %o : !rlx.tensor<B x 4 x S x 6 x f32>
}

// -----

// An added mask of the keys, [B, 1, 1, S], as BERT has it.
// CHECK-LABEL: func.func @added_key_mask
func.func @added_key_mask(%q: !rlx.tensor<B x 4 x S x 6 x f32>, %k: !rlx.tensor<B x 4 x S x 6 x f32>, %v: !rlx.tensor<B x 4 x S x 6 x f32>, %m: !rlx.tensor<B x 1 x 1 x S x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32> {
  // CHECK-NEXT: %[[O:\w+]] = mir.attention %q, %k, %v, mask %m(layout = bhsd, kind = bias, scale = 0.5)
  // CHECK-NEXT: func.return %[[O]]
  %kt = mir.transpose %k(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x 6 x S x f32>
  %s0 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %hc = mir.constant dense<0.5> : !rlx.tensor<f32>
  %h = mir.broadcast %hc : (!rlx.tensor<f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %s1 = mir.mul %s0, %h : !rlx.tensor<B x 4 x S x S x f32>
  %mb = mir.broadcast %m : (!rlx.tensor<B x 1 x 1 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %s = mir.add %s1, %mb : !rlx.tensor<B x 4 x S x S x f32>
  %p = mir.softmax %s(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  func.return %o : !rlx.tensor<B x 4 x S x 6 x f32>
}

// -----

// A relative position bias [4, S, S] of every batch; the sum the other way round.
// CHECK-LABEL: func.func @added_bias
func.func @added_bias(%q: !rlx.tensor<B x 4 x S x 6 x f32>, %k: !rlx.tensor<B x 4 x S x 6 x f32>, %v: !rlx.tensor<B x 4 x S x 6 x f32>, %m: !rlx.tensor<4 x S x S x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32> {
  // CHECK-NEXT: %[[M:\w+]] = mir.reshape %m : (!rlx.tensor<4 x S x S x f32>) -> !rlx.tensor<1 x 4 x S x S x f32>
  // CHECK-NEXT: %[[O:\w+]] = mir.attention %q, %k, %v, mask %[[M]](layout = bhsd, kind = bias, scale = 1.0)
  // CHECK-NEXT: func.return %[[O]]
  %kt = mir.transpose %k(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x 6 x S x f32>
  %s0 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %mb = mir.broadcast %m : (!rlx.tensor<4 x S x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %s = mir.add %mb, %s0 : !rlx.tensor<B x 4 x S x S x f32>
  %p = mir.softmax %s(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  func.return %o : !rlx.tensor<B x 4 x S x 6 x f32>
}

// -----

// Keys of each batch chosen by a select against -inf.
// CHECK-LABEL: func.func @key_mask
func.func @key_mask(%q: !rlx.tensor<B x 4 x S x 6 x f32>, %k: !rlx.tensor<B x 4 x S x 6 x f32>, %v: !rlx.tensor<B x 4 x S x 6 x f32>, %m: !rlx.tensor<B x S x i1>) -> !rlx.tensor<B x 4 x S x 6 x f32> {
  // CHECK-NEXT: %[[O:\w+]] = mir.attention %q, %k, %v, mask %m(layout = bhsd, kind = custom, scale = 1.0)
  // CHECK-NEXT: func.return %[[O]]
  %kt = mir.transpose %k(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x 6 x S x f32>
  %s0 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %lowc = mir.constant dense<-inf> : !rlx.tensor<f32>
  %low = mir.broadcast %lowc : (!rlx.tensor<f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %mb = mir.broadcast %m(axes = [0, 3]) : (!rlx.tensor<B x S x i1>) -> !rlx.tensor<B x 4 x S x S x i1>
  %s = mir.select %mb, %s0, %low : (!rlx.tensor<B x 4 x S x S x i1>, !rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %p = mir.softmax %s(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  func.return %o : !rlx.tensor<B x 4 x S x 6 x f32>
}

// -----

// True means masked: the mask is negated.
// CHECK-LABEL: func.func @padding_mask
func.func @padding_mask(%q: !rlx.tensor<B x 4 x S x 6 x f32>, %k: !rlx.tensor<B x 4 x S x 6 x f32>, %v: !rlx.tensor<B x 4 x S x 6 x f32>, %m: !rlx.tensor<B x 1 x 1 x S x i1>) -> !rlx.tensor<B x 4 x S x 6 x f32> {
  // CHECK-NEXT: %[[N:\w+]] = mir.logical_not %m : !rlx.tensor<B x 1 x 1 x S x i1>
  // CHECK-NEXT: %[[M:\w+]] = mir.reshape %[[N]] : (!rlx.tensor<B x 1 x 1 x S x i1>) -> !rlx.tensor<B x S x i1>
  // CHECK-NEXT: %[[O:\w+]] = mir.attention %q, %k, %v, mask %[[M]](layout = bhsd, kind = custom, scale = 1.0)
  // CHECK-NEXT: func.return %[[O]]
  %kt = mir.transpose %k(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x 6 x S x f32>
  %s0 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %lowc = mir.constant dense<-inf> : !rlx.tensor<f32>
  %low = mir.broadcast %lowc : (!rlx.tensor<f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %mb = mir.broadcast %m : (!rlx.tensor<B x 1 x 1 x S x i1>) -> !rlx.tensor<B x 4 x S x S x i1>
  %s = mir.select %mb, %low, %s0 : (!rlx.tensor<B x 4 x S x S x i1>, !rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %p = mir.softmax %s(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  func.return %o : !rlx.tensor<B x 4 x S x 6 x f32>
}

// -----

// A comparison of indices is a rule on positions.
// CHECK-LABEL: func.func @causal
func.func @causal(%q: !rlx.tensor<B x 4 x S x 6 x f32>, %k: !rlx.tensor<B x 4 x S x 6 x f32>, %v: !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32> {
  // CHECK-NEXT: %[[O:\w+]] = mir.attention %q, %k, %v(layout = bhsd, kind = causal, scale = 1.0)
  // CHECK-NEXT: func.return %[[O]]
  %kt = mir.transpose %k(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x 6 x S x f32>
  %s0 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %lowc = mir.constant dense<-3.4028235e+38> : !rlx.tensor<f32>
  %low = mir.broadcast %lowc : (!rlx.tensor<f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %i = mir.iota : !rlx.tensor<S x i64>
  %row = mir.broadcast %i(axes = [0]) : (!rlx.tensor<S x i64>) -> !rlx.tensor<S x S x i64>
  %col = mir.broadcast %i : (!rlx.tensor<S x i64>) -> !rlx.tensor<S x S x i64>
  %c = mir.ge %row, %col : (!rlx.tensor<S x S x i64>, !rlx.tensor<S x S x i64>) -> !rlx.tensor<S x S x i1>
  %cb = mir.broadcast %c : (!rlx.tensor<S x S x i1>) -> !rlx.tensor<B x 4 x S x S x i1>
  %s = mir.select %cb, %s0, %low : (!rlx.tensor<B x 4 x S x S x i1>, !rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %p = mir.softmax %s(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  func.return %o : !rlx.tensor<B x 4 x S x 6 x f32>
}

// -----

// Strictly above the diagonal is masked: the same rule.
// CHECK-LABEL: func.func @causal_negated
func.func @causal_negated(%q: !rlx.tensor<B x 4 x S x 6 x f32>, %k: !rlx.tensor<B x 4 x S x 6 x f32>, %v: !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32> {
  // CHECK-NEXT: %[[O:\w+]] = mir.attention %q, %k, %v(layout = bhsd, kind = causal, scale = 1.0)
  // CHECK-NEXT: func.return %[[O]]
  %kt = mir.transpose %k(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x 6 x S x f32>
  %s0 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %lowc = mir.constant dense<-inf> : !rlx.tensor<f32>
  %low = mir.broadcast %lowc : (!rlx.tensor<f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %i = mir.iota : !rlx.tensor<S x i64>
  %row = mir.broadcast %i(axes = [0]) : (!rlx.tensor<S x i64>) -> !rlx.tensor<S x S x i64>
  %col = mir.broadcast %i : (!rlx.tensor<S x i64>) -> !rlx.tensor<S x S x i64>
  %c = mir.lt %row, %col : (!rlx.tensor<S x S x i64>, !rlx.tensor<S x S x i64>) -> !rlx.tensor<S x S x i1>
  %cb = mir.broadcast %c : (!rlx.tensor<S x S x i1>) -> !rlx.tensor<B x 4 x S x S x i1>
  %s = mir.select %cb, %low, %s0 : (!rlx.tensor<B x 4 x S x S x i1>, !rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %p = mir.softmax %s(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  func.return %o : !rlx.tensor<B x 4 x S x 6 x f32>
}

// -----

// P old keys before the S new ones, and a window of 3.
// CHECK-LABEL: func.func @sliding
func.func @sliding(%q: !rlx.tensor<B x 4 x S x 6 x f32>, %k: !rlx.tensor<B x 4 x (P + S) x 6 x f32>, %v: !rlx.tensor<B x 4 x (P + S) x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32> {
  // CHECK-NEXT: %[[O:\w+]] = mir.attention %q, %k, %v(layout = bhsd, kind = sliding, scale = 1.0, window = 3, past = P)
  // CHECK-NEXT: func.return %[[O]]
  %kt = mir.transpose %k(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 4 x (P + S) x 6 x f32>) -> !rlx.tensor<B x 4 x 6 x (P + S) x f32>
  %s0 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x (P + S) x f32>) -> !rlx.tensor<B x 4 x S x (P + S) x f32>
  %lowc = mir.constant dense<-inf> : !rlx.tensor<f32>
  %low = mir.broadcast %lowc : (!rlx.tensor<f32>) -> !rlx.tensor<B x 4 x S x (P + S) x f32>
  %i = mir.iota : !rlx.tensor<S x i64>
  %pv = mir.dim_value(expr = P) : !rlx.tensor<i64>
  %pb = mir.broadcast %pv : (!rlx.tensor<i64>) -> !rlx.tensor<S x i64>
  %pos = mir.add %i, %pb : !rlx.tensor<S x i64>
  %j = mir.iota : !rlx.tensor<(P + S) x i64>
  %row = mir.broadcast %pos(axes = [0]) : (!rlx.tensor<S x i64>) -> !rlx.tensor<S x (P + S) x i64>
  %col = mir.broadcast %j : (!rlx.tensor<(P + S) x i64>) -> !rlx.tensor<S x (P + S) x i64>
  %c0 = mir.le %col, %row : (!rlx.tensor<S x (P + S) x i64>, !rlx.tensor<S x (P + S) x i64>) -> !rlx.tensor<S x (P + S) x i1>
  %wc = mir.constant dense<3> : !rlx.tensor<i64>
  %w = mir.broadcast %wc : (!rlx.tensor<i64>) -> !rlx.tensor<S x (P + S) x i64>
  %first = mir.sub %row, %w : !rlx.tensor<S x (P + S) x i64>
  %c1 = mir.ge %col, %first : (!rlx.tensor<S x (P + S) x i64>, !rlx.tensor<S x (P + S) x i64>) -> !rlx.tensor<S x (P + S) x i1>
  %c = mir.and %c0, %c1 : !rlx.tensor<S x (P + S) x i1>
  %cb = mir.broadcast %c : (!rlx.tensor<S x (P + S) x i1>) -> !rlx.tensor<B x 4 x S x (P + S) x i1>
  %s = mir.select %cb, %s0, %low : (!rlx.tensor<B x 4 x S x (P + S) x i1>, !rlx.tensor<B x 4 x S x (P + S) x f32>, !rlx.tensor<B x 4 x S x (P + S) x f32>) -> !rlx.tensor<B x 4 x S x (P + S) x f32>
  %p = mir.softmax %s(axis = 3) : !rlx.tensor<B x 4 x S x (P + S) x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<B x 4 x S x (P + S) x f32>, !rlx.tensor<B x 4 x (P + S) x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  func.return %o : !rlx.tensor<B x 4 x S x 6 x f32>
}

// -----

// Heads behind the sequence and keys repeated for groups of heads: neither is moved.
// CHECK-LABEL: func.func @grouped
func.func @grouped(%q0: !rlx.tensor<B x S x 4 x 6 x f32>, %k0: !rlx.tensor<B x S x 2 x 6 x f32>, %v0: !rlx.tensor<B x S x 2 x 6 x f32>) -> !rlx.tensor<B x S x 4 x 6 x f32> {
  // CHECK-NEXT: %[[O:\w+]] = mir.attention %q0, %k0, %v0(layout = bshd, kind = none, scale = 1.0) : (!rlx.tensor<B x S x 4 x 6 x f32>, !rlx.tensor<B x S x 2 x 6 x f32>, !rlx.tensor<B x S x 2 x 6 x f32>) -> !rlx.tensor<B x S x 4 x 6 x f32>
  // CHECK-NEXT: %[[T:\w+]] = mir.transpose %[[O]](perm = [0, 2, 1, 3]) : (!rlx.tensor<B x S x 4 x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  // CHECK-NEXT: %[[Y:\w+]] = mir.transpose %[[T]](perm = [0, 2, 1, 3]) : (!rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x S x 4 x 6 x f32>
  // CHECK-NEXT: func.return %[[Y]]
  %q = mir.transpose %q0(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x S x 4 x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  %k1 = mir.transpose %k0(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x S x 2 x 6 x f32>) -> !rlx.tensor<B x 2 x S x 6 x f32>
  %v1 = mir.transpose %v0(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x S x 2 x 6 x f32>) -> !rlx.tensor<B x 2 x S x 6 x f32>
  %k2 = mir.broadcast %k1(axes = [0, 1, 3, 4]) : (!rlx.tensor<B x 2 x S x 6 x f32>) -> !rlx.tensor<B x 2 x 2 x S x 6 x f32>
  %v2 = mir.broadcast %v1(axes = [0, 1, 3, 4]) : (!rlx.tensor<B x 2 x S x 6 x f32>) -> !rlx.tensor<B x 2 x 2 x S x 6 x f32>
  %k = mir.reshape %k2 : (!rlx.tensor<B x 2 x 2 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  %v = mir.reshape %v2 : (!rlx.tensor<B x 2 x 2 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  %kt = mir.transpose %k(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x 6 x S x f32>
  %s0 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %p = mir.softmax %s0(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  %y = mir.transpose %o(perm = [0, 2, 1, 3]) : (!rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x S x 4 x 6 x f32>
  func.return %y : !rlx.tensor<B x S x 4 x 6 x f32>
}

// -----

// A soft cap between scale and mask.
// CHECK-LABEL: func.func @softcap
func.func @softcap(%q: !rlx.tensor<B x 4 x S x 6 x f32>, %k: !rlx.tensor<B x 4 x S x 6 x f32>, %v: !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32> {
  // CHECK-NEXT: %[[O:\w+]] = mir.attention %q, %k, %v(layout = bhsd, kind = none, scale = 0.5, softcap = 4.0)
  // CHECK-NEXT: func.return %[[O]]
  %kt = mir.transpose %k(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x 6 x S x f32>
  %s0 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %hc = mir.constant dense<0.5> : !rlx.tensor<f32>
  %h = mir.broadcast %hc : (!rlx.tensor<f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %capc = mir.constant dense<4.0> : !rlx.tensor<f32>
  %cap = mir.broadcast %capc : (!rlx.tensor<f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %s1 = mir.mul %s0, %h : !rlx.tensor<B x 4 x S x S x f32>
  %s2 = mir.div %s1, %cap : !rlx.tensor<B x 4 x S x S x f32>
  %s3 = mir.tanh %s2 : !rlx.tensor<B x 4 x S x S x f32>
  %s = mir.mul %s3, %cap : !rlx.tensor<B x 4 x S x S x f32>
  %p = mir.softmax %s(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  func.return %o : !rlx.tensor<B x 4 x S x 6 x f32>
}

// -----

// Batch and heads in one axis, with an added mask of the positions.
// CHECK-LABEL: func.func @rank_3
func.func @rank_3(%q: !rlx.tensor<N x S x 6 x f32>, %kt: !rlx.tensor<N x 6 x S x f32>, %v: !rlx.tensor<N x S x 6 x f32>, %m: !rlx.tensor<S x S x f32>) -> !rlx.tensor<N x S x 6 x f32> {
  // CHECK-NEXT: %[[K:\w+]] = mir.transpose %kt(perm = [0, 2, 1]) : (!rlx.tensor<N x 6 x S x f32>) -> !rlx.tensor<N x S x 6 x f32>
  // CHECK-NEXT: %[[Q4:\w+]] = mir.reshape %q : (!rlx.tensor<N x S x 6 x f32>) -> !rlx.tensor<N x 1 x S x 6 x f32>
  // CHECK-NEXT: %[[K4:\w+]] = mir.reshape %[[K]] : (!rlx.tensor<N x S x 6 x f32>) -> !rlx.tensor<N x 1 x S x 6 x f32>
  // CHECK-NEXT: %[[V4:\w+]] = mir.reshape %v : (!rlx.tensor<N x S x 6 x f32>) -> !rlx.tensor<N x 1 x S x 6 x f32>
  // CHECK-NEXT: %[[M:\w+]] = mir.reshape %m : (!rlx.tensor<S x S x f32>) -> !rlx.tensor<1 x 1 x S x S x f32>
  // CHECK-NEXT: %[[A:\w+]] = mir.attention %[[Q4]], %[[K4]], %[[V4]], mask %[[M]](layout = bhsd, kind = bias, scale = 1.0)
  // CHECK-NEXT: %[[O:\w+]] = mir.reshape %[[A]] : (!rlx.tensor<N x 1 x S x 6 x f32>) -> !rlx.tensor<N x S x 6 x f32>
  // CHECK-NEXT: func.return %[[O]]
  %s0 = mir.matmul %q, %kt : (!rlx.tensor<N x S x 6 x f32>, !rlx.tensor<N x 6 x S x f32>) -> !rlx.tensor<N x S x S x f32>
  %mb = mir.broadcast %m : (!rlx.tensor<S x S x f32>) -> !rlx.tensor<N x S x S x f32>
  %s = mir.add %s0, %mb : !rlx.tensor<N x S x S x f32>
  %p = mir.softmax %s(axis = 2) : !rlx.tensor<N x S x S x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<N x S x S x f32>, !rlx.tensor<N x S x 6 x f32>) -> !rlx.tensor<N x S x 6 x f32>
  func.return %o : !rlx.tensor<N x S x 6 x f32>
}

// -----

// A rule and an added mask together: one added mask.
// CHECK-LABEL: func.func @two_masks
func.func @two_masks(%q: !rlx.tensor<B x 4 x S x 6 x f32>, %k: !rlx.tensor<B x 4 x S x 6 x f32>, %v: !rlx.tensor<B x 4 x S x 6 x f32>, %m: !rlx.tensor<B x 1 x 1 x S x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32> {
  // CHECK-NEXT: %[[V0:\w+]] = mir.dim_value(expr = 0) : !rlx.tensor<i64>
  // CHECK-NEXT: %[[V1:\w+]] = mir.broadcast %[[V0]] : (!rlx.tensor<i64>) -> !rlx.tensor<S x i64>
  // CHECK-NEXT: %[[V2:\w+]] = mir.iota : !rlx.tensor<S x i64>
  // CHECK-NEXT: %[[V3:\w+]] = mir.add %[[V2]], %[[V1]] : !rlx.tensor<S x i64>
  // CHECK-NEXT: %[[V4:\w+]] = mir.broadcast %[[V3]](axes = [0]) : (!rlx.tensor<S x i64>) -> !rlx.tensor<S x S x i64>
  // CHECK-NEXT: %[[V5:\w+]] = mir.iota : !rlx.tensor<S x i64>
  // CHECK-NEXT: %[[V6:\w+]] = mir.broadcast %[[V5]] : (!rlx.tensor<S x i64>) -> !rlx.tensor<S x S x i64>
  // CHECK-NEXT: %[[V7:\w+]] = mir.le %[[V6]], %[[V4]] : (!rlx.tensor<S x S x i64>, !rlx.tensor<S x S x i64>) -> !rlx.tensor<S x S x i1>
  // CHECK-NEXT: %[[V8:\w+]] = mir.constant dense<0.0> : !rlx.tensor<f32>
  // CHECK-NEXT: %[[V9:\w+]] = mir.broadcast %[[V8]] : (!rlx.tensor<f32>) -> !rlx.tensor<S x S x f32>
  // CHECK-NEXT: %[[V10:\w+]] = mir.constant dense<-inf> : !rlx.tensor<f32>
  // CHECK-NEXT: %[[V11:\w+]] = mir.broadcast %[[V10]] : (!rlx.tensor<f32>) -> !rlx.tensor<S x S x f32>
  // CHECK-NEXT: %[[V12:\w+]] = mir.select %[[V7]], %[[V9]], %[[V11]] : (!rlx.tensor<S x S x i1>, !rlx.tensor<S x S x f32>, !rlx.tensor<S x S x f32>) -> !rlx.tensor<S x S x f32>
  // CHECK-NEXT: %[[V13:\w+]] = mir.reshape %[[V12]] : (!rlx.tensor<S x S x f32>) -> !rlx.tensor<1 x 1 x S x S x f32>
  // CHECK-NEXT: %[[V14:\w+]] = mir.broadcast %m : (!rlx.tensor<B x 1 x 1 x S x f32>) -> !rlx.tensor<B x 1 x S x S x f32>
  // CHECK-NEXT: %[[V15:\w+]] = mir.broadcast %[[V13]] : (!rlx.tensor<1 x 1 x S x S x f32>) -> !rlx.tensor<B x 1 x S x S x f32>
  // CHECK-NEXT: %[[V16:\w+]] = mir.add %[[V14]], %[[V15]] : !rlx.tensor<B x 1 x S x S x f32>
  // CHECK-NEXT: %[[O:\w+]] = mir.attention %q, %k, %v, mask %[[V16]](layout = bhsd, kind = bias, scale = 1.0) : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 1 x S x S x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  // CHECK-NEXT: func.return %[[O]] : !rlx.tensor<B x 4 x S x 6 x f32>
  %kt = mir.transpose %k(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x 6 x S x f32>
  %s0 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %lowc = mir.constant dense<-inf> : !rlx.tensor<f32>
  %low = mir.broadcast %lowc : (!rlx.tensor<f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %i = mir.iota : !rlx.tensor<S x i64>
  %row = mir.broadcast %i(axes = [0]) : (!rlx.tensor<S x i64>) -> !rlx.tensor<S x S x i64>
  %col = mir.broadcast %i : (!rlx.tensor<S x i64>) -> !rlx.tensor<S x S x i64>
  %c = mir.ge %row, %col : (!rlx.tensor<S x S x i64>, !rlx.tensor<S x S x i64>) -> !rlx.tensor<S x S x i1>
  %cb = mir.broadcast %c : (!rlx.tensor<S x S x i1>) -> !rlx.tensor<B x 4 x S x S x i1>
  %mb = mir.broadcast %m : (!rlx.tensor<B x 1 x 1 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %s1 = mir.add %s0, %mb : !rlx.tensor<B x 4 x S x S x f32>
  %s = mir.select %cb, %s1, %low : (!rlx.tensor<B x 4 x S x S x i1>, !rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %p = mir.softmax %s(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  func.return %o : !rlx.tensor<B x 4 x S x 6 x f32>
}

// -----

// The weights are an output.
// CHECK-LABEL: func.func @weights_are_read
func.func @weights_are_read(%q: !rlx.tensor<B x 4 x S x 6 x f32>, %k: !rlx.tensor<B x 4 x S x 6 x f32>, %v: !rlx.tensor<B x 4 x S x 6 x f32>) -> (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x S x S x f32>) {
  // CHECK-NEXT: %[[T:\w+]] = mir.transpose %k
  // CHECK-NEXT: %[[S:\w+]] = mir.matmul %q, %[[T]]
  // CHECK-NEXT: %[[P:\w+]] = mir.softmax %[[S]](axis = 3)
  // CHECK-NEXT: %[[O:\w+]] = mir.matmul %[[P]], %v
  // CHECK-NEXT: func.return %[[O]], %[[P]]
  %kt = mir.transpose %k(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x 6 x S x f32>
  %s0 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %p = mir.softmax %s0(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  func.return %o, %p : !rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x S x S x f32>
}

// -----

// Not attention: softmax over the queries, a scale that is a tensor, a fill that leaves weight, a scaled mask.
// CHECK-LABEL: func.func @not_attention
func.func @not_attention(%q: !rlx.tensor<B x 4 x S x 6 x f32>, %k: !rlx.tensor<B x 4 x S x 6 x f32>, %v: !rlx.tensor<B x 4 x S x 6 x f32>, %x: !rlx.tensor<B x 4 x S x S x f32>, %m: !rlx.tensor<B x S x i1>) -> (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) {
  // CHECK-NEXT: %[[T:\w+]] = mir.transpose %k
  // CHECK-NEXT: %[[S:\w+]] = mir.matmul %q, %[[T]]
  // CHECK-NEXT: %[[M:\w+]] = mir.mul %[[S]], %x
  // CHECK-NEXT: %[[P:\w+]] = mir.softmax %[[M]](axis = 3)
  // CHECK-NEXT: %[[O:\w+]] = mir.matmul %[[P]], %v
  // CHECK-NEXT: %[[S1:\w+]] = mir.matmul %q, %[[T]]
  // CHECK-NEXT: %[[P1:\w+]] = mir.softmax %[[S1]](axis = 2)
  // CHECK-NEXT: %[[O1:\w+]] = mir.matmul %[[P1]], %v
  // CHECK-NEXT: %[[S2:\w+]] = mir.matmul %q, %[[T]]
  // CHECK-NEXT: %[[C:\w+]] = mir.constant dense<-5.0>
  // CHECK-NEXT: %[[F:\w+]] = mir.broadcast %[[C]]
  // CHECK-NEXT: %[[MB:\w+]] = mir.broadcast %m(axes = [0, 3])
  // CHECK-NEXT: %[[X:\w+]] = mir.select %[[MB]], %[[S2]], %[[F]]
  // CHECK-NEXT: %[[P2:\w+]] = mir.softmax %[[X]](axis = 3)
  // CHECK-NEXT: %[[O2:\w+]] = mir.matmul %[[P2]], %v
  // CHECK-NEXT: %[[S3:\w+]] = mir.matmul %q, %[[T]]
  // CHECK-NEXT: %[[A:\w+]] = mir.add %[[S3]], %x
  // CHECK-NEXT: %[[H:\w+]] = mir.mul %[[A]], %[[F]]
  // CHECK-NEXT: %[[P3:\w+]] = mir.softmax %[[H]](axis = 3)
  // CHECK-NEXT: %[[O3:\w+]] = mir.matmul %[[P3]], %v
  // CHECK-NEXT: func.return %[[O]], %[[O1]], %[[O2]], %[[O3]]
  %kt = mir.transpose %k(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x 6 x S x f32>
  %s = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %sx = mir.mul %s, %x : !rlx.tensor<B x 4 x S x S x f32>
  %p = mir.softmax %sx(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o = mir.matmul %p, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  %s1 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %p1 = mir.softmax %s1(axis = 2) : !rlx.tensor<B x 4 x S x S x f32>
  %o1 = mir.matmul %p1, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  %s2 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %fc = mir.constant dense<-5.0> : !rlx.tensor<f32>
  %f = mir.broadcast %fc : (!rlx.tensor<f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %mb = mir.broadcast %m(axes = [0, 3]) : (!rlx.tensor<B x S x i1>) -> !rlx.tensor<B x 4 x S x S x i1>
  %x2 = mir.select %mb, %s2, %f : (!rlx.tensor<B x 4 x S x S x i1>, !rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %p2 = mir.softmax %x2(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o2 = mir.matmul %p2, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  %s3 = mir.matmul %q, %kt : (!rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x 6 x S x f32>) -> !rlx.tensor<B x 4 x S x S x f32>
  %a = mir.add %s3, %x : !rlx.tensor<B x 4 x S x S x f32>
  %h = mir.mul %a, %f : !rlx.tensor<B x 4 x S x S x f32>
  %p3 = mir.softmax %h(axis = 3) : !rlx.tensor<B x 4 x S x S x f32>
  %o3 = mir.matmul %p3, %v : (!rlx.tensor<B x 4 x S x S x f32>, !rlx.tensor<B x 4 x S x 6 x f32>) -> !rlx.tensor<B x 4 x S x 6 x f32>
  func.return %o, %o1, %o2, %o3 : !rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x S x 6 x f32>, !rlx.tensor<B x 4 x S x 6 x f32>
}
