// Runs the kernels on the host as a card would: every thread of a block is a coroutine that waits at barriers and at
// exchanges between the lanes of a warp. Threads take turns in an order that changes all the time, so that a barrier
// that is missing shows; one that not all threads reach ends the program. For tests: slow.
//
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define DEVICE static inline
#define __global__
#define __device__
#define __constant__
#define __launch_bounds__(...)
#define SHARED_MEMORY(name) unsigned char* name = emulation::block.shared
#define UNROLL(n)
#define UNROLL_ALL
#define FENCE

namespace emulation {

struct Index {
  unsigned x;
};

constexpr std::size_t stack_size = 1 << 18;

#if defined(__x86_64__)
// Keeps the registers that belong to the caller on the stack and goes on with another one. swapcontext would do, with a
// system call each time.
extern "C" void mtp_switch(void** from, void* to);
asm(".text\nmtp_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");

struct Context {
  void* stack;
  void go_to(Context& other) { mtp_switch(&stack, other.stack); }
  void begin(char* memory, void (*function)()) {
    void** top = reinterpret_cast<void**>(reinterpret_cast<std::size_t>(memory + stack_size) / 16 * 16) - 2;
    *top = reinterpret_cast<void*>(function);
    stack = top - 6;
  }
};
#else
struct Context {
  ucontext_t context;
  void go_to(Context& other) { swapcontext(&context, &other.context); }
  void begin(char* memory, void (*function)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = memory;
    context.uc_stack.ss_size = stack_size;
    makecontext(&context, function, 0);
  }
};
#endif

struct Thread {
  Context context;
  std::unique_ptr<char[]> stack;
  Index index;
  bool done;
};

struct Warp {
  unsigned arrived;
  unsigned long long values[2][32];
};

struct Block {
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Context scheduler;
  unsigned arrived;
  bool progress;
  unsigned char* shared;
  void (*kernel)(mtp_gpu::Parameters);
  const mtp_gpu::Parameters* parameters;
};

static Block block;
static Thread* current;
static Index block_index, block_size, grid_size;

// Until `size` threads have come here as often as this one.
static inline void wait(unsigned& arrived, unsigned size) {
  const unsigned all = (arrived / size + 1) * size;
  ++arrived;
  block.progress = true;
  while (arrived < all) current->context.go_to(block.scheduler);
}

// The value of each lane of the warp. Two buffers: a lane is at most one exchange ahead of another.
template <class V>
const unsigned long long* exchange(V value) {
  Warp& warp = block.warps[current->index.x / 32];
  unsigned long long* values = warp.values[warp.arrived / 32 % 2];
  std::memcpy(&values[current->index.x % 32], &value, sizeof value);
  wait(warp.arrived, 32);
  return values;
}

template <class V>
V of_lane(const unsigned long long* values, unsigned lane) {
  V value;
  std::memcpy(&value, &values[lane], sizeof value);
  return value;
}

static void run_thread() {
  block.kernel(*block.parameters);
  current->done = block.progress = true;
  current->context.go_to(block.scheduler);
}

static void start(Thread& thread, unsigned index) {
  if (!thread.stack) thread.stack.reset(new char[stack_size]);
  thread.context.begin(thread.stack.get(), run_thread);
  thread.index = {index};
  thread.done = false;
}

static void run_block() {
  const unsigned size = block_size.x;
  if (block.threads.size() < size) block.threads.resize(size);
  block.warps.assign(size / 32, {});
  block.arrived = 0;
  for (unsigned t = 0; t < size; ++t) start(block.threads[t], t);
  unsigned left = size;
  for (unsigned turn = 0; left > 0; ++turn) {
    block.progress = false;
    for (unsigned k = 0; k < size; ++k) {
      Thread& thread = block.threads[((k ^ (turn * 37 % 32)) + turn * 64) % size];
      if (thread.done) continue;
      current = &thread;
      block.scheduler.go_to(thread.context);
      if (thread.done) --left;
    }
    if (block.progress) continue;
    std::fprintf(stderr, "a barrier was not reached by all threads\n");
    std::abort();
  }
}

}  // namespace emulation

#define threadIdx emulation::current->index
#define blockIdx emulation::block_index
#define blockDim emulation::block_size
#define gridDim emulation::grid_size

using std::max;
using std::min;

static inline void __syncthreads() { emulation::wait(emulation::block.arrived, emulation::block_size.x); }

static inline unsigned __ballot_sync(unsigned, bool in) {
  const unsigned long long* values = emulation::exchange(in);
  unsigned found = 0;
  for (unsigned lane = 0; lane < 32; ++lane) found |= unsigned(emulation::of_lane<bool>(values, lane)) << lane;
  return found;
}

template <class V>
V __shfl_xor_sync(unsigned, V value, int mask) {
  return emulation::of_lane<V>(emulation::exchange(value), (threadIdx.x ^ unsigned(mask)) % 32);
}

template <class V>
V __shfl_sync(unsigned, V value, int source, int width) {
  return emulation::of_lane<V>(emulation::exchange(value), threadIdx.x % 32 / width * width + source);
}

static inline int __popc(unsigned v) { return __builtin_popcount(v); }

static inline double __hiloint2double(int high, int low) {
  const unsigned long long bits = static_cast<unsigned long long>(unsigned(high)) << 32 | unsigned(low);
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class V>
V atomicAdd(V* to, V value) {
  const V before = *to;
  *to += value;
  return before;
}

static inline int atomicMax(int* of, int value) {
  const int before = *of;
  *of = max(*of, value);
  return before;
}

template <class V>
V rsqrt(V v) {
  return 1 / std::sqrt(v);
}

extern "C" void mtp_emulate(void (*kernel)(mtp_gpu::Parameters), unsigned grid, unsigned size, std::size_t shared,
                            const mtp_gpu::Parameters* parameters) {
  // Filled with what is no number, as a card's shared memory may be.
  struct alignas(16) Pair {
    double values[2];
  };
  std::vector<Pair> memory;
  emulation::block.kernel = kernel;
  emulation::block.parameters = parameters;
  emulation::grid_size = {grid};
  emulation::block_size = {size};
  for (unsigned b = 0; b < grid; ++b) {
    memory.assign(shared / sizeof(Pair) + 1, {{NAN, NAN}});
    emulation::block.shared = reinterpret_cast<unsigned char*>(memory.data());
    emulation::block_index = {b};
    emulation::run_block();
  }
}
