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

// A table in one order, its balls made without thought: centres are rows, radii reach everywhere.
static void search(void (*kernel)(const float*, const float*, const double*, const float*, const double*, const float*,
                                  const long long*, const float*, const long long*, const long long*, long long,
                                  long long, long long, long long*, double*, long long*),
                   unsigned queries, long long n, long long d, long long count) {
    const long long columns = (d + 3) / 4 * 4, leaves = (n + 15) / 16, branches = (leaves + 31) / 32;
    auto rows = buffer<float>(n * columns), z = buffer<float>(n), low = buffer<float>(branches);
    auto leaf_centres = buffer<double>(leaves * columns), branch_centres = buffer<double>(branches * columns);
    auto leaf_radii = buffer<float>(leaves), branch_radii = buffer<float>(branches);
    auto order = buffer<long long>(branches), places = buffer<long long>(n);
    for (long long i = 0; i < n * columns; ++i) rows[i] = static_cast<float>(i % 7) / 64;
    for (long long i = 0; i < n; ++i) z[i] = 1.0f, places[i] = i;
    for (long long i = 0; i < leaves * columns; ++i) leaf_centres[i] = static_cast<double>(i % 5) / 64;
    for (long long i = 0; i < branches * columns; ++i) branch_centres[i] = 0.0;
    for (long long i = 0; i < leaves; ++i) leaf_radii[i] = 2.0f;
    for (long long i = 0; i < branches; ++i) branch_radii[i] = 2.0f, low[i] = 0.0f, order[i] = branches - 1 - i;
    const long long asked = n < queries ? n : queries;
    auto tasks = buffer<long long>(6), found = buffer<long long>(asked * count), met = buffer<long long>(2 * queries / 16);
    const long long given[] = {0, asked - 1, 0, asked - 1, asked, 0};  // all but the last, and the last alone
    for (int i = 0; i < 6; ++i) tasks[i] = given[i];
    auto edge = buffer<double>(asked);
    run(kernel, 2, 2 * queries, 1, rows.get(), z.get(), leaf_centres.get(), leaf_radii.get(), branch_centres.get(),
        branch_radii.get(), order.get(), low.get(), tasks.get(), places.get(), n, d, count, found.get(), edge.get(),
        met.get());
    for (long long i = 0; i < asked * count; ++i) {
        if (found[i] < 0 || found[i] >= n || found[i] == i / count) std::abort();
    }
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
                auto codes = buffer<long long>(9), neighbours = buffer<long long>(rows * width);
                for (int i = 0; i < 9; ++i) codes[i] = i % 2;
                for (long long i = 0; i < rows * width; ++i) neighbours[i] = i % 9;
                run(count_foreign, 2, 16, 1, codes.get(), neighbours.get(), 1LL, rows, width, count.get());
                cases += 4;
            }
        }
    }
    for (long long n : {34LL, 63LL, 513LL, 600LL}) {
        for (long long count : {1LL, 32LL}) {
            for (long long d : {1LL, 32LL}) search(search_balls_32, 64, n, d, count), ++cases;
            for (long long d : {33LL, 64LL}) search(search_balls_64, 64, n, d, count), ++cases;
            for (long long d : {65LL, 256LL}) search(search_balls_256, 32, n, d, count), ++cases;
        }
    }
    std::printf("%d cases\n", cases);
    return 0;
}
