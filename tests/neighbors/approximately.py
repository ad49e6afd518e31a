"""Tables, brute force and one call for the tests of the approximate search."""

from __future__ import annotations

import numpy as np
import pytest

from gpusmote.backends import Backend
from gpusmote.neighbors import SearchReport, approximate
from gpusmote.neighbors.approximate import ApproximateSearch

NO_ROOM = "There is too little memory for inverted lists of 2,500 rows; the exact search was used."


def clusters(n, d, seed=0, many=40):
    rng = np.random.default_rng(seed)
    centers = 4 * rng.standard_normal((many, d))
    return (centers[rng.integers(0, many, n)] + rng.standard_normal((n, d))).astype(np.float32)


def gaussian(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def distances(values, queries, rows):
    """The deciding distances, column by column in float64."""
    total = np.zeros(rows.shape)
    for column in values.T.astype(np.float64):
        total += (column[queries][:, None] - column[rows]) ** 2
    return total


def brute_recall(values, found, k, asked):
    """Share of the k nearest that were found, over queries of our own choice; ties by distance."""
    share = []
    for query in asked:
        far = np.delete(distances(values, np.array([query]), np.arange(len(values))[None])[0], query)
        threshold = np.partition(far, k - 1)[k - 1]
        share.append((distances(values, np.array([query]), found[query][None])[0] <= threshold).mean())
    return np.mean(share)


@pytest.fixture
def eager(monkeypatch):
    """TopK also where they do not pay, and as many of them as there are."""
    monkeypatch.setattr(approximate, "SMALLEST_WORK", 0)
    monkeypatch.setattr(approximate, "_MOST_ON_HOST", 1.0)
    monkeypatch.setattr(approximate, "_MOST_ON_DEVICE", 1.0)


def search(values, target=0.95, k=5, queries=None, backend=None):
    backend, report = backend or Backend(), SearchReport()
    with backend.active():
        neighborhood = ApproximateSearch(backend, backend.asarray(values), report, target)
        found = neighborhood.nearest(None if queries is None else backend.asarray(queries), k)
        return backend.to_host(found), report


def problem(n=3_000, d=6):
    X = clusters(2 * n, d)
    y = (X[:, 0] > np.quantile(X[:, 0], 0.6)).astype(int)
    return X, y
