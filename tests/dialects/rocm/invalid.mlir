// RUN: rlx-opt %s --split-input-file --verify-diagnostics

// An architecture nobody knows.
// expected-error@+1 {{unknown architecture 'sm_1'; known: gfx90a, gfx942, gfx950, gfx1100, gfx1201}}
rocm.kernel @k() attributes {arch = "sm_1", block = array<i64: 64>} {
  kernel.return
}

// -----

// Too many threads.
// expected-error@+1 {{a block of gfx942 has at most 1024 threads, found 2048}}
rocm.kernel @k() attributes {arch = "gfx942", block = array<i64: 1024, 2>} {
  kernel.return
}

// -----

// Too many threads along one axis.
// expected-error@+1 {{a block of gfx942 has 1 to 1024 threads along x, found 0}}
rocm.kernel @k() attributes {arch = "gfx942", block = array<i64: 0>} {
  kernel.return
}

// -----

// Too much shared memory.
// expected-error@+1 {{a block of gfx942 has at most 65536 bytes of shared memory, found 65552}}
rocm.kernel @k() attributes {arch = "gfx942", block = array<i64: 64>} {
  %s = rocm.shared 16388 : !kernel.ptr<f32, shared, align 16>
  kernel.return
}

// -----

// Shared memory of another space.
rocm.kernel @k() attributes {arch = "gfx942", block = array<i64: 64>} {
  // expected-error@+1 {{shared memory is of the address space shared, found !kernel.ptr<f32, global>}}
  %s = rocm.shared 4 : !kernel.ptr<f32, global>
  kernel.return
}

// -----

// An empty allocation.
rocm.kernel @k() attributes {arch = "gfx942", block = array<i64: 64>} {
  // expected-error@+1 {{shared memory has at least one element, found 0}}
  %s = rocm.shared 0 : !kernel.ptr<f32, shared>
  kernel.return
}

// -----

// Shared memory in a loop.
rocm.kernel @k(%n: index) attributes {arch = "gfx942", block = array<i64: 64>} {
  scf.for %i = %n to %n step %n {
    // expected-error@+1 {{shared memory is declared at the top of a kernel, found it in scf.for}}
    %s = rocm.shared 4 : !kernel.ptr<f32, shared>
  }
  kernel.return
}

// -----

// An axis.
rocm.kernel @k() attributes {arch = "gfx942", block = array<i64: 64>} {
  // expected-error@+1 {{an axis is one of x, y, z, found 'w'}}
  %s = rocm.thread_id w
  kernel.return
}

// -----

// A scope.
rocm.kernel @k() attributes {arch = "gfx942", block = array<i64: 64>} {
  // expected-error@+1 {{a scope is one of block, device, system, found 'grid'}}
  rocm.fence grid
  kernel.return
}

// -----

// Shuffles.
rocm.kernel @k(%v: f32, %o: i32) attributes {arch = "gfx942", block = array<i64: 64>} {
  // expected-error@+1 {{a shuffle is one of xor, up, down, idx, found 'left'}}
  %w = rocm.shuffle left %v, %o : f32
  kernel.return
}

// -----

// A shuffle of a vector.
rocm.kernel @k(%v: vector<4xf32>, %o: i32) attributes {arch = "gfx942", block = array<i64: 64>} {
  // expected-error@+1 {{a shuffle moves scalars, found vector<4xf32>}}
  %w = rocm.shuffle xor %v, %o : vector<4xf32>
  kernel.return
}

// -----

// Reductions.
rocm.kernel @k(%v: f32) attributes {arch = "gfx942", block = array<i64: 64>} {
  // expected-error@+1 {{a reduction is one of add, mul, maximumf, minimumf, maxsi, minsi, maxui, minui, and, or, xor, found 'sub'}}
  %w = rocm.subgroup_reduce sub %v : f32
  kernel.return
}

// -----

// An integer reduction of a float.
rocm.kernel @k(%v: f32) attributes {arch = "gfx942", block = array<i64: 64>} {
  // expected-error@+1 {{'maxsi' does not reduce f32}}
  %w = rocm.subgroup_reduce maxsi %v : f32
  kernel.return
}

// -----

// Votes.
rocm.kernel @k(%v: i1) attributes {arch = "gfx942", block = array<i64: 64>} {
  // expected-error@+1 {{a vote is any or all, found 'most'}}
  %w = rocm.vote most %v
  kernel.return
}

// -----

// Atomics.
rocm.kernel @k(%v: f32, %p: !kernel.ptr<f32, global>, %i: index) attributes {arch = "gfx942", block = array<i64: 64>} {
  // expected-error@+1 {{there is no atomic 'and' of f32}}
  %w = rocm.atomic and %v, %p[%i] : !kernel.ptr<f32, global>
  kernel.return
}

// -----

// A kernel returns nothing.
// expected-error@+1 {{a kernel returns nothing}}
rocm.kernel @k(%v: f32) -> f32 attributes {arch = "gfx942", block = array<i64: 64>} {
  kernel.return %v : f32
}

// -----

// A launch inside a kernel.
rocm.kernel @k(%n: index) attributes {arch = "gfx942", block = array<i64: 64>} {
  // expected-error@+1 {{rocm.launch stands in kernel.entry, found it in rocm.kernel}}
  rocm.launch @k grid(%n) ()
  kernel.return
}

// -----

// A grid of four extents.
kernel.entry @e {
  %n = kernel.dim 0
  // expected-error@+1 {{a grid has one to three extents, found 4}}
  rocm.launch @k grid(%n, %n, %n, %n) ()
  kernel.return
}
