"""The certificate: approximate distances are within its bound, and it certifies no list that lacks a neighbor."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpusmote.backends import Backend
from gpusmote.neighbors.candidates import Every, drop_self
from gpusmote.neighbors.certificate import DIRECT, FLOAT32, FLOAT64, certified, error_bound
from gpusmote.neighbors.cpu.top_k import Layout
from gpusmote.neighbors.search_set import SearchSet
from tests import reference
from tests.neighbors.tables import AWKWARD

K = 3
ARITHMETICS = {"float32": FLOAT32, "float64": FLOAT64}

tables = hnp.arrays(
    np.float64,
    st.tuples(st.integers(8, 30), st.integers(1, 5)),
    elements=st.one_of(
        st.integers(-3, 3).map(float),
        st.floats(-1, 1),
        st.floats(-1e9, 1e9),
        st.sampled_from([1e-160, 1e100, 1.0 + 2**-52, 1e4, 1e4 + 1e-9]),
    ),
)


def approximate(search_set, arithmetic):
    """Squared distances of all rows from all rows, as the searches by products have them."""
    every = np.arange(search_set.n)
    if arithmetic is FLOAT32:
        layout = Layout(search_set, "f4", 8)
        A = np.empty((search_set.n, search_set.n))
        A[np.ix_(layout.order, layout.order)] = layout.left(slice(None)) @ layout.right.T
        np.fill_diagonal(A, np.inf)
        return np.maximum(A, 0)
    return search_set.scores(every, 0, search_set.n, "f8") + search_set.norms[:, None] ** 2


def deciding(search_set):
    distance = np.array([reference.squared_distances(search_set.values, i) for i in range(search_set.n)])
    np.fill_diagonal(distance, np.inf)
    return distance * search_set.unit * search_set.unit


def check(X, arithmetic, lengths, seed):
    """TopK of different lengths, as a search would make them and deliberately shortened: those certified are right."""
    search_set = SearchSet(Backend(), X)
    A, D = approximate(search_set, arithmetic), deciding(search_set)
    n, every, rng = search_set.n, np.arange(search_set.n), np.random.default_rng(seed)
    n_certified = 0
    for length in lengths:
        length = min(length, n - 2)
        noise = rng.permuted(np.tile(every, (n, 1)), axis=1)  # ties broken anyhow
        order = np.lexsort((noise, A))[:, :length]
        edge = np.take_along_axis(A, order[:, -1:], axis=1)[:, 0]
        listed = np.sort(order, axis=1)
        distance = np.take_along_axis(D, listed, axis=1)
        best = np.argsort(distance, axis=1, kind="stable")[:, :K]
        found = np.take_along_axis(listed, best, axis=1)
        kth = np.take_along_axis(distance, best[:, -1:], axis=1)[:, 0]
        sure = certified(search_set, arithmetic, every, kth, edge)
        right = np.argsort(D, axis=1, kind="stable")[:, :K]
        np.testing.assert_array_equal(found[sure], right[sure])
        n_certified += int(sure.sum())
    return n_certified


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@settings(derandomize=True, deadline=None, max_examples=200)
@given(X=tables, lengths=st.lists(st.integers(K, 12), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_a_certified_list_holds_the_nearest(arithmetic, X, lengths, seed):
    check(X, ARITHMETICS[arithmetic], lengths, seed)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("name", ["plain", "heavy tails", "one column x 1e4", "clusters far apart", "offset"])
def test_real_lists_are_certified_and_right(name, arithmetic):
    X = AWKWARD[name]()
    n_certified = check(X, ARITHMETICS[arithmetic], (K, K + 1, 8, 20), seed=0)
    if name == "plain" or arithmetic == "float64":
        assert n_certified > 2.5 * len(X)  # of 4 lists a query; one of length k never is


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@settings(derandomize=True, deadline=None, max_examples=100)
@given(X=tables)
def test_the_bound_holds_for_every_pair(arithmetic, X):
    """With D the distance of a pair itself, every row is within reach: the bound is then on that very pair."""
    search_set = SearchSet(Backend(), X)
    A, D = approximate(search_set, ARITHMETICS[arithmetic]), deciding(search_set)
    for i in range(search_set.n):
        others = np.delete(np.arange(search_set.n), i)
        eps = error_bound(search_set, ARITHMETICS[arithmetic], np.full(len(others), i), D[i, others])
        assert (np.abs(A[i, others] - D[i, others]) <= eps).all()


def test_the_deciding_distance_is_near_the_true_one():
    """The (d + 2) roundings that the bound allows for it, against rational arithmetic."""
    X = AWKWARD["heavy tails"]()[:20]
    for i in range(1, 20):
        computed = Backend().rerank(X, np.array([0]), np.array([[i]]))[0, 0]
        true = sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(X[0].tolist(), X[i].tolist(), strict=True))
        assert abs(Fraction(computed) - true) <= true * (X.shape[1] + 2) / 2**53


def one(kth, edge, arithmetic=FLOAT32, X=None):
    search_set = SearchSet(Backend(), AWKWARD["plain"]() if X is None else X)
    return bool(certified(search_set, arithmetic, np.array([0]), np.array([kth]), np.array([edge]))[0])


@pytest.mark.parametrize("arithmetic", [FLOAT32, FLOAT64, DIRECT])
def test_equality_and_what_is_not_finite_certify_nothing(arithmetic):
    assert one(0.1, 0.2, arithmetic)
    assert not one(0.1, 0.1, arithmetic)
    assert not one(0.1, np.nextafter(0.1, 1), arithmetic)
    assert not one(0.0, 0.0, arithmetic)
    assert not one(0.1, np.nan, arithmetic)
    assert not one(np.inf, 0.2, arithmetic)
    assert one(0.1, np.inf, arithmetic)


def test_float32_certifies_nothing_where_it_is_too_coarse():
    assert FLOAT32.relative(2**24) == np.inf
    assert FLOAT64.relative(2**24) < 1e-8


def test_a_list_of_every_other_row():
    search_set = SearchSet(Backend(), np.eye(4))
    rows, edge = Every(search_set).candidates(np.array([2, 0]), 3)
    assert rows.tolist() == [[0, 1, 3], [1, 2, 3]]
    assert np.isinf(edge).all()


def test_the_query_is_dropped_from_its_list():
    rows = np.array([[5, 1, 2], [7, 6, 8], [1, 2, 9]])
    distance = np.array([[0.0, 1.0, 2.0], [0.0, 0.0, 3.0], [4.0, 5.0, 6.0]], "f4")
    kept, edge = drop_self(np, np.array([5, 6, 9]), rows, distance)
    assert kept.tolist() == [[1, 2], [7, 8], [1, 2]]
    assert edge.tolist() == [2.0, 3.0, 5.0]
    kept, edge = drop_self(np, np.array([0]), rows[:1], distance[:1])
    assert kept.tolist() == [[5, 1]]  # it has so many copies that it is not in its own list
    assert edge.tolist() == [1.0]
