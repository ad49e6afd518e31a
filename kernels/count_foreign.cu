// Formula: count[i] = number of j with codes[neighbors[i, j]] != own.
//
// Why a kernel: the array expression codes[neighbors] != own would write two temporary arrays of the size of neighbors.
// Each thread counts for one row. The few neighbors of a row are adjacent in memory, in one cache line or few.

#define THREADS 256  // largest block; the backend launches blocks of this size

extern "C" __global__ void __launch_bounds__(THREADS)
    count_foreign(const long long* __restrict__ codes, const long long* __restrict__ neighbors, long long own,
                  long long rows, long long width, long long* __restrict__ count) {
    const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long row = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; row < rows; row += stride) {
        long long foreign = 0;
        for (long long j = 0; j < width; ++j) {
            foreign += codes[neighbors[row * width + j]] != own;
        }
        count[row] = foreign;
    }
}
