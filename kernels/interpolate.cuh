// Formula: base + gap * (neighbor - base), computed as base - gap * (base - neighbor): the same numbers, but -0.0
// stays between two that are -0.0. Both differences and the product are each rounded to float64 on their own, then
// there is one rounding to the table's dtype.
//
// Why a file of its own: this one line decides every synthetic value. Differences of float32 taken in float32, or a
// fused multiply-add, would change values and part the devices.

#ifndef GPUSMOTE_INTERPOLATE_CUH
#define GPUSMOTE_INTERPOLATE_CUH

#include "rounding.cuh"

template <typename T>
__device__ inline T interpolate(T base, T neighbor, double gap) {
    const double from = to_double(base);
    const double back = __dsub_rn(from, to_double(neighbor));
    return round_to<T>(__dsub_rn(from, __dmul_rn(back, gap)));
}

#endif
