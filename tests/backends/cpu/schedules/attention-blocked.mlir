// RUN: rlx-opt %s -p "lir-select-schedules{cpu=x86-64-v4},lir-pack-parameters{cpu=x86-64-v4},lir-plan-memory,convert-lir-to-kernel{cpu=x86-64-v4}" | filecheck %s

// One chunk of keys: scaled and transposed once per head; scores of eight queries with their maxima, weights, and the values
// weighted, divided as they are stored. Every tile asks for its share of the next head.
// CHECK:      kernel.func @attention_0(%[[q:\d+]]: !kernel.ptr<f32, global>, %[[k:\d+]]: !kernel.ptr<f32, global>, %[[v:\d+]]: !kernel.ptr<f32, global>, %[[o:\d+]]: !kernel.ptr<f32, global>, %[[t:\d+]]: !kernel.ptr<f32, global, align 64>, %[[s:\d+]]: !kernel.ptr<f32, global, align 64>)
// CHECK:        scf.for
// CHECK:            kernel.load %[[k]][%{{.*}}] stride %{{.*}} -> vector<16x16xf32>
// CHECK-NEXT:       kernel.broadcast
// CHECK-NEXT:       arith.mulf
// CHECK-NEXT:       kernel.transpose
// CHECK:            kernel.store %{{.*}}, %[[t]]
// CHECK:          scf.for
// CHECK:            kernel.prefetch
// CHECK:            %[[tops:\d+]] = scf.for {{.*}} -> (vector<8x16xf32>)
// CHECK:              %[[left:\d+]], %[[right:\d+]] = scf.for {{.*}} -> (vector<8x16xf32>, vector<8x16xf32>)
// CHECK:                kernel.outer_fma
// CHECK:              arith.maximumf %{{.*}}, %[[left]] fastmath<nnan> : vector<8x16xf32>
// CHECK-NEXT:         kernel.store %[[left]], %[[s]]
// CHECK:              arith.maximumf %{{.*}}, %[[right]] fastmath<nnan> : vector<8x16xf32>
// CHECK:              kernel.store %[[right]], %[[s]]
// CHECK:            kernel.reduce maxnumf %[[tops]] over columns : vector<8x16xf32> -> vector<8xf32>
// CHECK:              math.exp2 %{{.*}} : vector<4x16xf32>
// CHECK:            kernel.reduce add %{{.*}} over columns : vector<4x16xf32> -> vector<4xf32>
// CHECK:            %[[result:\d+]] = scf.for {{.*}} -> (vector<8x32xf32>)
// CHECK:              kernel.outer_fma
// CHECK:            %[[scaled:\d+]] = arith.mulf %[[result]], %{{.*}} : vector<8x32xf32>
// CHECK:            kernel.store %[[scaled]], %[[o]]
lir.program @main {
  %q = lir.input @q : !lir.buffer<4 x 64 x 32 x f32>
  %k = lir.input @k : !lir.buffer<4 x 64 x 32 x f32>
  %v = lir.input @v : !lir.buffer<4 x 64 x 32 x f32>
  %o = lir.output @o : !lir.buffer<4 x 64 x 32 x f32>
  lir.attention (h : 4, q : 64 | k : 64 | d : 32 | e : 32) ins(%q[h, q, d], %k[h, k, d], %v[h, k, e]) outs(%o[h, q, e]) params {scale = 0.25 : f32} {
  ^bb0(%s: f32):
    lir.yield %s : f32
  } : !lir.buffer<4 x 64 x 32 x f32>, !lir.buffer<4 x 64 x 32 x f32>, !lir.buffer<4 x 64 x 32 x f32>, !lir.buffer<4 x 64 x 32 x f32>
}
