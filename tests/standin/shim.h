// What g++ needs to compile kernels/ for the host: the qualifiers, the geometry, the few intrinsics, and a launch
// that visits every thread of the grid. Compile with -ffp-contract=off: the intrinsics promise separate rounding.
//
// With SHIM_FIBRES each thread of a block is a fibre that runs until it meets a barrier, then the next one runs. A
// value read before the barrier that should guard it is therefore read before it is written, and the result is wrong
// every time, not now and then. SHIM_DESCENDING visits the threads in the other order, for the opposite mistake. A warp
// goes on when all its lanes are at its barrier, a block when all its threads are; where that never comes, the launch
// fails.

#include <cmath>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
};
static dim3 gridDim, blockDim, blockIdx, threadIdx;

inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}

static void place_thread(unsigned number) {
    threadIdx = {number % blockDim.x, number / blockDim.x % blockDim.y, number / (blockDim.x * blockDim.y)};
}

#ifdef SHIM_FIBRES
#include <ucontext.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

// swapcontext asks the kernel at each change what signals are blocked; the compiler's own jumps do not, and take a
// twentieth of the time. AddressSanitizer knows only the former.
struct Place {
    ucontext_t context;
    void* jump[5];
};
static __attribute__((noinline)) void change(Place& from, Place& to, bool first) {
#ifndef __SANITIZE_ADDRESS__
    if (__builtin_setjmp(from.jump)) return;
    if (!first) __builtin_longjmp(to.jump, 1);
#endif
    (void)first;
    swapcontext(&from.context, &to.context);
}

struct Fibre {
    Place place;
    std::vector<char> stack = std::vector<char>(64 << 10);
    bool alive = false;
    char waits = 0;  // for its 'w'arp, its 'b'lock, or nothing
    bool begun = false;
    unsigned barriers = 0;
};
static std::vector<Fibre> fibres;
static Fibre* running;
static Place scheduler;
static std::function<void()> body;
static const void* scheduler_stack;
static std::size_t scheduler_size;

// AddressSanitizer has to be told of each change of stack. `leaving` is null for a fibre that ends.
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

static void run_fibre() {
    after_switch(nullptr, &scheduler_stack, &scheduler_size);
    body();
    running->alive = false;
    before_switch(nullptr, scheduler_stack, scheduler_size);
    change(running->place, scheduler, false);
}

static void wait_for(char whom) {
    void* fake = nullptr;
    ++running->barriers;
    running->waits = whom;
    before_switch(&fake, scheduler_stack, scheduler_size);
    change(running->place, scheduler, false);
    after_switch(fake, nullptr, nullptr);
}
inline void __syncthreads() { wait_for('b'); }
inline void __syncwarp() { wait_for('w'); }

static void resume(unsigned number) {
    void* fake = nullptr;
    running = &fibres[number];
    place_thread(number);
    before_switch(&fake, running->stack.data(), running->stack.size());
    const bool first = !running->begun;
    running->begun = true;
    change(scheduler, running->place, first);
    after_switch(fake, nullptr, nullptr);
}

// Whether all threads in [first, last) that have not ended wait for `whom`; then they need not any more.
static bool release(unsigned first, unsigned last, char whom) {
    bool any = false;
    for (unsigned i = first; i < last; ++i) {
        if (fibres[i].alive && fibres[i].waits != whom) return false;
        any |= fibres[i].alive;
    }
    for (unsigned i = first; i < last; ++i) fibres[i].waits = 0;
    return any;
}

static bool release_some(unsigned threads) {
    bool any = false;
    for (unsigned first = 0; first < threads; first += 32) {
        any |= release(first, first + 32 < threads ? first + 32 : threads, 'w');
    }
    return any || release(0, threads, 'b');
}

static bool run_block(unsigned threads) {
    if (fibres.size() < threads) {
        fibres = std::vector<Fibre>(threads);
    }
    for (unsigned i = 0; i < threads; ++i) {
        Fibre& fibre = fibres[i];
        getcontext(&fibre.place.context);
        fibre.place.context.uc_stack.ss_sp = fibre.stack.data();
        fibre.place.context.uc_stack.ss_size = fibre.stack.size();
        fibre.place.context.uc_link = nullptr;
        fibre.alive = true;
        fibre.waits = 0;
        fibre.begun = false;
        fibre.barriers = 0;
        makecontext(&fibre.place.context, run_fibre, 0);
    }
    do {
        for (unsigned i = 0; i < threads; ++i) {
#ifdef SHIM_DESCENDING
            const unsigned number = threads - 1 - i;
#else
            const unsigned number = i;
#endif
            if (fibres[number].alive && !fibres[number].waits) resume(number);
        }
    } while (release_some(threads));
    for (unsigned i = 0; i < threads; ++i) {
        if (fibres[i].alive) {
            return false;  // some wait for others that will never come
        }
        if (fibres[i].barriers != fibres[i / 32 * 32].barriers) {
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

// As cuLaunchKernel: values[i] points to the i-th argument. Returns 0, or 1 if a warp parted before a barrier.
template <class... A>
static int shim_launch(void (*kernel)(A...), void** values, const unsigned* grid, const unsigned* block) {
    body = bind_arguments(kernel, values, std::index_sequence_for<A...>());
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    for (blockIdx.z = 0; blockIdx.z < grid[2]; ++blockIdx.z) {
        for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y) {
            for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x) {
                if (!run_block(block[0] * block[1] * block[2])) {
                    return 1;
                }
            }
        }
    }
    return 0;
}
