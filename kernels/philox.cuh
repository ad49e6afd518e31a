// Formula: Philox4x64-10 (Salmon, Moraes, Dror & Shaw 2011, doi:10.1145/2063384.2063405). Ten rounds of
//     (x0, x1, x2, x3) <- (high(M1 x2) ^ x1 ^ k0, low(M1 x2), high(M0 x0) ^ x3 ^ k1, low(M0 x0)),
// and (W0, W1) is added to the key (k0, k1) after each round. Sample s owns words 2 (s mod 2) and 2 (s mod 2) + 1 of the
// block with counter (s / 2) + 1, because NumPy increments the counter before it generates:
//     pick = floor(first word * n / 2^64),   gap = floor(second word / 2^11) * 2^-53.
//
// Why a separate file: the numbers must equal those of gpusmote/random_stream.py exactly, so only this file makes them.

#ifndef GPUSMOTE_PHILOX_CUH
#define GPUSMOTE_PHILOX_CUH

struct PhiloxBlock {
    unsigned long long word[4];
};

__device__ inline PhiloxBlock philox_block(unsigned long long key0, unsigned long long key1, PhiloxBlock counter) {
    const unsigned long long multiplier0 = 0xD2E7470EE14C6C93ULL, multiplier1 = 0xCA5A826395121157ULL;
    unsigned long long x0 = counter.word[0], x1 = counter.word[1], x2 = counter.word[2], x3 = counter.word[3];
    for (int round = 0; round < 10; ++round) {
        const unsigned long long high0 = __umul64hi(multiplier0, x0), low0 = multiplier0 * x0;
        const unsigned long long high1 = __umul64hi(multiplier1, x2), low1 = multiplier1 * x2;
        x0 = high1 ^ x1 ^ key0;
        x1 = low1;
        x2 = high0 ^ x3 ^ key1;
        x3 = low0;
        key0 += 0x9E3779B97F4A7C15ULL;
        key1 += 0xBB67AE8584CAA73BULL;
    }
    return PhiloxBlock{{x0, x1, x2, x3}};
}

// The block that holds samples 2 pair and 2 pair + 1 of stream 0. pair < 2^63, so that pair + 1 does not wrap around.
__device__ inline PhiloxBlock sample_block(unsigned long long key0, unsigned long long key1, unsigned long long pair) {
    return philox_block(key0, key1, PhiloxBlock{{pair + 1, 0, 0, 0}});
}

__device__ inline long long pick_of(unsigned long long word, unsigned long long n) {
    return static_cast<long long>(__umul64hi(word, n));
}

// The conversion (53 bits) and the product with a power of two are exact.
__device__ inline double gap_of(unsigned long long word) {
    return __dmul_rn(static_cast<double>(word >> 11), 1.0 / 9007199254740992.0);
}

#endif
