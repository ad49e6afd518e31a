"""Candidates from a k-d tree: few columns."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from gpusmote.backends.threads import n_threads
from gpusmote.neighbors.candidates import drop_self
from gpusmote.neighbors.certificate import DIRECT
from gpusmote.neighbors.exhaustive import Best
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["Tree"]

_HITS_AT_ONCE = 1 << 16  # rows that the distance that decides is computed for, unless a single query has more


class Tree:
    """SciPy's k-d tree over the rows as they are, in float64.

    Parameters
    ----------
    pool : SearchSet
        On the host.
    """

    name = "tree"
    arithmetic = DIRECT

    def __init__(self, pool: SearchSet) -> None:
        self._pool = pool
        self._tree = cKDTree(pool.values)

    def candidates(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~gpusmote.neighbors.candidates.CandidateSource`."""
        distance, rows = self._tree.query(self._pool.values[queries], k=count + 1, workers=n_threads())
        distance *= self._pool.unit
        distance *= distance
        return drop_self(np, queries, rows, distance)

    def settle(self, queries: np.ndarray, kth: np.ndarray, k: int) -> np.ndarray:
        """The k nearest other rows, whatever ties there are: see :func:`gpusmote.neighbors.exhaustive.last_pass`."""
        pool, m = self._pool, len(queries)
        out, points = np.empty((m, k), np.int64), pool.values[queries]
        # Longer by more than the rounding of the tree's distances and of that which decides.
        reach = (np.sqrt(kth) * (1 + 2.0**-30) + 2.0**-150) / pool.unit
        size = self._tree.query_ball_point(points, reach, workers=n_threads(), return_length=True)
        ends = np.cumsum(size)
        start = 0
        while start < m:
            stop = max(start + 1, int(np.searchsorted(ends, ends[start] - size[start] + _HITS_AT_ONCE, side="right")))
            here = slice(start, stop)
            hits = self._tree.query_ball_point(points[here], reach[here], workers=n_threads())
            query, row = np.repeat(np.arange(stop - start), size[here]), np.concatenate(hits).astype(np.int64)
            other = row != queries[here][query]
            query, row = query[other], row[other]
            best = Best(np, stop - start, k)
            best.add(query, row, pool.backend.rerank(pool.values, queries[here][query], row[:, None])[:, 0])
            out[here], start = best.rows(), stop
        return out
