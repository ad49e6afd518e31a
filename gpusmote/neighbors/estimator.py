"""Nearest neighbors from a scikit-learn estimator that the caller gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone

from gpusmote.errors import ParameterError
from gpusmote.messages import counted

__all__ = ["nearest_by_estimator"]


def nearest_by_estimator(estimator: Any, values: Any, queries: np.ndarray, description: str = "X") -> np.ndarray:
    """Find neighbors with an estimator given as ``k_neighbors``, in the same way as imbalanced-learn.

    The estimator is cloned and fitted on ``values``. It uses its own ``n_neighbors``; one of these neighbors is
    expected to be the query itself.

    Parameters
    ----------
    estimator : object with fit, kneighbors and get_params
        For instance ``sklearn.neighbors.NearestNeighbors(n_neighbors=6)``, or an approximate index with that
        interface.
    values : ndarray or scipy.sparse.csr_array of shape (n, d)
    queries : ndarray of shape (m,), int64
        Row numbers of ``values``.
    description : str, default="X"
        Name of the rows in error messages.

    Returns
    -------
    ndarray of shape (m, n_neighbors - 1), int64
        In the estimator's order, without the query, or without the last row if the query is not included.

    Raises
    ------
    ParameterError
        If the estimator fails, or does not return at least two row numbers for each query.
    """
    name = type(estimator).__name__
    # The rows may be the caller's own. Read-only parts of a sparse matrix are not accepted by all estimators.
    n, values = values.shape[0], values.copy() if issparse(values) else values.view()
    if not issparse(values):
        values.flags.writeable = False
    try:
        found = clone(estimator).fit(values).kneighbors(values[queries], return_distance=False)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"{name} cannot find neighbors among {description}, {counted(n, 'row')}: {str(error).rstrip('.')}.",
            f"Give an unsupervised neighbors estimator whose n_neighbors is at most {n}, the row itself counted.",
        ) from error
    found = _positions(found)
    if found is None or found.shape[0] != len(queries) or found.shape[1] < 2:
        raise ParameterError(
            f"{name}.kneighbors did not return an array of integers with {counted(len(queries), 'row')} and at least "
            "two columns.",
            "Give an estimator that returns the positions of the rows it was fitted on, and whose n_neighbors is at "
            "least 2: the row itself and one neighbor.",
        )
    wrong = found[(found < 0) | (found >= n)]
    if wrong.size:
        raise ParameterError(
            f"{name}.kneighbors returned row {wrong[0]}, fitted on {counted(n, 'row')}.",
            "Give an estimator that returns positions of the rows it was fitted on.",
        )
    is_self = found == queries[:, None]
    # An inexact index may return a row twice: only the first occurrence is removed.
    drop = np.where(is_self.any(axis=1), is_self.argmax(axis=1), found.shape[1] - 1)
    keep = np.arange(found.shape[1]) != drop[:, None]
    nearest: np.ndarray = found[keep].reshape(len(found), -1)
    return nearest


def _positions(found: Any) -> np.ndarray | None:
    """The result of an estimator as a matrix of int64, or None if that changes it; whole floats are accepted."""
    try:
        given = np.asarray(found)
    except ValueError:  # rows of several lengths
        return None
    if given.ndim != 2 or given.dtype.kind not in "iuf" or not (abs(given) < 2**53).all():
        return None
    whole: np.ndarray = given.astype(np.int64)
    return whole if (whole == given).all() else None
