// RUN: rlx-opt %s -p lir-verify-plan --split-input-file --verify-diagnostics

// Two buffers that are needed at once share bytes for B above 1.
lir.program @overlap arena(B * 192) attributes {rlx.dims = [#rlx.dim<B in [1, 64]>]} {
  %x = lir.input @x : !lir.buffer<B x 16 x f32>
  %y = lir.output @y : !lir.buffer<B x 16 x f32>
  %a = lir.slot at(0) : !lir.buffer<B x 16 x f32>
  %b = lir.slot at(64) : !lir.buffer<B x 16 x f32>
  lir.copy %x to %a : !lir.buffer<B x 16 x f32>, !lir.buffer<B x 16 x f32>
  // expected-error@+1 {{'lir.copy' writes %b at [64, B * 64 + 64) while %a at [0, B * 64) is still read by 'lir.map'}}
  lir.copy %x to %b : !lir.buffer<B x 16 x f32>, !lir.buffer<B x 16 x f32>
  lir.map (i : B, j : 16) ins(%a[i, j], %b[i, j]) outs(%y[i, j]) {
  ^bb0(%e: f32, %f: f32):
    %r = arith.addf %e, %f : f32
    lir.yield %r : f32
  } : !lir.buffer<B x 16 x f32>, !lir.buffer<B x 16 x f32>, !lir.buffer<B x 16 x f32>
}

// -----

// In place needs equal maps: here a point reads what another one has written.
lir.program @transposed arena(1024) {
  %x = lir.input @x : !lir.buffer<16 x 16 x f32>
  %y = lir.output @y : !lir.buffer<16 x 16 x f32>
  %a = lir.slot at(0) : !lir.buffer<16 x 16 x f32>
  %b = lir.slot at(0) : !lir.buffer<16 x 16 x f32>
  lir.copy %x to %a : !lir.buffer<16 x 16 x f32>, !lir.buffer<16 x 16 x f32>
  // expected-error@+1 {{'lir.map' writes %b at [0, 1024) while %a at [0, 1024) is read by the same operation}}
  lir.map (i : 16, j : 16) ins(%a[j, i]) outs(%b[i, j]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<16 x 16 x f32>, !lir.buffer<16 x 16 x f32>
  lir.copy %b to %y : !lir.buffer<16 x 16 x f32>, !lir.buffer<16 x 16 x f32>
}

// -----

lir.program @alignment arena(128) {
  %x = lir.input @x : !lir.buffer<16 x f32>
  %y = lir.output @y : !lir.buffer<16 x f32>
  // expected-error@+1 {{'lir.slot' %a lies at B * 32, which is not known to be a multiple of 64}}
  %a = lir.slot at(B * 32) : !lir.buffer<16 x f32>
  lir.copy %x to %a : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
  lir.copy %a to %y : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
}

// -----

lir.program @arena arena(64) {
  %x = lir.input @x : !lir.buffer<32 x f32>
  %y = lir.output @y : !lir.buffer<32 x f32>
  // expected-error@+1 {{'lir.slot' %a lies at [0, 128), not known to be in the arena of 64 bytes}}
  %a = lir.slot at(0) : !lir.buffer<32 x f32>
  lir.copy %x to %a : !lir.buffer<32 x f32>, !lir.buffer<32 x f32>
  lir.copy %a to %y : !lir.buffer<32 x f32>, !lir.buffer<32 x f32>
}

// -----

// A runtime dim changes from call to call without a new plan.
lir.program @runtime arena(8192) attributes {rlx.dims = [#rlx.dim<P in [0, 64] runtime>]} {
  %x = lir.input @x : !lir.buffer<16 x f32>
  %y = lir.output @y : !lir.buffer<16 x f32>
  // expected-error@+1 {{'lir.slot' %a lies at P * 64, which depends on runtime dim P}}
  %a = lir.slot at(P * 64) : !lir.buffer<16 x f32>
  lir.copy %x to %a : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
  lir.copy %a to %y : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
}

// -----

lir.program @unplaced {
  // expected-error@+1 {{'lir.alloc' %a has no place in the arena}}
  %a = lir.alloc : !lir.buffer<16 x f32>
}

// -----

lir.program @order arena(64) {
  %x = lir.input @x : !lir.buffer<16 x f32>
  %y = lir.output @y : !lir.buffer<16 x f32>
  %a = lir.slot at(0) : !lir.buffer<16 x f32>
  // expected-error@+1 {{'lir.copy' reads %a before it is known to be written}}
  lir.copy %a to %y : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
  lir.copy %x to %a : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
}

// -----

// Half of the output is never written.
lir.program @output {
  %x = lir.input @x : !lir.buffer<16 x 8 x f32>
  // expected-error@+1 {{'lir.output' @y is not known to be fully written at the end}}
  %y = lir.output @y : !lir.buffer<16 x 16 x f32>
  lir.map (i : 16, j : 8) ins(%x[i, j]) outs(%y[i, j + 8]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<16 x 8 x f32>, !lir.buffer<16 x 16 x f32>
}

// -----

// Two halves are the whole.
lir.program @concat {
  %x = lir.input @x : !lir.buffer<16 x 8 x f32>
  %y = lir.output @y : !lir.buffer<16 x 16 x f32>
  lir.map (i : 16, j : 8) ins(%x[i, j]) outs(%y[i, j + 8]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<16 x 8 x f32>, !lir.buffer<16 x 16 x f32>
  lir.map (i : 16, j : 8) ins(%x[i, j]) outs(%y[i, j]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<16 x 8 x f32>, !lir.buffer<16 x 16 x f32>
}

// -----

lir.program @input {
  %x = lir.input @x : !lir.buffer<16 x f32>
  %w = lir.param @w : !lir.buffer<16 x f32>
  // expected-error@+1 {{'lir.copy' writes to @w, which is only read}}
  lir.copy %x to %w : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
}

// -----

lir.program @bounds {
  %x = lir.input @x : !lir.buffer<16 x f32>
  %y = lir.output @y : !lir.buffer<16 x f32>
  // expected-error@+1 {{'lir.map' reaches @x at index 'i + 1' of dim 0, not known to be in [0, 16)}}
  lir.map (i : 16) ins(%x[i + 1]) outs(%y[i]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
}

// -----

lir.program @view {
  %x = lir.input @x : !lir.buffer<16 x f32>
  %y = lir.output @y : !lir.buffer<8 x f32>
  // expected-error@+1 {{'lir.view' reaches elements [12, 20) of @x, which has 16}}
  %v = lir.view %x from 12 : !lir.buffer<16 x f32> to !lir.buffer<8 x f32>
  lir.copy %v to %y : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
}

// -----

// The new keys enter the state at P + s; a form that writes there may not read the old ones beside them.
lir.program @state attributes {rlx.dims = [#rlx.dim<S in [1, 8]>, #rlx.dim<P in [1, 8] runtime>]} {
  %x = lir.input @x : !lir.buffer<S x f32>
  %k = lir.state @k : !lir.buffer<16 x f32>
  // expected-error@+1 {{'lir.map' reads @k and writes @k, the same buffer, which is not known to be element by element in place}}
  lir.map (s : S) ins(%x[s], %k[P + s - 1]) outs(%k[P + s]) {
  ^bb0(%e: f32, %f: f32):
    %r = arith.addf %e, %f : f32
    lir.yield %r : f32
  } : !lir.buffer<S x f32>, !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
}

// -----

lir.program @layout {
  %x = lir.input @x : !lir.buffer<20 x f32>
  // expected-error@+1 {{'lir.packed' has a layout whose index 'index0 floordiv 16' is not known to be in [0, 1)}}
  %w = lir.packed @w : !lir.buffer<20 x f32, #lir.layout<(k) -> (k floordiv 16, k mod 16) in [1, 16]>>
}

// -----

// What a round of a loop needs of the round before must lie beside what it makes.
lir.program @loop arena(64) {
  %x = lir.input @x : !lir.buffer<16 x f32>
  %f = lir.input @f : !lir.buffer<1 x i1>
  %y = lir.output @y : !lir.buffer<16 x f32>
  %r = lir.slot at(0) : !lir.buffer<16 x f32>
  lir.copy %x to %r : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
  lir.while limit(3) {
    lir.condition %f : !lir.buffer<1 x i1>
  } do {
    %n = lir.slot at(0) : !lir.buffer<16 x f32>
    // expected-error@+1 {{'lir.map' writes %n at [0, 64) while %r at [0, 64) is still read by 'lir.map'}}
    lir.map (i : 16) ins(%x[i]) outs(%n[i]) {
    ^bb0(%e: f32):
      lir.yield %e : f32
    } : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
    lir.map (i : 16) ins(%r[i], %n[i]) outs(%y[i]) {
    ^bb0(%e: f32, %g: f32):
      lir.yield %e : f32
    } : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
  }
  lir.copy %x to %y : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
}
