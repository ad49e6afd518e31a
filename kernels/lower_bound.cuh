// Formula: bound(x, y) = query_part(x) + row_part(y) + sum over j of (-2 x[j]) y[j], in float32, is never greater than
// the exact |x - y|^2, with
//
//     query_part(x) = (1 - G) |x|^2 - G z(x) - t,    row_part(y) = (1 - G) |y|^2 - G z(y),
//     G = (2 d + 32) u,    t = (32 d + 64) s,        u = 2^-24, s = 2^-126.
//
// Why a file of its own: a search that leaves rows out is exact only if its bounds hold as computed. Here rounding is
// in the number itself, so that whoever compares it need not think of rounding again.
//
// What the numbers are. Every row is kept as its difference from the centre C of its leaf, rounded once to float32;
// z is the square of that difference's length, rounded up. Searched is in a frame with the origin A, the centre of some
// leaf: the row there is fl(fl(C - A) + difference). x^ and y^ below are these float32 vectors, x and y the exact ones,
// X = |x^|, Y = |y^|. Lengths are those of reduced rows: no difference of two of them is longer than 2.
//
// Rounding of the rows. fl(C - A) errs by u' |C - A|, the difference by u' sqrt(z), their sum by u Y, where u' is u and
// a little for the float64 steps before; and |C - A| <= Y (1 + u) + sqrt(z). So |y^ - y| <= 2 u" (Y + sqrt(z)), and the
// same for x: together they move |x - y| by at most e = 2 u" (P + Q), P = X + Y, Q = sqrt(z(x)) + sqrt(z(y)).
// Then |x - y|^2 >= |x^ - y^|^2 - 2 e |x^ - y^| (for |x^ - y^| < e the right side is negative), and
// 2 e |x^ - y^| <= 4 u" P (P + Q) <= u" (6 P^2 + 2 Q^2) <= u" (12 (X^2 + Y^2) + 4 (z(x) + z(y))).
//
// Rounding of the bound. Each term passes at most d + 6 operations, in any order, fused or not: d of its products and
// sums, 1 - G itself, its product, G z, t, the two sums of parts. With Z = z(x) + z(y) that errs by at most
// (d + 6) u" (P^2 + G Z) <= (2 d + 12) u" (X^2 + Y^2) + (d + 6) u" G Z. Both together, to first order in u, are
// (2 d + 24) u (X^2 + Y^2) + 4 u Z: less than G (X^2 + Y^2 + Z) by 8 u (X^2 + Y^2) and 28 u Z at least, which is more than
// what is of higher order as long as d <= 256 makes (d + 6) u < 2^-15. G (X^2 + Y^2 + Z) is what the parts take away.
//
// Underflow. Flushed to zero or not, a product or sum loses less than s: 4 d in all, factors 2 included. The rows lose
// less than 6 s sqrt(d) in length, and that times 2 |x^ - y^| <= 8 is less than 24 (d + 1) s. t is more than both.
//
// A ball with centre c and radius r (rounded up) holds no row nearer to x than kappa if |x - c| >= kappa + r; that is
// certain if bound(x, c) > reach(kappa, r), with z(c) = 0: a centre is not kept by difference.

#ifndef GPUSMOTE_LOWER_BOUND_CUH
#define GPUSMOTE_LOWER_BOUND_CUH

#include "rounding.cuh"

struct alignas(16) Quad {
    float x, y, z, w;
};

struct alignas(16) Pair {
    double x, y;
};

struct Slack {
    float more, less, t;  // G, 1 - G, t

    __device__ explicit Slack(long long d)
        : more(static_cast<float>(2 * d + 32) * 0x1p-24f), less(1.0f - more),  // both exact
          t(static_cast<float>(32 * d + 64) * 0x1p-126f) {}

    __device__ float query_part(float square, float z) const { return less * square - more * z - t; }
    __device__ float row_part(float square, float z) const { return less * square - more * z; }
};

// fl(c - a), four columns of it.
__device__ inline Quad difference(const double* c, const double* a, int quad) {
    const Pair* const to = reinterpret_cast<const Pair*>(c) + 2 * quad;
    const Pair* const from = reinterpret_cast<const Pair*>(a) + 2 * quad;
    const Pair c0 = to[0], c1 = to[1], a0 = from[0], a1 = from[1];  // 16 bytes at once
    return Quad{round_to<float>(__dsub_rn(c0.x, a0.x)), round_to<float>(__dsub_rn(c0.y, a0.y)),
                round_to<float>(__dsub_rn(c1.x, a1.x)), round_to<float>(__dsub_rn(c1.y, a1.y))};
}

__device__ inline Quad sum(const Quad& a, const Quad& b) { return Quad{a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w}; }

__device__ inline float add_products(float total, const Quad& a, const Quad& b) {
    total += a.x * b.x;
    total += a.y * b.y;
    total += a.z * b.z;
    total += a.w * b.w;
    return total;
}

// The distance kappa from a squared one, rounded up; of what is below zero, next to nothing.
__device__ inline float kappa_of(float square) {
    return sqrtf(square > 0.0f ? square : 0.0f) * (1.0f + 0x1p-20f) + 0x1p-60f;
}

// (kappa + r)^2, rounded up.
__device__ inline float reach(float kappa, float radius) {
    const float up = (kappa + radius) * (1.0f + 0x1p-20f);
    return up * up;
}

#endif
