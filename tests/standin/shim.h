// What g++ needs to compile kernels/ for the host: the qualifiers, the geometry, the few intrinsics, and a launch
// that visits every thread of the grid. Compile with -ffp-contract=off: the intrinsics promise separate rounding.
//
// With SHIM_FIBERS each thread of a block is a fiber that runs until it meets a barrier, then the next one runs. A
// value read before the barrier that should guard it is therefore read before it is written, and the result is wrong
// every time, not now and then. SHIM_DESCENDING visits the threads in the other order, for the opposite mistake. A warp
// goes on when all its lanes are at its barrier, a block when all its threads are; where that never comes, the launch
// fails.
//
// With -fsanitize=thread (and SHIM_FIBERS) ThreadSanitizer sees every CUDA thread as a thread, and only barriers and the
// end of a launch order their accesses: it reports races that do not change the result of this order of execution, too.
// In the environment, SHIM_WITHOUT=file:line removes the barrier on that line, and SHIM_OVERLAP hides all blocks but
// one from gridDim, so that blocks take the same work.

#include <cmath>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#ifdef __SANITIZE_THREAD__
#include <cstdlib>
#include <sanitizer/tsan_interface.h>
#include <string>
#include <thread>
#define SHIM_STATE static thread_local  // each block runs on its own host thread
#define SHIM_UNSEEN __attribute__((no_sanitize_thread, noinline))  // what the shim accesses is not checked
#else
#define SHIM_STATE static
#define SHIM_UNSEEN
#endif

#define __global__
#define __device__
#define __shared__ SHIM_STATE
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
};
static dim3 gridDim, blockDim;
SHIM_STATE dim3 blockIdx, threadIdx;

inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}

SHIM_UNSEEN static void place_thread(unsigned number) {
    threadIdx = {number % blockDim.x, number / blockDim.x % blockDim.y, number / (blockDim.x * blockDim.y)};
}

#ifdef SHIM_FIBERS
#include <ucontext.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

// swapcontext asks the kernel at each change what signals are blocked; the compiler's own jumps do not, and take a
// twentieth of the time. The sanitizers know only the former.
struct Place {
    ucontext_t context;
    void* jump[5];
    void* tsan;  // ThreadSanitizer's handle
    bool has_ended;
};
SHIM_UNSEEN static __attribute__((noinline)) void change(Place& from, Place& to, bool first) {
#ifdef __SANITIZE_THREAD__
    // Only the end of a fiber orders memory, before what the scheduler does next.
    __tsan_switch_to_fiber(to.tsan, from.has_ended ? 0 : __tsan_switch_to_fiber_no_sync);
#elif !defined(__SANITIZE_ADDRESS__)
    if (__builtin_setjmp(from.jump)) return;
    if (!first) __builtin_longjmp(to.jump, 1);
#endif
    (void)first;
    swapcontext(&from.context, &to.context);
}

struct Fiber {
    Place place;
    std::vector<char> stack = std::vector<char>(64 << 10);
    bool alive = false;
    char waits = 0;  // for its 'w'arp, its 'b'lock, or nothing
    bool begun = false;
    unsigned barriers = 0;
};
SHIM_STATE std::vector<Fiber> fibers;
SHIM_STATE Fiber* running;
SHIM_STATE Place scheduler;
static std::function<void()> body;
SHIM_STATE const void* scheduler_stack;
SHIM_STATE std::size_t scheduler_size;

// AddressSanitizer has to be told of each change of stack. `leaving` is null for a fiber that ends.
static void before_switch(void** leaving, const void* stack, std::size_t size) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(leaving, stack, size);
#else
    (void)leaving, (void)stack, (void)size;
#endif
}
static void after_switch(void* entering, const void** from, std::size_t* size) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(entering, from, size);
#else
    (void)entering, (void)from, (void)size;
#endif
}

SHIM_UNSEEN static void run_fiber() {
    after_switch(nullptr, &scheduler_stack, &scheduler_size);
    body();
    running->alive = false;
    running->place.has_ended = true;
    before_switch(nullptr, scheduler_stack, scheduler_size);
    change(running->place, scheduler, false);
}

// Waits for the warp or the block, and orders no memory: CUDA promises no more for a shuffle or a vote.
SHIM_UNSEEN static void wait_for(char whom) {
    void* fake = nullptr;
    ++running->barriers;
    running->waits = whom;
    before_switch(&fake, scheduler_stack, scheduler_size);
    change(running->place, scheduler, false);
    after_switch(fake, nullptr, nullptr);
}

#ifdef __SANITIZE_THREAD__
// The objects that a barrier releases and acquires. Successive barriers use them in turn: otherwise a thread that leaves
// one barrier late would acquire what another has already released at the next one.
struct Order {
    char even, odd;
    bool is_odd;
};
SHIM_STATE Order orders[33];  // of each warp, and last of the block
SHIM_UNSEEN static Order& order_of(char whom, std::size_t thread) { return orders[whom == 'w' ? thread / 32 : 32]; }
SHIM_UNSEEN static void* next_order(char whom) {
    Order& order = order_of(whom, static_cast<std::size_t>(running - fibers.data()));
    return order.is_odd ? &order.odd : &order.even;
}
static const char* const removed_barrier = std::getenv("SHIM_WITHOUT");
static void barrier(char whom, const char* file, int line) {
    if (removed_barrier && removed_barrier == std::string(file) + ":" + std::to_string(line)) return;
    void* const order = next_order(whom);
    __tsan_release(order);
    wait_for(whom);
    __tsan_acquire(order);
}
inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { barrier('b', file, line); }
inline void __syncwarp(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { barrier('w', file, line); }
#else
inline void __syncthreads() { wait_for('b'); }
inline void __syncwarp() { wait_for('w'); }

#endif

SHIM_UNSEEN static void resume(unsigned number) {
    void* fake = nullptr;
    running = &fibers[number];
    place_thread(number);
    before_switch(&fake, running->stack.data(), running->stack.size());
    const bool first = !running->begun;
    running->begun = true;
    change(scheduler, running->place, first);
    after_switch(fake, nullptr, nullptr);
}

// Whether all threads in [first, last) that have not ended wait for `whom`; then they need not any more.
SHIM_UNSEEN static bool release(unsigned first, unsigned last, char whom) {
    bool any = false;
    for (unsigned i = first; i < last; ++i) {
        if (fibers[i].alive && fibers[i].waits != whom) return false;
        any |= fibers[i].alive;
    }
    for (unsigned i = first; i < last; ++i) fibers[i].waits = 0;
#ifdef __SANITIZE_THREAD__
    if (any) order_of(whom, first).is_odd = !order_of(whom, first).is_odd;
#endif
    return any;
}

static bool release_some(unsigned threads) {
    bool any = false;
    for (unsigned first = 0; first < threads; first += 32) {
        any |= release(first, first + 32 < threads ? first + 32 : threads, 'w');
    }
    return any || release(0, threads, 'b');
}

SHIM_UNSEEN static bool run_block(unsigned threads) {
#ifdef __SANITIZE_THREAD__
    scheduler.tsan = __tsan_get_current_fiber();
#endif
    if (fibers.size() < threads) {
        fibers = std::vector<Fiber>(threads);
    }
    for (unsigned i = 0; i < threads; ++i) {
        Fiber& fiber = fibers[i];
        getcontext(&fiber.place.context);
        fiber.place.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.place.context.uc_stack.ss_size = fiber.stack.size();
        fiber.place.context.uc_link = nullptr;
#ifdef __SANITIZE_THREAD__
        fiber.place.tsan = __tsan_create_fiber(0);
        fiber.place.has_ended = false;
#endif
        fiber.alive = true;
        fiber.waits = 0;
        fiber.begun = false;
        fiber.barriers = 0;
        makecontext(&fiber.place.context, run_fiber, 0);
    }
    do {
        for (unsigned i = 0; i < threads; ++i) {
#ifdef SHIM_DESCENDING
            const unsigned number = threads - 1 - i;
#else
            const unsigned number = i;
#endif
            if (fibers[number].alive && !fibers[number].waits) resume(number);
        }
    } while (release_some(threads));
    for (unsigned i = 0; i < threads; ++i) {
        if (fibers[i].alive) {
            return false;  // some wait for others that will never come
        }
        if (fibers[i].barriers != fibers[i / 32 * 32].barriers) {
            return false;  // lanes of one warp parted before a barrier: the device would hang, or worse
        }
    }
    return true;
}
#else
static std::function<void()> body;
static bool run_block(unsigned threads) {
    for (unsigned i = 0; i < threads; ++i) {
        place_thread(i);
        body();
    }
    return true;
}
#endif

template <class... A, std::size_t... I>
static std::function<void()> bind_arguments(void (*kernel)(A...), void** values, std::index_sequence<I...>) {
    return [=] { kernel(*static_cast<A*>(values[I])...); };
}

#ifdef __SANITIZE_THREAD__
static bool run_grid(const unsigned* grid) {
    const unsigned count = grid[0] * grid[1] * grid[2], size = blockDim.x * blockDim.y * blockDim.z;
    struct Block {
        bool good;
        std::vector<Fiber> fibers;
    };
    static std::vector<Block> blocks;  // kept, so that the next launch reuses the stacks
    if (blocks.size() < count) blocks.resize(count);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < count; ++i) {
        threads.emplace_back([i, size, grid] {
            fibers.swap(blocks[i].fibers);
            blockIdx = {i % grid[0], i / grid[0] % grid[1], i / (grid[0] * grid[1])};
            blocks[i].good = run_block(size);
            fibers.swap(blocks[i].fibers);
        });
    }
    bool good = true;
    for (unsigned i = 0; i < count; ++i) {
        threads[i].join();
        good &= blocks[i].good;
    }
    // Only after all blocks have ended: ThreadSanitizer reuses the number of a destroyed fiber, and would take a fiber of
    // a later block for the same thread.
    for (unsigned i = 0; i < count; ++i) {
        for (unsigned thread = 0; thread < size; ++thread) __tsan_destroy_fiber(blocks[i].fibers[thread].place.tsan);
    }
    return good;
}
#else
static bool run_grid(const unsigned* grid) {
    for (blockIdx.z = 0; blockIdx.z < grid[2]; ++blockIdx.z) {
        for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y) {
            for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x) {
                if (!run_block(blockDim.x * blockDim.y * blockDim.z)) return false;
            }
        }
    }
    return true;
}
#endif

// As cuLaunchKernel: values[i] points to the i-th argument. Returns 0, or 1 if a warp parted before a barrier.
template <class... A>
static int shim_launch(void (*kernel)(A...), void** values, const unsigned* grid, const unsigned* block) {
    body = bind_arguments(kernel, values, std::index_sequence_for<A...>());
    gridDim = {grid[0], grid[1], grid[2]};
#ifdef __SANITIZE_THREAD__
    if (std::getenv("SHIM_OVERLAP")) gridDim = {1, 1, 1};
#endif
    blockDim = {block[0], block[1], block[2]};
    return run_grid(grid) ? 0 : 1;
}
