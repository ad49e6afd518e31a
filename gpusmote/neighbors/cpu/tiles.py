"""Candidates from tiles of scores and a threshold, for any queries and many columns. NumPy only."""

from __future__ import annotations

import numpy as np

from gpusmote.backends.threads import run_blocks
from gpusmote.neighbors.certificate import FLOAT32, Arithmetic
from gpusmote.neighbors.cpu.top_k import Layout, TopK
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["Tiles"]

_BLOCK, _TILE = 512, 2048
_LIST_ENTRIES = 1 << 18


class Tiles:
    """Compare a block of queries with all rows, tile by tile, and keep scores below the threshold of each query.

    Comparing with a threshold takes a seventh of the time of selecting the smallest scores of the tile. Few scores are
    below it: about ``count * log(n / tile)`` for each query in all.

    Parameters
    ----------
    search_set : SearchSet
        On the host.
    arithmetic : Arithmetic, default=FLOAT32
        FLOAT32 or FLOAT64.
    """

    def __init__(self, search_set: SearchSet, arithmetic: Arithmetic = FLOAT32) -> None:
        self.name = "tiles" if arithmetic is FLOAT32 else "tiles-float64"
        self.arithmetic = arithmetic
        self._n = search_set.n
        self._layout = Layout(search_set, arithmetic.dtype, _TILE)

    def candidates(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~gpusmote.neighbors.candidates.CandidateSource`."""
        layout = self._layout
        rows = np.empty((len(queries), count), np.int64)
        edge = np.empty(len(queries))

        def work(start: int, stop: int) -> None:
            lists = self._search(layout.place[queries[start:stop]], count)
            np.take(layout.order, lists.places, out=rows[start:stop])
            edge[start:stop] = lists.threshold

        run_blocks(work, len(queries), min(_BLOCK, max(16, _LIST_ENTRIES // count)))
        return rows, edge

    def _search(self, places: np.ndarray, count: int) -> TopK:
        left = self._layout.left(places)
        width = min(self._n, max(_TILE, count + 1))
        lists = TopK(self._scores(left, places, 0, width), count, self._n)
        for first in range(width, self._n, _TILE):
            lists.add_tile(self._scores(left, places, first, min(self._n, first + _TILE)), first)
        lists.finish()
        return lists

    def _scores(self, left: np.ndarray, places: np.ndarray, first: int, last: int) -> np.ndarray:
        score = left @ self._layout.right[first:last].T
        own = np.flatnonzero((places >= first) & (places < last))
        score[own, places[own] - first] = np.inf
        return score
