// RUN: rlx-opt %s --split-input-file --verify-diagnostics

// An architecture nobody knows.
// expected-error@+1 {{unknown architecture 'sm_1'; known: apple7, apple8, apple9}}
metal.kernel @k() attributes {arch = "sm_1", block = array<i64: 64>} {
  kernel.return
}

// -----

// Too many threads.
// expected-error@+1 {{a block of apple9 has at most 1024 threads, found 2048}}
metal.kernel @k() attributes {arch = "apple9", block = array<i64: 1024, 2>} {
  kernel.return
}

// -----

// Too many threads along one axis.
// expected-error@+1 {{a block of apple9 has 1 to 1024 threads along x, found 0}}
metal.kernel @k() attributes {arch = "apple9", block = array<i64: 0>} {
  kernel.return
}

// -----

// Too much shared memory.
// expected-error@+1 {{a block of apple9 has at most 32768 bytes of shared memory, found 32784}}
metal.kernel @k() attributes {arch = "apple9", block = array<i64: 64>} {
  %s = metal.shared 8196 : !kernel.ptr<f32, shared, align 16>
  kernel.return
}

// -----

// Shared memory of another space.
metal.kernel @k() attributes {arch = "apple9", block = array<i64: 64>} {
  // expected-error@+1 {{shared memory is of the address space shared, found !kernel.ptr<f32, global>}}
  %s = metal.shared 4 : !kernel.ptr<f32, global>
  kernel.return
}

// -----

// An empty allocation.
metal.kernel @k() attributes {arch = "apple9", block = array<i64: 64>} {
  // expected-error@+1 {{shared memory has at least one element, found 0}}
  %s = metal.shared 0 : !kernel.ptr<f32, shared>
  kernel.return
}

// -----

// Shared memory in a loop.
metal.kernel @k(%n: index) attributes {arch = "apple9", block = array<i64: 64>} {
  scf.for %i = %n to %n step %n {
    // expected-error@+1 {{shared memory is declared at the top of a kernel, found it in scf.for}}
    %s = metal.shared 4 : !kernel.ptr<f32, shared>
  }
  kernel.return
}

// -----

// An axis.
metal.kernel @k() attributes {arch = "apple9", block = array<i64: 64>} {
  // expected-error@+1 {{an axis is one of x, y, z, found 'w'}}
  %s = metal.thread_id w
  kernel.return
}

// -----

// A scope.
metal.kernel @k() attributes {arch = "apple9", block = array<i64: 64>} {
  // expected-error@+1 {{a scope is one of block, device, system, found 'grid'}}
  metal.fence grid
  kernel.return
}

// -----

// Shuffles.
metal.kernel @k(%v: f32, %o: i32) attributes {arch = "apple9", block = array<i64: 64>} {
  // expected-error@+1 {{a shuffle is one of xor, up, down, idx, found 'left'}}
  %w = metal.shuffle left %v, %o : f32
  kernel.return
}

// -----

// A shuffle of a vector.
metal.kernel @k(%v: vector<4xf32>, %o: i32) attributes {arch = "apple9", block = array<i64: 64>} {
  // expected-error@+1 {{a shuffle moves scalars, found vector<4xf32>}}
  %w = metal.shuffle xor %v, %o : vector<4xf32>
  kernel.return
}

// -----

// Reductions.
metal.kernel @k(%v: f32) attributes {arch = "apple9", block = array<i64: 64>} {
  // expected-error@+1 {{a reduction is one of add, mul, maximumf, minimumf, maxsi, minsi, maxui, minui, and, or, xor, found 'sub'}}
  %w = metal.subgroup_reduce sub %v : f32
  kernel.return
}

// -----

// An integer reduction of a float.
metal.kernel @k(%v: f32) attributes {arch = "apple9", block = array<i64: 64>} {
  // expected-error@+1 {{'maxsi' does not reduce f32}}
  %w = metal.subgroup_reduce maxsi %v : f32
  kernel.return
}

// -----

// Votes.
metal.kernel @k(%v: i1) attributes {arch = "apple9", block = array<i64: 64>} {
  // expected-error@+1 {{a vote is any or all, found 'most'}}
  %w = metal.vote most %v
  kernel.return
}

// -----

// Atomics.
metal.kernel @k(%v: f32, %p: !kernel.ptr<f32, global>, %i: index) attributes {arch = "apple9", block = array<i64: 64>} {
  // expected-error@+1 {{there is no atomic 'and' of f32}}
  %w = metal.atomic and %v, %p[%i] : !kernel.ptr<f32, global>
  kernel.return
}

// -----

// A kernel returns nothing.
// expected-error@+1 {{a kernel returns nothing}}
metal.kernel @k(%v: f32) -> f32 attributes {arch = "apple9", block = array<i64: 64>} {
  kernel.return %v : f32
}

// -----

// A launch inside a kernel.
metal.kernel @k(%n: index) attributes {arch = "apple9", block = array<i64: 64>} {
  // expected-error@+1 {{metal.launch stands in kernel.entry, found it in metal.kernel}}
  metal.launch @k grid(%n) ()
  kernel.return
}

// -----

// A grid of four extents.
kernel.entry @e {
  %n = kernel.dim 0
  // expected-error@+1 {{a grid has one to three extents, found 4}}
  metal.launch @k grid(%n, %n, %n, %n) ()
  kernel.return
}
