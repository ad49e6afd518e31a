"""The last pass: every row that could be among the k nearest, compared by the distance that decides."""

from __future__ import annotations

from gpusmote.backends.base import Array
from gpusmote.neighbours.certificate import FLOAT64, error_bound
from gpusmote.neighbours.pool import Pool
from gpusmote.neighbours.product import scores

__all__ = ["BLOCK", "Nearest", "last_pass"]

BLOCK, _TILE = 64, 4096


def last_pass(pool: Pool, queries: Array, kth: Array, k: int) -> Array:
    """The k nearest other rows, whatever ties there are.

    Let D be the k-th smallest deciding distance of any list. A row whose deciding distance is at most D has an
    approximate squared distance (float64 products) of at most ``D**2 + eps``: the rows that have are collected, and
    their deciding distances computed.

    Parameters
    ----------
    pool : Pool
    queries : array of shape (m,), int64
    kth : array of shape (m,), float64
        ``D**2`` in the unit of reduced rows.
    k : int

    Returns
    -------
    array of shape (m, k), int64
    """
    out = pool.xp.empty((len(queries), k), "i8")
    limit = kth + error_bound(pool, FLOAT64, queries, kth)

    def work(start: int, stop: int) -> None:
        nearest = Nearest(pool, queries[start:stop], limit[start:stop], k)
        nearest.meet(pool, queries[start:stop], 0)
        out[start:stop] = nearest.rows()

    pool.each_block(work, len(queries), pool.backend.cut.sides(BLOCK, _TILE)[0])
    return out


class Nearest:
    """The k nearest rows so far of a few queries; at most m * k pairs are carried from tile to tile.

    Parameters
    ----------
    pool : Pool
    queries : array of shape (m,), int64
    limit : array of shape (m,), float64
        ``D**2 + eps``: no row of a larger approximate squared distance is of interest.
    k : int
    """

    def __init__(self, pool: Pool, queries: Array, limit: Array, k: int) -> None:
        xp = self._xp = pool.xp
        self._k = k
        # Scores lack |x|**2; the limit is moved instead. Rounding that is part of the bound's constant.
        self._bar = (limit - pool.norms[queries] ** 2)[:, None]
        self._query, self._row, self._distance = xp.empty(0, "i8"), xp.empty(0, "i8"), xp.empty(0, "f8")

    def meet(self, pool: Pool, queries: Array, offset: int) -> None:
        """Look at all rows of the pool, in which the queries may have other numbers than before.

        ``offset`` makes the rows' numbers the caller's, higher than those of the rows met before.
        """
        _, tile = pool.backend.cut.sides(BLOCK, _TILE)
        for first in range(0, pool.n, tile):
            score = scores(pool, queries, first, min(pool.n, first + tile), FLOAT64)
            query, row = self._xp.nonzero(score <= self._bar)
            if query.size:
                self._take(pool, queries, query, row + first, offset)

    def rows(self) -> Array:
        """array of shape (m, k), int64: nearest first, once all rows were met."""
        return self._row.reshape(len(self._bar), self._k)

    def _take(self, pool: Pool, queries: Array, query: Array, row: Array, offset: int) -> None:
        xp = self._xp
        distance = pool.backend.rerank(pool.values, queries[query], row[:, None])[:, 0]
        query, row = xp.concatenate([self._query, query]), xp.concatenate([self._row, row + offset])
        distance = xp.concatenate([self._distance, distance])
        # Rows come in ascending order, within a tile and from tile to tile: stable sorts keep ties that way.
        order = xp.argsort(distance, kind="stable")
        order = order[xp.argsort(query[order], kind="stable")]
        query = query[order]
        keep = xp.arange(query.size) - xp.searchsorted(query, query) < self._k
        order = order[keep]
        self._query, self._row, self._distance = query[keep], row[order], distance[order]
