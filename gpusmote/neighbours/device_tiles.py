"""Candidates on a device without FAISS: float32 products in CuPy, and a selection that sorts few of them."""

from __future__ import annotations

from gpusmote.backends.base import Array
from gpusmote.neighbours.candidates import drop_self
from gpusmote.neighbours.certificate import FLOAT32
from gpusmote.neighbours.pool import Pool

__all__ = ["DeviceTiles", "reduced32"]

_BLOCK, _TILE, _GROUP = 512, 32_768, 32  # 64 MiB of scores at once


class DeviceTiles:
    """A block of queries meets all rows, tile by tile.

    CuPy selects by sorting, and to sort whole tiles would take most of the time. So the scores of a tile are taken in
    groups of 32, and only the groups with the smallest minima are looked into: ``c`` groups hold ``c`` scores, their
    minima, that no score of another group is below, so that the ``c`` smallest are among them.

    Parameters
    ----------
    pool : Pool
    """

    name = "device-tiles"
    arithmetic = FLOAT32

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._block, self._tile = pool.backend.memory.sides(_BLOCK, _TILE)
        padded = -(-pool.n // _GROUP) * _GROUP
        self._rows = reduced32(pool, padded)
        # Rows that fill up the last group are infinitely far from everywhere.
        self._norms = pool.xp.full(padded, pool.xp.inf, "f4")
        self._norms[: pool.n] = (pool.norms[: pool.n] ** 2).astype("f4")

    def candidates(self, queries: Array, count: int) -> tuple[Array, Array]:
        """See :class:`~gpusmote.neighbours.candidates.Source`."""
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
            place, score = self._promising(score, count)
            row = xp.concatenate([best_row, place + first], axis=1)
            score = xp.concatenate([best, score], axis=1)
            chosen = xp.argsort(score, axis=1)[:, :count]
            best_row, best = xp.take_along_axis(row, chosen, axis=1), xp.take_along_axis(score, chosen, axis=1)
        return best_row, best

    def _promising(self, score: Array, count: int) -> tuple[Array, Array]:
        """Places and scores of the groups that hold the ``count`` smallest scores of each line."""
        xp = self._pool.xp
        groups = score.reshape(len(score), -1, _GROUP)
        number = groups.shape[1]
        if number <= count:
            return xp.broadcast_to(xp.arange(score.shape[1]), score.shape), score
        chosen = xp.argpartition(groups.min(axis=2), count - 1, axis=1)[:, :count]
        place = (chosen[:, :, None] * _GROUP + xp.arange(_GROUP)).reshape(len(score), -1)
        return place, xp.take_along_axis(score, place, axis=1)


def reduced32(pool: Pool, length: int) -> Array:
    """The pool's reduced rows in float32, then zeros up to ``length`` rows.

    Returns
    -------
    array of shape (length, d), float32
    """
    rows = pool.xp.zeros((length, pool.d), "f4")

    def fill(start: int, stop: int) -> None:
        rows[start:stop] = pool.reduced(slice(start, stop)).astype("f4")

    pool.each_block(fill, pool.n, pool.block(pool.d))
    return rows
