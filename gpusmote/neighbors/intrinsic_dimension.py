"""Estimate from a sample what the speed of a search depends on: intrinsic dimension and pairs to compare."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpusmote.neighbors.search_set import SearchSet

__all__ = ["DataGeometry", "data_geometry"]

_ROWS, _QUERIES, _NEIGHBORS = 1024, 128, 10
_REACH, _MORE = 3, 1.1


class DataGeometry(NamedTuple):
    """Properties of the rows that decide which search is fastest.

    Attributes
    ----------
    dimension : float
        Local intrinsic dimension, from the growth of the distances to the nearest neighbors: the estimator of Levina
        and Bickel (2004), with the inverses averaged over queries as MacKay and Ghahramani proposed. Gaussian rows of 8
        columns give 7.8; 3-dimensional data embedded in 8 columns give 3. It is 0 if the sample is too small or has
        too many duplicates.
    share : float
        Estimated share of all pairs of rows that the pruned search compares. It is 1.1 times the share of rows whose
        distance from a query is at most three times that of its tenth nearest row. The distance to the tenth nearest of
        all rows is extrapolated from the sample by the dimension. It is 1 if it cannot be estimated. Between 0.3 and
        0.6, where it matters, the true share was 0.7 to 1.3 times the estimate for tables of many kinds.
    """

    dimension: float
    share: float


def data_geometry(search_set: SearchSet) -> DataGeometry:
    """Estimate the geometry from a systematic sample, in a few milliseconds. Only the choice of a source uses it.

    Parameters
    ----------
    search_set : SearchSet
        On the host.
    """
    sample = search_set.reduced(slice(None, None, max(1, search_set.n // _ROWS)))
    queries = sample[:: max(1, len(sample) // _QUERIES)]
    square = np.einsum("ij,ij->i", sample, sample) - 2 * queries @ sample.T
    square += np.einsum("ij,ij->i", queries, queries)[:, None]
    if square.shape[1] <= _NEIGHBORS:
        return DataGeometry(0.0, 1.0)
    near = np.sort(np.partition(square, _NEIGHBORS, axis=1)[:, 1 : _NEIGHBORS + 1], axis=1)
    valid = near[:, 0] > 0  # the query itself is left out; so are queries with duplicates
    near, square = near[valid], square[valid]
    growth = (np.log(near[:, -1:]) - np.log(near[:, :-1])).mean() / 2 if len(near) else 0.0
    if not growth > 0:
        return DataGeometry(0.0, 1.0)
    kth = near[:, -1:] * (len(sample) / search_set.n) ** (2 * growth)  # extrapolated from the sample to all rows
    share = float((square < _REACH**2 * kth).mean())
    return DataGeometry(float(1 / growth), min(1.0, _MORE * share))
