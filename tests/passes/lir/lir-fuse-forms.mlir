// RUN: rlx-opt %s -p lir-fuse-forms --split-input-file | filecheck %s

// A transposed weight, a residual and an activation on a flattened view become one contract.
// CHECK-LABEL: lir.program @linear
// CHECK-NEXT: %x = lir.input @x : !lir.buffer<B x S x 8 x f32>
// CHECK-NEXT: %w = lir.param @w : !lir.buffer<16 x 8 x f32>
// CHECK-NEXT: %r = lir.input @r : !lir.buffer<B x S x 16 x f32>
// CHECK-NEXT: %y = lir.output @y : !lir.buffer<B x S x 16 x f32>
// CHECK-NEXT: %[[X:\w+]] = lir.view %x
// CHECK-NEXT: %[[R:\w+]] = lir.view %r
// CHECK-NEXT: %[[Y:\w+]] = lir.view %y
// CHECK-NEXT: lir.contract (m : B * S, n : 16 | k : 8) ins(%[[X]][m, k], %w[n, k]) extra(%[[R]][m, n]) outs(%[[Y]][m, n])
// CHECK-NEXT: ^bb0(%{{.*}}: f32, %{{.*}}: f32):
// CHECK-NEXT:   lir.product
// CHECK-NEXT: } epilogue {
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: f32, %[[E:.*]]: f32):
// CHECK-NEXT:   %[[SUM:.*]] = arith.addf %[[ACC]], %[[E]] : f32
// CHECK-NEXT:   %[[T:.*]] = math.tanh %[[SUM]] : f32
// CHECK-NEXT:   lir.yield %[[T]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: }
lir.program @linear attributes {rlx.dims = [#rlx.dim<B in [1, 64]>, #rlx.dim<S in [1, 512]>]} {
  %x = lir.input @x : !lir.buffer<B x S x 8 x f32>
  %w = lir.param @w : !lir.buffer<16 x 8 x f32>
  %r = lir.input @r : !lir.buffer<B x S x 16 x f32>
  %y = lir.output @y : !lir.buffer<B x S x 16 x f32>
  %wt = lir.alloc : !lir.buffer<8 x 16 x f32>
  lir.map (a : 8, b : 16) ins(%w[b, a]) outs(%wt[a, b]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<16 x 8 x f32>, !lir.buffer<8 x 16 x f32>
  %xv = lir.view %x : !lir.buffer<B x S x 8 x f32> to !lir.buffer<(B * S) x 8 x f32>
  %t = lir.alloc : !lir.buffer<(B * S) x 16 x f32>
  lir.contract (m : B * S, n : 16 | k : 8) ins(%xv[m, k], %wt[k, n]) outs(%t[m, n]) {
  ^bb0(%a: f32, %c: f32):
    lir.product (%a, %c) : f32
  } epilogue {
  ^bb0(%acc: f32):
    lir.yield %acc : f32
  } : !lir.buffer<(B * S) x 8 x f32>, !lir.buffer<8 x 16 x f32>, !lir.buffer<(B * S) x 16 x f32>
  %tv = lir.view %t : !lir.buffer<(B * S) x 16 x f32> to !lir.buffer<B x S x 16 x f32>
  %e = lir.alloc : !lir.buffer<B x S x 16 x f32>
  lir.map (b : B, s : S, c : 16) ins(%tv[b, s, c], %r[b, s, c]) outs(%e[b, s, c]) {
  ^bb0(%v: f32, %u: f32):
    %s = arith.addf %v, %u : f32
    lir.yield %s : f32
  } : !lir.buffer<B x S x 16 x f32>, !lir.buffer<B x S x 16 x f32>, !lir.buffer<B x S x 16 x f32>
  lir.map (b : B, s : S, c : 16) ins(%e[b, s, c]) outs(%y[b, s, c]) {
  ^bb0(%v: f32):
    %t2 = math.tanh %v : f32
    lir.yield %t2 : f32
  } : !lir.buffer<B x S x 16 x f32>, !lir.buffer<B x S x 16 x f32>
}

// -----

// A map before a row reduction becomes its first stage.
// CHECK-LABEL: lir.program @rows
// CHECK-NEXT: %x = lir.input
// CHECK-NEXT: %y = lir.output
// CHECK-NEXT: lir.reduce (i : 4 | j : 8) ins(%x[i, j]) outs(%y[i]) {
// CHECK-NEXT: ^bb0(%[[ROW:.*]]: !lir.row<f32>):
// CHECK-NEXT:   %[[E:.*]] = lir.each(%[[ROW]]) {
// CHECK-NEXT:   ^bb0(%[[A:.*]]: f32):
// CHECK-NEXT:     %[[B:.*]] = math.exp %[[A]] : f32
// CHECK-NEXT:     lir.yield %[[B]] : f32
// CHECK-NEXT:   } : (!lir.row<f32>) -> !lir.row<f32>
// CHECK-NEXT:   lir.fold(%[[E]])
lir.program @rows {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x f32>
  %t = lir.alloc : !lir.buffer<4 x 8 x f32>
  lir.map (a : 4, b : 8) ins(%x[a, b]) outs(%t[a, b]) {
  ^bb0(%v: f32):
    %e = math.exp %v : f32
    lir.yield %e : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
  lir.reduce (i : 4 | j : 8) ins(%t[i, j]) outs(%y[i]) {
  ^bb0(%r: !lir.row<f32>):
    %s = lir.fold(%r) init [0.0 : f32] {
    ^bb0(%acc: f32, %e: f32):
      %n = arith.addf %acc, %e : f32
      lir.yield %n : f32
    } combine {
    ^bb0(%a: f32, %b: f32):
      %n = arith.addf %a, %b : f32
      lir.yield %n : f32
    } : (!lir.row<f32>) -> f32
    lir.yield %s : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x f32>
}

// -----

// Not fused: arithmetic on a contract's operand would be repeated for every tile.
// CHECK-LABEL: lir.program @operand_with_work
// CHECK: lir.map
// CHECK: lir.contract
lir.program @operand_with_work {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %w = lir.param @w : !lir.buffer<8 x 16 x f32>
  %y = lir.output @y : !lir.buffer<4 x 16 x f32>
  %t = lir.alloc : !lir.buffer<4 x 8 x f32>
  lir.map (a : 4, b : 8) ins(%x[a, b]) outs(%t[a, b]) {
  ^bb0(%v: f32):
    %e = math.exp %v : f32
    lir.yield %e : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
  lir.contract (m : 4, n : 16 | k : 8) ins(%t[m, k], %w[k, n]) outs(%y[m, n]) {
  ^bb0(%a: f32, %c: f32):
    lir.product (%a, %c) : f32
  } epilogue {
  ^bb0(%acc: f32):
    lir.yield %acc : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<8 x 16 x f32>, !lir.buffer<4 x 16 x f32>
}

// -----

// Not fused: an expensive map whose reader repeats each element, and a source that is overwritten in between.
// CHECK-LABEL: lir.program @repeated_or_overwritten
// CHECK: lir.map (a : 8)
// CHECK: lir.map (i : 4, j : 8)
// CHECK: lir.map (a : 8) ins(%s[a]) outs(%u[a])
// CHECK: lir.copy %x to %s
// CHECK: lir.map (a : 8) ins(%u[a]) outs(%z[a])
lir.program @repeated_or_overwritten {
  %x = lir.input @x : !lir.buffer<8 x f32>
  %s = lir.state @s : !lir.buffer<8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %z = lir.output @z : !lir.buffer<8 x f32>
  %t = lir.alloc : !lir.buffer<8 x f32>
  lir.map (a : 8) ins(%x[a]) outs(%t[a]) {
  ^bb0(%v: f32):
    %a = math.exp %v : f32
    %b = math.tanh %a : f32
    %c = math.exp %b : f32
    %d = math.tanh %c : f32
    %e = math.exp %d : f32
    lir.yield %e : f32
  } : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
  lir.map (i : 4, j : 8) ins(%t[j]) outs(%y[i, j]) {
  ^bb0(%v: f32):
    lir.yield %v : f32
  } : !lir.buffer<8 x f32>, !lir.buffer<4 x 8 x f32>
  %u = lir.alloc : !lir.buffer<8 x f32>
  lir.map (a : 8) ins(%s[a]) outs(%u[a]) {
  ^bb0(%v: f32):
    lir.yield %v : f32
  } : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
  lir.copy %x to %s : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
  lir.map (a : 8) ins(%u[a]) outs(%z[a]) {
  ^bb0(%v: f32):
    lir.yield %v : f32
  } : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
}
