// Formula: for each query, the `count` rows of lowest bound (lower_bound.cuh) among all other rows, and an edge: no row
// outside the list is nearer than its root, exactly.
//
// Why a kernel: which rows a query must meet depends on how near those are that it has met, so that no fixed sequence
// of array operations does it without meeting nearly all. Rows stand in an order in which near ones are near; 16 make a
// leaf, 32 leaves a branch, each with a ball around it. A block of threads owns up to 64 queries that follow each other
// in that order. It meets the leaves in which they lie, which fills the lists; then the balls of branches, 32 at once,
// the nearest first; the balls of the 32 leaves of each branch that some query needs; the rows of the leaves that some
// query needs, two leaves at once. All three are the same product of 64 queries and 32 lines. Branches end when the
// next one's lower bound is beyond the reach of every query.
//
// A warp has 16 of the queries, a thread four of them and four lines: sixteen sums, for which it reads eight groups of
// four columns from shared memory and makes sixteen times four multiply-adds. Where none of its 16 queries needs a leaf
// a warp leaves the leaf's product out, and its turn to other blocks. Lists lie in shared memory, sorted, one entry a
// lane; a warp alone reads and writes those of its queries, so that only the loading of tiles needs a barrier. No
// outcome depends on which warp comes first: the same lists at every run.
//
// Limit. A pair that is met costs d multiply-adds, and 4 d / 64 bytes of the second-level cache. On an H100 (33e12
// multiply-adds and 3.35e12 bytes a second, some 5e12 from its cache) that is d / 33e12 s and d / 80e12 s: arithmetic
// bounds it, if shared memory keeps up (128 bytes a cycle and multiprocessor: of eight loads of 16 bytes four are the
// same for eight lanes and four for four, 8 to 32 cycles, while four warps at once make their multiply-adds in 64, each
// of them as many loads). A third to a half of the rate can be hoped for. FAISS's brute force computes every pair in
// d / 33e12 s at best and moves 8 bytes of distances for each, 8 / 3.35e12 s: 1.9e-12 + 2.4e-12 s a pair at 64 columns,
// 4.3 s for 1e6 rows. This search takes 3.9e-12 s a pair met at half the rate, and tests of balls for about a thirtieth
// of the pairs in branches that are met: even where nearly all pairs are met, and five times as fast where a sixth
// is. To that comes the order, about 16 passes over the rows at 40 bytes a value and sorts of n keys: 0.02 s for
// 1e6 x 64. At 8 columns FAISS takes 2.6e-12 s, and here the selection costs as much as the products, 1e-12 s a pair
// met: five times as fast where half are met, but the tests and the order weigh more.

#include "lower_bound.cuh"

#define TILE 32   // lines of a tile, leaves of a branch: a warp's width
#define LEAF 16   // rows of a leaf: half a tile
#define STEP 8    // groups of four columns of a tile that are in shared memory at once
#define LIST 32   // entries of a list at most
#define EACH 16   // queries of a warp
#define FAR 1e30f // more than any distance
#define ALL 0xffffffffu
#ifdef __CUDACC__
#define UNROLLED _Pragma("unroll")  // what a loop counts is then known, and what it indexes stays in registers
#define ROLLED _Pragma("unroll 1")   // fewer registers
#else
#define UNROLLED
#define ROLLED
#endif
#define NOWHERE 0xffffffffu  // no place: there are at most 2^31

// What a block of threads has in shared memory. Lines of `row` are 9 groups apart, so that the eight that a quarter of
// a warp reads at once lie in different banks; its threads all read the same query.
template <int QUERIES, int COLUMNS>
struct Meeting {
    static constexpr int warps = QUERIES / EACH;
    Quad query[QUERIES][COLUMNS / 4];  // -2 x
    Quad row[TILE][STEP + 1];
    Quad shift[2][COLUMNS / 4];  // from the frame's origin to the centres of two leaves
    float square[TILE][warps]; // |y|^2 in as many parts as threads load a line
    float extra[TILE];         // of a row z, of a ball its radius
    float part[QUERIES];       // query_part
    float score[QUERIES][LIST];
    unsigned place[QUERIES][LIST];
    unsigned own[QUERIES];
    unsigned needed[warps];
};

// The rows and their balls, as the arguments of the kernels name them.
struct Tree {
    const float* rows;
    const float* z;
    const double* leaf_centres;
    const float* leaf_radii;
    const double* branch_centres;
    const float* branch_radii;
    const double* origin;  // of the frame
    long long n, leaves, branches, columns;
    int quads, count;  // groups of four columns; entries of a list
};

// Lines of a tile: balls by their centres.
struct BallLines {
    static constexpr bool are_rows = false;
    const double* centres;
    const float* radii;
    const long long* which;  // of the balls, or null where they follow each other from `first` on
    long long first;
    int lines;

    __device__ long long ball(int line) const {
        const int known = line < lines ? line : lines - 1;
        return which != nullptr ? which[known] : first + known;
    }
    template <class M>
    __device__ void begin(M&, const Tree&) const {}
    template <class M>
    __device__ Quad load(const M&, const Tree& tree, int line, int quad) const {
        return difference(centres + ball(line) * tree.columns, tree.origin, quad);
    }
    __device__ float extra(const Tree&, int line) const { return radii[ball(line)]; }
};

// Lines of a tile: the rows of two leaves, half of the tile each. One that is not there (-1) has no rows.
struct RowLines {
    static constexpr bool are_rows = true;
    long long a, b;

    __device__ long long leaf(int half) const { return half == 0 ? a : b; }

    // The place of a line's row, n if there is none.
    __device__ long long place(const Tree& tree, int line) const {
        const long long own = leaf(line / LEAF), known = own * LEAF + line % LEAF;
        return own >= 0 && known < tree.n ? known : tree.n;
    }
    template <class M>
    __device__ void begin(M& meeting, const Tree& tree) const {
        for (int half = 0; half < 2; ++half) {
            const long long own = leaf(half);
            if (own < 0) continue;
            ROLLED
            for (int quad = static_cast<int>(threadIdx.x); quad < tree.quads; quad += static_cast<int>(blockDim.x)) {
                meeting.shift[half][quad] = difference(tree.leaf_centres + own * tree.columns, tree.origin, quad);
            }
        }
    }
    template <class M>
    __device__ Quad load(const M& meeting, const Tree& tree, int line, int quad) const {
        const long long at = place(tree, line);
        if (at == tree.n) return Quad{0.0f, 0.0f, 0.0f, 0.0f};
        const Quad* const kept = reinterpret_cast<const Quad*>(tree.rows + at * tree.columns);
        return sum(meeting.shift[line / LEAF][quad], kept[quad]);
    }
    __device__ float extra(const Tree& tree, int line) const {
        const long long at = place(tree, line);
        return at == tree.n ? 0.0f : tree.z[at];
    }
};

// Which queries and lines a thread has: queries query + i, lines line + 8 j, for i and j below 4.
struct Share {
    int lane, warp, query, line;
    __device__ Share()
        : lane(static_cast<int>(threadIdx.x) % TILE), warp(static_cast<int>(threadIdx.x) / TILE),
          query(warp * EACH + lane / 8 * 4), line(lane % 8) {}
};

// Products of a step of columns, for lines with FROM <= j < TO.
template <int FROM, int TO, class M>
__device__ inline void multiply(const M& meeting, int first, int width, const Share& mine, float (&score)[4][4]) {
    ROLLED
    for (int quad = 0; quad < width; ++quad) {
        Quad y[4];
        for (int j = FROM; j < TO; ++j) y[j] = meeting.row[mine.line + 8 * j][quad];
        for (int i = 0; i < 4; ++i) {
            const Quad x = meeting.query[mine.query + i][first + quad];
            for (int j = FROM; j < TO; ++j) score[i][j] = add_products(score[i][j], x, y[j]);
        }
    }
}

// score[i][j] = the bound of query + i and line + 8 j, where `halves` has a bit for that half of the tile; it is the
// same in a warp. Every thread of the block comes here, and passes two barriers a step: one after which nobody reads
// the last tile, one before which this one is whole.
template <class M, class Lines>
__device__ inline void measure(M& meeting, const Tree& tree, const Lines& lines, const Slack& slack, const Share& mine,
                               unsigned halves, float (&score)[4][4]) {
    const int own_line = static_cast<int>(threadIdx.x) / M::warps, own_part = static_cast<int>(threadIdx.x) % M::warps;
    float square = 0.0f;
    for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 4; ++j) score[i][j] = 0.0f;
    }
    lines.begin(meeting, tree);
    for (int first = 0; first < tree.quads; first += STEP) {
        const int width = tree.quads - first < STEP ? tree.quads - first : STEP;
        __syncthreads();
        ROLLED
        for (int quad = own_part; quad < width; quad += M::warps) {
            const Quad y = lines.load(meeting, tree, own_line, first + quad);
            meeting.row[own_line][quad] = y;
            square = add_products(square, y, y);
        }
        if (first + STEP >= tree.quads) {
            meeting.square[own_line][own_part] = square;
            if (own_part == 0) meeting.extra[own_line] = lines.extra(tree, own_line);
        }
        __syncthreads();
        if (halves == 3u) multiply<0, 4>(meeting, first, width, mine, score);
        if (halves == 1u) multiply<0, 2>(meeting, first, width, mine, score);
        if (halves == 2u) multiply<2, 4>(meeting, first, width, mine, score);
    }
    for (int j = 0; j < 4; ++j) {
        const int line = mine.line + 8 * j;
        float whole = 0.0f;
        for (int part = 0; part < M::warps; ++part) whole += meeting.square[line][part];
        const float own = slack.row_part(whole, Lines::are_rows ? meeting.extra[line] : 0.0f);
        for (int i = 0; i < 4; ++i) score[i][j] += meeting.part[mine.query + i] + own;
    }
}

// Which lines of a tile are needed, a bit each.
struct Needed {
    unsigned by_warp, by_block;  // by some query of this warp, of the block
};

// Balls that may hold a row nearer than the last of the list of some query.
template <class M>
__device__ inline Needed needed_balls(M& meeting, const Tree& tree, const BallLines& balls, const Slack& slack,
                                      const Share& mine) {
    float score[4][4], kappa[4];
    measure(meeting, tree, balls, slack, mine, 3u, score);
    for (int i = 0; i < 4; ++i) kappa[i] = kappa_of(meeting.score[mine.query + i][tree.count - 1]);
    unsigned needed = 0;
    for (int j = 0; j < 4; ++j) {
        const float radius = meeting.extra[mine.line + 8 * j];
        bool some = false;
        for (int i = 0; i < 4; ++i) some |= !(score[i][j] > reach(kappa[i], radius));
        unsigned lanes = __ballot_sync(ALL, some);
        lanes |= lanes >> 16;
        lanes |= lanes >> 8;
        needed |= (lanes & 255u) << (8 * j);
    }
    if (balls.lines < TILE) needed &= (1u << balls.lines) - 1u;
    if (mine.lane == 0) meeting.needed[mine.warp] = needed;
    __syncthreads();
    unsigned all = 0;
    for (int warp = 0; warp < M::warps; ++warp) all |= meeting.needed[warp];
    return Needed{needed, all};
}

// Put a row into a query's list, if it is near enough: what is further moves up by a lane, and the last drops out. Each
// lane reads and writes its own entry.
template <class M>
__device__ inline void keep(M& meeting, int lane, int query, float score, unsigned place, int count) {
    const float held = meeting.score[query][lane];
    const unsigned at = meeting.place[query][lane];
    const float before = __shfl_up_sync(ALL, held, 1);
    const unsigned at_before = __shfl_up_sync(ALL, at, 1);
    if (held > score && lane < count) {
        const bool here = lane == 0 || !(before > score);
        meeting.score[query][lane] = here ? score : before;
        meeting.place[query][lane] = here ? place : at_before;
    }
}

// The rows of two leaves into the lists of this warp's queries, if its bit in `halves` says so.
template <class M>
__device__ inline void meet_rows(M& meeting, const Tree& tree, const RowLines& rows, const Slack& slack,
                                 const Share& mine, unsigned halves) {
    float score[4][4], last[4];
    measure(meeting, tree, rows, slack, mine, halves, score);
    unsigned place[4];
    for (int j = 0; j < 4; ++j) {
        const long long at = rows.place(tree, mine.line + 8 * j);
        place[j] = at == tree.n || !(halves >> (j / 2) & 1u) ? NOWHERE : static_cast<unsigned>(at);
    }
    bool near = false;
    for (int i = 0; i < 4; ++i) {
        last[i] = meeting.score[mine.query + i][tree.count - 1];
        const unsigned own = meeting.own[mine.query + i];
        for (int j = 0; j < 4; ++j) {
            if (place[j] == own || place[j] == NOWHERE) score[i][j] = FAR;
            near |= score[i][j] < last[i];
        }
    }
    if (!__any_sync(ALL, near)) {
        return;
    }
    UNROLLED
    for (int i = 0; i < 4; ++i) {
        UNROLLED
        for (int j = 0; j < 4; ++j) {
            unsigned lanes = __ballot_sync(ALL, score[i][j] < last[i]);
            while (lanes != 0) {
                const int from = __ffs(static_cast<int>(lanes)) - 1;
                lanes &= lanes - 1;
                const float value = __shfl_sync(ALL, score[i][j], from);
                const unsigned at = __shfl_sync(ALL, place[j], from);
                keep(meeting, mine.lane, mine.warp * EACH + from / 8 * 4 + i, value, at, tree.count);
            }
        }
    }
    __syncwarp();  // others look at the last entries
}

// Queries into the frame, and empty lists. A query that is not there wants nothing.
template <class M>
__device__ inline void begin_queries(M& meeting, const Tree& tree, const long long* places, int asked,
                                     const Slack& slack, const Share& mine) {
    ROLLED
    for (int i = 0; i < EACH; ++i) {
        const int query = mine.warp * EACH + i;
        const bool there = query < asked;
        const long long place = there ? places[query] : 0;
        float square = 0.0f;
        ROLLED
        for (int quad = mine.lane; quad < tree.quads; quad += TILE) {
            Quad x = {0.0f, 0.0f, 0.0f, 0.0f};
            if (there) {
                const double* const centre = tree.leaf_centres + place / LEAF * tree.columns;
                const Quad* const kept = reinterpret_cast<const Quad*>(tree.rows + place * tree.columns);
                x = sum(difference(centre, tree.origin, quad), kept[quad]);
            }
            square = add_products(square, x, x);
            meeting.query[query][quad] = Quad{-2.0f * x.x, -2.0f * x.y, -2.0f * x.z, -2.0f * x.w};
        }
        for (int step = TILE / 2; step > 0; step /= 2) square += __shfl_xor_sync(ALL, square, step);
        meeting.score[query][mine.lane] = there ? FAR : -FAR;
        meeting.place[query][mine.lane] = 0;
        if (mine.lane == 0) {
            meeting.part[query] = there ? slack.query_part(square, tree.z[place]) : FAR;
            meeting.own[query] = static_cast<unsigned>(place);
        }
    }
}

// Whether a row that far from the centre of the queries' branch may be near enough to one of the thread's queries.
template <class M>
__device__ inline bool within_reach(const M& meeting, const Share& mine, float low, float own_radius, int count) {
    bool some = false;
    for (int i = 0; i < 4; ++i) {
        const float kappa = kappa_of(meeting.score[mine.query + i][count - 1]);
        some |= low <= (own_radius + kappa) * (1.0f + 0x1p-20f);
    }
    return some;
}

__device__ inline int lowest_bit(unsigned bits) { return __ffs(static_cast<int>(bits)) - 1; }

// Bits begin to end - 1, as far as they are among 32.
__device__ inline unsigned span_bits(long long begin, long long end) {
    const long long a = begin < 0 ? 0 : begin, b = end > TILE ? TILE : end;
    return a >= b ? 0u : (b - a == TILE ? ALL : ((1u << (b - a)) - 1u) << a);
}

// Consecutive leaves.
struct Span {
    long long begin, end;
};

// Those of the queries and one on each side, or more: a list takes LIST rows, and one may be the query itself.
__device__ inline Span first_leaves(const Tree& tree, long long first_place, long long last_place) {
    long long begin = first_place / LEAF - 1, end = last_place / LEAF + 2;
    begin = begin < 0 ? 0 : begin;
    end = end > tree.leaves ? tree.leaves : end;
    while (end - begin < 4 && begin > 0) --begin;
    while (end - begin < 4 && end < tree.leaves) ++end;
    return Span{begin, end};
}

// The needed leaves of a branch, but for those that were met first. Returns how many this warp has met.
template <class M>
__device__ inline int meet_branch(M& meeting, const Tree& tree, long long branch, const Span& known,
                                  const Slack& slack, const Share& mine) {
    const long long first = branch * TILE;
    const int lines = static_cast<int>(tree.leaves - first < TILE ? tree.leaves - first : TILE);
    const BallLines within{tree.leaf_centres, tree.leaf_radii, nullptr, first, lines};
    const Needed needed = needed_balls(meeting, tree, within, slack, mine);
    unsigned to_do = needed.by_block & ~span_bits(known.begin - first, known.end - first);
    const int met = __popc(needed.by_warp & to_do);
    while (to_do != 0) {
        const int a = lowest_bit(to_do);
        to_do &= to_do - 1;
        const int b = lowest_bit(to_do);  // -1 where there is none
        to_do &= to_do - 1;
        const unsigned halves = (needed.by_warp >> a & 1u) | (b < 0 ? 0u : (needed.by_warp >> b & 1u) << 1);
        meet_rows(meeting, tree, RowLines{first + a, b < 0 ? -1 : first + b}, slack, mine, halves);
    }
    return met;
}

// One task: queries [task[0], task[1]) of `places`, all in one branch, whose line of `order` and `low` is task[2].
template <class M>
__device__ inline void search_balls(M& meeting, Tree tree, long long d, const long long* order, const float* low,
                                    const long long* task, const long long* places, long long* found, double* edge,
                                    long long* met) {
    const Share mine;
    const Slack slack(d);
    const int asked = static_cast<int>(task[1] - task[0]);
    places += task[0];
    order += task[2] * tree.branches;
    low += task[2] * tree.branches;
    tree.origin = tree.leaf_centres + places[asked / 2] / LEAF * tree.columns;
    begin_queries(meeting, tree, places, asked, slack, mine);
    const Span known = first_leaves(tree, places[0], places[asked - 1]);
    for (long long leaf = known.begin; leaf < known.end; leaf += 2) {
        const bool both = leaf + 1 < known.end;
        meet_rows(meeting, tree, RowLines{leaf, both ? leaf + 1 : -1}, slack, mine, both ? 3u : 1u);
    }
    long long leaves_met = known.end - known.begin;
    const float own_radius = tree.branch_radii[places[0] / (LEAF * TILE)];
    for (long long from = 0; from < tree.branches; from += TILE) {
        if (!__syncthreads_or(within_reach(meeting, mine, low[from], own_radius, tree.count))) break;
        const int some = static_cast<int>(tree.branches - from < TILE ? tree.branches - from : TILE);
        const BallLines near{tree.branch_centres, tree.branch_radii, order + from, 0, some};
        unsigned to_do = needed_balls(meeting, tree, near, slack, mine).by_block;
        for (; to_do != 0; to_do &= to_do - 1) {
            leaves_met += meet_branch(meeting, tree, order[from + lowest_bit(to_do)], known, slack, mine);
        }
    }
    ROLLED
    for (int i = 0; i < EACH; ++i) {
        const int query = mine.warp * EACH + i;
        if (query < asked && mine.lane < tree.count) {
            found[(task[0] + query) * tree.count + mine.lane] = static_cast<long long>(meeting.place[query][mine.lane]);
            if (mine.lane == tree.count - 1) edge[task[0] + query] = to_double(meeting.score[query][mine.lane]);
        }
    }
    if (mine.lane == 0) met[mine.warp] = leaves_met;
}

__device__ inline Tree tree_of(const float* rows, const float* z, const double* leaf_centres, const float* leaf_radii,
                               const double* branch_centres, const float* branch_radii, long long n, long long d,
                               long long count) {
    const long long leaves = (n + LEAF - 1) / LEAF, quads = (d + 3) / 4;
    return Tree{rows, z, leaf_centres, leaf_radii, branch_centres, branch_radii, nullptr, n, leaves,
                (leaves + TILE - 1) / TILE, 4 * quads, static_cast<int>(quads), static_cast<int>(count)};
}

extern "C" __global__ void __launch_bounds__(128, 4)
    search_balls_32(const float* __restrict__ rows, const float* __restrict__ z,
                    const double* __restrict__ leaf_centres, const float* __restrict__ leaf_radii,
                    const double* __restrict__ branch_centres, const float* __restrict__ branch_radii,
                    const long long* __restrict__ order, const float* __restrict__ low,
                    const long long* __restrict__ tasks, const long long* __restrict__ places, long long n,
                    long long d, long long count, long long* __restrict__ found, double* __restrict__ edge,
                    long long* __restrict__ met) {
    __shared__ Meeting<64, 32> meeting;
    const long long task = blockIdx.x;
    search_balls(meeting,
                 tree_of(rows, z, leaf_centres, leaf_radii, branch_centres, branch_radii, n, d, count), d, order, low,
                 tasks + 3 * task, places, found, edge, met + meeting.warps * task);
}

extern "C" __global__ void __launch_bounds__(128, 4)
    search_balls_64(const float* __restrict__ rows, const float* __restrict__ z,
                    const double* __restrict__ leaf_centres, const float* __restrict__ leaf_radii,
                    const double* __restrict__ branch_centres, const float* __restrict__ branch_radii,
                    const long long* __restrict__ order, const float* __restrict__ low,
                    const long long* __restrict__ tasks, const long long* __restrict__ places, long long n,
                    long long d, long long count, long long* __restrict__ found, double* __restrict__ edge,
                    long long* __restrict__ met) {
    __shared__ Meeting<64, 64> meeting;
    const long long task = blockIdx.x;
    search_balls(meeting,
                 tree_of(rows, z, leaf_centres, leaf_radii, branch_centres, branch_radii, n, d, count), d, order, low,
                 tasks + 3 * task, places, found, edge, met + meeting.warps * task);
}

extern "C" __global__ void __launch_bounds__(64, 4)
    search_balls_256(const float* __restrict__ rows, const float* __restrict__ z,
                    const double* __restrict__ leaf_centres, const float* __restrict__ leaf_radii,
                    const double* __restrict__ branch_centres, const float* __restrict__ branch_radii,
                    const long long* __restrict__ order, const float* __restrict__ low,
                    const long long* __restrict__ tasks, const long long* __restrict__ places, long long n,
                    long long d, long long count, long long* __restrict__ found, double* __restrict__ edge,
                    long long* __restrict__ met) {
    __shared__ Meeting<32, 256> meeting;
    const long long task = blockIdx.x;
    search_balls(meeting,
                 tree_of(rows, z, leaf_centres, leaf_radii, branch_centres, branch_radii, n, d, count), d, order, low,
                 tasks + 3 * task, places, found, edge, met + meeting.warps * task);
}
