// Formula: for sample s of a class,  pick(s) = floor(word[2 s] * n / 2^64)  and  gap(s) = floor(word[2 s + 1] / 2^11) * 2^-53,
// where word[] is the Philox4x64-10 stream of the class (philox.cuh).
//
// Why a kernel: CuPy's generators do not provide this stream, and the same seed must give the same rows on every device
// and for every slice. A Philox block holds two samples, so each thread of draw_slice computes one block: half the
// rounds of one thread for each sample. A sample depends only on its number, so the grid may have any size.

#include "philox.cuh"

#define THREADS 256  // largest block; the backend launches blocks of this size

// Samples start <= s < stop, written to pick[s - start] and gap[s - start].
extern "C" __global__ void __launch_bounds__(THREADS)
    draw_slice(unsigned long long key0, unsigned long long key1, unsigned long long start, unsigned long long stop,
               unsigned long long n, long long* __restrict__ pick, double* __restrict__ gap) {
    const unsigned long long stride = static_cast<unsigned long long>(gridDim.x) * blockDim.x;
    const unsigned long long first = static_cast<unsigned long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    for (unsigned long long pair = start / 2 + first; 2 * pair < stop; pair += stride) {
        const PhiloxBlock block = sample_block(key0, key1, pair);
        for (unsigned int half = 0; half < 2; ++half) {
            const unsigned long long sample = 2 * pair + half;
            if (sample >= start && sample < stop) {
                pick[sample - start] = pick_of(block.word[2 * half], n);
                gap[sample - start] = gap_of(block.word[2 * half + 1]);
            }
        }
    }
}

// The samples numbered samples[0], samples[1], ... in any order.
extern "C" __global__ void __launch_bounds__(THREADS)
    draw_gathered(unsigned long long key0, unsigned long long key1, const long long* __restrict__ samples,
                  long long count, unsigned long long n, long long* __restrict__ pick, double* __restrict__ gap) {
    const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) {
        const unsigned long long sample = static_cast<unsigned long long>(samples[i]);
        const PhiloxBlock block = sample_block(key0, key1, sample / 2);
        const bool odd = sample % 2 != 0;  // a selection instead of an index keeps the block in registers
        pick[i] = pick_of(odd ? block.word[2] : block.word[0], n);
        gap[i] = gap_of(odd ? block.word[3] : block.word[1]);
    }
}
