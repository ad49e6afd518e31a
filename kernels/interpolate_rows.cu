// Formula: out[i, j] = values[base[i], j] + gap[i] * (values[neighbor[i], j] - values[base[i], j])   (interpolate.cuh).
//
// Why a kernel: it makes one pass over the output and moves 12 bytes for each float32 value, while array expressions
// would write a float64 temporary for each operation. Adjacent threads handle adjacent cells of a row, so loads and
// stores coalesce for any number of columns. A 64-bit division for each cell would take longer than the memory traffic,
// so each thread divides once and then advances by a stride that is already split into rows and cells.
//
// A cell is 16 bytes, the largest size of one load or store, if every row starts at a multiple of 16 bytes; otherwise
// it is one value. The choice is the same for all threads and does not change the result.
//
// Lower bound for the time: 3 d sizeof(T) + 24 bytes for each row (two rows read, one written; two row numbers and a
// gap), divided by the memory bandwidth, less what the cache saves for rows that are read repeatedly (docs/kernels.md).

#include "interpolate.cuh"

#define THREADS 256  // largest block; the backend launches blocks of this size
#define BLOCKS 4     // least blocks on a multiprocessor: all that fit on sm_75, with at most 64 registers for each thread

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

// `cells` is the number of cells of a row; values and out do not overlap.
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
