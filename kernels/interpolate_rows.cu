// Formula: out[i, j] = values[base[i], j] + gap[i] * (values[neighbour[i], j] - values[base[i], j])   (interpolate.cuh).
//
// Why a kernel: one pass over the output, 12 bytes moved a float32 value, where array expressions would move a
// float64 temporary for each operation. Elementwise: neighbouring threads take neighbouring columns, so that loads and
// stores coalesce whatever the number of columns. A 64-bit division a value would cost more than the memory traffic;
// each thread therefore divides once, and then walks on by a stride that is already split into rows and columns.

#include "interpolate.cuh"

template <typename T>
__device__ inline void interpolate_rows(const T* values, const long long* base, const long long* neighbour,
                                        const double* gap, long long rows, long long columns, T* out) {
    const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
    const long long first = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const long long row_stride = stride / columns, column_stride = stride % columns;
    long long row = first / columns, column = first % columns;
    while (row < rows) {
        out[row * columns + column] = interpolate(values[base[row] * columns + column],
                                                  values[neighbour[row] * columns + column], gap[row]);
        row += row_stride;
        column += column_stride;
        if (column >= columns) {
            column -= columns;
            ++row;
        }
    }
}

extern "C" __global__ void interpolate_rows_float32(const float* values, const long long* base,
                                                    const long long* neighbour, const double* gap, long long rows,
                                                    long long columns, float* out) {
    interpolate_rows(values, base, neighbour, gap, rows, columns, out);
}

extern "C" __global__ void interpolate_rows_float64(const double* values, const long long* base,
                                                    const long long* neighbour, const double* gap, long long rows,
                                                    long long columns, double* out) {
    interpolate_rows(values, base, neighbour, gap, rows, columns, out);
}
