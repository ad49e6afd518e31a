// Formula: base + gap * (neighbor - base), computed as base - gap * (base - neighbor): the same values, but -0.0
// stays -0.0 between two values of -0.0. Both differences and the product are each rounded to float64, then the result
// is rounded once to the dtype of the table.
//
// Why a separate file: this line decides every synthetic value. Subtracting float32 values in float32, or a fused
// multiply-add, would change values and make devices disagree.

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
