// Formula: base + gap * (neighbour - base), the difference, the product and the sum each rounded to float64 on its own,
// then one rounding to the table's dtype.
//
// Why a file of its own: this one line decides every synthetic value. Differences of float32 taken in float32, or a
// fused multiply-add, would change values and part the devices.

#ifndef GPUSMOTE_INTERPOLATE_CUH
#define GPUSMOTE_INTERPOLATE_CUH

#include "rounding.cuh"

template <typename T>
__device__ inline T interpolate(T base, T neighbour, double gap) {
    const double from = to_double(base);
    const double step = __dsub_rn(to_double(neighbour), from);
    return round_to<T>(__dadd_rn(__dmul_rn(step, gap), from));
}

#endif
