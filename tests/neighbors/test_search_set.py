"""The rows searched: centered, scaled by powers of two, reduced."""

from __future__ import annotations

import numpy as np
import pytest

from gpusmote.backends import Backend
from gpusmote.neighbors.search_set import SearchSet


def search_set_of(X):
    return SearchSet(Backend(), np.ascontiguousarray(X))


def test_reduced_rows_are_centered_and_at_most_of_norm_one():
    X = np.random.default_rng(0).standard_normal((500, 4)) * 1e5 + 1e8
    pool = search_set_of(X)
    Z = pool.reduced(slice(None))
    assert np.abs(Z.mean(axis=0)).max() < 0.01
    assert 0.5 <= pool.largest <= 1
    np.testing.assert_allclose(pool.norms, np.linalg.norm(Z, axis=1), rtol=1e-14)
    # A difference of reduced rows is a difference of rows times a power of two, but for rounding.
    assert np.frexp(pool.unit)[0] == 0.5
    np.testing.assert_allclose((Z[0] - Z[1]) / pool.unit, X[0] - X[1], atol=1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1e-91, 1.0, 1e90, 1e300])
def test_extreme_rows_are_scaled_exactly(scale):
    X = np.random.default_rng(0).uniform(-1, 1, (50, 3)) * scale
    pool = search_set_of(X)
    factor = (pool.values / X).ravel()
    assert (factor == factor[0]).all()
    assert np.frexp(factor[0])[0] == 0.5
    assert (factor[0] == 1.0) == (2.0**-301 < np.ptp(X, axis=0).max() < 2.0**300)
    assert 0.5 <= pool.largest <= 1


def test_rows_that_are_all_equal_have_no_extent():
    pool = search_set_of(np.full((5, 2), 1e305))
    assert pool.largest == 0
    assert pool.unit == 1
