// Runs every kernel over awkward sizes, on buffers of exactly the size that each should have. test_sanitizers.py appends
// it to the shim and the kernels and builds it with g++'s sanitizers.

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

const long long TABLE = 5;  // rows of the table

// The table and the output begin at every place that their values may have between two multiples of 16 bytes.
template <class T>
static void run_interpolate(void (*kernel)(const T*, const long long*, const long long*, const double*, long long,
                                           long long, T*),
                            long long rows, long long columns) {
    const long long places = 16 / sizeof(T);
    auto base = buffer<long long>(rows), other = buffer<long long>(rows);
    auto gap = buffer<double>(rows);
    for (long long i = 0; i < rows; ++i) base[i] = i % TABLE, other[i] = TABLE - 1 - i % TABLE, gap[i] = 0.25;
    for (long long from = 0; from < places; ++from) {
        auto values = buffer<T>(from + TABLE * columns);
        for (long long i = 0; i < from + TABLE * columns; ++i) values[i] = static_cast<T>(i) / 3;
        for (long long to = 0; to < places; ++to) {
            auto out = buffer<T>(to + rows * columns);
            run(kernel, 3, 8, 1, values.get() + from, base.get(), other.get(), gap.get(), rows, columns, out.get() + to);
        }
    }
}

template <class T>
static void run_rerank(void (*kernel)(const T*, const long long*, const long long*, long long, long long, long long, double*),
                       long long rows, long long columns, long long width) {
    auto values = buffer<T>(TABLE * columns);
    for (long long i = 0; i < TABLE * columns; ++i) values[i] = static_cast<T>(i) / 3;
    auto queries = buffer<long long>(rows), candidates = buffer<long long>(rows * width);
    auto distance = buffer<double>(rows * width);
    for (long long i = 0; i < rows; ++i) queries[i] = i % TABLE;
    for (long long i = 0; i < rows * width; ++i) candidates[i] = i % TABLE;
    run(kernel, 2, 32, 4, values.get(), queries.get(), candidates.get(), rows, width, columns, distance.get());
}

static void run_draw(long long rows, unsigned long long start) {
    auto pick = buffer<long long>(rows), samples = buffer<long long>(rows);
    auto gap = buffer<double>(rows);
    for (long long i = 0; i < rows; ++i) samples[i] = 7 * i;
    const unsigned long long stop = start + static_cast<unsigned long long>(rows);
    run(draw_slice, 2, 16, 1, 1ULL, 2ULL, start, stop, 9ULL, pick.get(), gap.get());
    run(draw_gathered, 2, 16, 1, 1ULL, 2ULL, samples.get(), rows, 9ULL, pick.get(), gap.get());
}

static void run_count(long long rows, long long width) {
    auto codes = buffer<long long>(9), neighbors = buffer<long long>(rows * width), count = buffer<long long>(rows);
    for (int i = 0; i < 9; ++i) codes[i] = i % 2;
    for (long long i = 0; i < rows * width; ++i) neighbors[i] = i % 9;
    run(count_foreign, 2, 16, 1, codes.get(), neighbors.get(), 1LL, rows, width, count.get());
}

static void run_convert(long long rows) {
    auto in = buffer<float>(rows);
    auto out = buffer<double>(rows);
    for (long long i = 0; i < rows; ++i) in[i] = static_cast<float>(i) / 3;
    run(float32_to_float64, 2, 16, 1, in.get(), rows, out.get());
}

#ifdef __SANITIZE_THREAD__  // to which each thread of a launch costs a millisecond
const long long ROWS[] = {33}, COLUMNS[] = {4, 33}, WIDTHS[] = {40};
#else
const long long ROWS[] = {0, 1, 2, 33, 70}, COLUMNS[] = {1, 3, 4, 32, 33}, WIDTHS[] = {1, 5, 32, 40};
#endif

int main() {
    for (long long rows : ROWS) {
        for (unsigned long long odd : {0ULL, 1ULL}) run_draw(rows, (1ULL << 63) - 100 + odd);
        run_convert(rows);
        for (long long width : WIDTHS) run_count(rows, width);
        for (long long columns : COLUMNS) {
            run_interpolate<float>(interpolate_rows_float32, rows, columns);
            run_interpolate<double>(interpolate_rows_float64, rows, columns);
            for (long long width : WIDTHS) {
                run_rerank<float>(rerank_distances_float32, rows, columns, width);
                run_rerank<double>(rerank_distances_float64, rows, columns, width);
            }
        }
    }
    return 0;
}
