"""Nearest neighbors from a scikit-learn estimator that the caller gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from gpusmote.errors import ParameterError
from gpusmote.messages import counted, indefinite

__all__ = ["nearest_by_estimator"]


def nearest_by_estimator(estimator: Any, values: np.ndarray, queries: np.ndarray, description: str = "X") -> np.ndarray:
    """Find neighbors with an estimator given as ``k_neighbors``, in the same way as imbalanced-learn.

    The estimator is cloned and fitted on ``values``. It uses its own ``n_neighbors``; one of these neighbors is
    expected to be the query itself.

    Parameters
    ----------
    estimator : object with fit, kneighbors and get_params
        For instance ``sklearn.neighbors.NearestNeighbors(n_neighbors=6)``, or an approximate index with that
        interface.
    values : ndarray of shape (n, d)
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
    values = values.view()
    values.flags.writeable = False  # the rows may be the caller's own
    try:
        found = clone(estimator).fit(values).kneighbors(values[queries], return_distance=False)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"{name} cannot find neighbors among {description}, {counted(len(values), 'row')}: "
            f"{str(error).rstrip('.')}.",
            f"Give an unsupervised neighbors estimator whose n_neighbors is at most {len(values)}, the row itself"
            " counted.",
        ) from error
    found = _positions(found, name)
    if found.ndim != 2 or len(found) != len(queries) or found.shape[1] < 2:
        raise ParameterError(
            f"{name}.kneighbors returned an array of shape {found.shape} for {counted(len(queries), 'row')}.",
            "Give an estimator whose n_neighbors is at least 2: the row itself and one neighbor.",
        )
    if found.min() < 0 or found.max() >= len(values):
        raise ParameterError(
            f"{name}.kneighbors returned row {found.min() if found.min() < 0 else found.max()}, fitted on"
            f" {counted(len(values), 'row')}.",
            "Give an estimator that returns positions of the rows it was fitted on.",
        )
    is_self = found == queries[:, None]
    # An inexact index may return a row twice: only the first occurrence is removed.
    drop = np.where(is_self.any(axis=1), is_self.argmax(axis=1), found.shape[1] - 1)
    keep = np.arange(found.shape[1]) != drop[:, None]
    nearest: np.ndarray = found[keep].reshape(len(found), -1)
    return nearest


def _positions(found: Any, name: str) -> np.ndarray:
    """The result of an estimator as an int64 array; floats are accepted if they are whole numbers."""
    try:
        given = np.asarray(found)
        whole = given.astype(np.int64) if given.dtype.kind in "iu" else None
        if given.dtype.kind == "f" and (abs(given) < 2**53).all():
            whole = given.astype(np.int64)
        if whole is not None and (whole == given).all():
            return whole
        what = f"an array of dtype {given.dtype}" if given.ndim else f"{indefinite(type(found).__name__)}"
    except ValueError:  # rows of several lengths
        what = "rows of several lengths"
    raise ParameterError(
        f"{name}.kneighbors returned {what}, not an array of integers.",
        "Give an estimator that returns the positions of the rows it was fitted on, an array of shape (rows, "
        "n_neighbors).",
    )
