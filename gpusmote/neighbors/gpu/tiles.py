"""Candidates on a device without FAISS: float32 products in CuPy."""

from __future__ import annotations

from gpusmote.backends.cpu import Array
from gpusmote.neighbors.candidates import drop_self, lowest
from gpusmote.neighbors.certificate import FLOAT32
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["DeviceTiles", "reduced32"]

_BLOCK, _TILE = 512, 32_768  # 64 MiB of scores at once


class DeviceTiles:
    """A block of queries meets all rows, tile by tile; the smallest scores of each tile are merged with those so far.

    Parameters
    ----------
    pool : SearchSet
    """

    name = "device-tiles"
    arithmetic = FLOAT32

    def __init__(self, pool: SearchSet) -> None:
        self._pool = pool
        self._block, self._tile = pool.backend.memory.sides(_BLOCK, _TILE)
        self._rows = reduced32(pool)
        self._norms = (pool.norms[: pool.n] ** 2).astype("f4")

    def candidates(self, queries: Array, count: int) -> tuple[Array, Array]:
        """See :class:`~gpusmote.neighbors.candidates.CandidateSource`."""
        pool, xp = self._pool, self._pool.xp
        rows = xp.empty((len(queries), count), "i8")
        edge = xp.empty(len(queries), "f8")

        def work(start: int, stop: int) -> None:
            asked = queries[start:stop]
            found, score = self._search(asked, count + 1)  # one of them is the query itself
            kept, last = drop_self(xp, pool.own(asked), found, score)
            rows[start:stop] = kept
            edge[start:stop] = last + pool.norms[asked] ** 2

        pool.each_block(work, len(queries), self._block)
        return rows, edge

    def _search(self, asked: Array, count: int) -> tuple[Array, Array]:
        """The ``count`` rows of lowest score for each query, and their scores, ascending."""
        xp = self._pool.xp
        left = self._pool.reduced(asked).astype("f4") * xp.float32(-2)
        best_row, best = xp.empty((len(asked), 0), "i8"), xp.empty((len(asked), 0), "f4")
        for first in range(0, len(self._rows), self._tile):
            score = left @ self._rows[first : first + self._tile].T
            score += self._norms[first : first + self._tile]
            place, score = lowest(xp, score, count)
            row = xp.concatenate([best_row, place + first], axis=1)
            score = xp.concatenate([best, score], axis=1)
            chosen = xp.argsort(score, axis=1)[:, :count]
            best_row, best = xp.take_along_axis(row, chosen, axis=1), xp.take_along_axis(score, chosen, axis=1)
        return best_row, best


def reduced32(pool: SearchSet) -> Array:
    """The pool's reduced rows in float32.

    Returns
    -------
    array of shape (n, d), float32
    """
    rows = pool.xp.empty((pool.n, pool.d), "f4")

    def fill(start: int, stop: int) -> None:
        rows[start:stop] = pool.reduced(slice(start, stop)).astype("f4")

    pool.each_block(fill, pool.n, pool.block(pool.d))
    return rows
