"""Candidates from a k-d tree, for rows with few columns."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from gpusmote.backends.threads import n_threads
from gpusmote.neighbors.candidates import drop_self
from gpusmote.neighbors.certificate import DIRECT
from gpusmote.neighbors.exhaustive import KNearest
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["Tree"]

_HITS_AT_ONCE = 1 << 16  # rows compared in one step, unless a single query has more


class Tree:
    """SciPy's k-d tree over the rows, in float64.

    Parameters
    ----------
    search_set : SearchSet
        On the host.
    """

    name = "tree"
    arithmetic = DIRECT

    def __init__(self, search_set: SearchSet) -> None:
        self._search_set = search_set
        self._tree = cKDTree(search_set.values)

    def candidates(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~gpusmote.neighbors.candidates.CandidateSource`."""
        distance, rows = self._tree.query(self._search_set.values[queries], k=count + 1, workers=n_threads())
        distance *= self._search_set.unit
        distance *= distance
        return drop_self(np, queries, rows, distance)

    def exact_nearest(self, queries: np.ndarray, kth: np.ndarray, k: int) -> np.ndarray:
        """The exact k nearest other rows, ties included: see :func:`gpusmote.neighbors.exhaustive.last_pass`."""
        search_set, m = self._search_set, len(queries)
        out, points = np.empty((m, k), np.int64), search_set.values[queries]
        # Increased by more than the rounding of the tree's distances and of the deciding distance.
        reach = (np.sqrt(kth) * (1 + 2.0**-30) + 2.0**-150) / search_set.unit
        size = self._tree.query_ball_point(points, reach, workers=n_threads(), return_length=True)
        ends = np.cumsum(size)
        start = 0
        while start < m:
            stop = max(start + 1, int(np.searchsorted(ends, ends[start] - size[start] + _HITS_AT_ONCE, side="right")))
            here = slice(start, stop)
            hits = self._tree.query_ball_point(points[here], reach[here], workers=n_threads())
            query, row = np.repeat(np.arange(stop - start), size[here]), np.concatenate(hits).astype(np.int64)
            nearest = KNearest(np, stop - start, k)
            nearest.compare(search_set, queries[here], query, row)
            out[here], start = nearest.rows(), stop
        return out
