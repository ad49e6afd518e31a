"""Candidates from tiled matrix products, in NumPy or CuPy. It keeps no copy of the rows."""

from __future__ import annotations

from typing import Any

from gpusmote.backends.cpu import Array
from gpusmote.neighbors.candidates import smallest_scores
from gpusmote.neighbors.certificate import Arithmetic
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["Product", "scores"]

_HOST, _DEVICE = (256, 2048), (1024, 4096)  # queries and rows of a tile


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
        self._block, self._tile = search_set.backend.memory.tile_shape(
            *(_HOST if search_set.backend.name == "cpu" else _DEVICE), search_set.d
        )

    def candidates(self, queries: Array, count: int) -> tuple[Array, Array]:
        """See :class:`~gpusmote.neighbors.candidates.CandidateSource`."""
        search_set, xp = self._search_set, self._search_set.xp
        rows = xp.empty((len(queries), count), "i8")
        edge = xp.empty(len(queries), "f8")

        def work(start: int, stop: int) -> None:
            block = queries[start:stop]
            rows[start:stop], score = self._search(block, count)
            edge[start:stop] = score.max(axis=1).astype("f8") + search_set.norms[block] ** 2

        search_set.each_block(work, len(queries), self._block)
        return rows, edge

    def _search(self, queries: Array, count: int) -> tuple[Array, Array]:
        """The ``count`` rows of lowest score for each query, and their scores."""
        xp = self._search_set.xp
        best: tuple[Array, Array] | None = None
        # A tile must hold enough rows for a list; only the last one may have fewer.
        step = max(self._tile, count + 1)
        for first in range(0, self._search_set.n, step):
            score = scores(self._search_set, queries, first, min(self._search_set.n, first + step), self.arithmetic)
            place, score = smallest_scores(xp, score, count)
            found = place + first, score
            best = found if best is None else _merge(xp, best, found, count)
        assert best is not None
        return best


def scores(search_set: SearchSet, queries: Array, first: int, last: int, arithmetic: Arithmetic) -> Array:
    """The scores ``|y|**2 - 2 x.y`` of queries x and consecutive rows y, infinite if x and y are the same row.

    Parameters
    ----------
    search_set : SearchSet
    queries : array of shape (m,), int64
    first, last : int
        Range of row numbers of the search set.
    arithmetic : Arithmetic

    Returns
    -------
    array of shape (m, last - first), ``arithmetic.dtype``
    """
    x = search_set.reduced(queries).astype(arithmetic.dtype, copy=False)
    x *= -2
    y = search_set.reduced(slice(first, last)).astype(arithmetic.dtype, copy=False)
    score = x @ y.T
    score += (search_set.norms[first:last] ** 2).astype(arithmetic.dtype)
    own = search_set.own_rows(queries)
    (inside,) = search_set.xp.nonzero((own >= first) & (own < last))
    score[inside, own[inside] - first] = search_set.xp.inf
    return score


def _merge(xp: Any, a: tuple[Array, Array], b: tuple[Array, Array], count: int) -> tuple[Array, Array]:
    rows, score = xp.concatenate([a[0], b[0]], axis=1), xp.concatenate([a[1], b[1]], axis=1)
    place, score = smallest_scores(xp, score, count)
    return xp.take_along_axis(rows, place, axis=1), score
