// RUN: rlx-opt %s --split-input-file --verify-diagnostics

// The pointee and the accessed type.
kernel.func @f(%p: !kernel.ptr<f32, global>, %i: index) {
  // expected-error@+1 {{the pointer is to f32, but the accessed value has element type i32}}
  %v = kernel.load %p[%i] : !kernel.ptr<f32, global> -> vector<16xi32>
  kernel.return
}

// -----

// A tile without a stride.
kernel.func @f(%p: !kernel.ptr<f32, global>, %i: index) {
  // expected-error@+1 {{an access of vector<8x16xf32> needs 'stride', the distance of its rows in elements}}
  %v = kernel.load %p[%i] : !kernel.ptr<f32, global> -> vector<8x16xf32>
  kernel.return
}

// -----

// A scalar with a stride.
kernel.func @f(%p: !kernel.ptr<f32, global>, %i: index) {
  // expected-error@+1 {{a scalar access takes neither 'stride' nor 'mask'; use scf.if}}
  %v = kernel.load %p[%i] stride %i : !kernel.ptr<f32, global> -> f32
  kernel.return
}

// -----

// Rank 3.
kernel.func @f(%p: !kernel.ptr<f32, global>, %i: index) {
  // expected-error@+1 {{the accessed value has type vector<2x2x2xf32>; vectors have one or two static dims, all positive}}
  %v = kernel.load %p[%i] stride %i : !kernel.ptr<f32, global> -> vector<2x2x2xf32>
  kernel.return
}

// -----

// A fill without a mask.
kernel.func @f(%p: !kernel.ptr<f32, global>, %i: index, %f: f32) {
  // expected-error@+1 {{'else' without 'mask': there is no lane to fill}}
  %v = kernel.load %p[%i] else %f : !kernel.ptr<f32, global> -> vector<4xf32>
  kernel.return
}

// -----

// A mask of another shape.
kernel.func @f(%p: !kernel.ptr<f32, global>, %i: index, %m: vector<8xi1>) {
  // expected-error@+1 {{the mask of an access of vector<16xf32> has type vector<16xi1>, found vector<8xi1>}}
  %v = "kernel.load"(%p, %i, %m) <{operandSegmentSizes = array<i32: 1, 1, 0, 1, 0>}> : (!kernel.ptr<f32, global>, index, vector<8xi1>) -> vector<16xf32>
  kernel.return
}

// -----

// A store of another element type.
kernel.func @f(%p: !kernel.ptr<bf16, global>, %i: index, %v: vector<8xf32>) {
  // expected-error@+1 {{the pointer is to bf16, but the accessed value has element type f32}}
  kernel.store %v, %p[%i] : vector<8xf32>, !kernel.ptr<bf16, global>
  kernel.return
}

// -----

// Indices of another shape.
kernel.func @f(%p: !kernel.ptr<f32, global>, %i: vector<8xindex>) {
  // expected-error@+1 {{vector<16xf32> needs a vector of 16 integer indices, found vector<8xindex>}}
  %v = kernel.gather %p[%i] : !kernel.ptr<f32, global>, vector<8xindex> -> vector<16xf32>
  kernel.return
}

// -----

// An offset into another space.
kernel.func @f(%p: !kernel.ptr<f32, global>, %i: index) {
  // expected-error@+1 {{an offset keeps element type and address space}}
  %q = kernel.offset %p, %i : !kernel.ptr<f32, global> -> !kernel.ptr<f32, shared>
  kernel.return
}

// -----

// A cast into another space.
kernel.func @f(%p: !kernel.ptr<f32, global>) {
  // expected-error@+1 {{a cast keeps the address space}}
  %q = kernel.ptr_cast %p : !kernel.ptr<f32, global> to !kernel.ptr<i32, shared>
  kernel.return
}

// -----

// A locality there is not.
kernel.func @f(%p: !kernel.ptr<f32, global>, %i: index) {
  // expected-error@+1 {{locality is 0, 1, 2 or 3, found 4}}
  kernel.prefetch %p[%i] locality 4 : !kernel.ptr<f32, global>
  kernel.return
}

// -----

// Scratch in another space.
kernel.func @f() {
  // expected-error@+1 {{an alloca is private, found address space 'global'}}
  %p = kernel.alloca 16 : !kernel.ptr<f32, global>
  kernel.return
}

// -----

// Too much scratch.
kernel.func @f() {
  // expected-error@+1 {{an alloca takes 1 byte to 1 MiB}}
  %p = kernel.alloca 1048576 : !kernel.ptr<f32, private>
  kernel.return
}

// -----

// A 1-D vector without a role.
kernel.func @f(%v: vector<8xf32>) {
  // expected-error@+1 {{a 1-D vector is broadcast 'as row' or 'as column' of a 2-D one; 'as' is missing}}
  %t = kernel.broadcast %v : vector<8xf32> -> vector<8x32xf32>
  kernel.return
}

// -----

// A row of another length.
kernel.func @f(%v: vector<8xf32>) {
  // expected-error@+1 {{vector<8xf32> as row of vector<8x32xf32>: the row has 32 elements}}
  %t = kernel.broadcast %v as row : vector<8xf32> -> vector<8x32xf32>
  kernel.return
}

// -----

// A product of other shapes.
kernel.func @f(%a: vector<8xf32>, %b: vector<16xf32>, %t: vector<8x32xf32>) {
  // expected-error@+1 {{the tile vector<8x32xf32> needs 8 elements of a and 32 of b, found vector<8xf32> and vector<16xf32>}}
  %r = kernel.outer_fma %a, %b, %t : vector<8xf32>, vector<16xf32>, vector<8x32xf32>
  kernel.return
}

// -----

// A product of mixed types.
kernel.func @f(%a: vector<8xbf16>, %b: vector<32xbf16>, %t: vector<8x32xf32>) {
  // expected-error@+1 {{a, b and acc have one float element type; kernel.outer_dot widens}}
  %r = kernel.outer_fma %a, %b, %t : vector<8xbf16>, vector<32xbf16>, vector<8x32xf32>
  kernel.return
}

// -----

// A dot of a kind there is not.
kernel.func @f(%a: vector<8xi32>, %b: vector<32xi32>, %t: vector<8x32xf32>) {
  // expected-error@+1 {{no product 'f32'; there are: bf16, f16, s8s8, u8s8}}
  %r = kernel.outer_dot f32 %a, %b, %t : vector<8xi32>, vector<32xi32>, vector<8x32xf32>
  kernel.return
}

// -----

// A dot of bytes in floats.
kernel.func @f(%a: vector<8xi32>, %b: vector<32xi32>, %t: vector<8x32xf32>) {
  // expected-error@+1 {{'u8s8' accumulates in i32, found vector<8x32xf32>}}
  %r = kernel.outer_dot u8s8 %a, %b, %t : vector<8xi32>, vector<32xi32>, vector<8x32xf32>
  kernel.return
}

// -----

// A dot of other shapes.
kernel.func @f(%a: vector<4xi32>, %b: vector<32xi32>, %t: vector<8x32xf32>) {
  // expected-error@+1 {{the tile vector<8x32xf32> needs 8 words of a and 32 of b, found vector<4xi32> and vector<32xi32>}}
  %r = kernel.outer_dot bf16 %a, %b, %t : vector<4xi32>, vector<32xi32>, vector<8x32xf32>
  kernel.return
}

// -----

// A reduction there is not.
kernel.func @f(%v: vector<8xf32>) {
  // expected-error@+1 {{no reduction 'maxsi' of f32; there are: add, mul, maximumf, minimumf, maxnumf, minnumf}}
  %r = kernel.reduce maxsi %v : vector<8xf32> -> f32
  kernel.return
}

// -----

// Columns of a 1-D vector.
kernel.func @f(%v: vector<8xf32>) {
  // expected-error@+1 {{'over columns' and 'over rows' take a 2-D vector, found 'over columns' of vector<8xf32>}}
  %r = kernel.reduce add %v over columns : vector<8xf32> -> f32
  kernel.return
}

// -----

// A reduction to another type.
kernel.func @f(%v: vector<8x4xf32>) {
  // expected-error@+1 {{the result has type vector<8xf32>, found vector<4xf32>}}
  %r = kernel.reduce add %v over columns : vector<8x4xf32> -> vector<4xf32>
  kernel.return
}

// -----

// A transpose of another shape.
kernel.func @f(%v: vector<8x4xf32>) {
  // expected-error@+1 {{the transpose of vector<8x4xf32> is not vector<8x4xf32>}}
  %r = kernel.transpose %v : vector<8x4xf32> -> vector<8x4xf32>
  kernel.return
}

// -----

// A tile mask from one count.
kernel.func @f(%n: index) {
  // expected-error@+1 {{1 counts make a 1-D vector of i1, found vector<8x16xi1>}}
  %m = kernel.mask %n : vector<8x16xi1>
  kernel.return
}

// -----

// A pattern outside.
kernel.func @f(%v: vector<4xf32>) {
  // expected-error@+1 {{the pattern [0, 8] leaves the 8 lanes of both vectors}}
  %r = kernel.shuffle %v, %v [0, 8] : vector<4xf32> -> vector<2xf32>
  kernel.return
}

// -----

// A lane outside.
kernel.func @f(%v: vector<4xf32>) {
  // expected-error@+1 {{place 4 is outside the 4 of vector<4xf32>}}
  %r = kernel.extract %v[4] : vector<4xf32>
  kernel.return
}

// -----

// A row of another length inserted.
kernel.func @f(%v: vector<4xf32>, %t: vector<2x8xf32>) {
  // expected-error@+1 {{vector<2x8xf32> takes a vector<8xf32> at one place, found vector<4xf32>}}
  %r = kernel.insert %v, %t[0] : vector<4xf32>, vector<2x8xf32>
  kernel.return
}

// -----

// An integer predicate on floats.
kernel.func @f(%v: vector<4xf32>) {
  // expected-error@+1 {{no predicate 'slt' of f32}}
  %r = kernel.cmp slt %v, %v : vector<4xf32>
  kernel.return
}

// -----

// A cast to a narrower float.
kernel.func @f(%v: vector<4xf32>) {
  // expected-error@+1 {{'extf' does not convert f32 to bf16}}
  %r = kernel.cast extf %v : vector<4xf32> to vector<4xbf16>
  kernel.return
}

// -----

// A cast to another shape.
kernel.func @f(%v: vector<4xf32>) {
  // expected-error@+1 {{a cast keeps the shape, found vector<4xf32> to vector<8xi32>}}
  %r = kernel.cast fptosi %v : vector<4xf32> to vector<8xi32>
  kernel.return
}

// -----

// A symbol without a value.
kernel.func @f(%i: index) {
  // expected-error@+1 {{'i + j' uses j, which no operand binds}}
  %r = kernel.apply [i + j](i = %i)
  kernel.return
}

// -----

// A unit of zero.
kernel.func @f(%n: index) {
  // expected-error@+1 {{a unit is positive, found 0}}
  %lo, %hi = kernel.partition %n unit 0
  kernel.return
}

// -----

// A preference there is not.
kernel.func @f(%n: index) {
  // expected-error@+1 {{prefer rows or columns, found 'depth'}}
  %a, %b, %c, %d = kernel.partition2d %n, %n unit [1, 1] prefer depth
  kernel.return
}

// -----

// An interruptible barrier in a kernel.
kernel.func @f() {
  // expected-error@+1 {{an interruptible barrier stands in kernel.entry: a kernel cannot leave it}}
  kernel.barrier interruptible
  kernel.return
}

// -----

// A buffer in a kernel.
kernel.func @f() {
  // expected-error@+1 {{kernel.buffer stands in kernel.entry, found it in kernel.func}}
  %x = kernel.buffer 0 : !kernel.ptr<f32, global>
  kernel.return
}

// -----

// A guard in a kernel.
kernel.func @f(%c: i1) {
  // expected-error@+1 {{kernel.guard stands in kernel.plan, found it in kernel.func}}
  kernel.guard 0, %c
  kernel.return
}

// -----

// A combine region that yields other types.
kernel.func @f(%v: vector<4xf32>) {
  // expected-error@+1 {{the combine region ends in kernel.yield of f32}}
  %r = kernel.reduce_with (%v) : vector<4xf32> {
  ^bb0(%a: f32, %b: f32):
    %c = arith.constant 1 : i32
    kernel.yield %c : i32
  }
  kernel.return
}

// -----

// A return of another type.
// expected-error@+1 {{the body must end in kernel.return of f32}}
kernel.func @f(%v: i32) -> f32 {
  kernel.return %v : i32
}

// -----

// A size marked as a pointer without aliases.
// expected-error@+1 {{argument 0 is marked kernel.noalias but has type index, not a pointer}}
kernel.func @f(%n: index {kernel.noalias}) {
  kernel.return
}

// -----

// A plan runs before the team.
kernel.plan @p {
  // expected-error@+1 {{kernel.barrier in kernel.plan: a plan runs on one thread, before the call}}
  kernel.barrier
  kernel.return
}

// -----

// An alignment that is no power of two.
// expected-error@+1 {{alignment 48 is not a power of two}}
kernel.func @f(%p: !kernel.ptr<f32, global, align 48>) {
  kernel.return
}

// -----

// An address space there is not.
// expected-error@+1 {{unknown address space 'texture'; known: global, shared, private, constant}}
kernel.func @f(%p: !kernel.ptr<f32, texture>) {
  kernel.return
}
