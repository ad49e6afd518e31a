"""The last pass: compute the deciding distance of every row that could be among the k nearest."""

from __future__ import annotations

from typing import Any

from gpusmote.backends.cpu import Array
from gpusmote.neighbors.certificate import FLOAT64, error_bound
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["ExhaustiveSearch", "KNearest", "last_pass", "tile_shape"]


def tile_shape(search_set: SearchSet) -> tuple[int, int]:
    """Number of queries and of rows in one tile of the last pass."""
    queries, rows = search_set.backend.memory.tile_shape(64, 1_024, search_set.d)
    return queries, rows


def last_pass(search_set: SearchSet, queries: Array, kth: Array, k: int) -> Array:
    """The exact k nearest other rows, ties included.

    Let D be the k-th smallest deciding distance among any rows. A row whose deciding distance is at most D has an
    approximate squared distance (by float64 products) of at most ``D**2 + eps``. The deciding distance is computed for
    all rows within that limit.

    Parameters
    ----------
    search_set : SearchSet
    queries : array of shape (m,), int64
    kth : array of shape (m,), float64
        ``D**2`` in the units of reduced rows.
    k : int

    Returns
    -------
    array of shape (m, k), int64
    """
    out = search_set.xp.empty((len(queries), k), "i8")
    limit = kth + error_bound(search_set, FLOAT64, queries, kth)

    def work(start: int, stop: int) -> None:
        part = ExhaustiveSearch(search_set, queries[start:stop], limit[start:stop], k)
        part.search(search_set, queries[start:stop])
        out[start:stop] = part.nearest.rows()

    search_set.each_block(work, len(queries), tile_shape(search_set)[0])
    return out


class KNearest:
    """The k nearest rows so far of m queries, by the deciding distance; equal distances by row number.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    m, k : int
    """

    def __init__(self, xp: Any, m: int, k: int) -> None:
        self._xp, self._m, self._k = xp, m, k
        self._query, self._row, self._distance = xp.empty(0, "i8"), xp.empty(0, "i8"), xp.empty(0, "f8")

    def compare(self, search_set: SearchSet, queries: Array, query: Array, row: Array, first: int = 0) -> None:
        """Compute the deciding distances of pairs of a query and a row, and keep the k nearest rows of each query.

        Parameters
        ----------
        search_set : SearchSet
        queries : array of shape (m,), int64
            Row numbers of the search set.
        query, row : array of shape (h,), int64
            Positions in ``queries``, and row numbers of the search set. No pair is repeated in a later call. Pairs of a
            query with itself are left out.
        first : int, default=0
            Added to the row numbers in the result.
        """
        other = row != search_set.own_rows(queries)[query]
        query, row = query[other], row[other]
        if query.size:
            distance = search_set.distances(queries[query], row[:, None])[:, 0]
            self._add(query, row + first, distance)

    def _add(self, query: Array, row: Array, distance: Array) -> None:
        """Merge new pairs and drop what is not among the k nearest; at most m * k pairs are kept."""
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
        """array of shape (m, k), int64: nearest first. Each query must have been compared with k rows or more."""
        return self._row.reshape(self._m, self._k)


class ExhaustiveSearch:
    """The k nearest rows of a few queries, from all rows whose approximate distance is within a limit.

    Parameters
    ----------
    search_set : SearchSet
    queries : array of shape (m,), int64
    limit : array of shape (m,), float64
        ``D**2 + eps``: rows with a larger approximate squared distance are ignored.
    k : int

    Attributes
    ----------
    nearest : KNearest
        The k nearest rows so far.
    """

    def __init__(self, search_set: SearchSet, queries: Array, limit: Array, k: int) -> None:
        # Scores lack |x|**2, so it is subtracted from the limit. The bound's constant covers this rounding.
        self._threshold = (limit - search_set.norms[queries] ** 2)[:, None]
        self.nearest = KNearest(search_set.xp, len(queries), k)

    def search(self, search_set: SearchSet, queries: Array, first: int = 0) -> None:
        """Compare the queries with all rows of a search set.

        Parameters
        ----------
        search_set : SearchSet
            May hold another part of the rows than before.
        queries : array of shape (m,), int64
            The row numbers that the same queries have in this search set.
        first : int, default=0
            Added to the row numbers in the result.
        """
        _, tile = tile_shape(search_set)
        for start in range(0, search_set.n, tile):
            score = search_set.scores(queries, start, min(search_set.n, start + tile), "f8")
            query, row = search_set.xp.nonzero(score <= self._threshold)
            if query.size:
                self.nearest.compare(search_set, queries, query, row + start, first)
