// RUN: rlx-opt %s --split-input-file --verify-diagnostics

// An architecture nobody knows.
// expected-error@+1 {{unknown architecture 'sm_1'; known: sm_80, sm_86, sm_89, sm_90, sm_90a, sm_100, sm_103, sm_120}}
cuda.kernel @k() attributes {arch = "sm_1", block = array<i64: 64>} {
  kernel.return
}

// -----

// Too many threads.
// expected-error@+1 {{a block of sm_90a has at most 1024 threads, found 2048}}
cuda.kernel @k() attributes {arch = "sm_90a", block = array<i64: 1024, 2>} {
  kernel.return
}

// -----

// Too many threads along one axis.
// expected-error@+1 {{a block of sm_90a has 1 to 1024 threads along x, found 0}}
cuda.kernel @k() attributes {arch = "sm_90a", block = array<i64: 0>} {
  kernel.return
}

// -----

// Too much shared memory.
// expected-error@+1 {{a block of sm_90a has at most 232448 bytes of shared memory, found 232464}}
cuda.kernel @k() attributes {arch = "sm_90a", block = array<i64: 64>} {
  %s = cuda.shared 58116 : !kernel.ptr<f32, shared, align 16>
  kernel.return
}

// -----

// Shared memory of another space.
cuda.kernel @k() attributes {arch = "sm_90a", block = array<i64: 64>} {
  // expected-error@+1 {{shared memory is of the address space shared, found !kernel.ptr<f32, global>}}
  %s = cuda.shared 4 : !kernel.ptr<f32, global>
  kernel.return
}

// -----

// An empty allocation.
cuda.kernel @k() attributes {arch = "sm_90a", block = array<i64: 64>} {
  // expected-error@+1 {{shared memory has at least one element, found 0}}
  %s = cuda.shared 0 : !kernel.ptr<f32, shared>
  kernel.return
}

// -----

// Shared memory in a loop.
cuda.kernel @k(%n: index) attributes {arch = "sm_90a", block = array<i64: 64>} {
  scf.for %i = %n to %n step %n {
    // expected-error@+1 {{shared memory is declared at the top of a kernel, found it in scf.for}}
    %s = cuda.shared 4 : !kernel.ptr<f32, shared>
  }
  kernel.return
}

// -----

// An axis.
cuda.kernel @k() attributes {arch = "sm_90a", block = array<i64: 64>} {
  // expected-error@+1 {{an axis is one of x, y, z, found 'w'}}
  %s = cuda.thread_id w
  kernel.return
}

// -----

// A scope.
cuda.kernel @k() attributes {arch = "sm_90a", block = array<i64: 64>} {
  // expected-error@+1 {{a scope is one of block, device, system, found 'grid'}}
  cuda.fence grid
  kernel.return
}

// -----

// Shuffles.
cuda.kernel @k(%v: f32, %o: i32) attributes {arch = "sm_90a", block = array<i64: 64>} {
  // expected-error@+1 {{a shuffle is one of xor, up, down, idx, found 'left'}}
  %w = cuda.shuffle left %v, %o : f32
  kernel.return
}

// -----

// A shuffle of a vector.
cuda.kernel @k(%v: vector<4xf32>, %o: i32) attributes {arch = "sm_90a", block = array<i64: 64>} {
  // expected-error@+1 {{a shuffle moves scalars, found vector<4xf32>}}
  %w = cuda.shuffle xor %v, %o : vector<4xf32>
  kernel.return
}

// -----

// Reductions.
cuda.kernel @k(%v: f32) attributes {arch = "sm_90a", block = array<i64: 64>} {
  // expected-error@+1 {{a reduction is one of add, mul, maximumf, minimumf, maxsi, minsi, maxui, minui, and, or, xor, found 'sub'}}
  %w = cuda.subgroup_reduce sub %v : f32
  kernel.return
}

// -----

// An integer reduction of a float.
cuda.kernel @k(%v: f32) attributes {arch = "sm_90a", block = array<i64: 64>} {
  // expected-error@+1 {{'maxsi' does not reduce f32}}
  %w = cuda.subgroup_reduce maxsi %v : f32
  kernel.return
}

// -----

// Votes.
cuda.kernel @k(%v: i1) attributes {arch = "sm_90a", block = array<i64: 64>} {
  // expected-error@+1 {{a vote is any or all, found 'most'}}
  %w = cuda.vote most %v
  kernel.return
}

// -----

// Atomics.
cuda.kernel @k(%v: f32, %p: !kernel.ptr<f32, global>, %i: index) attributes {arch = "sm_90a", block = array<i64: 64>} {
  // expected-error@+1 {{there is no atomic 'and' of f32}}
  %w = cuda.atomic and %v, %p[%i] : !kernel.ptr<f32, global>
  kernel.return
}

// -----

// A kernel returns nothing.
// expected-error@+1 {{a kernel returns nothing}}
cuda.kernel @k(%v: f32) -> f32 attributes {arch = "sm_90a", block = array<i64: 64>} {
  kernel.return %v : f32
}

// -----

// A launch inside a kernel.
cuda.kernel @k(%n: index) attributes {arch = "sm_90a", block = array<i64: 64>} {
  // expected-error@+1 {{cuda.launch stands in kernel.entry, found it in cuda.kernel}}
  cuda.launch @k grid(%n) ()
  kernel.return
}

// -----

// A grid of four extents.
kernel.entry @e {
  %n = kernel.dim 0
  // expected-error@+1 {{a grid has one to three extents, found 4}}
  cuda.launch @k grid(%n, %n, %n, %n) ()
  kernel.return
}
