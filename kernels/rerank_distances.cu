// Formula: distance[i, c] = sum over j = 0, 1, ... of (values[candidates[i, c], j] - values[queries[i], j])^2, in float64,
// with the terms added in column order   (distance.cuh).
//
// Why a kernel: the order of summation is part of the result, so one thread must add all terms of a pair, and no
// library routine promises that. If that thread also read the row of its candidate by itself, the 32 threads of a warp
// would read from 32 rows at once, one value of each. Instead, a warp takes 32 candidates of one query and copies a
// tile of 32 of their columns to shared memory with coalesced loads; then each thread sums its own line of the tile. A
// line is one value longer than the tile is wide, so that threads reading down a column use different banks. A load of
// a warp covers 32 adjacent values, in whole cache lines: wider loads by each thread would move the same lines.
//
// Lower bound for the time: d sizeof(T) + 16 bytes for each pair, divided by the bandwidth of the memory, or of the
// second-level cache if the table fits in it; on chips with few float64 units, 3 d operations and 2 d conversions for
// each pair (docs/kernels.md).

#include "distance.cuh"

#define WARPS 4   // warps of a block: the kernels are launched with blocks of 32 x WARPS threads
#define TILE 32   // candidates and columns of a tile: the width of a warp
#define BLOCKS 8  // least blocks on a multiprocessor that registers must allow: at most 64 for each thread

template <typename T>
struct RerankTile {
    T candidate[TILE][TILE + 1];
    T query[TILE];
};

// Load columns [column, column + width) of the query and of `count` candidates.
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
    // `task` and all loop bounds that depend on it are the same in all lanes, so all lanes reach every __syncwarp.
    for (long long task = static_cast<long long>(blockIdx.x) * WARPS + threadIdx.y; task < rows * groups; task += stride) {
        const long long row = task / groups, from = task % groups * TILE;
        const int count = static_cast<int>(width - from < TILE ? width - from : TILE);
        const long long first = row * width + from;
        double total = 0.0;
        for (long long column = 0; column < columns; column += TILE) {
            const int part = static_cast<int>(columns - column < TILE ? columns - column : TILE);
            load_tile(values, columns, queries[row], candidates + first, count, column, part, tile);
            __syncwarp();  // the tile is complete before any lane reads it
            if (lane < count) {
                for (int j = 0; j < part; ++j) {
                    total = add_squared_difference(total, tile.candidate[lane][j], tile.query[j]);
                }
            }
            __syncwarp();  // all lanes have read it before it is overwritten
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
