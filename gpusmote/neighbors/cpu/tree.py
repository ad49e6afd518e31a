"""Candidates from a k-d tree, for rows with few columns."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from gpusmote.backends.threads import n_threads
from gpusmote.neighbors.candidates import drop_self
from gpusmote.neighbors.certificate import DIRECT
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["Tree"]


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
