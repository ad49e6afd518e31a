// Formula: out[i] = to_double(in[i])   (rounding.cuh).
//
// Why a kernel: CuPy compiles its own kernels with -ftz=true, so its conversion from float32 to float64 turns subnormal
// numbers into zero. Rows of very small numbers would become equal, and their neighbors wrong.
//
// Lower bound for the time: 12 bytes for each value, divided by the memory bandwidth.

#include "rounding.cuh"

#define THREADS 256  // largest block; the backend launches blocks of this size

extern "C" __global__ void __launch_bounds__(THREADS)
    float32_to_float64(const float* __restrict__ in, long long size, double* __restrict__ out) {
    const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride) {
        out[i] = to_double(in[i]);
    }
}
