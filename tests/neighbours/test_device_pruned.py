"""The search on a device that leaves out balls of rows, over the stand-in: exact, certified, and of few pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpusmote.backends import Backend
from gpusmote.backends.cuda import CudaBackend
from gpusmote.neighbours import Neighbourhood, SearchReport, choose, device_pruned, neighbourhood
from gpusmote.neighbours.device_balls import BRANCH, LEAF, DeviceBalls
from gpusmote.neighbours.device_pruned import DevicePruned, serves
from gpusmote.neighbours.pool import Pool
from tests import reference
from tests.neighbours.tables import AWKWARD
from tests.standin.install import cuda

__all__ = ["cuda"]

K = 5
few = settings(
    derandomize=True, deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def pool_on(values):
    backend = CudaBackend(0)
    with backend.active():
        return Pool(backend, backend.asarray(values))


def search(values, k=K, queries=None):
    backend, report = CudaBackend(0), SearchReport()
    found = Neighbourhood(backend, backend.asarray(values), report, "pruned-device")
    found = found.nearest(None if queries is None else backend.asarray(queries), k)
    assert report.certified_first + report.certified_second + report.certified_last == report.queries == len(found)
    return found.get(), report


def table(rng, n, d, kind):
    values = rng.normal(size=(n, d))
    if kind == "ties":
        values = np.round(values)
    elif kind == "clusters":
        values = values * 1e-3 + 50 * rng.integers(0, 3, (n, 1))
    elif kind == "offset":
        values += 1e5
    elif kind == "heavy tails":
        values = np.exp(2 * values)
    return values


KINDS = st.sampled_from(["plain", "ties", "clusters", "offset", "heavy tails"])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_tables(cuda, name, dtype):
    cuda()
    X = AWKWARD[name]().astype(dtype)
    found, _ = search(X)
    np.testing.assert_array_equal(found, reference.nearest(X, None, K))


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 31, 32, 33, 64, 65, 255, 256, 257])
def test_every_width(cuda, d):
    """The widest table of each kernel, the narrowest, and one that none of them serves."""
    machine = cuda()
    X = np.random.default_rng(d).normal(size=(150, d)).astype("f4")
    found, report = search(X, 7)
    np.testing.assert_array_equal(found, reference.nearest(X, None, 7))
    assert report.certified_first == 150
    ran = {launch.kernel for launch in machine.launches if launch.kernel.startswith("search")}
    assert ran == ({f"search_balls_{32 if d <= 32 else 64 if d <= 64 else 256}"} if d <= 256 else set())


@pytest.mark.parametrize("k", [1, 2, 8, 23, 24, 25, 30, 60, 299])
def test_every_k(cuda, k):
    """Longer lists than the kernel has come from the other source, and are certified all the same."""
    machine = cuda()
    X = np.random.default_rng(k).normal(size=(300, 4))
    found, report = search(X, k)
    np.testing.assert_array_equal(found, reference.nearest(X, None, k))
    assert report.certified_first == 300
    ran = any(launch.kernel.startswith("search") for launch in machine.launches)
    assert ran == (k + 8 <= 32)


@pytest.mark.parametrize("n", [33, 34, 47, 48, 49, 64, 65, 511, 512, 513, 529, 1030])
def test_every_number_of_rows(cuda, n):
    """Leaves and branches that are not full, and a branch of one row."""
    cuda()
    X = np.random.default_rng(n).normal(size=(n, 3))
    found, report = search(X, 4)
    np.testing.assert_array_equal(found, reference.nearest(X, None, 4))
    assert report.certified_first == n


@few
@given(seed=st.integers(0, 2**32 - 1), m=st.sampled_from([1, 2, 40, 200]), kind=KINDS)
def test_some_rows_are_queries(cuda, seed, m, kind):
    """In any order, more than once, and so few that most of a block's places are empty."""
    cuda()
    rng = np.random.default_rng(seed)
    X, queries = table(rng, 1100, 3, kind), rng.integers(0, 1100, m)
    found, _ = search(X, 3, queries)
    np.testing.assert_array_equal(found, reference.nearest(X, queries, 3))


@few
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([40, 64, 300, 1100]),
    d=st.sampled_from([1, 3, 8, 40]),
    count=st.integers(1, 32),
    kind=KINDS,
)
def test_no_row_outside_a_list_is_nearer_than_its_edge(cuda, seed, n, d, count, kind):
    """Without any allowance for rounding: that is in the bounds."""
    cuda()
    rng = np.random.default_rng(seed)
    values, asked = table(rng, n, d, kind), rng.permutation(n)[:25]
    pool = pool_on(values)
    rows, edge = (a.get() for a in DevicePruned(pool).candidates(pool.backend.asarray(asked), count))
    assert rows.shape == (len(asked), count)
    assert (rows.dtype, edge.dtype) == (np.int64, np.float64)
    assert (np.diff(np.sort(rows, axis=1), axis=1) > 0).all()
    assert not (rows == asked[:, None]).any()
    exact = values.astype(np.longdouble) * np.longdouble(pool.unit)
    square = ((exact[asked][:, None] - exact[None]) ** 2).sum(axis=2)
    square[np.arange(len(asked)), asked] = np.inf
    np.put_along_axis(square, rows, np.inf, axis=1)
    assert (square.min(axis=1) * (1 + np.longdouble(2) ** -55) >= edge).all()


@pytest.mark.parametrize("on_device", [False, True])
@few
@given(seed=st.integers(0, 2**32 - 1), n=st.sampled_from([1, 2, 16, 17, 512, 513, 1700]), kind=KINDS)
def test_balls_hold_their_rows(cuda, on_device, seed, n, kind):
    cuda()
    values = table(np.random.default_rng(seed), n, 3, kind)
    pool = pool_on(values) if on_device else Pool(Backend(), values)
    balls, host = DeviceBalls(pool), pool.backend.to_host
    order = host(balls.order)
    assert sorted(order.tolist()) == list(range(n))
    assert host(balls.place)[order].tolist() == list(range(n))
    exact = values[order].astype(np.longdouble) * np.longdouble(pool.unit)
    for level, size in ((balls.leaves, LEAF), (balls.branches, BRANCH)):
        of = np.arange(n) // size
        away = np.sqrt(((exact - host(level.centres)[of, :3]) ** 2).sum(axis=1))
        assert len(level.radii) == of[-1] + 1
        assert (away <= host(level.radii)[of].astype(np.longdouble) + np.longdouble(2) ** -60).all()
    residual = exact - host(balls.leaves.centres)[np.arange(n) // LEAF, :3]
    assert (host(balls.z) >= (residual**2).sum(axis=1)).all()
    assert (host(balls.rows)[:, 3] == 0).all()
    np.testing.assert_allclose(host(balls.rows)[:, :3], residual.astype(float), rtol=2.0**-23, atol=2.0**-125)


@few
@given(seed=st.integers(0, 2**32 - 1), kind=KINDS)
def test_branches_are_no_nearer_than_said(cuda, seed, kind):
    cuda()
    values = table(np.random.default_rng(seed), 2300, 4, kind)
    balls = DeviceBalls(pool := Pool(Backend(), values))
    order, low = balls.nearest_branches(np.array([0, 3]))
    assert (np.diff(low, axis=1) >= 0).all()
    assert (np.sort(order, axis=1) == np.arange(len(balls.branches.radii))).all()
    exact = values[balls.order].astype(np.longdouble) * np.longdouble(pool.unit)
    for line, branch in enumerate((0, 3)):
        away = np.sqrt(((exact - balls.branches.centres[branch]) ** 2).sum(axis=1))
        nearest = np.minimum.reduceat(away, np.arange(0, len(away), BRANCH))
        assert (nearest[order[line]] >= low[line]).all()


@pytest.mark.parametrize("level", ["leaves", "branches"])
@pytest.mark.parametrize("spread", [0.0, 1e-12])
def test_rounding_brings_no_ball_nearer(level, spread):
    """Balls of almost no radius, all of whose rows are as near as can be, seen from one far away."""
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=(40, 5)), BRANCH, axis=0)
    values += spread * rng.normal(size=values.shape)
    balls = DeviceBalls(pool := Pool(Backend(), values))
    size = {"leaves": LEAF, "branches": BRANCH}[level]
    origin = balls.leaves.centres[7, :5]
    asked = np.arange(0, pool.n, 500)
    low = balls.nearest(getattr(balls, level), slice(None), pool.reduced(asked, origin / pool.unit), origin)
    exact = values.astype(np.longdouble) * np.longdouble(pool.unit)
    for line, row in enumerate(asked):
        away = np.sqrt(((exact[balls.order] - exact[row]) ** 2).sum(axis=1))
        nearest = np.minimum.reduceat(away, np.arange(0, pool.n, size))
        assert (low[line] <= nearest).all()
        assert (low[line] > nearest - 2e-7 - 4 * spread).all()


def test_rounding_to_float32_brings_no_branch_nearer():
    values = np.repeat(np.random.default_rng(0).normal(size=(40, 5)), BRANCH, axis=0)
    balls = DeviceBalls(pool := Pool(Backend(), values))
    order, low = balls.nearest_branches(np.arange(40))
    rows = values[balls.order[::BRANCH]].astype(np.longdouble) * np.longdouble(pool.unit)
    away = np.sqrt(((rows[:, None] - rows) ** 2).sum(axis=2))
    assert (low <= np.take_along_axis(away, order, axis=1)).all()


def test_near_rows_stand_near_each_other():
    """Leaves are far smaller than they would be of rows in any order."""
    values = np.random.default_rng(0).normal(size=(4096, 3))
    balls = DeviceBalls(Pool(Backend(), values))
    shuffled = DeviceBalls.__new__(DeviceBalls)
    vars(shuffled).update(vars(balls))
    shuffled.order = np.random.default_rng(1).permutation(4096)
    shuffled.leaves = shuffled._level(LEAF)
    shuffled._make_leaves(0, 256)
    assert np.median(balls.leaves.radii) < 0.4 * np.median(shuffled.leaves.radii)


@pytest.mark.parametrize("most", [0.25, 1.0])
def test_few_pairs_are_met_where_rows_lie_in_few_dimensions(cuda, most):
    cuda()
    rng = np.random.default_rng(0)
    d = 2 if most < 1 else 40
    values = rng.normal(size=(3000, d)) @ rng.normal(size=(d, 40))
    pool = pool_on(values)
    source = DevicePruned(pool)
    share = source.share(pool.xp.arange(3000), 13)
    assert (share < most) if most < 1 else (share > 0.7)
    assert int(source.pairs) > 0


def test_blocks_of_queries_and_of_branches(cuda, monkeypatch):
    """However the work is cut, the lists are the same; queries come in the order in which near ones are together."""
    machine = cuda()
    X = np.random.default_rng(0).normal(size=(2100, 3))
    whole, report = search(X)
    assert len([launch for launch in machine.launches if launch.kernel == "search_balls_32"]) == 1
    monkeypatch.setattr(neighbourhood, "AT_ONCE", 16 * 700)
    monkeypatch.setattr(Pool, "block", lambda self, width: 2 if width < 100 else 1000)
    machine.launches.clear()
    parts, again = search(X)
    np.testing.assert_array_equal(parts, whole)
    assert again.certified_first == report.certified_first == 2100
    grids = [launch.grid[0] for launch in machine.launches if launch.kernel == "search_balls_32"]
    assert len(grids) == 4  # 700 queries lie in two branches of 512 rows, or three, and so go in one launch or two
    assert sum(grids) < 2100 / 64 + 2 * len(grids) + 5


def test_one_wait_a_call(cuda):
    machine = cuda()
    pool = pool_on(np.random.default_rng(0).normal(size=(900, 3)))
    source = DevicePruned(pool)
    queries = pool.xp.arange(900)
    source.candidates(queries, 13)
    before = machine.waits
    source.candidates(queries, 13)
    assert machine.waits == before + 1


@few
@given(
    seed=st.integers(0, 2**32 - 1),
    m=st.sampled_from([1, 2, 40, 200]),
    k=st.sampled_from([1, 4, 40]),
    width=st.sampled_from([1, 3, 257]),
    looser=st.sampled_from([1.0, 1.5]),
    kind=KINDS,
)
def test_what_is_in_doubt_is_settled(cuda, seed, m, k, width, looser, kind):
    """Given what the k-th is at most away, whatever ties there are; tables too wide for the kernel included."""
    cuda()
    rng = np.random.default_rng(seed)
    X, queries = table(rng, 1100, width, kind), rng.integers(0, 1100, m)
    pool, nearest = pool_on(X), reference.nearest(X, queries, k)
    asked = pool.backend.asarray(queries)
    kth = pool.backend.rerank(pool.values, asked, pool.backend.asarray(nearest[:, -1:]))[:, 0] * pool.unit * pool.unit
    found = DevicePruned(pool).settle(asked, kth * looser, k)
    np.testing.assert_array_equal(found.get(), nearest)


def test_settling_compares_few_rows(cuda, monkeypatch):
    """On a grid every list ends among ties, and few balls hold rows as near; the float64 pass would meet all pairs."""
    cuda()
    X = np.stack(np.meshgrid(*3 * [np.arange(14.0)]), axis=-1).reshape(-1, 3)
    compared = []
    rerank = CudaBackend.rerank

    def counted(self, values, queries, rows):
        compared.append(rows.size)
        return rerank(self, values, queries, rows)

    monkeypatch.setattr(CudaBackend, "rerank", counted)
    found, report = search(X, 7)
    np.testing.assert_array_equal(found, reference.nearest(X, None, 7))
    assert report.sources == ["pruned-device", "last"]
    assert report.certified_last > len(X) / 2
    assert sum(compared) < 0.2 * len(X) ** 2


def test_the_balls_are_made_once(cuda, monkeypatch):
    cuda()
    made = []
    monkeypatch.setattr(device_pruned, "DeviceBalls", lambda pool: made.append(pool) or DeviceBalls(pool))
    backend = CudaBackend(0)
    where = Neighbourhood(backend, backend.asarray(AWKWARD["plain"]()), SearchReport(), "pruned-device")
    where.nearest(None, 5)
    where.nearest(backend.asarray(np.arange(9)), 3)
    assert len(made) == 1


def test_what_the_kernel_serves():
    assert serves(2**31, 256, 32)
    assert not serves(2**31 + 1, 256, 32)
    assert not serves(10, 257, 32)
    assert not serves(10, 256, 33)


def test_it_is_not_chosen_until_it_is_known_to_pay(cuda, monkeypatch):
    cuda()
    size = choose.Search(10_000_000, 64, 10_000_000, 5, on_host=False)

    def never(limit):
        raise AssertionError("asked without need")

    assert choose.DEVICE_PRUNED_FROM is None
    assert choose.choose(size, never, never).source == "device"
    monkeypatch.setattr(choose, "DEVICE_PRUNED_FROM", 1_000_000)
    chosen = choose.choose(size, never, lambda limit: 0.2)
    assert (chosen.source, chosen.count) == ("pruned-device", 16)
    assert "20% of all pairs" in chosen.why
    assert choose.choose(size, never, lambda limit: 0.3).source == "device"
    for n, d, m, k in ((999_999, 64, 999_999, 5), (10**7, 257, 10**7, 5), (10**7, 64, 10**7, 25), (10**7, 64, 9, 5)):
        assert choose.choose(choose.Search(n, d, m, k, on_host=False), never, never).source == "device"
    assert choose.choose(choose.Search(10**7, 64, 10**7, 5, False, 1), never, never).source == "device"


def test_chosen_it_is_tried_first(cuda, monkeypatch):
    """The trial's balls serve the search; where they do not pay they go."""
    cuda()
    monkeypatch.setattr(choose, "DEVICE_PRUNED_FROM", 1000)
    rng, backend = np.random.default_rng(0), CudaBackend(0)
    for d, expected in ((2, "pruned-device"), (30, "device")):
        X, report = rng.normal(size=(3000, d)), SearchReport()
        where = Neighbourhood(backend, backend.asarray(X), report)
        found = where.nearest(backend.asarray(np.arange(2100)), K).get()
        np.testing.assert_array_equal(found, Neighbourhood(Backend(), X, SearchReport()).nearest(np.arange(2100), K))
        assert ("pruned-device" in where._sources) == (expected == "pruned-device")
        assert report.sources[0] == "pruned-device" or expected == "device"
