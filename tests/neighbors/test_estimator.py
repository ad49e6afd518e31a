"""Neighbors by an estimator of the caller's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.neighbors import NearestNeighbors

from gpusmote.errors import ParameterError
from gpusmote.neighbors.estimator import nearest_by_estimator
from tests import reference


class Fixed(BaseEstimator):
    """Returns what it was told to."""

    def __init__(self, rows=None):
        self.rows = rows

    def fit(self, X):
        return self

    def kneighbors(self, X, return_distance=True):
        assert not return_distance
        return self.rows


def test_scikit_learns_exact_neighbors():
    X = np.random.default_rng(0).standard_normal((80, 3))
    estimator = NearestNeighbors(n_neighbors=6)
    queries = np.array([3, 70, 12])
    np.testing.assert_array_equal(nearest_by_estimator(estimator, X, queries), reference.nearest(X, queries, 5))
    assert not hasattr(estimator, "n_samples_fit_")  # a clone was fitted


def test_another_metric():
    X = np.array([[0.0, 0.0], [3.0, 3.0], [5.0, 0.0]])
    found = nearest_by_estimator(NearestNeighbors(n_neighbors=2, metric="chebyshev"), X, np.arange(3))
    assert found.tolist() == [[1], [0], [1]]


def test_the_row_itself_is_dropped_wherever_it_stands():
    found = nearest_by_estimator(Fixed([[4, 0, 2], [1, 3, 4], [0, 1, 3], [3, 3, 1]]), np.zeros((5, 1)), np.arange(4))
    assert found.tolist() == [[4, 2], [3, 4], [0, 1], [3, 1]]


NO_POSITIONS = [
    None,
    "01",
    {},
    scipy.sparse.csr_array(np.eye(2)),
    [["0", "1"], ["1", "0"]],
    [[0, 1], [1]],
    [[None, 1], [1, 0]],
    [[0, 2**70], [1, 0]],
    np.array([[0, 1.7], [1, 0]]),
    np.array([[0, np.nan], [1, 0]]),
    np.array([[0, np.inf], [1, 0]]),
    np.array([[0, 1e300], [1, 0]]),
    np.array([[0, 2**64 - 1], [1, 0]], np.uint64),
    np.array([[0, 1j], [1, 0]]),
    np.array([[False, True], [True, False]]),
    np.array([["2024", "2025"], ["2025", "2024"]], "M8[Y]"),
]


@pytest.mark.parametrize("dtype", [np.int32, np.uint64, np.float32, np.float64])
def test_whole_numbers_of_any_dtype_are_positions(dtype):
    found = nearest_by_estimator(Fixed(np.array([[0, 2], [1, 0]], dtype)), np.zeros((3, 1)), np.arange(2))
    assert found.tolist() == [[2], [0]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        *(
            (
                rows,
                r"Fixed.kneighbors did not return an array of integers with 2 rows and at least two columns\. Give an",
            )
            for rows in ([[0], [1]], [0, 1], [[0, 1]], *NO_POSITIONS)
        ),
        ([[0, -1], [1, 0]], "returned row -1, fitted on 3 rows"),
        ([[0, 3], [1, 0]], "returned row 3, fitted on 3 rows"),
    ],
)
def test_what_cannot_be_neighbors_is_refused(rows, message):
    with pytest.raises(ParameterError, match=message):
        nearest_by_estimator(Fixed(rows), np.zeros((3, 1)), np.arange(2))
