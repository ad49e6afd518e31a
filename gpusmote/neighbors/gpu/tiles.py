"""Candidates on a device without FAISS, from float32 products in CuPy."""

from __future__ import annotations

from gpusmote.backends.cpu import Array
from gpusmote.neighbors.candidates import drop_self, smallest_scores
from gpusmote.neighbors.certificate import FLOAT32
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["DeviceTiles", "reduced32"]

_BLOCK, _TILE = 512, 32_768  # 64 MiB of scores


class DeviceTiles:
    """Compare a block of queries with all rows, tile by tile, and merge the smallest scores.

    Parameters
    ----------
    search_set : SearchSet
    """

    name = "device-tiles"
    arithmetic = FLOAT32

    def __init__(self, search_set: SearchSet) -> None:
        self._search_set = search_set
        self._block, self._tile = search_set.backend.memory.tile_shape(_BLOCK, _TILE, search_set.d)
        self._rows = reduced32(search_set)
        self._norms = (search_set.norms[: search_set.n] ** 2).astype("f4")

    def candidates(self, queries: Array, count: int) -> tuple[Array, Array]:
        """See :class:`~gpusmote.neighbors.candidates.CandidateSource`."""
        search_set, xp = self._search_set, self._search_set.xp
        rows = xp.empty((len(queries), count), "i8")
        edge = xp.empty(len(queries), "f8")

        def work(start: int, stop: int) -> None:
            block = queries[start:stop]
            found, score = self._search(block, count + 1)  # one of them is the query itself
            kept, last = drop_self(xp, search_set.own_rows(block), found, score)
            rows[start:stop] = kept
            edge[start:stop] = last + search_set.norms[block] ** 2

        search_set.each_block(work, len(queries), self._block)
        return rows, edge

    def _search(self, queries: Array, count: int) -> tuple[Array, Array]:
        """The ``count`` rows of lowest score for each query, and their scores, ascending."""
        xp = self._search_set.xp
        left = self._search_set.reduced(queries).astype("f4") * xp.float32(-2)
        best_row, best = xp.empty((len(queries), 0), "i8"), xp.empty((len(queries), 0), "f4")
        for first in range(0, len(self._rows), self._tile):
            score = left @ self._rows[first : first + self._tile].T
            score += self._norms[first : first + self._tile]
            place, score = smallest_scores(xp, score, count)
            row = xp.concatenate([best_row, place + first], axis=1)
            score = xp.concatenate([best, score], axis=1)
            chosen = xp.argsort(score, axis=1)[:, :count]
            best_row, best = xp.take_along_axis(row, chosen, axis=1), xp.take_along_axis(score, chosen, axis=1)
        return best_row, best


def reduced32(search_set: SearchSet) -> Array:
    """All reduced rows of a search set, in float32.

    Returns
    -------
    array of shape (n, d), float32
    """
    rows = search_set.xp.empty((search_set.n, search_set.d), "f4")

    def fill(start: int, stop: int) -> None:
        rows[start:stop] = search_set.reduced(slice(start, stop)).astype("f4")

    search_set.each_block(fill, search_set.n, search_set.block(search_set.d))
    return rows
