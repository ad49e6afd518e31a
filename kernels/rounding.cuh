// Formula: to_double(x) = x exactly; round_to<T>(x) = the value of type T nearest to x, ties to even.
//
// Why a separate file: CuPy compiles with -ftz=true, with which a cast between float and double turns subnormal numbers
// into zero (cvt.ftz). So these instructions are written in assembly. All other arithmetic of the kernels uses doubles,
// which are never flushed to zero, and the __d*_rn intrinsics, which the compiler never fuses into a multiply-add.

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
