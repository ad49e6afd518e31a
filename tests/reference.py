"""The slow, obvious implementation that the fast ones are held to."""

from __future__ import annotations

import numpy as np

__all__ = ["nearest", "squared_distances"]


def squared_distances(X, query):
    """Squared Euclidean distances from row ``query`` to all rows: float64, direct differences, in column order."""
    X = np.asarray(X, np.float64)
    total = np.zeros(len(X))
    for j in range(X.shape[1]):
        step = X[:, j] - X[query, j]
        total += step * step
    return total


def nearest(X, queries, k):
    """The k nearest other rows of each query row, ties to the lower row, the query left out by its number.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    queries : ndarray of int or None
        None is all rows.
    k : int

    Returns
    -------
    ndarray of shape (len(queries), k), int64
    """
    queries = np.arange(len(X)) if queries is None else np.asarray(queries)
    out = np.empty((len(queries), k), np.int64)
    for i, query in enumerate(queries):
        distance = squared_distances(X, query)
        distance[query] = np.inf
        out[i] = np.argsort(distance, kind="stable")[:k]
    return out
