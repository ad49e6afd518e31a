// Runs every kernel over awkward sizes on buffers of exactly the size that each should have. Appended to the shim and
// the kernels, built with AddressSanitizer and UBSan; prints how many cases ran.

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <tuple>

template <class T>
static std::unique_ptr<T[]> buffer(long long size) {
    return std::unique_ptr<T[]>(new T[static_cast<std::size_t>(size)]);  // on the heap, with red zones on both sides
}

template <class... A, class... V>
static void run(void (*kernel)(A...), unsigned grid, unsigned width, unsigned height, V... given) {
    std::tuple<A...> arguments(given...);
    const unsigned grids[3] = {grid, 1, 1}, blocks[3] = {width, height, 1};
    std::apply(
        [&](auto&... each) {
            void* values[] = {&each...};
            if (shim_launch(kernel, values, grids, blocks)) {
                std::abort();
            }
        },
        arguments);
}

template <class T>
static void run_rows(void (*interpolate)(const T*, const long long*, const long long*, const double*, long long, long long, T*),
                     void (*rerank)(const T*, const long long*, const long long*, long long, long long, long long, double*),
                     long long rows, long long columns, long long width) {
    const long long table = 5;
    auto values = buffer<T>(table * columns);
    for (long long i = 0; i < table * columns; ++i) values[i] = static_cast<T>(i) / 3;
    auto base = buffer<long long>(rows), other = buffer<long long>(rows), candidates = buffer<long long>(rows * width);
    auto gap = buffer<double>(rows), distance = buffer<double>(rows * width);
    auto out = buffer<T>(rows * columns);
    for (long long i = 0; i < rows; ++i) base[i] = i % table, other[i] = table - 1 - i % table, gap[i] = 0.25;
    for (long long i = 0; i < rows * width; ++i) candidates[i] = i % table;
    run(interpolate, 3, 64, 1, values.get(), base.get(), other.get(), gap.get(), rows, columns, out.get());
    run(rerank, 2, 32, 4, values.get(), base.get(), candidates.get(), rows, width, columns, distance.get());
}

int main() {
    const long long sizes[] = {0, 1, 2, 33, 70};
    int cases = 0;
    for (long long rows : sizes) {
        for (long long columns : {1LL, 3LL, 32LL, 33LL}) {
            for (long long width : {1LL, 5LL, 32LL, 40LL}) {
                run_rows<float>(interpolate_rows_float32, rerank_distances_float32, rows, columns, width);
                run_rows<double>(interpolate_rows_float64, rerank_distances_float64, rows, columns, width);
                auto pick = buffer<long long>(rows), samples = buffer<long long>(rows), count = buffer<long long>(rows);
                auto gap = buffer<double>(rows);
                const unsigned long long start = (1ULL << 63) - 100 + static_cast<unsigned long long>(columns);
                const unsigned long long stop = start + static_cast<unsigned long long>(rows);
                for (long long i = 0; i < rows; ++i) samples[i] = 7 * i;
                run(draw_slice, 2, 16, 1, 1ULL, 2ULL, start, stop, 9ULL, pick.get(), gap.get());
                run(draw_gathered, 2, 16, 1, 1ULL, 2ULL, samples.get(), rows, 9ULL, pick.get(), gap.get());
                auto narrow = buffer<float>(rows);
                auto exact = buffer<double>(rows);
                for (long long i = 0; i < rows; ++i) narrow[i] = static_cast<float>(i) / 3;
                run(float32_to_float64, 2, 16, 1, narrow.get(), rows, exact.get());
                auto codes = buffer<long long>(9), neighbours = buffer<long long>(rows * width);
                for (int i = 0; i < 9; ++i) codes[i] = i % 2;
                for (long long i = 0; i < rows * width; ++i) neighbours[i] = i % 9;
                run(count_foreign, 2, 16, 1, codes.get(), neighbours.get(), 1LL, rows, width, count.get());
                cases += 5;
            }
        }
    }
    std::printf("%d cases\n", cases);
    return 0;
}
