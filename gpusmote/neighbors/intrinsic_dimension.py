"""Estimate from a sample what the speed of a search depends on: intrinsic dimension and pairs to compare."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from gpusmote.neighbors.cpu.query_block import relative_cost
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["DataGeometry", "data_geometry"]

_ROWS, _QUERIES, _NEIGHBORS = 1024, 128, 10
_REACH, _MISSED = 3, 1.1
_AXES, _GRAM = (8, 16, 32), 256


@dataclasses.dataclass(frozen=True, eq=False)
class DataGeometry:
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
        distance from a query is at most three times that of its tenth nearest row, and less if axes help. The distance
        to the tenth nearest of all rows is extrapolated from the sample by the dimension. It is 1 if it cannot be
        estimated. Between 0.3 and 0.6, where it matters, the true share was 0.7 to 1.3 times the estimate for tables of
        many kinds.
    axes : ndarray of shape (d, p), float64, or None
        Orthonormal directions of greatest variance, if comparing along them first is faster; else None.
    """

    dimension: float
    share: float
    axes: np.ndarray | None = None


def data_geometry(search_set: SearchSet) -> DataGeometry:
    """Estimate the geometry from a systematic sample, in a few milliseconds. Only the choice of a source uses it.

    Parameters
    ----------
    search_set : SearchSet
        On the host.
    """
    sample = search_set.reduced(slice(None, None, max(1, search_set.n // _ROWS)))
    queries = sample[:: max(1, len(sample) // _QUERIES)]
    square = _squares(queries, sample)
    if square.shape[1] <= _NEIGHBORS:
        return DataGeometry(0.0, 1.0)
    near = np.sort(np.partition(square, _NEIGHBORS, axis=1)[:, 1 : _NEIGHBORS + 1], axis=1)
    valid = near[:, 0] > 0  # the query itself is left out; so are queries with duplicates
    near, square, queries = near[valid], square[valid], queries[valid]
    growth = (np.log(near[:, -1:]) - np.log(near[:, :-1])).mean() / 2 if len(near) else 0.0
    if not growth > 0:
        return DataGeometry(0.0, 1.0)
    kth = near[:, -1:] * (len(sample) / search_set.n) ** (2 * growth)  # extrapolated from the sample to all rows
    share = float((square < _REACH**2 * kth).mean())
    share, axes = _with_axes(sample, queries, kth, share)
    return DataGeometry(float(1 / growth), min(1.0, _MISSED * share), axes)


def _with_axes(
    sample: np.ndarray, queries: np.ndarray, kth: np.ndarray, share: float
) -> tuple[float, np.ndarray | None]:
    """The smallest share of arithmetic over several numbers of axes, and those axes (None if axes do not help)."""
    d = sample.shape[1]
    few = [p for p in _AXES if 2 * p <= d and p <= len(sample)]
    if not few or relative_cost(few[0], d) > 0.7:
        return share, None
    axes = _leading(sample - sample.mean(axis=0), few[-1])
    best, found = share, 0
    for p in few:
        within = (_squares(queries @ axes[:, :p], sample @ axes[:, :p]) < kth).mean()
        # A block of queries needs more rows than one query. The square root was measured on data of many kinds.
        work = share * relative_cost(p, d) + min(share, 1.2 * math.sqrt(within))
        if work < best:
            best, found = float(work), p
    return best, np.ascontiguousarray(axes[:, :found]) if found else None


def _leading(centerd: np.ndarray, p: int) -> np.ndarray:
    """Principal axes of a sample, or of a part of it if there are many columns: shape (d, p)."""
    part = centerd[:: max(1, -(-len(centerd) // _GRAM))] if centerd.shape[1] > _GRAM else centerd
    if part.shape[1] <= len(part):
        axes = np.linalg.eigh(part.T @ part)[1][:, ::-1][:, :p]
    else:
        axes = part.T @ np.linalg.eigh(part @ part.T)[1][:, ::-1][:, :p]
    return np.asarray(np.linalg.qr(axes)[0])


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    square: np.ndarray = np.einsum("ij,ij->i", b, b) - 2 * a @ b.T
    square += np.einsum("ij,ij->i", a, a)[:, None]
    return square
