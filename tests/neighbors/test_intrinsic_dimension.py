"""The estimates of local dimension and of the share of pairs that a pruned search compares."""

from __future__ import annotations

import numpy as np
import pytest

from gpusmote.backends import Backend
from gpusmote.neighbors.intrinsic_dimension import data_geometry
from gpusmote.neighbors.search_set import SearchSet
from tests.neighbors.small import compared_share


def search_set_of(X):
    return SearchSet(Backend(), np.ascontiguousarray(X))


@pytest.mark.parametrize("d", [2, 5, 8])
def test_local_dimension_of_gaussian_rows(d):
    X = np.random.default_rng(0).standard_normal((8000, d))
    assert abs(data_geometry(search_set_of(X)).dimension - d) < 0.2 * d


def test_local_dimension_ignores_redundant_columns_and_clusters():
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((8000, 3)) @ rng.standard_normal((3, 12))
    assert abs(data_geometry(search_set_of(flat)).dimension - 3) < 1
    clusters = np.r_[rng.standard_normal((4000, 8)), rng.standard_normal((4000, 8)) + 1e4]
    assert abs(data_geometry(search_set_of(clusters)).dimension - 8) < 2


def test_local_dimension_of_equal_rows_is_zero():
    for n in (5, 500):
        assert data_geometry(search_set_of(np.zeros((n, 2)))) == (0, 1)


def test_the_share_of_compared_pairs_is_estimated():
    """Within a factor of three of the true share; with independent columns nothing can be skipped."""
    rng = np.random.default_rng(0)
    sheet = np.sin(rng.uniform(-1, 1, (20_000, 4)) @ rng.standard_normal((4, 20)))
    clusters = 5 * rng.integers(0, 2, (20_000, 32))[rng.integers(0, 8, 20_000)] + rng.standard_normal((20_000, 32))
    for X in (sheet, clusters):
        pool = search_set_of(X)
        share = compared_share(pool)
        assert share / 3 < data_geometry(pool).share < 3 * share < 1
    assert data_geometry(search_set_of(rng.standard_normal((20_000, 32)))).share > 0.95
