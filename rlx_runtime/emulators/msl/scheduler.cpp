// Runs the threads of a grid on fibers: block after block, in a block simdgroup after simdgroup, each lane up to where it has to
// wait. Every access to memory that the kernels make is checked first: clang's kernel address sanitizer calls the functions below
// instead of a runtime of its own.
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

namespace {

constexpr int kLanes = 32, kMaxThreads = 1024, kSlot = 16;
constexpr size_t kStack = size_t(2) << 20;  // mapped, not used: scratch of a thread is 1 MiB at most
enum State { kNew, kReady, kAtBarrier, kInSimdgroup, kDone };
enum Code { kBlockSize = 1, kBounds, kAlignment, kBarrier, kCollective, kMemory };

struct Fiber {
  ucontext_t context;
  char* stack;
  int thread;
};
struct Thread {
  State state;
  Fiber* fiber;
  int line;  // of the text, where it waits
  char slots[2][kSlot];
  int turn;
};
struct alignas(16) Ids {  // as rlx_msl_ids: vectors of three are as large as four
  unsigned thread[4], group[4], groups[4];
  unsigned lane, simdgroup;
};
typedef void (*Body)(void** params, const void* ids);

// What a function handle points to; the driver writes it.
struct Function {
  Body body;
  int64_t max_threads;
  int64_t module;  // whose threadgroup memory is poisoned
  int64_t* context;
};
// Words of the context: the table of allocations (count, then begin and end of each, ascending), the order, the report.
enum { kTable, kReverse, kReport };

struct Range {
  uintptr_t begin, end;
};
struct Global {  // what the sanitizer registers
  uintptr_t begin, size, size_with_gap;
  const char* name;
  uintptr_t rest[4];
};
constexpr int kMaxGlobals = 1 << 16;
struct Shared {
  uintptr_t begin, size;
  int64_t module;
};
Shared globals[kMaxGlobals];
int global_count = 0;
int64_t modules = 0;

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
Thread threads[kMaxThreads];
Fiber fibers[kMaxThreads];
Fiber* idle[kMaxThreads];
int idle_count, fiber_count;
ucontext_t scheduler;
int current, size, block_x, block_y;
bool reverse, failed;
Ids ids;
void** params;
Function* function;
int64_t* report;
Range last;

void fail(Code code, int64_t a, int64_t b, int64_t line = 0, int64_t other_line = 0) {
  if (failed) return;
  failed = true;
  const int64_t words[] = {code, ids.group[0], ids.group[1], ids.group[2], current, a, b, line, other_line, block_x, block_y};
  memcpy(report, words, sizeof words);
}

int simdgroup_begin() { return current / kLanes * kLanes; }
int simdgroup_end() { return simdgroup_begin() + kLanes < size ? simdgroup_begin() + kLanes : size; }

void yield() { swapcontext(&threads[current].fiber->context, &scheduler); }

void wait(State state, int line) {
  threads[current].state = state;
  threads[current].line = line;
  yield();
}

// -- memory

bool is_allowed(uintptr_t begin, uintptr_t end) {
  const uintptr_t stack = (uintptr_t)threads[current].fiber->stack;
  if (begin >= stack && end <= stack + kStack) return true;
  const int64_t* table = (const int64_t*)function->context[kTable];
  int64_t low = 0, high = table[0];
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if ((uintptr_t)table[1 + 2 * middle] <= begin) low = middle + 1;
    else high = middle;
  }
  if (low > 0 && end <= (uintptr_t)table[2 * low]) {
    last = {(uintptr_t)table[2 * low - 1], (uintptr_t)table[2 * low]};
    return true;
  }
  for (int i = 0; i < global_count; ++i) {
    if (begin >= globals[i].begin && end <= globals[i].begin + globals[i].size) {
      if (globals[i].module != function->module) return false;
      last = {globals[i].begin, globals[i].begin + globals[i].size};
      return true;
    }
  }
  return false;
}

void check(uintptr_t address, size_t bytes, bool aligned) {
  if (aligned && address % bytes) fail(kAlignment, address, bytes);
  else if ((address < last.begin || address + bytes > last.end) && !is_allowed(address, address + bytes)) {
    fail(kBounds, address, bytes);
  }
  if (failed) yield();  // and never comes back
}

// -- threads

void run_thread(int number) {
  current = number;
  Thread& t = threads[number];
  t.fiber->thread = number;
  Ids mine = ids;
  mine.thread[0] = number % block_x;
  mine.thread[1] = number / block_x % block_y;
  mine.thread[2] = number / (block_x * block_y);
  mine.lane = number % kLanes;
  mine.simdgroup = number / kLanes;
  function->body(params, &mine);
  threads[current].state = kDone;
}

// The next lane of the simdgroup that has not begun, or -1.
int unborn() {
  const int begin = simdgroup_begin(), end = simdgroup_end();
  for (int i = 0; i < end - begin; ++i) {
    const int number = reverse ? end - 1 - i : begin + i;
    if (threads[number].state == kNew) return number;
  }
  return -1;
}

void fiber_main() {
  for (;;) {
    run_thread(current);
    // A lane that did not have to wait leaves its stack to the next one.
    const int next = unborn();
    if (next < 0) {
      Fiber* mine = threads[current].fiber;
      idle[idle_count++] = mine;
      swapcontext(&mine->context, &scheduler);
    } else {
      threads[next].fiber = threads[current].fiber;
      current = next;
    }
  }
}

bool resume(int number) {
  Thread& t = threads[number];
  current = number;
  if (t.state == kNew) {
    if (!idle_count) {
      Fiber& made = fibers[fiber_count];
      made.stack = (char*)mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (made.stack == MAP_FAILED) {
        fail(kMemory, 0, 0);
        return false;
      }
      ++fiber_count;
      idle[idle_count++] = &made;
    }
    t.fiber = idle[--idle_count];
    getcontext(&t.fiber->context);
    t.fiber->context.uc_stack.ss_sp = t.fiber->stack;
    t.fiber->context.uc_stack.ss_size = kStack;
    t.fiber->context.uc_link = nullptr;
    makecontext(&t.fiber->context, fiber_main, 0);
  }
  swapcontext(&scheduler, &t.fiber->context);
  return !failed;
}

// Lets those that wait in `state` go on. They must be all of [begin, end), and in one place.
bool release(int begin, int end, State state, Code code) {
  int waiting = -1;
  for (int i = begin; i < end; ++i) {
    if (threads[i].state == state && waiting < 0) waiting = i;
  }
  for (int i = begin; i < end; ++i) {
    if (threads[i].state != state || threads[i].line != threads[waiting].line) {
      current = waiting;
      fail(code, i, threads[i].state, threads[waiting].line, threads[i].line);
      return false;
    }
  }
  for (int i = begin; i < end; ++i) threads[i].state = kReady;
  return true;
}

bool run_simdgroup(int begin) {
  const int end = begin + kLanes < size ? begin + kLanes : size;
  for (;;) {
    for (int i = 0; i < end - begin; ++i) {
      const int number = reverse ? end - 1 - i : begin + i;
      if (threads[number].state <= kReady && !resume(number)) return false;
    }
    bool together = false;
    for (int i = begin; i < end; ++i) together |= threads[i].state == kInSimdgroup;
    if (!together) return true;
    if (!release(begin, end, kInSimdgroup, kCollective)) return false;
  }
}

bool run_block() {
  for (int i = 0; i < global_count; ++i) {
    if (globals[i].module == function->module) memset((void*)globals[i].begin, 0xFF, globals[i].size);
  }
  for (int i = 0; i < size; ++i) threads[i].state = kNew, threads[i].turn = 0;
  const int groups = (size + kLanes - 1) / kLanes;
  for (;;) {
    for (int g = 0; g < groups; ++g) {
      if (!run_simdgroup(kLanes * (reverse ? groups - 1 - g : g))) return false;
    }
    int waiting = 0;
    for (int i = 0; i < size; ++i) waiting += threads[i].state == kAtBarrier;
    if (!waiting) return true;
    if (!release(0, size, kAtBarrier, kBarrier)) return false;
  }
}

int run_grid(const unsigned* grid) {
  memcpy(ids.groups, grid, 3 * sizeof *grid);
  const uint64_t blocks = (uint64_t)grid[0] * grid[1] * grid[2];
  for (uint64_t i = 0; i < blocks; ++i) {
    const uint64_t number = reverse ? blocks - 1 - i : i;
    ids.group[0] = number % grid[0];
    ids.group[1] = number / grid[0] % grid[1];
    ids.group[2] = number / grid[0] / grid[1];
    if (!run_block()) return (int)report[0];
  }
  return 0;
}

}  // namespace

extern "C" {

// The signature of cuLaunchKernel.
int rlx_msl_launch(void* handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned,
                   void*, void** arguments, void**) {
  pthread_mutex_lock(&mutex);
  function = (Function*)handle;
  report = function->context + kReport;
  reverse = function->context[kReverse] != 0;
  params = arguments;
  size = bx * by * bz, block_x = bx, block_y = by;
  failed = false, last = {0, 0}, current = 0;
  idle_count = 0;
  for (int i = 0; i < fiber_count; ++i) idle[idle_count++] = &fibers[i];
  const unsigned grid[] = {gx, gy, gz};
  int code = 0;
  if (size < 1 || size > kMaxThreads || size > function->max_threads) {
    fail(kBlockSize, size, function->max_threads);
    code = kBlockSize;
  } else {
    code = run_grid(grid);
  }
  pthread_mutex_unlock(&mutex);
  return code;
}

// The number of the module that is loaded next: what it registers belongs to it.
int64_t rlx_msl_next_module() { return ++modules; }

void __asan_register_globals(const Global* found, uintptr_t count) {
  for (uintptr_t i = 0; i < count && global_count < kMaxGlobals; ++i) {
    // Variables of functions are the arrays of threadgroups; nothing else is written to.
    if (strstr(found[i].name, ")::")) globals[global_count++] = {found[i].begin, found[i].size, modules};
  }
}
void __asan_unregister_globals(const Global*, uintptr_t) {}

#define RLX_CHECKED(n) \
  void __asan_load##n##_noabort(uintptr_t address) { check(address, n, true); } \
  void __asan_store##n##_noabort(uintptr_t address) { check(address, n, true); }
RLX_CHECKED(1) RLX_CHECKED(2) RLX_CHECKED(4) RLX_CHECKED(8) RLX_CHECKED(16)
void __asan_loadN_noabort(uintptr_t address, uintptr_t bytes) { check(address, bytes, false); }
void __asan_storeN_noabort(uintptr_t address, uintptr_t bytes) { check(address, bytes, false); }
void __asan_handle_no_return() {}
void* __asan_memcpy(void* to, const void* from, uintptr_t bytes) { return memcpy(to, from, bytes); }
void* __asan_memset(void* to, int value, uintptr_t bytes) { return memset(to, value, bytes); }
void* __asan_memmove(void* to, const void* from, uintptr_t bytes) { return memmove(to, from, bytes); }

void rlx_msl_threadgroup_barrier(int line) { wait(kAtBarrier, line); }
void rlx_msl_simdgroup_barrier(int line) { wait(kInSimdgroup, line); }
unsigned rlx_msl_lane() { return current % kLanes; }

// A value of every lane lies in its slot while the others read it; turns alternate, so that nobody writes too soon.
void rlx_msl_gather(const void* mine, void* all, unsigned bytes, int line) {
  const int turn = threads[current].turn ^= 1;
  memcpy(threads[current].slots[turn], mine, bytes);
  wait(kInSimdgroup, line);
  memset(all, 0xFF, kLanes * bytes);
  for (int i = simdgroup_begin(); i < simdgroup_end(); ++i) memcpy((char*)all + (i % kLanes) * bytes, threads[i].slots[turn], bytes);
}
void rlx_msl_shuffle(const void* mine, void* out, unsigned bytes, unsigned lane, int line) {
  const int turn = threads[current].turn ^= 1;
  memcpy(threads[current].slots[turn], mine, bytes);
  wait(kInSimdgroup, line);
  const int other = simdgroup_begin() + (int)lane;
  if (lane < kLanes && other < simdgroup_end()) memcpy(out, threads[other].slots[turn], bytes);
  else memset(out, 0xFF, bytes);
}
}
