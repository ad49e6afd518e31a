"""The last pass: every row that could be among the k nearest, compared by the distance that decides."""

from __future__ import annotations

from typing import Any

from gpusmote.backends.cpu import Array
from gpusmote.neighbors.certificate import FLOAT64, error_bound
from gpusmote.neighbors.product import scores
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["Best", "Nearest", "last_pass", "sides"]


def sides(pool: SearchSet) -> tuple[int, int]:
    """Queries and rows of a last pass that meet at once."""
    queries, rows = pool.backend.memory.sides(64, 1_024)
    return queries, rows


def last_pass(pool: SearchSet, queries: Array, kth: Array, k: int) -> Array:
    """The k nearest other rows, whatever ties there are.

    Let D be the k-th smallest deciding distance of any list. A row whose deciding distance is at most D has an
    approximate squared distance (float64 products) of at most ``D**2 + eps``: the rows that have are collected, and
    their deciding distances computed.

    Parameters
    ----------
    pool : SearchSet
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

    pool.each_block(work, len(queries), sides(pool)[0])
    return out


class Best:
    """The k nearest rows so far of m queries, by the distance that decides; of rows equally far the lower ones.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    m, k : int
    """

    def __init__(self, xp: Any, m: int, k: int) -> None:
        self._xp, self._m, self._k = xp, m, k
        self._query, self._row, self._distance = xp.empty(0, "i8"), xp.empty(0, "i8"), xp.empty(0, "f8")

    def add(self, query: Array, row: Array, distance: Array) -> None:
        """Take note of rows; at most m * k of them are kept.

        Parameters
        ----------
        query, row : array of shape (h,), int64
            The query's number, from 0 to m - 1, and a row that it has not met before.
        distance : array of shape (h,), float64
            As :meth:`gpusmote.backends.Backend.rerank` gives it.
        """
        xp = self._xp
        query, row = xp.concatenate([self._query, query]), xp.concatenate([self._row, row])
        distance = xp.concatenate([self._distance, distance])
        order = xp.argsort(row, kind="stable")
        order = order[xp.argsort(distance[order], kind="stable")]
        order = order[xp.argsort(query[order], kind="stable")]
        query = query[order]
        keep = xp.arange(query.size) - xp.searchsorted(query, query) < self._k
        order = order[keep]
        self._query, self._row, self._distance = query[keep], row[order], distance[order]

    def rows(self) -> Array:
        """array of shape (m, k), int64: nearest first, once k rows or more of each query were met."""
        return self._row.reshape(self._m, self._k)


class Nearest:
    """The k nearest rows so far of a few queries, from all rows whose approximate distances allow it.

    Parameters
    ----------
    pool : SearchSet
    queries : array of shape (m,), int64
    limit : array of shape (m,), float64
        ``D**2 + eps``: no row of a larger approximate squared distance is of interest.
    k : int
    """

    def __init__(self, pool: SearchSet, queries: Array, limit: Array, k: int) -> None:
        # Scores lack |x|**2; the limit is moved instead. Rounding that is part of the bound's constant.
        self._bar = (limit - pool.norms[queries] ** 2)[:, None]
        self._best = Best(pool.xp, len(queries), k)
        self.rows = self._best.rows

    def meet(self, pool: SearchSet, queries: Array, offset: int) -> None:
        """Look at all rows of the pool, in which the queries may have other numbers than before.

        ``offset`` makes the rows' numbers the caller's.
        """
        _, tile = sides(pool)
        for first in range(0, pool.n, tile):
            score = scores(pool, queries, first, min(pool.n, first + tile), FLOAT64)
            query, row = pool.xp.nonzero(score <= self._bar)
            if query.size:
                row += first
                distance = pool.backend.rerank(pool.values, queries[query], row[:, None])[:, 0]
                self._best.add(query, row + offset, distance)
