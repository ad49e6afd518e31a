"""What a search is made of: the search set, groups of equal rows, the choice of a source, the distances that decide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpusmote.backends import Backend
from gpusmote.neighbors.candidates import all_candidates, nearest_first
from gpusmote.neighbors.cpu import pairs
from gpusmote.neighbors.cpu.pruned import Pruned
from gpusmote.neighbors.deduplicate import Groups, find_groups
from gpusmote.neighbors.exhaustive import KNearest
from gpusmote.neighbors.intrinsic_dimension import data_geometry
from gpusmote.neighbors.search_set import SearchSet
from gpusmote.neighbors.selection import SearchSize, choose, choose_second
from tests import reference


def search_set_of(X):
    return SearchSet(Backend(), np.ascontiguousarray(X))


def test_reduced_rows_are_centered_and_at_most_of_norm_one():
    X = np.random.default_rng(0).standard_normal((500, 4)) * 1e5 + 1e8
    search_set = search_set_of(X)
    Z = search_set.reduced(slice(None))
    assert np.abs(Z.mean(axis=0)).max() < 0.01
    assert 0.5 <= search_set.largest <= 1
    np.testing.assert_allclose(search_set.norms, np.linalg.norm(Z, axis=1), rtol=1e-14)
    # A difference of reduced rows is a difference of rows times a power of two, but for rounding.
    assert np.frexp(search_set.unit)[0] == 0.5
    np.testing.assert_allclose((Z[0] - Z[1]) / search_set.unit, X[0] - X[1], atol=1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1e-91, 1.0, 1e90, 1e300])
def test_extreme_rows_are_scaled_exactly(scale):
    X = np.random.default_rng(0).uniform(-1, 1, (50, 3)) * scale
    search_set = search_set_of(X)
    factor = (search_set.values / X).ravel()
    assert (factor == factor[0]).all()
    assert np.frexp(factor[0])[0] == 0.5
    assert (factor[0] == 1.0) == (2.0**-301 < np.ptp(X, axis=0).max() < 2.0**300)
    assert 0.5 <= search_set.largest <= 1


def test_rows_that_are_all_equal_have_no_extent():
    search_set = search_set_of(np.full((5, 2), 1e305))
    assert search_set.largest == 0
    assert search_set.unit == 1


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    X=hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.tuples(st.integers(1, 60), st.integers(1, 3)),
        elements=st.integers(-1, 1).map(float),
    )
)
def test_groups_hold_equal_rows_in_order_of_their_lowest(X):
    groups = Groups(Backend(), X)
    rows, first, inverse = np.unique(X, axis=0, return_index=True, return_inverse=True)
    assert groups.n == len(rows)
    np.testing.assert_array_equal(groups.lowest, np.sort(first))
    np.testing.assert_array_equal(groups.lowest[groups.of], first[inverse.ravel()])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_zeros_of_either_sign_are_equal(dtype):
    X = np.repeat([[0.0, 1.0], [2.0, -0.0], [-1.0, 0.0]], 4, axis=0).astype(dtype)
    X[::2] = np.where(X[::2] == 0, -X[::2], X[::2])
    before = X.copy()
    groups = Groups(Backend(), X)
    assert groups.of.tolist() == np.repeat([0, 1, 2], 4).tolist()
    assert find_groups(Backend(), X).n == 3
    assert X.tobytes() == before.tobytes()


def test_a_hash_for_all_costs_no_neighbor(monkeypatch):
    """Groups that fall apart, because different rows share a hash, are still groups of equal rows."""
    from gpusmote.neighbors import NeighborSearch, SearchReport, deduplicate

    X = np.random.default_rng(0).integers(0, 3, (300, 2)).astype(float)
    X = np.repeat(X, 3, axis=0)
    monkeypatch.setattr(deduplicate, "_hashes", lambda xp, values: xp.zeros(len(values), "u8"))
    groups = Groups(Backend(), X)
    assert 9 < groups.n <= 300
    found = NeighborSearch(Backend(), X, SearchReport()).nearest(None, 4)
    np.testing.assert_array_equal(found, reference.nearest(X, None, 4))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(3, 1, 1), (50, 4, 9), (7, 3, 2000), (5000, 8, 3)])
def test_deciding_distances_are_summed_in_column_order(shape, dtype):
    m, c, d = shape
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((60, d)) * 10.0 ** rng.integers(-3, 4, d)).astype(dtype)
    queries, candidates = rng.integers(0, 60, m), rng.integers(0, 60, (m, c))
    found = Backend().rerank(X, queries, candidates)
    table = np.array([reference.squared_distances(X, i) for i in range(60)])
    np.testing.assert_array_equal(found, table[queries[:, None], candidates])


def test_a_single_pair_is_summed_in_column_order_too():
    """np.sum would add a contiguous column of differences pairwise."""
    X = np.random.default_rng(1).lognormal(0, 4, (2, 999))
    found = Backend().rerank(X, np.array([0]), np.array([[1]]))
    assert found[0, 0] == reference.squared_distances(X, 0)[1]


@pytest.mark.parametrize(("copies", "groups"), [(1, None), (99, None), (102, 9_899), (1_500, 8_501)])
def test_one_row_with_many_copies_makes_groups(copies, groups):
    """From about sqrt(n) copies on their pairs are more than the rows, though far from a tenth of all rows repeat."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((10_000, 3))
    X[:copies] = X[0]
    found = find_groups(Backend(), rng.permutation(X))
    assert (found and found.n) == groups


def test_rows_that_come_twice_make_no_groups_where_they_are_few():
    X = np.random.default_rng(0).standard_normal((10_000, 3))
    X[:900:2] = X[1:900:2]
    assert find_groups(Backend(), X) is None


@pytest.mark.parametrize("d", [2, 5, 8])
def test_local_dimension_of_gaussian_rows(d):
    X = np.random.default_rng(0).standard_normal((8000, d))
    assert abs(data_geometry(search_set_of(X)).dimension - d) < 0.2 * d


def test_local_dimension_sees_through_columns_and_clusters():
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((8000, 3)) @ rng.standard_normal((3, 12))
    assert abs(data_geometry(search_set_of(flat)).dimension - 3) < 1
    clusters = np.r_[rng.standard_normal((4000, 8)), rng.standard_normal((4000, 8)) + 1e4]
    assert abs(data_geometry(search_set_of(clusters)).dimension - 8) < 2


def test_local_dimension_where_there_is_nothing_to_see():
    for n in (5, 500):
        lie = data_geometry(search_set_of(np.zeros((n, 2))))
        assert (lie.dimension, lie.share, lie.axes) == (0, 1, None)


def test_the_share_of_rows_that_matter_is_foretold():
    """By a sample, within a factor of three of a trial; independent columns offer nothing to leave out."""
    rng = np.random.default_rng(0)
    sheet = np.sin(rng.uniform(-1, 1, (20_000, 4)) @ rng.standard_normal((4, 20)))
    clusters = 5 * rng.integers(0, 2, (20_000, 32))[rng.integers(0, 8, 20_000)] + rng.standard_normal((20_000, 32))
    for X in (sheet, clusters):
        search_set = search_set_of(X)
        tried = Pruned(search_set).share(np.arange(search_set.n), 8)
        assert tried / 3 < data_geometry(search_set).share < 3 * tried < 1
    assert data_geometry(search_set_of(rng.standard_normal((20_000, 32)))).share > 0.95


@pytest.mark.parametrize(
    ("sizes", "dimension", "share", "expected"),
    [
        ((6, 3, 6, 5), None, None, ("every", 5)),
        ((9, 3, 9, 5), None, None, ("every", 8)),
        ((10, 3, 10, 5), None, None, ("tiles", 8)),
        ((1_999, 3, 1_999, 5), None, None, ("tiles", 8)),
        ((10_000, 3, 10_000, 5), 3.0, None, ("tree", 8)),
        ((10_000, 3, 7, 5), 3.0, None, ("tree", 8)),
        ((10_000, 3, 10_000, 5), 4.4, None, ("pairs", 8)),  # too many dimensions for so few rows
        ((80_000, 13, 80_000, 5), 3.6, 0.3, ("pruned", 8)),  # too many for so many columns
        ((80_000, 17, 80_000, 5), None, 0.3, ("pruned", 8)),
        ((80_000, 17, 80_000, 5), None, 0.45, ("pairs", 8)),
        ((80_000, 17, 70_000, 5), None, 0.4, ("pruned", 8)),
        ((400_000, 17, 400_000, 5), None, 0.4, ("pruned", 8)),  # pairs' lists would be too large
        ((80_000, 17, 70_000, 5), None, 0.7, ("tiles", 8)),
        ((80_000, 17, 2_000, 5), None, None, ("tiles", 8)),  # the balls would not pay
        ((80_000, 17, 80_000, 70), None, None, ("tiles", 73)),
        ((10_000, 17, 10_000, 5), None, None, ("pairs", 8)),
        ((10_000, 17, 9_000, 5), None, None, ("tiles", 8)),
        ((10_000, 17, 10_000, 500), None, None, ("tiles", 503)),  # the lists of all rows at once would be too large
        ((80_000, 3, 80_000, 5, False), None, None, ("device", 31)),
        ((80_000, 3, 80_000, 50, False), None, None, ("device", 58)),
        ((80_000, 3, 80_000, 5, True, 0), None, None, ("product", 8)),
    ],
)
def test_the_choice_of_a_source(sizes, dimension, share, expected):
    def answer(value):
        def ask(limit):
            assert value is not None, "asked without need"
            return value

        return ask

    choice = choose(SearchSize(*sizes), answer(dimension), answer(share))
    assert (choice.source, choice.count) == expected
    assert f"{sizes[2]:,} queries among {sizes[0]:,} rows, {sizes[1]} columns" in choice.why
    assert ("dimensions locally" in choice.why) == (dimension is not None)
    assert ("of all pairs compared" in choice.why) == (share is not None)


@pytest.mark.parametrize(
    ("sizes", "share", "expected"),
    [
        ((4_096, 17, 2_048, 5), 0.6, "pruned"),
        ((4_096, 17, 2_048, 5), 0.61, "tiles-float64"),
        ((4_095, 17, 2_048, 5), None, "tiles-float64"),
        ((4_096, 17, 2_047, 5), None, "tiles-float64"),
        ((4_096, 17, 2_048, 62), None, "tiles-float64"),
        ((4_096, 17, 2_048, 5, True, 1), None, "product-float64"),
        ((4_096, 17, 2_048, 5, False), None, "product-float64"),
    ],
)
def test_the_choice_of_a_second_source(sizes, share, expected):
    def ask(limit):
        assert share is not None, "asked without need"
        assert limit == 0.6
        return share

    assert choose_second(SearchSize(*sizes), ask) == expected


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 4, 9, 10])
def test_every_two_blocks_meet_once(n_blocks):
    met = [tuple(sorted(task)) for task in pairs._round_robin(n_blocks)]
    blocks = range(1, n_blocks)
    assert sorted(met) == [(i, j) for i in blocks for j in blocks if i <= j]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.booleans())
@settings(max_examples=50, derandomize=True, deadline=None)
def test_pairs_compared_in_any_parts_give_the_k_nearest_without_the_query(seed, k, scrambled):
    rng = np.random.default_rng(seed)
    search_set = search_set_of(rng.integers(0, 3, (12, 2)).astype(float))  # many ties and duplicates
    queries = rng.permutation(search_set.n)[:5]
    query, row = (a.ravel() for a in np.meshgrid(np.arange(len(queries)), np.arange(search_set.n), indexing="ij"))
    order = rng.permutation(query.size) if scrambled else np.arange(query.size)
    nearest = KNearest(np, len(queries), k)
    for part in np.array_split(order, 7):
        nearest.compare(search_set, queries, query[part], row[part], 100)
    every = all_candidates(search_set, queries)[0]
    distance = search_set.backend.rerank(search_set.values, queries, every)
    wanted = np.take_along_axis(every, np.lexsort((every, distance), axis=1)[:, :k], axis=1)
    np.testing.assert_array_equal(nearest.rows(), wanted + 100)
    np.testing.assert_array_equal(nearest_first(np, every, distance, k)[0], wanted)
