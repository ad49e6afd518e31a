// What g++ needs to compile kernels/ for the host: the qualifiers, the geometry, the few intrinsics, and a launch
// that visits every thread of the grid. Compile with -ffp-contract=off: the intrinsics promise separate rounding.
//
// With SHIM_FIBRES each thread of a block is a fibre that runs until it meets a barrier, then the next one runs. A
// value read before the barrier that should guard it is therefore read before it is written, and the result is wrong
// every time, not now and then. SHIM_DESCENDING visits the threads in the other order, for the opposite mistake.

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

struct Fibre {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(64 << 10);
    bool alive = false;
    unsigned barriers = 0;
};
static std::vector<Fibre> fibres;
static Fibre* running;
static ucontext_t scheduler;
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
    swapcontext(&running->context, &scheduler);
}

inline void __syncthreads() {
    void* fake = nullptr;
    ++running->barriers;
    before_switch(&fake, scheduler_stack, scheduler_size);
    swapcontext(&running->context, &scheduler);
    after_switch(fake, nullptr, nullptr);
}
// All threads of a block advance from barrier to barrier together, so a warp's barrier is the block's here. It asks as
// much of the lanes as the device does: run_block() checks that the lanes of a warp have met equally many.
inline void __syncwarp() { __syncthreads(); }

static bool resume(unsigned number) {
    void* fake = nullptr;
    running = &fibres[number];
    place_thread(number);
    before_switch(&fake, running->stack.data(), running->stack.size());
    swapcontext(&scheduler, &running->context);
    after_switch(fake, nullptr, nullptr);
    return running->alive;
}

static bool run_block(unsigned threads) {
    if (fibres.size() < threads) {
        fibres = std::vector<Fibre>(threads);
    }
    for (unsigned i = 0; i < threads; ++i) {
        Fibre& fibre = fibres[i];
        getcontext(&fibre.context);
        fibre.context.uc_stack.ss_sp = fibre.stack.data();
        fibre.context.uc_stack.ss_size = fibre.stack.size();
        fibre.context.uc_link = nullptr;
        fibre.alive = true;
        fibre.barriers = 0;
        makecontext(&fibre.context, run_fibre, 0);
    }
    for (bool any = true; any;) {
        any = false;
        for (unsigned i = 0; i < threads; ++i) {
#ifdef SHIM_DESCENDING
            const unsigned number = threads - 1 - i;
#else
            const unsigned number = i;
#endif
            any |= fibres[number].alive && resume(number);
        }
    }
    for (unsigned i = 0; i < threads; ++i) {
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
