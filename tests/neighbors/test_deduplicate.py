"""Groups of equal rows, and when a search makes them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpusmote.backends import Backend
from gpusmote.neighbors import NeighborSearch, SearchReport, deduplicate
from gpusmote.neighbors.deduplicate import Groups, find_groups
from tests import reference


def groups_of(X):
    return Groups(Backend(), X, *deduplicate._hash_order(np, deduplicate._bits(X)))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    X=hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.tuples(st.integers(1, 60), st.integers(1, 3)),
        elements=st.integers(-1, 1).map(float),
    )
)
def test_groups_hold_equal_rows_in_order_of_their_lowest(X):
    groups = groups_of(X)
    rows, first, inverse = np.unique(X, axis=0, return_index=True, return_inverse=True)
    assert groups.n == len(rows)
    np.testing.assert_array_equal(groups.lowest, np.sort(first))
    np.testing.assert_array_equal(groups.lowest[groups.of], first[inverse.ravel()])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_zeros_of_either_sign_are_equal(dtype):
    X = np.repeat([[0.0, 1.0], [2.0, -0.0], [-1.0, 0.0]], 4, axis=0).astype(dtype)
    X[::2] = np.where(X[::2] == 0, -X[::2], X[::2])
    before = X.copy()
    groups = groups_of(X)
    assert groups.of.tolist() == np.repeat([0, 1, 2], 4).tolist()
    assert find_groups(Backend(), X).n == 3
    assert X.tobytes() == before.tobytes()


def test_rows_that_share_a_hash_lose_no_neighbor(monkeypatch):
    """Groups that fall apart, because different rows share a hash, are still groups of equal rows."""
    X = np.random.default_rng(0).integers(0, 3, (300, 2)).astype(float)
    X = np.repeat(X, 3, axis=0)
    monkeypatch.setattr(deduplicate, "_hashes", lambda xp, values: xp.zeros(len(values), "u8"))
    groups = groups_of(X)
    assert 9 < groups.n <= 300
    found = NeighborSearch(Backend(), X, SearchReport()).nearest(None, 4)
    np.testing.assert_array_equal(found, reference.nearest(X, None, 4))


@pytest.mark.parametrize(("copies", "groups"), [(1, None), (62, None), (65, 9_936), (1_500, 8_501)])
def test_one_row_with_many_copies_makes_groups(copies, groups):
    """From about sqrt(0.4 n) copies on, although far from a tenth of all rows repeat another row."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((10_000, 3))
    X[:copies] = X[0]
    found = find_groups(Backend(), rng.permutation(X))
    assert (found and found.n) == groups


def test_few_repeated_rows_make_no_groups():
    X = np.random.default_rng(0).standard_normal((10_000, 3))
    X[:900:2] = X[1:900:2]
    assert find_groups(Backend(), X) is None
