// Formula: to_double(x) = x exactly; round_to<T>(x) = the T nearest to x, ties to even.
//
// Why a file of its own: CuPy compiles with -ftz=true, under which a plain cast between float and double turns
// subnormal numbers into zero (cvt.ftz). The instructions are therefore written out. All arithmetic of the kernels
// is on doubles, for which flushing does not exist, and by the __d*_rn intrinsics, which the compiler never fuses
// into a multiply-add.

#ifndef GPUSMOTE_ROUNDING_CUH
#define GPUSMOTE_ROUNDING_CUH

__device__ inline double to_double(float x) {
#ifdef __CUDA_ARCH__
    double exact;
    asm("cvt.f64.f32 %0, %1;" : "=d"(exact) : "f"(x));
    return exact;
#else
    return x;
#endif
}

__device__ inline double to_double(double x) { return x; }

template <typename T>
__device__ T round_to(double x);

template <>
__device__ inline float round_to<float>(double x) {
#ifdef __CUDA_ARCH__
    float nearest;
    asm("cvt.rn.f32.f64 %0, %1;" : "=f"(nearest) : "d"(x));
    return nearest;
#else
    return static_cast<float>(x);
#endif
}

template <>
__device__ inline double round_to<double>(double x) {
    return x;
}

#endif
