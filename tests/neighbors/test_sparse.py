"""The search among sparse rows finds the same neighbors as the slow, obvious one."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusmote.backends import Backend
from gpusmote.backends.cpu import WorkingMemory
from gpusmote.containers import wrap_features
from gpusmote.neighbors import SearchReport
from gpusmote.neighbors.sparse import SparseSearch
from tests import reference

KINDS = [
    "plain", "binary", "equal", "empty", "huge", "tiny", "far apart in scale", "small steps", "subnormal", "offset",
    "constant", "dense row", "integers", "near ties", "one entry", "huge constant",
]  # fmt: skip


def rows_of(kind, n, d, seed, dtype="f8"):
    """Rows of few entries that are awkward in one way."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.04)
    if kind == "binary":
        X = (X != 0) * 1.0
    elif kind == "equal":
        X = X[rng.integers(0, max(1, n // 4), n)]
    elif kind == "empty":
        X[rng.random(n) < 0.5] = 0
    elif kind == "huge":
        X *= 1e300 if dtype == "f8" else 1e37
    elif kind == "tiny":
        X *= 1e-300 if dtype == "f8" else 1e-36
    elif kind == "far apart in scale":
        X *= 10.0 ** rng.integers(-320 if dtype == "f8" else -44, 150 if dtype == "f8" else 38, (n, d))
    elif kind == "small steps":
        X = X * 1e-160 if dtype == "f8" else X * 1e-20
        X[:, 0] = rng.integers(0, 2, n)
    elif kind == "subnormal":
        X = np.round(X * 3) * np.finfo(dtype).smallest_subnormal
    elif kind == "offset":
        X[:, 3] = 1e8 + rng.standard_normal(n)
    elif kind == "constant":
        X[:, 3] = 1e12
    elif kind == "huge constant":
        X[:, 3] = np.finfo(dtype).max
    elif kind == "dense row":
        X[n // 2] = rng.standard_normal(d)
    elif kind == "integers":
        X = np.round(3 * X)
    elif kind == "near ties":
        X = (X != 0) * (1.0 + rng.integers(0, 3, (n, d)) * np.finfo(dtype).eps)
    elif kind == "one entry":
        X = np.eye(n, d) * np.round(1 + rng.random(n))[:, None]
    return X.astype(dtype)


def found(X, k, queries=None, memory=None):
    backend = Backend() if memory is None else Backend().within(WorkingMemory(memory, 0))
    return SparseSearch(backend, X, SearchReport()).nearest(queries, k)


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_neighbors_are_those_of_the_reference(monkeypatch, kind, dtype, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", threads)
    X = rows_of(kind, 120, 300, 0, dtype)
    expected = reference.nearest(scaled_rows(X), None, 119)
    for k, memory in ((1, None), (5, None), (119, None), (5, 1 << 19)):
        assert np.array_equal(found(sp.csr_array(X), k, memory=memory), expected[:, :k])


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.sampled_from(KINDS),
    st.sampled_from(["f4", "f8"]),
    st.integers(2, 40),
    st.integers(5, 400),
    st.integers(0, 2**32 - 1),
    st.data(),
)
def test_any_rows_queries_and_k(kind, dtype, n, d, seed, data):
    X = rows_of(kind, n, d, seed, dtype)
    k = data.draw(st.integers(1, n - 1))
    queries = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=6)))
    memory = data.draw(st.sampled_from([None, 1, 50_000]))
    assert np.array_equal(found(sp.csr_array(X), k, queries, memory), reference.nearest(scaled_rows(X), queries, k))


def scaled_rows(X):
    """As the search defines them: rows whose squared differences would overflow or underflow are scaled."""
    X = X.astype("f8")
    low, high = X.min(axis=0), X.max(axis=0)
    spread = (high / 2 - low / 2).max()
    exponent = int(np.frexp(spread)[1]) + 1 if spread > 0 else 0
    return np.ldexp(np.where(high > low, X, 0), -exponent) if abs(exponent) > 300 else X


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.sampled_from(["f4", "f8", "i1", "?"]), st.integers(0, 2**32 - 1))
def test_entries_in_any_order_and_more_than_once(dtype, seed):
    """Explicit zeros, duplicate entries (their sum counts) and unsorted columns."""
    rng = np.random.default_rng(seed)
    n, d, m = 30, 300, 600
    data = rng.integers(-100, 100, m) if dtype == "i1" else rng.standard_normal(m) * (rng.random(m) < 0.9)
    indptr = np.sort(np.concatenate([[0, m], rng.integers(0, m, n - 1)]))
    X = sp.csr_array((data.astype(dtype), rng.integers(0, 40, m), indptr), shape=(n, d))
    X.data[X.data == 0] = 0
    table = wrap_features(X)
    assert table.sparse
    taken = table.take_sparse(None)
    dense = X.toarray().astype(table.work_dtype)
    assert taken.has_canonical_format
    assert np.array_equal(taken.toarray(), dense)
    assert np.array_equal(found(taken, 4), reference.nearest(dense, None, 4))
