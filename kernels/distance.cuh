// Formula: total <- total + (a - b)^2, with the difference, the square and the sum each rounded to float64.
//
// Why a separate file: this sum, in column order, is the distance that decides which rows are neighbors. Another order
// of summation, or a fused multiply-add, could decide ties differently on different devices.

#ifndef GPUSMOTE_DISTANCE_CUH
#define GPUSMOTE_DISTANCE_CUH

#include "rounding.cuh"

template <typename T>
__device__ inline double add_squared_difference(double total, T a, T b) {
    const double step = __dsub_rn(to_double(a), to_double(b));
    return __dadd_rn(total, __dmul_rn(step, step));
}

#endif
