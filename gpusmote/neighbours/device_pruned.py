"""Candidates on a device without most of the comparisons: ``kernels/search_balls.cu`` over the balls of the rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpusmote.backends import kernels
from gpusmote.backends.base import Array
from gpusmote.neighbours.candidates import Source
from gpusmote.neighbours.certificate import DIRECT, error_bound
from gpusmote.neighbours.device_balls import BRANCH, LEAF, DeviceBalls
from gpusmote.neighbours.faiss_gpu import device_source
from gpusmote.neighbours.last import Best, last_pass, sides
from gpusmote.neighbours.pool import Pool

__all__ = ["MOST_CANDIDATES", "MOST_COLUMNS", "MOST_ROWS", "DevicePruned", "serves"]

MOST_CANDIDATES, MOST_COLUMNS, MOST_ROWS = 32, 256, 1 << 31
"""The kernel's lists have a lane for each entry, its queries lie in shared memory, its places have 32 bits."""

_QUERIES = {32: 64, 64: 64, 256: 32}
"""By the most columns of each kernel: queries of one of its blocks."""

_EACH = 16  # of one of its warps

_TRIED = 16


def serves(n: int, d: int, count: int) -> bool:
    """Whether the kernel can search such rows for so many candidates."""
    return n <= MOST_ROWS and d <= MOST_COLUMNS and count <= MOST_CANDIDATES


class DevicePruned:
    """Blocks of near queries meet the balls around them, nearest first, as long as any can hold a nearer row.

    What :func:`serves` excludes comes from the device's other source.

    Parameters
    ----------
    pool : Pool
        On a CUDA device.

    Attributes
    ----------
    pairs : array of shape (), int64
        Pairs of a query and a row that have met so far, with what fills up blocks and leaves; on the device.
    """

    name = "pruned-device"
    arithmetic = DIRECT

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._made: DeviceBalls | None = None
        self._other: Source | None = None
        self.pairs = pool.xp.zeros((), "i8")

    @property
    def _balls(self) -> DeviceBalls:
        self._made = self._made or DeviceBalls(self._pool)
        return self._made

    def sequence(self, queries: Array) -> Array:
        """In which order queries are best searched, where not all are at once: array of shape (m,), int64."""
        if self._pool.d > MOST_COLUMNS or self._pool.n > MOST_ROWS:
            return self._pool.xp.arange(len(queries))
        return self._pool.xp.argsort(self._balls.place[queries])

    def share(self, queries: Array, count: int) -> float:
        """Which share of all comparisons is made, going by a few of the queries; between 0 and 1."""
        xp, m = self._pool.xp, len(queries)
        first = np.unique(np.linspace(0, max(0, m - LEAF), _TRIED).astype(np.int64))
        some = xp.asarray(np.unique(first[:, None] + np.arange(min(m, LEAF))))
        before = self.pairs
        self.candidates(queries[self.sequence(queries)[some]], count)
        met = int(self.pairs - before)
        return met / float(len(some) * self._pool.n)

    def candidates(self, queries: Array, count: int) -> tuple[Array, Array]:
        """See :class:`~gpusmote.neighbours.candidates.Source`; ``edge`` holds for the exact squared distances."""
        pool, xp = self._pool, self._pool.xp
        if not serves(pool.n, pool.d, count):
            return self._from_other(queries, count)
        place = self._balls.place[queries]
        at = xp.argsort(place)
        place = place[at]
        found, edge = xp.empty((len(queries), count), "i8"), xp.empty(len(queries), "f8")
        begin = xp.searchsorted(place, xp.arange(len(self._balls.branches.radii) + 1) * BRANCH)
        begin = pool.backend.to_host(begin)
        asking = np.flatnonzero(np.diff(begin))
        block = pool.block(len(begin))
        for first in range(0, len(asking), block):
            self._search(place, begin, asking[first : first + block], found, edge)
        rows, edges = xp.empty_like(found), xp.empty_like(edge)
        rows[at], edges[at] = self._balls.order[found], edge
        return rows, edges

    def settle(self, queries: Array, kth: Array, k: int) -> Array:
        """The k nearest other rows, whatever ties there are: see :func:`gpusmote.neighbours.last.last_pass`.

        All rows of the balls that can hold one as near as the k-th known are compared by the distance that decides.
        """
        pool = self._pool
        if pool.d > MOST_COLUMNS or pool.n > MOST_ROWS:
            return last_pass(pool, queries, kth, k)
        out, sequence = pool.xp.empty((len(queries), k), "i8"), self.sequence(queries)
        step, tile = sides(pool)
        for start in range(0, len(queries), step):
            here = sequence[start : start + step]
            out[here] = self._settle(queries[here], kth[here], k, max(1, tile // LEAF))
        return out

    def _settle(self, queries: Array, kth: Array, k: int, step: int) -> Array:
        """The same for a few near queries, so many leaves at a time."""
        pool, xp = self._pool, self._pool.xp
        best = Best(xp, len(queries), k)
        for query, row in self._within(queries, xp.sqrt(kth) * (1 + 2.0**-30) + 2.0**-150, step):
            distance = pool.backend.rerank(pool.values, queries[query], row[:, None])[:, 0]
            near = distance * pool.unit * pool.unit <= kth[query]
            best.add(query[near], row[near], distance[near])
        return best.rows()

    def _within(self, queries: Array, reach: Array, step: int) -> Iterator[tuple[Array, Array]]:
        """Every other row that can be within the reach of a query, as which query and which row.

        ``reach`` is longer than a distance that decides by more than the rounding of that.
        """
        pool, xp, balls = self._pool, self._pool.xp, self._balls
        middle = balls.place[queries[len(queries) // 2]] // LEAF
        origin = balls.leaves.centres[middle, : pool.d]
        points = pool.reduced(queries, origin / pool.unit)
        (near,) = xp.nonzero((balls.nearest(balls.branches, slice(None), points, origin) <= reach[:, None]).any(axis=0))
        fan = BRANCH // LEAF
        leaves = (near[:, None] * fan + xp.arange(fan)).ravel()
        leaves = leaves[leaves < len(balls.leaves.radii)]
        for start in range(0, len(leaves), step):
            some = leaves[start : start + step]
            query, leaf = xp.nonzero(balls.nearest(balls.leaves, some, points, origin) <= reach[:, None])
            place = (some[leaf][:, None] * LEAF + xp.arange(LEAF)).ravel()
            query = xp.repeat(query, LEAF)
            query, place = query[place < pool.n], place[place < pool.n]
            row = balls.order[place]
            other = row != queries[query]
            query, row = query[other], row[other]
            if query.size:
                yield query, row

    def _search(self, place: Array, begin: np.ndarray, branches: np.ndarray, found: Array, edge: Array) -> None:
        """Fill in the lists of the queries that lie in some branches.

        Parameters
        ----------
        place : array of shape (m,), int64
            Of all queries, ascending.
        begin : ndarray of shape (b + 1,), int64
            Where in ``place`` the queries of each branch begin.
        branches : ndarray of shape (a,), int64
        found : array of shape (m, count), int64
            Places.
        edge : array of shape (m,), float64
        """
        pool, xp, balls = self._pool, self._pool.xp, self._balls
        columns = min(most for most in _QUERIES if pool.d <= most)
        tasks = _tasks(begin[branches], begin[branches + 1], _QUERIES[columns])
        order, low = balls.nearest_branches(xp.asarray(branches))
        met = xp.empty((len(tasks), _QUERIES[columns] // _EACH), "i8")
        levels = (balls.leaves.centres, balls.leaves.radii, balls.branches.centres, balls.branches.radii)
        sizes = (np.int64(pool.n), np.int64(pool.d), np.int64(found.shape[1]))
        arguments = (balls.rows, balls.z, *levels, order, low, xp.asarray(tasks), place, *sizes, found, edge, met)
        threads = (2 * _QUERIES[columns],)
        kernels.launch(xp, "search_balls.cu", f"search_balls_{columns}", (len(tasks),), threads, arguments)
        self.pairs = self.pairs + met.sum() * (_EACH * LEAF)

    def _from_other(self, queries: Array, count: int) -> tuple[Array, Array]:
        """Another source's lists, with edges that hold for exact distances.

        A row outside a list that is no further from the origin than ``|x| + sqrt(edge)`` has an approximate squared
        distance of at least ``edge``, so that the exact one is less by no more than :func:`error_bound` of ``edge``;
        one that is further is further than ``sqrt(edge)`` from the query.
        """
        self._other = self._other or device_source(self._pool)
        rows, edge = self._other.candidates(queries, count)
        return rows, edge - error_bound(self._pool, self._other.arithmetic, queries, self._pool.xp.maximum(edge, 0.0))


def _tasks(begin: np.ndarray, end: np.ndarray, most: int) -> np.ndarray:
    """Queries that are searched together: the first, the last and one more, and the number of their branch.

    Returns
    -------
    ndarray of shape (t, 3), int64
    """
    number = -(-(end - begin) // most)
    line = np.repeat(np.arange(len(begin)), number)
    first = begin[line] + most * (np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number))
    return np.ascontiguousarray(np.column_stack([first, np.minimum(first + most, end[line]), line]), np.int64)
