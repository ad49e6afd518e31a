"""Candidates from a k-d tree: few columns."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from gpusmote._threads import n_threads
from gpusmote.neighbours.candidates import drop_self
from gpusmote.neighbours.certificate import DIRECT
from gpusmote.neighbours.pool import Pool

__all__ = ["Tree"]


class Tree:
    """SciPy's k-d tree over the rows as they are, in float64.

    Parameters
    ----------
    pool : Pool
        On the host.
    """

    name = "tree"
    arithmetic = DIRECT

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._tree = cKDTree(pool.values)

    def candidates(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~gpusmote.neighbours.candidates.Source`."""
        distance, rows = self._tree.query(self._pool.values[queries], k=count + 1, workers=n_threads())
        distance *= self._pool.unit
        distance *= distance
        return drop_self(np, queries, rows, distance)
