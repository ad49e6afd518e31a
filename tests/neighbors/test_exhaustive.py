"""The k nearest rows, collected from pairs that come in any parts."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusmote.backends import Backend
from gpusmote.neighbors.candidates import Every, nearest_first
from gpusmote.neighbors.exhaustive import KNearest
from gpusmote.neighbors.search_set import SearchSet


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.booleans())
@settings(max_examples=50, derandomize=True, deadline=None)
def test_pairs_compared_in_any_parts_give_the_k_nearest_without_the_query(seed, k, scrambled):
    rng = np.random.default_rng(seed)
    search_set = SearchSet(Backend(), rng.integers(0, 3, (12, 2)).astype(float))  # many ties and duplicates
    queries = rng.permutation(search_set.n)[:5]
    query, row = (a.ravel() for a in np.meshgrid(np.arange(len(queries)), np.arange(search_set.n), indexing="ij"))
    order = rng.permutation(query.size) if scrambled else np.arange(query.size)
    nearest = KNearest(np, len(queries), k)
    for part in np.array_split(order, 7):
        nearest.compare(search_set, queries, query[part], row[part], 100)
    every = Every(search_set).candidates(queries, search_set.n - 1)[0]
    distance = search_set.distances(queries, every)
    wanted = np.take_along_axis(every, np.lexsort((every, distance), axis=1)[:, :k], axis=1)
    np.testing.assert_array_equal(nearest.rows(), wanted + 100)
    np.testing.assert_array_equal(nearest_first(np, every, distance, k)[0], wanted)
