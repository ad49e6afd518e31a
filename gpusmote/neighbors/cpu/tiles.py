"""Candidates by tiles of scores and a bar: any queries, many columns. NumPy only."""

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
    """A block of queries meets all rows, tile by tile; what is below the bar of its query is a hit.

    Comparing with a bar costs a seventh of selecting from the tile, and few scores are below it: about
    ``count * log(n / tile)`` in all.

    Parameters
    ----------
    pool : SearchSet
        On the host.
    arithmetic : Arithmetic, default=FLOAT32
        FLOAT32 or FLOAT64.
    """

    def __init__(self, pool: SearchSet, arithmetic: Arithmetic = FLOAT32) -> None:
        self.name = "tiles" if arithmetic is FLOAT32 else "tiles-float64"
        self.arithmetic = arithmetic
        self._n = pool.n
        self._layout = Layout(pool, arithmetic.dtype, _TILE)

    def candidates(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~gpusmote.neighbors.candidates.CandidateSource`."""
        layout = self._layout
        rows = np.empty((len(queries), count), np.int64)
        edge = np.empty(len(queries))

        def work(start: int, stop: int) -> None:
            lists = self._search(layout.place[queries[start:stop]], count)
            np.take(layout.order, lists.places, out=rows[start:stop])
            edge[start:stop] = lists.bar

        run_blocks(work, len(queries), min(_BLOCK, max(16, _LIST_ENTRIES // count)))
        return rows, edge

    def _search(self, asked: np.ndarray, count: int) -> TopK:
        left = self._layout.left(asked)
        width = min(self._n, max(_TILE, count + 1))
        lists = TopK(self._scores(left, asked, 0, width), count, self._n)
        for first in range(width, self._n, _TILE):
            lists.look(self._scores(left, asked, first, min(self._n, first + _TILE)), first)
        lists.finish()
        return lists

    def _scores(self, left: np.ndarray, asked: np.ndarray, first: int, last: int) -> np.ndarray:
        score = left @ self._layout.right[first:last].T
        own = np.flatnonzero((asked >= first) & (asked < last))
        score[own, asked[own] - first] = np.inf
        return score
