"""What is left out cannot matter: bounds and edges against exact arithmetic, on data made to sit on them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusmote.backends import Backend
from gpusmote.neighbors import NeighborSearch, SearchReport
from gpusmote.neighbors.certificate import FLOAT32, FLOAT64
from gpusmote.neighbors.cpu import pruned, query_block
from gpusmote.neighbors.cpu.ball_tree import BallTree
from gpusmote.neighbors.cpu.pruned import Pruned
from gpusmote.neighbors.cpu.query_block import QueryBlock
from gpusmote.neighbors.intrinsic_dimension import data_geometry
from gpusmote.neighbors.search_set import SearchSet
from tests import reference
from tests.neighbors.small import compared_share, make_balls_small
from tests.neighbors.tables import AWKWARD

exact = np.longdouble


def search_set_of(X):
    return SearchSet(Backend(), np.ascontiguousarray(X))


def sheet(n, d=20, dimensions=4, seed=0):
    """A curved sheet of few dimensions in many columns: what can be pruned."""
    rng = np.random.default_rng(seed)
    return np.sin(rng.uniform(-1, 1, (n, dimensions)) @ rng.standard_normal((dimensions, d)) + rng.standard_normal(d))


def exact_rows(search_set, rows, center):
    return (search_set.values[rows].astype(exact) - center.astype(exact)) * exact(search_set.unit)


def group_of(search_set, some_balls, start, stop, arithmetic=FLOAT32):
    return QueryBlock(search_set, some_balls, np.arange(start, stop), slice(0, search_set.n), arithmetic)


@pytest.fixture
def single(monkeypatch):
    """Blocks of one query: what a block needs is then what the query needs."""
    monkeypatch.setattr(query_block, "BLOCK", 1)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1e-7, 1e-3, 1.0, 1e4]),
    st.sampled_from([FLOAT32, FLOAT64]),
)
def test_a_ball_left_out_is_at_least_kappa_away(d, seed, offset, arithmetic):
    """kappa is put on either side of |x - c| - r, by a few units in the last place or a few thousandths."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((300, d)) * rng.choice([1e-4, 1, 10], (300, 1)) + offset * rng.integers(0, 3, (300, 1))
    search_set = search_set_of(X.astype("f4"))
    tree = BallTree(search_set)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(query_block, "BLOCK", 1)
        some = group_of(search_set, tree, 0, 60, arithmetic)
        x = exact_rows(search_set, tree.order[:60], some._center)
        dtype = np.dtype(arithmetic.dtype).type
        for level in (tree.leaves, tree.branches):
            every = np.arange(len(level.radii))
            c = (level.centers.astype(exact) - some._center.astype(exact)) * exact(search_set.unit)
            low = np.sqrt(((x[:, None] - c) ** 2).sum(axis=2)) - level.radii.astype(exact)
            for j in rng.permutation(every)[:10]:
                close = rng.choice([0, 2, 8, 64], len(x)) * arithmetic.roundoff * rng.choice([-1, 1], len(x))
                kappa = np.maximum(low[:, j] * (1 + close), 0).astype(dtype)
                need = some._balls_needed(level, every, kappa)
                left_out = ~need
                assert (low[left_out] >= np.broadcast_to(kappa[:, None], low.shape)[left_out]).all()
                # and it is not for want of leaving out: what is clearly too far away is
                size = (np.sqrt((x**2).sum(axis=1))[:, None] + np.sqrt((c**2).sum(axis=1)) + level.radii) ** 2
                clearly = (low - kappa[:, None]) * low > 100 * (d + 9) * arithmetic.roundoff * size
                assert not need[clearly & (low > kappa[:, None])].any()


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e3]))
def test_a_row_left_out_of_a_block_is_at_least_kappa_away_from_each_query(d, seed, offset):
    rng = np.random.default_rng(seed)
    X = (rng.integers(-3, 4, (200, d)) * rng.choice([1e-3, 1], (200, 1)) + offset).astype("f4")
    search_set = search_set_of(X)
    tree = BallTree(search_set)
    some = group_of(search_set, tree, 0, 100)
    x, y = exact_rows(search_set, tree.order[:100], some._center), exact_rows(search_set, tree.order, some._center)
    away = np.sqrt(((x[:, None] - y) ** 2).sum(axis=2))
    # each kappa is the distance of some row: many rows lie exactly on it
    kappa = np.nextafter(away[np.arange(100), rng.integers(0, 200, 100)].astype("f4"), np.float32(rng.choice([0, 9])))
    need = some._rows_needed(some._table(np.arange(200)), kappa)
    for b, start in enumerate(range(0, 100, query_block.BLOCK)):
        block = slice(start, min(100, start + query_block.BLOCK))
        wanted = (away[block] < kappa[block, None].astype(exact)).any(axis=0)
        assert need[b][wanted].all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", [n for n in AWKWARD if n not in ("k + 1 rows", "k + 4 rows", "two distinct")])
def test_no_row_outside_a_list_is_nearer_than_its_edge(name, dtype, monkeypatch):
    make_balls_small(monkeypatch)
    search_set = search_set_of(AWKWARD[name]().astype(dtype))
    queries = np.random.default_rng(0).permutation(search_set.n)[:50]
    rows, edge = Pruned(search_set).candidates(queries, 8)
    z = exact_rows(search_set, np.arange(search_set.n), np.zeros(search_set.d))
    for query, found, bound in zip(queries, rows, edge, strict=True):
        assert query not in found
        assert len(set(found)) == 8
        square = ((z - z[query]) ** 2).sum(axis=1)
        square[[query, *found]] = np.inf
        assert (square >= exact(bound)).all()


def test_far_clusters_are_certified_in_float32():
    """One common center cannot: the common search leaves nearly all of them to float64."""
    rng = np.random.default_rng(0)
    X = 1e4 * rng.integers(0, 20, (20_000, 1)) + rng.standard_normal((20_000, 6))
    X = X @ np.linalg.qr(rng.standard_normal((6, 6)))[0]
    own, common = SearchReport(), SearchReport()
    found = NeighborSearch(Backend(), X, own, "pruned").nearest(None, 5)
    np.testing.assert_array_equal(found, NeighborSearch(Backend(), X, common, "tiles").nearest(None, 5))
    assert own.certified_first > 0.9 * len(X)
    assert common.certified_first < 0.1 * len(X)


def test_ties_are_settled():
    """A grid: many lists end among ties, and the lower rows are wanted."""
    rng = np.random.default_rng(0)
    X = rng.permutation(np.stack(np.meshgrid(*[np.arange(4.0)] * 5), axis=-1).reshape(-1, 5))
    report = SearchReport()
    found = NeighborSearch(Backend(), X, report, "pruned").nearest(None, 5)
    np.testing.assert_array_equal(found, reference.nearest(X, None, 5))
    assert report.certified_last > 0.2 * len(X)
    assert report.sources == ["pruned", "last"]


def test_pruning_leaves_out_more_and_more():
    """Four times the rows: less than half the share, so that the pairs compared grow by less than n ** 1.5."""
    shares = [compared_share(search_set_of(sheet(n))) for n in (10_000, 40_000)]
    assert shares[1] < shares[0] / 2


@pytest.mark.parametrize(("columns", "source"), [(sheet(17_000), "pruned"), (None, "pairs")])
def test_what_cannot_be_pruned_is_noticed_by_the_sample(columns, source):
    X = np.random.default_rng(0).standard_normal((17_000, 40)) if columns is None else columns
    report = SearchReport()
    NeighborSearch(Backend(), X.astype("f4"), report).nearest(None, 5)
    assert report.sources[0] == source
    assert report.why[0].startswith(f"{source}: 17,000 queries among 17,000 rows, {X.shape[1]} columns; ")
    assert report.why[0].endswith("of all pairs compared, by a sample")


def test_the_balls_are_made_once(monkeypatch):
    made = []
    monkeypatch.setattr(pruned, "BallTree", lambda search_set: made.append(search_set) or BallTree(search_set))
    X = sheet(17_000).astype("f4")
    rows = NeighborSearch(Backend(), X, SearchReport())
    for queries in (None, np.arange(3_000), np.arange(5_000, 9_000)):
        rows.nearest(queries, 5)
    assert len(made) == 1
    rows, report = np.random.default_rng(0).standard_normal((32_000, 8)), SearchReport()
    assert 0.4 < data_geometry(search_set_of(rows)).share < 0.6
    some = NeighborSearch(Backend(), rows, report)
    some.nearest(None, 5)
    assert len(made) == 1  # pairs are faster at that share
    some.nearest(np.arange(3_000), 5)
    some.nearest(np.arange(4_000), 5)
    assert len(made) == 2
    assert report.sources == ["pairs", "pruned"]
    hopeless = NeighborSearch(Backend(), np.random.default_rng(0).standard_normal((17_000, 40)), SearchReport())
    hopeless.nearest(None, 5)
    assert len(made) == 2


@pytest.mark.parametrize("m", [1, 2, 50, 700, 5_000])
def test_groups_hold_every_query_once_and_rows_enough(m):
    tree = BallTree(search_set_of(sheet(5_000)))
    places = np.sort(np.random.default_rng(m).permutation(5_000)[:m])
    for count in (8, 3_000):
        spans = pruned._groups(tree, places, count)
        assert np.array_equal(np.concatenate([places[span] for span, _ in spans]), places)
        for span, own in spans:
            assert own.start <= places[span][0]
            assert places[span][-1] < own.stop
            assert own.stop - own.start > count
            assert {own.start, own.stop} <= set(tree.cells.starts)


def test_queries_are_searched_block_by_block_in_the_order_of_places(monkeypatch):
    """Few candidates at once: results are the same, and each block's queries lie near each other."""
    from gpusmote.neighbors import search

    X = sheet(6_000)
    whole = NeighborSearch(Backend(), X, SearchReport(), "pruned").nearest(None, 5)
    asked = []
    before = Pruned.candidates
    monkeypatch.setattr(Pruned, "candidates", lambda self, q, count: asked.append(q) or before(self, q, count))
    monkeypatch.setattr(search, "BATCH_ENTRIES", 8 * 1_000)
    np.testing.assert_array_equal(NeighborSearch(Backend(), X, SearchReport(), "pruned").nearest(None, 5), whole)
    assert [len(q) for q in asked] == [1_000] * 6
    assert np.mean([X[q].var(axis=0).sum() for q in asked]) < 0.7 * X.var(axis=0).sum()
