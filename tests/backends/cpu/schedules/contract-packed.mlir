// RUN: rlx-opt %s -p "lir-select-schedules{cpu=x86-64-v4},lir-pack-parameters{cpu=x86-64-v4},lir-select-schedules{program=prepare cpu=x86-64-v4},lir-plan-memory,convert-lir-to-kernel{cpu=x86-64-v4}" | filecheck %s

// A tile of 8 x 32 stays in registers over k; the weight lies in panels of 32 columns; the next panel is asked for on the way.
// CHECK:      kernel.func @contract_{{.}}(%[[x:\d+]]: !kernel.ptr<f32, global>, %[[w:\d+]]: !kernel.ptr<f32, global>, %[[c:\d+]]: !kernel.ptr<f32, global>, %[[y:\d+]]: !kernel.ptr<f32, global>)
// CHECK:        kernel.partition2d %{{.*}} unit [1, 1] prefer rows
// CHECK:        scf.for %[[panel:\d+]] =
// CHECK:          %[[at:\d+]] = kernel.apply [tile.panel * 12288](tile.panel = %[[panel]])
// CHECK:          scf.for %[[row:\d+]] =
// CHECK:            scf.for %[[k:\d+]] = %{{.*}} -> (vector<8x32xf32>)
// CHECK:              kernel.prefetch
// CHECK:              %[[a:\d+]] = kernel.load %{{.*}} stride %{{.*}} -> vector<8xf32>
// CHECK-NEXT:         %[[b:\d+]] = kernel.load %{{.*}} -> vector<32xf32>
// CHECK-NEXT:         kernel.outer_fma %[[a]], %[[b]], %{{.*}} : vector<8xf32>, vector<32xf32>, vector<8x32xf32>
// CHECK:              scf.yield
// CHECK:            %[[bias:\d+]] = kernel.load %[[c]]
// CHECK-NEXT:       %[[biases:\d+]] = kernel.broadcast %[[bias]] as row : vector<32xf32> -> vector<8x32xf32>
// CHECK-NEXT:       %[[r:\d+]] = arith.addf %{{.*}}, %[[biases]] : vector<8x32xf32>
// CHECK:            kernel.store %[[r]], %[[y]][%{{.*}}] stride %{{.*}} : vector<8x32xf32>
// CHECK-NOT:        kernel.outer_fma
// CHECK:      kernel.entry @rlx_main
lir.program @main {
  %x = lir.input @x : !lir.buffer<64 x 384 x f32>
  %w = lir.param @w : !lir.buffer<1536 x 384 x f32>
  %c = lir.param @c : !lir.buffer<1536 x f32>
  %y = lir.output @y : !lir.buffer<64 x 1536 x f32>
  lir.contract (m : 64, n : 1536 | k : 384) ins(%x[m, k], %w[n, k]) extra(%c[n]) outs(%y[m, n]) {
  ^bb0(%a: f32, %b: f32):
    lir.product (%a, %b) : f32
  } epilogue {
  ^bb0(%s: f32, %bias: f32):
    %r = arith.addf %s, %bias : f32
    lir.yield %r : f32
  } : !lir.buffer<64 x 384 x f32>, !lir.buffer<1536 x 384 x f32>, !lir.buffer<1536 x f32>, !lir.buffer<64 x 1536 x f32>
}
