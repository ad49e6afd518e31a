// Formula: distance[i, c] = sum over j = 0, 1, ... of (values[candidates[i, c], j] - values[queries[i], j])^2, in float64,
// the terms added one after another in column order   (distance.cuh).
//
// Why a kernel: the order of summation is part of the result, so each pair has one thread that adds alone, and no
// library routine promises that. If that thread also read its candidate's row by itself, the 32 threads of a warp would
// touch 32 rows at once, one value of each. Instead a warp takes 32 candidates of one query and copies a tile of 32
// columns of them to shared memory with coalesced loads; then every thread adds up its own line of the tile. A line is
// one value longer than the tile is wide, so that the threads, reading down a column, meet different banks. A warp's
// load covers 32 neighboring values, whole cache lines: wider loads by each thread would move the same lines.
//
// Limit: d sizeof(T) + 16 bytes a pair over the bandwidth of the memory, or of the second-level cache where the table
// fits in it; on chips with few float64 units their 3 d operations and 2 d conversions a pair (docs/kernels.md).

#include "distance.cuh"

#define WARPS 4   // of a block; rerank_distances is launched with blocks of 32 x WARPS threads
#define TILE 32   // candidates and columns of a tile: a warp's width
#define BLOCKS 8  // on a multiprocessor at least, as far as registers go: 64 a thread at most

template <typename T>
struct RerankTile {
    T candidate[TILE][TILE + 1];
    T query[TILE];
};

// Columns [column, column + width) of the query and of `count` candidates.
template <typename T>
__device__ inline void load_tile(const T* values, long long columns, long long query, const long long* candidates,
                                 int count, long long column, int width, RerankTile<T>& tile) {
    const int lane = static_cast<int>(threadIdx.x);
    if (lane < width) {
        tile.query[lane] = values[query * columns + column + lane];
    }
    const int line_stride = TILE / width, place_stride = TILE % width;
    int line = lane / width, place = lane % width;
    while (line < count) {
        tile.candidate[line][place] = values[candidates[line] * columns + column + place];
        line += line_stride;
        place += place_stride;
        if (place >= width) {
            place -= width;
            ++line;
        }
    }
}

template <typename T>
__device__ inline void rerank_distances(const T* values, const long long* queries, const long long* candidates,
                                        long long rows, long long width, long long columns, double* distance,
                                        RerankTile<T>& tile) {
    const int lane = static_cast<int>(threadIdx.x);
    const long long groups = (width + TILE - 1) / TILE;
    const long long stride = static_cast<long long>(gridDim.x) * WARPS;
    // `task`, and with it every bound below but the lane's own, is the same in all lanes: none misses a __syncwarp.
    for (long long task = static_cast<long long>(blockIdx.x) * WARPS + threadIdx.y; task < rows * groups; task += stride) {
        const long long row = task / groups, from = task % groups * TILE;
        const int count = static_cast<int>(width - from < TILE ? width - from : TILE);
        const long long first = row * width + from;
        double total = 0.0;
        for (long long column = 0; column < columns; column += TILE) {
            const int part = static_cast<int>(columns - column < TILE ? columns - column : TILE);
            load_tile(values, columns, queries[row], candidates + first, count, column, part, tile);
            __syncwarp();  // the tile is full before anyone reads it
            if (lane < count) {
                for (int j = 0; j < part; ++j) {
                    total = add_squared_difference(total, tile.candidate[lane][j], tile.query[j]);
                }
            }
            __syncwarp();  // all have read it before it is filled anew
        }
        if (lane < count) {
            distance[first + lane] = total;
        }
    }
}

extern "C" __global__ void __launch_bounds__(TILE * WARPS, BLOCKS)
    rerank_distances_float32(const float* values, const long long* queries,
                             const long long* candidates, long long rows, long long width,
                             long long columns, double* distance) {
    __shared__ RerankTile<float> tiles[WARPS];
    rerank_distances(values, queries, candidates, rows, width, columns, distance, tiles[threadIdx.y]);
}

extern "C" __global__ void __launch_bounds__(TILE * WARPS, BLOCKS)
    rerank_distances_float64(const double* values, const long long* queries,
                             const long long* candidates, long long rows, long long width,
                             long long columns, double* distance) {
    __shared__ RerankTile<double> tiles[WARPS];
    rerank_distances(values, queries, candidates, rows, width, columns, distance, tiles[threadIdx.y]);
}
