// RUN: rlx-opt %s --split-input-file --verify-diagnostics

// Iteration dims have one name each.
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{iteration dims are named twice: (i, i)}}
  lir.map (i : 4, i : 8) ins(%x[i, j]) outs(%y[i, j]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

// An access has as many indices as the buffer has dims.
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{operand 0 has 1 indices into a buffer of rank 2, !lir.buffer<4 x 8 x f32>}}
  lir.map (i : 4, j : 8) ins(%x[i]) outs(%y[i, j]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{result 0 has 3 indices into a buffer of rank 2}}
  lir.map (i : 4, j : 8) ins(%x[i, j]) outs(%y[i, j, j]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

// Results are written at maps, unguarded.
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{result 0 needs an index map: a form writes one element per point}}
  lir.map (i : 4, j : 8) ins(%x[i, j]) outs(%y) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{result 0 cannot be guarded}}
  lir.map (i : 4, j : 8) ins(%x[i, j]) outs(%y[i, j] else 0.0 : f32) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{operand 0 holds f32, its fill value is 0 : i32}}
  lir.map (i : 4, j : 8) ins(%x[i, j + 1] else 0 : i32) outs(%y[i, j]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

// A body takes and gives the elements of its operands.
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{map body takes (f32), but its block has (i32)}}
  lir.map (i : 4, j : 8) ins(%x[i, j]) outs(%y[i, j]) {
  ^bb0(%a: i32):
    lir.yield %a : i32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{map body yields (f32, f32), needs (f32)}}
  lir.map (i : 4, j : 8) ins(%x[i, j]) outs(%y[i, j]) {
  ^bb0(%a: f32):
    lir.yield %a, %a : f32, f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{a map has no extra operands}}
  lir.map (i : 4, j : 8) ins(%x[i, j]) extra(%x[i, j]) outs(%y[i, j]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{map body must end in lir.yield}}
  lir.map (i : 4, j : 8) ins(%x[i, j]) outs(%y[i, j]) {
  ^bb0(%a: f32):
    %b = math.exp %a : f32
    lir.product (%a, %b) : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

// A row operand is a row in a reduce.
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{reduce body takes (!lir.row<f32>), but its block has (f32)}}
  lir.reduce (i : 4 | j : 8) ins(%x[i, j]) outs(%y[i, j]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

// Folds: one initial value for each accumulator, of its type; both regions fit.
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %r = lir.output @r : !lir.buffer<4 x f32>
  lir.reduce (i : 4 | j : 8) ins(%x[i, j]) outs(%r[i]) {
  ^bb0(%a: !lir.row<f32>):
    // expected-error@+1 {{1 accumulators but 2 initial values}}
    %s = lir.fold(%a) init [0.0 : f32, 0.0 : f32] {
    ^bb0(%b: f32, %e: f32):
      %n = arith.addf %b, %e : f32
      lir.yield %n : f32
    } combine {
    ^bb0(%c: f32, %d: f32):
      %n = arith.addf %c, %d : f32
      lir.yield %n : f32
    } : (!lir.row<f32>) -> f32
    lir.yield %s : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %r = lir.output @r : !lir.buffer<4 x f32>
  lir.reduce (i : 4 | j : 8) ins(%x[i, j]) outs(%r[i]) {
  ^bb0(%a: !lir.row<f32>):
    // expected-error@+1 {{initial value 0 : i32 is not of the accumulator's type f32}}
    %s = lir.fold(%a) init [0 : i32] {
    ^bb0(%b: f32, %e: f32):
      %n = arith.addf %b, %e : f32
      lir.yield %n : f32
    } combine {
    ^bb0(%c: f32, %d: f32):
      %n = arith.addf %c, %d : f32
      lir.yield %n : f32
    } : (!lir.row<f32>) -> f32
    lir.yield %s : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %r = lir.output @r : !lir.buffer<4 x f32>
  lir.reduce (i : 4 | j : 8) ins(%x[i, j]) outs(%r[i]) {
  ^bb0(%a: !lir.row<f32>):
    // expected-error@+1 {{fold body takes (f32, f32), but its block has (f32, f32, f32)}}
    %s = lir.fold(%a) init [0.0 : f32] {
    ^bb0(%b: f32, %e: f32, %g: f32):
      %n = arith.addf %b, %e : f32
      lir.yield %n : f32
    } combine {
    ^bb0(%c: f32, %d: f32):
      %n = arith.addf %c, %d : f32
      lir.yield %n : f32
    } : (!lir.row<f32>) -> f32
    lir.yield %s : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %r = lir.output @r : !lir.buffer<4 x f32>
  lir.reduce (i : 4 | j : 8) ins(%x[i, j]) outs(%r[i]) {
  ^bb0(%a: !lir.row<f32>):
    // expected-error@+1 {{fold combine takes (f32, f32), but its block has (f32, f32, f32)}}
    %s = lir.fold(%a) init [0.0 : f32] {
    ^bb0(%b: f32, %e: f32):
      %n = arith.addf %b, %e : f32
      lir.yield %n : f32
    } combine {
    ^bb0(%c: f32, %d: f32, %g: f32):
      %n = arith.addf %c, %d : f32
      lir.yield %n : f32
    } : (!lir.row<f32>) -> f32
    lir.yield %s : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  lir.reduce (i : 4 | j : 8) ins(%x[i, j]) outs(%y[i, j]) {
  ^bb0(%a: !lir.row<f32>):
    // expected-error@+1 {{each takes (f32), but its block has (f64)}}
    %b = lir.each(%a) {
    ^bb0(%e: f64):
      lir.yield %e : f64
    } : (!lir.row<f32>) -> !lir.row<f64>
    lir.yield %a : !lir.row<f32>
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

// Contracts end in a product and an epilogue; what is outside of the sum knows no reduce dim.
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %w = lir.param @w : !lir.buffer<8 x 8 x f32>
  // expected-error@+1 {{contract body must end in lir.product}}
  lir.contract (m : 4, n : 8 | k : 8) ins(%x[m, k], %w[k, n]) outs(%y[m, n]) {
  ^bb0(%a: f32, %b: f32):
    lir.yield %a : f32
  } epilogue {
  ^bb0(%s: f32):
    lir.yield %s : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<8 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %w = lir.param @w : !lir.buffer<8 x 8 x f32>
  // expected-error@+1 {{contract body takes (f32, f32), but its block has (f32, f64)}}
  lir.contract (m : 4, n : 8 | k : 8) ins(%x[m, k], %w[k, n]) outs(%y[m, n]) {
  ^bb0(%a: f32, %b: f64):
    lir.product (%a, %a) : f32
  } epilogue {
  ^bb0(%s: f32):
    lir.yield %s : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<8 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %w = lir.param @w : !lir.buffer<8 x 8 x f32>
  // expected-error@+1 {{Region 'epilogue' at position 1 expected a single block, but got 0 blocks}}
  lir.contract (m : 4, n : 8 | k : 8) ins(%x[m, k], %w[k, n]) outs(%y[m, n]) {
  ^bb0(%a: f32, %b: f32):
    lir.product (%a, %b) : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<8 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %w = lir.param @w : !lir.buffer<8 x 8 x f32>
  // expected-error@+1 {{result uses reduce dim k}}
  lir.contract (m : 4, n : 8 | k : 8) ins(%x[m, k], %w[k, n]) outs(%y[m, k]) {
  ^bb0(%a: f32, %b: f32):
    lir.product (%a, %b) : f32
  } epilogue {
  ^bb0(%s: f32):
    lir.yield %s : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<8 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %w = lir.param @w : !lir.buffer<8 x 8 x f32>
  // expected-error@+1 {{extra operand uses reduce dim k}}
  lir.contract (m : 4, n : 8 | k : 8) ins(%x[m, k], %w[k, n]) extra(%x[m, k]) outs(%y[m, n]) {
  ^bb0(%a: f32, %b: f32):
    lir.product (%a, %b) : f32
  } epilogue {
  ^bb0(%s: f32, %e: f32):
    lir.yield %s : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<8 x 8 x f32>, !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %w = lir.param @w : !lir.buffer<8 x 8 x f32>
  // expected-error@+1 {{contract epilogue takes (f32), but its block has (f32, f32)}}
  lir.contract (m : 4, n : 8 | k : 8) ins(%x[m, k], %w[k, n]) outs(%y[m, n]) {
  ^bb0(%a: f32, %b: f32):
    lir.product (%a, %b) : f32
  } epilogue {
  ^bb0(%s: f32, %e: f32):
    lir.yield %s : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<8 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

// Attention: three operands, one dim of each kind, scores in f32 or f64.
lir.program @main {
  %q = lir.input @q : !lir.buffer<4 x 4 x f32>
  %o = lir.output @o : !lir.buffer<4 x 4 x f32>
  // expected-error@+1 {{attention takes query, key, value and one result, found 2 and 1}}
  lir.attention (i : 4 | k : 4 | d : 4 | e : 4) ins(%q[i, d], %q[k, d]) outs(%o[i, e]) params {scale = 0.5 : f32} {
  ^bb0(%s: f32):
    lir.yield %s : f32
  } : !lir.buffer<4 x 4 x f32>, !lir.buffer<4 x 4 x f32>, !lir.buffer<4 x 4 x f32>
}

// -----

lir.program @main {
  %q = lir.input @q : !lir.buffer<4 x 4 x f32>
  %o = lir.output @o : !lir.buffer<4 x 4 x f32>
  // expected-error@+1 {{attention has one reduce dim, found 2}}
  lir.attention (i : 4 | k : 4, l : 4 | d : 4 | e : 4) ins(%q[i, d], %q[k, d], %q[k, e]) outs(%o[i, e]) params {scale = 0.5 : f32} {
  ^bb0(%s: f32):
    lir.yield %s : f32
  } : !lir.buffer<4 x 4 x f32>, !lir.buffer<4 x 4 x f32>, !lir.buffer<4 x 4 x f32>, !lir.buffer<4 x 4 x f32>
}

// -----

lir.program @main {
  %q = lir.input @q : !lir.buffer<4 x 4 x f32>
  %o = lir.output @o : !lir.buffer<4 x 4 x f32>
  // expected-error@+1 {{score region takes (f32), but its block has (f32, f32)}}
  lir.attention (i : 4 | k : 4 | d : 4 | e : 4) ins(%q[i, d], %q[k, d], %q[k, e]) outs(%o[i, e]) params {scale = 0.5 : f32} {
  ^bb0(%s: f32, %t: f32):
    lir.yield %s : f32
  } : !lir.buffer<4 x 4 x f32>, !lir.buffer<4 x 4 x f32>, !lir.buffer<4 x 4 x f32>, !lir.buffer<4 x 4 x f32>
}

// -----

lir.program @main {
  %q = lir.input @q : !lir.buffer<4 x 4 x f32>
  %o = lir.output @o : !lir.buffer<4 x 4 x f32>
  // expected-error@+1 {{scores are f32 or f64, found f16}}
  lir.attention (i : 4 | k : 4 | d : 4 | e : 4) ins(%q[i, d], %q[k, d], %q[k, e]) outs(%o[i, e]) params {scale = 0.5 : f32} {
  ^bb0(%s: f16):
    lir.yield %s : f16
  } : !lir.buffer<4 x 4 x f32>, !lir.buffer<4 x 4 x f32>, !lir.buffer<4 x 4 x f32>, !lir.buffer<4 x 4 x f32>
}

// -----

// Scans: one sequential dim, a result for each final carry.
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %c = lir.input @c : !lir.buffer<4 x f32>
  %f = lir.output @f : !lir.buffer<4 x f32>
  // expected-error@+1 {{a scan has one sequential dim, found 2}}
  lir.scan (i : 4 | t : 8, u : 8) ins(%x[i, t]) extra(%c[i]) outs(%y[i, t], %f[i]) {
  ^bb0(%a: f32, %e: f32):
    lir.yield %a, %a : f32, f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x f32>, !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %c = lir.input @c : !lir.buffer<4 x f32>
  %f = lir.output @f : !lir.buffer<4 x f32>
  // expected-error@+1 {{1 carries but only 0 results: each final carry is a result}}
  lir.scan (i : 4 | t : 8) ins(%x[i, t]) extra(%c[i]) {
  ^bb0(%a: f32, %e: f32):
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %c = lir.input @c : !lir.buffer<4 x f32>
  %f = lir.output @f : !lir.buffer<4 x f32>
  %h = lir.output @h : !lir.buffer<4 x f16>
  // expected-error@+1 {{the last results are the final carries, of the carries' types}}
  lir.scan (i : 4 | t : 8) ins(%x[i, t]) extra(%c[i]) outs(%h[i]) {
  ^bb0(%a: f32, %e: f32):
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x f32>, !lir.buffer<4 x f16>
}

// -----

// Sorts: one dim to sort, one that counts the results, a known order or a comparator.
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{a sort has one sorted dim and one limit dim}}
  lir.sort (i : 4 | j : 8, l : 8 | t : 8) ins(%x[i, j]) outs(%y[i, t]) params {order = "ascending"} : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{order 'up' is not one of ascending, descending, opaque}}
  lir.sort (i : 4 | j : 8 | t : 8) ins(%x[i, j]) outs(%y[i, t]) params {order = "up"} : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{an opaque order has a comparator, the others none}}
  lir.sort (i : 4 | j : 8 | t : 8) ins(%x[i, j]) outs(%y[i, t]) params {order = "opaque"} : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{comparator yields (f32), needs (i1)}}
  lir.sort (i : 4 | j : 8 | t : 8) ins(%x[i, j]) outs(%y[i, t]) params {order = "opaque"} comparator {
  ^bb0(%a: f32, %b: f32):
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{1 operands give 1 or 2 results, found 3}}
  lir.sort (i : 4 | j : 8 | t : 8) ins(%x[i, j]) outs(%y[i, t], %y[i, t], %y[i, t]) params {order = "ascending"} : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

// Scatters: one result without a map, an index for each of its dims, then the value.
lir.program @main {
  %u = lir.input @u : !lir.buffer<4 x f32>
  %id = lir.input @id : !lir.buffer<4 x i64>
  %v = lir.output @v : !lir.buffer<8 x f32>
  // expected-error@+1 {{a scatter has one result, written at computed indices}}
  lir.scatter (n : 4) ins(%u[n], %id[n]) outs(%v[n]) params {combine = "add", oob = "error"} {
  ^bb0(%a: f32, %i: i64):
    lir.yield %i, %a : i64, f32
  } : !lir.buffer<4 x f32>, !lir.buffer<4 x i64>, !lir.buffer<8 x f32>
}

// -----

lir.program @main {
  %u = lir.input @u : !lir.buffer<4 x f32>
  %id = lir.input @id : !lir.buffer<4 x i64>
  %v = lir.output @v : !lir.buffer<8 x f32>
  // expected-error@+1 {{combine 'mul' is not one of add, max, min, set}}
  lir.scatter (n : 4) ins(%u[n], %id[n]) outs(%v) params {combine = "mul", oob = "error"} {
  ^bb0(%a: f32, %i: i64):
    lir.yield %i, %a : i64, f32
  } : !lir.buffer<4 x f32>, !lir.buffer<4 x i64>, !lir.buffer<8 x f32>
}

// -----

lir.program @main {
  %u = lir.input @u : !lir.buffer<4 x f32>
  %id = lir.input @id : !lir.buffer<4 x i64>
  %v = lir.output @v : !lir.buffer<8 x f32>
  // expected-error@+1 {{oob 'clamp' is not one of error, drop}}
  lir.scatter (n : 4) ins(%u[n], %id[n]) outs(%v) params {combine = "add", oob = "clamp"} {
  ^bb0(%a: f32, %i: i64):
    lir.yield %i, %a : i64, f32
  } : !lir.buffer<4 x f32>, !lir.buffer<4 x i64>, !lir.buffer<8 x f32>
}

// -----

lir.program @main {
  %u = lir.input @u : !lir.buffer<4 x f32>
  %id = lir.input @id : !lir.buffer<4 x i64>
  %v = lir.output @v : !lir.buffer<8 x f32>
  // expected-error@+1 {{scatter body yields 1 indices and a value, found (f32)}}
  lir.scatter (n : 4) ins(%u[n], %id[n]) outs(%v) params {combine = "add", oob = "error"} {
  ^bb0(%a: f32, %i: i64):
    lir.yield %a : f32
  } : !lir.buffer<4 x f32>, !lir.buffer<4 x i64>, !lir.buffer<8 x f32>
}

// -----

lir.program @main {
  %u = lir.input @u : !lir.buffer<4 x f32>
  %id = lir.input @id : !lir.buffer<4 x i64>
  %v = lir.output @v : !lir.buffer<8 x f32>
  // expected-error@+1 {{scatter body takes (f32, i64), but its block has (f32, i32)}}
  lir.scatter (n : 4) ins(%u[n], %id[n]) outs(%v) params {combine = "add", oob = "error"} {
  ^bb0(%a: f32, %i: i32):
    lir.yield %i, %a : i32, f32
  } : !lir.buffer<4 x f32>, !lir.buffer<4 x i64>, !lir.buffer<8 x f32>
}

// -----

// Reads at computed indices.
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  lir.map (i : 4, j : 8) ins(%x) outs(%y[i, j]) {
  ^bb0(%t: !lir.buffer<4 x 8 x f32>):
    %n = lir.index j
    // expected-error@+1 {{1 indices into a buffer of rank 2}}
    %a = lir.read %t[%n] oob(error) : !lir.buffer<4 x 8 x f32>, index
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  lir.map (i : 4, j : 8) ins(%x) outs(%y[i, j]) {
  ^bb0(%t: !lir.buffer<4 x 8 x f32>):
    %n = lir.index j
    // expected-error@+1 {{oob policy 'wrap' is not one of error, clamp, fill}}
    %a = lir.read %t[%n, %n] oob(wrap) : !lir.buffer<4 x 8 x f32>, index, index
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  lir.map (i : 4, j : 8) ins(%x) outs(%y[i, j]) {
  ^bb0(%t: !lir.buffer<4 x 8 x f32>):
    %n = lir.index j
    %f = arith.constant 0.0 : f32
    // expected-error@+1 {{an index is index, i64 or i32, found f32}}
    %a = lir.read %t[%n, %f] oob(error) : !lir.buffer<4 x 8 x f32>, index, f32
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  lir.map (i : 4, j : 8) ins(%x) outs(%y[i, j]) {
  ^bb0(%t: !lir.buffer<4 x 8 x f32>):
    %n = lir.index j
    // expected-error@+1 {{reads f32 elements, but its fill value is 0 : i32}}
    %a = lir.read %t[%n, %n] oob(fill) 0 : i32 : !lir.buffer<4 x 8 x f32>, index, index
    lir.yield %a : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}

// -----

// Buffers and views.
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{a view keeps the element type, found f32 and i32}}
  %v = lir.view %x : !lir.buffer<4 x 8 x f32> to !lir.buffer<32 x i32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{a whole view keeps the element count, found 32 and 31}}
  %v = lir.view %x : !lir.buffer<4 x 8 x f32> to !lir.buffer<31 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %f = lir.output @f : !lir.buffer<8 x f32>
  // expected-error@+1 {{copy between different shapes or types}}
  lir.copy %x to %f : !lir.buffer<4 x 8 x f32>, !lir.buffer<8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{slot offset 32 is not a non-negative multiple of 64}}
  %s = lir.slot at(32) : !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{'lir.if' needs a flag of one bool element, found !lir.buffer<4 x 8 x f32>}}
  lir.if %x {
  } : !lir.buffer<4 x 8 x f32>
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  // expected-error@+1 {{a while's condition must end in lir.condition}}
  lir.while limit(3) {
    lir.copy %x to %y : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
  } do {
  }
}

// -----

lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %g = lir.input @g : !lir.buffer<1 x i1>
  // expected-error@+1 {{a while's limit is not negative, found -1}}
  lir.while limit(-1) {
    lir.condition %g : !lir.buffer<1 x i1>
  } do {
  }
}

// -----

// Types and attributes fail where they are written.
lir.program @main {
  // expected-error@+1 {{layout has 1 physical indices but 2 physical extents}}
  %p = lir.param @p : !lir.buffer<8 x f32, #lir.layout<(k) -> (k) in [4, 2]>>
}

// -----

lir.program @main {
  // expected-error@+1 {{layout names an index twice: (k, k)}}
  %p = lir.param @p : !lir.buffer<8 x 8 x f32, #lir.layout<(k, k) -> (k) in [8]>>
}

// -----

lir.program @main {
  // expected-error@+1 {{a layout of 1 indices on a buffer of rank 2}}
  %p = lir.param @p : !lir.buffer<8 x 8 x f32, #lir.layout<(k) -> (k) in [8]>>
}

// -----

lir.program @main {
  // expected-error@+1 {{'i7' is not an element type}}
  %p = lir.param @p : !lir.buffer<8 x i7>
}

// -----

lir.program @main {
  // expected-error@+1 {{expected a !lir.buffer, found f32}}
  %p = lir.param @p : f32
}
