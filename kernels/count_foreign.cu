// Formula: count[i] = number of j with codes[neighbors[i, j]] != own.
//
// Why a kernel: the array expression codes[neighbors] != own would write two arrays of the neighbors' size to read
// them once. One thread a row; a row's few neighbors lie next to each other, and the cache holds their line.

#define THREADS 256  // of a block, at most: what the backend launches

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
