// Formula: out[i, j] = values[base[i], j] + gap[i] * (values[neighbor[i], j] - values[base[i], j])   (interpolate.cuh).
//
// Why a kernel: one pass over the output, 12 bytes moved a float32 value, where array expressions would move a
// float64 temporary for each operation. Elementwise: neighboring threads take neighboring cells of a row, so that
// loads and stores coalesce whatever the number of columns. A 64-bit division a cell would cost more than the memory
// traffic; each thread therefore divides once, and then walks on by a stride that is already split into rows and cells.
//
// A cell is 16 bytes, the most that a thread loads or stores at once, where every row begins on a multiple of 16 bytes;
// else it is one value. Which of the two is the same for all threads, and changes no bit of the result.
//
// Limit: 3 d sizeof(T) + 24 bytes a row over the memory's bandwidth (two rows read, one written; two positions and a
// gap), less what the cache saves of rows that are read more than once (docs/kernels.md).

#include "interpolate.cuh"

#define THREADS 256  // of a block, at most: what the backend launches
#define BLOCKS 4     // of THREADS on a multiprocessor at least: all that sm_75 has room for, 64 registers a thread at most

template <typename T>
struct alignas(16) Pack {
    T value[16 / sizeof(T)];
};

template <typename T>
__device__ inline Pack<T> interpolate(const Pack<T>& base, const Pack<T>& neighbor, double gap) {
    Pack<T> made;
    for (int i = 0; i < static_cast<int>(16 / sizeof(T)); ++i) {
        made.value[i] = interpolate(base.value[i], neighbor.value[i], gap);
    }
    return made;
}

__device__ inline bool on_16_bytes(const void* pointer) {
    return reinterpret_cast<unsigned long long>(pointer) % 16 == 0;
}

// `cells` of a row; values and out do not overlap.
template <typename Cell>
__device__ inline void walk_cells(const Cell* __restrict__ values, const long long* __restrict__ base,
                                  const long long* __restrict__ neighbor, const double* __restrict__ gap,
                                  long long rows, long long cells, Cell* __restrict__ out) {
    const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
    const long long first = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const long long row_stride = stride / cells, cell_stride = stride % cells;
    long long row = first / cells, cell = first % cells;
    while (row < rows) {
        const Cell from = values[base[row] * cells + cell], to = values[neighbor[row] * cells + cell];
        out[row * cells + cell] = interpolate(from, to, gap[row]);
        row += row_stride;
        cell += cell_stride;
        if (cell >= cells) {
            cell -= cells;
            ++row;
        }
    }
}

template <typename T>
__device__ inline void interpolate_rows(const T* __restrict__ values, const long long* __restrict__ base,
                                        const long long* __restrict__ neighbor, const double* __restrict__ gap,
                                        long long rows, long long columns, T* __restrict__ out) {
    const long long width = 16 / sizeof(T);
    if (columns % width == 0 && on_16_bytes(values) && on_16_bytes(out)) {
        walk_cells(reinterpret_cast<const Pack<T>*>(values), base, neighbor, gap, rows, columns / width,
                   reinterpret_cast<Pack<T>*>(out));
    } else {
        walk_cells(values, base, neighbor, gap, rows, columns, out);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    interpolate_rows_float32(const float* __restrict__ values, const long long* __restrict__ base,
                             const long long* __restrict__ neighbor, const double* __restrict__ gap, long long rows,
                             long long columns, float* __restrict__ out) {
    interpolate_rows(values, base, neighbor, gap, rows, columns, out);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    interpolate_rows_float64(const double* __restrict__ values, const long long* __restrict__ base,
                             const long long* __restrict__ neighbor, const double* __restrict__ gap, long long rows,
                             long long columns, double* __restrict__ out) {
    interpolate_rows(values, base, neighbor, gap, rows, columns, out);
}
