"""Candidates by matrix products, tile by tile, in NumPy or CuPy: the plainest search that is still one of products."""

from __future__ import annotations

from typing import Any

from gpusmote.backends.cpu import Array
from gpusmote.neighbors.candidates import lowest
from gpusmote.neighbors.certificate import Arithmetic
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["Product", "scores"]

_HOST, _DEVICE = (256, 2048), (1024, 4096)  # queries and rows that meet at once


class Product:
    """All scores ``|y|**2 - 2 x.y`` of a block of queries and a tile of rows; the smallest are kept.

    Parameters
    ----------
    pool : SearchSet
    arithmetic : Arithmetic
        FLOAT32 or FLOAT64: of the products.
    """

    def __init__(self, pool: SearchSet, arithmetic: Arithmetic) -> None:
        self.name = f"product-{'float32' if arithmetic.dtype == 'f4' else 'float64'}"
        self.arithmetic = arithmetic
        self._pool = pool
        self._block, self._tile = pool.backend.memory.sides(*(_HOST if pool.backend.name == "cpu" else _DEVICE))

    def candidates(self, queries: Array, count: int) -> tuple[Array, Array]:
        """See :class:`~gpusmote.neighbors.candidates.CandidateSource`."""
        pool, xp = self._pool, self._pool.xp
        rows = xp.empty((len(queries), count), "i8")
        edge = xp.empty(len(queries), "f8")

        def work(start: int, stop: int) -> None:
            asked = queries[start:stop]
            found = self._search(asked, count)
            rows[start:stop] = found[0]
            edge[start:stop] = found[1].max(axis=1).astype("f8") + pool.norms[asked] ** 2

        pool.each_block(work, len(queries), self._block)
        return rows, edge

    def _search(self, asked: Array, count: int) -> tuple[Array, Array]:
        """The ``count`` rows of lowest score for each query, and their scores."""
        xp = self._pool.xp
        best: tuple[Array, Array] | None = None
        # A tile must hold enough for a list; the last one may be short, which the merge does not mind.
        step = max(self._tile, count + 1)
        for first in range(0, self._pool.n, step):
            score = scores(self._pool, asked, first, min(self._pool.n, first + step), self.arithmetic)
            place, score = lowest(xp, score, count)
            found = place + first, score
            best = found if best is None else _merge(xp, best, found, count)
        assert best is not None
        return best


def scores(pool: SearchSet, asked: Array, first: int, last: int, arithmetic: Arithmetic) -> Array:
    """``|y|**2 - 2 x.y`` of some queries x and consecutive rows y, infinite where both are the same row.

    Parameters
    ----------
    pool : SearchSet
    asked : array of shape (m,), int64
    first, last : int
        Rows of the pool.
    arithmetic : Arithmetic

    Returns
    -------
    array of shape (m, last - first), ``arithmetic.dtype``
    """
    x = pool.reduced(asked).astype(arithmetic.dtype, copy=False)
    x *= -2
    y = pool.reduced(slice(first, last)).astype(arithmetic.dtype, copy=False)
    score = x @ y.T
    score += (pool.norms[first:last] ** 2).astype(arithmetic.dtype)
    own = pool.own(asked)
    (here,) = pool.xp.nonzero((own >= first) & (own < last))
    score[here, own[here] - first] = pool.xp.inf
    return score


def _merge(xp: Any, a: tuple[Array, Array], b: tuple[Array, Array], count: int) -> tuple[Array, Array]:
    rows, score = xp.concatenate([a[0], b[0]], axis=1), xp.concatenate([a[1], b[1]], axis=1)
    place, score = lowest(xp, score, count)
    return xp.take_along_axis(rows, place, axis=1), score
