"""Candidates from tiled matrix products, in NumPy or CuPy. It keeps no copy of the rows."""

from __future__ import annotations

from gpusmote.backends.cpu import Array
from gpusmote.neighbors.candidates import smallest_scores
from gpusmote.neighbors.certificate import Arithmetic
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["Product"]

_HOST, _DEVICE = (256, 2048), (512, 1 << 17)  # queries of a tile, and rows (on a device bytes of one query)


class Product:
    """Compute the scores ``|y|**2 - 2 x.y`` of a block of queries tile by tile, and keep the smallest.

    Parameters
    ----------
    search_set : SearchSet
    arithmetic : Arithmetic
        FLOAT32 or FLOAT64, for the products.
    """

    def __init__(self, search_set: SearchSet, arithmetic: Arithmetic) -> None:
        self.name = f"product-{'float32' if arithmetic.dtype == 'f4' else 'float64'}"
        self.arithmetic = arithmetic
        self._search_set = search_set
        usual = _HOST if search_set.backend.name == "cpu" else (_DEVICE[0], _DEVICE[1] // int(arithmetic.dtype[1]))
        self._block, self._tile = search_set.backend.memory.tile_shape(*usual, search_set.d)

    def candidates(self, queries: Array, count: int) -> tuple[Array, Array]:
        """See :class:`~gpusmote.neighbors.candidates.CandidateSource`."""
        search_set, xp = self._search_set, self._search_set.xp
        rows, edge = xp.empty((len(queries), count), "i8"), xp.empty(len(queries), "f8")

        def work(start: int, stop: int) -> None:
            block = queries[start:stop]
            rows[start:stop], score = self._search(block, count)
            edge[start:stop] = score.max(axis=1).astype("f8") + search_set.norms[block] ** 2

        search_set.each_block(work, len(queries), self._block)
        return rows, edge

    def _search(self, queries: Array, count: int) -> tuple[Array, Array]:
        """The ``count`` rows of lowest score for each query, and their scores."""
        search_set, xp = self._search_set, self._search_set.xp
        rows = xp.empty((len(queries), 0), "i8")
        best = xp.empty((len(queries), 0), self.arithmetic.dtype)
        for first in range(0, search_set.n, self._tile):
            last = min(search_set.n, first + self._tile)
            place, score = smallest_scores(xp, search_set.scores(queries, first, last, self.arithmetic.dtype), count)
            rows = xp.concatenate([rows, place + first], axis=1)
            place, best = smallest_scores(xp, xp.concatenate([best, score], axis=1), count)
            rows = xp.take_along_axis(rows, place, axis=1)
        return rows, best
