// RUN: rlx-opt %s -p 'lir-select-schedules{cpu=x86-64-v4}' | filecheck %s

// A copy becomes a scheduled map; a schedule that is already there is kept: that is how one is forced.
// CHECK: lir.map (i0 : 4) ins(%x[i0]) outs(%y[i0]) params {schedule = [#lir.schedule<"vector" {dim = "i0", lanes = 4 : i64}>], label = "copy"}
// CHECK: lir.map (j : 64) ins(%u[j]) outs(%v[j]) params {schedule = [#lir.schedule<"vector" {dim = "j", lanes = 2 : i64}>]}
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x f32>
  %u = lir.input @u : !lir.buffer<64 x f32>
  %y = lir.output @y : !lir.buffer<4 x f32>
  %v = lir.output @v : !lir.buffer<64 x f32>
  lir.copy %x to %y : !lir.buffer<4 x f32>, !lir.buffer<4 x f32>
  lir.map (j : 64) ins(%u[j]) outs(%v[j]) params {schedule = [#lir.schedule<"vector" {dim = "j", lanes = 2 : i64}>]} {
  ^bb0(%0: f32):
    lir.yield %0 : f32
  } : !lir.buffer<64 x f32>, !lir.buffer<64 x f32>
}
