"""Search for a block of near queries among the rows that can be near any of them. NumPy only.

All coordinates are relative to a center ``A`` near the queries, so that float32 can separate their neighbors however
far they are from all other rows. In reduced rows and relative to ``A``, let ``x`` be a query, ``c`` the center of a
ball of radius ``r``, ``y`` a row in it, and ``threshold`` the largest approximate squared distance in the query's list.
The ball is skipped if ::

    |x - c| - r  >=  kappa,      kappa = sqrt(threshold)

because then ``|x - y| >= kappa`` for every ``y`` in it, exactly. One matrix product computes, for all
queries and balls, ::

    V = (1 - s) (|x|**2 + |c|**2) - 2 x.c - (kappa + r)**2,      s = 8 g,      g = (d + 9) u / (1 - (d + 9) u)

from the d + 3 products of ``(-2 x, 1, -2 kappa, (1 - s) |x|**2 - kappa**2)`` and ``(c, (1 - s) |c|**2 - r**2, r, 1)``,
with ``kappa`` and ``r`` rounded up and u = 2**-24. If ``V > t`` the ball is skipped. (For the exact search of ties, all
of this is done in float64, with the constants of :data:`~gpusmote.neighbors.certificate.FLOAT64`: 3 d + 19 instead of
d + 9, because squares are then no more accurate than the rest.)

**Proof.** Let ``S = |x|**2 + |c|**2`` and ``T = (kappa + r)**2``. To first order, rounding ``x`` and
``c`` moves ``2 x.c`` by 4 u |x||c| <= 2 u S and every other factor by u, because their squares are computed in float64;
a sum of d + 3 products in any order adds (d + 3) u of the sum of their absolute values, which is at most
``(|x| + |c|)**2 + T <= 2 S + T``; underflow loses less than ``t = (6 d + 20) 2**-126``. So ``V > t`` as computed means
``|x - c|**2 > T + s S - g (2 S + T)``. If ``T <= 4 S``, then ``g (2 S + T) <= 6 g S < s S`` and ``|x - c|**2 > T``.
If ``T > 4 S``, then ``|x - c|**2 > T (1 - g) - 2 g S > T / 2 > 2 S >= |x - c|**2``, a contradiction.

The same test skips single rows: with the mean of a block of queries for ``x``, a row ``y`` for the ball, and the
largest ``|q - x| + kappa`` of any query q of the block for ``kappa + r``.

**The edge.** A row outside a list was either skipped, and is no nearer than ``kappa``, or it was compared, and its
approximate squared distance is at least ``threshold``. In the second case, either the approximation differs from the
exact value by at most ``eps = g' (2 |x| + kappa)**2 + t'``, with ``g'`` and ``t'`` of
:mod:`~gpusmote.neighbors.certificate`, or the row is further from ``A`` than ``|x| + kappa`` and so further from ``x``
than ``kappa``. In all cases its exact squared distance is at least ``threshold - eps``, the edge. The certificate must
then cover only the rounding of the deciding distance, which its rule for direct search does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from gpusmote.neighbors.certificate import FLOAT32, Arithmetic
from gpusmote.neighbors.cpu.ball_tree import BallTree, Level
from gpusmote.neighbors.cpu.top_k import TopK
from gpusmote.neighbors.exhaustive import KNearest
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["BLOCK", "QueryBlock"]

BLOCK = 64
_FIRST, _MOST = 2048, 16_384  # rows compared in one step: few while the thresholds are still large

ScoredRows: TypeAlias = "tuple[slice, np.ndarray, np.ndarray]"
"""Some queries of a group, the places they were compared with, and the scores."""


class QueryBlock:
    """A group of near queries, in coordinates relative to a center near them.

    Parameters
    ----------
    search_set : SearchSet
    balls : BallTree
    places : ndarray of shape (m,), int64
        Places of the queries, ascending.
    own : slice
        Places of whole cells that include the queries and more rows than a list.
    arithmetic : Arithmetic, default=FLOAT32
        FLOAT32 or FLOAT64.
    """

    def __init__(
        self,
        search_set: SearchSet,
        balls: BallTree,
        places: np.ndarray,
        own: slice,
        arithmetic: Arithmetic = FLOAT32,
    ) -> None:
        self._search_set, self._balls, self._places = search_set, balls, places
        self._own, self._arithmetic = own, arithmetic
        d, dtype = search_set.d, np.dtype(arithmetic.dtype).type
        self._d, self._dtype = d, dtype
        leaves = np.searchsorted(balls.leaves.starts, [own.start, own.stop])
        # A median is robust to outliers. It is one of the two middle values, because their mean may overflow.
        centers = balls.leaves.centers[leaves[0] : leaves[1]]
        self._center = np.partition(centers, len(centers) // 2, axis=0)[len(centers) // 2]
        # 1 - s and t of the module docstring.
        self._shrink, self._t = 1 - 8 * arithmetic.relative(d + 1), dtype(arithmetic.absolute(d + 2))
        # A factor larger than the rounding errors before it, so that the product is rounded up.
        self._round_up = dtype(1 + 4 * arithmetic.roundoff)
        z = search_set.reduced(balls.order[places], self._center)
        self._square = np.einsum("ij,ij->i", z, z)
        self._norm = np.sqrt(self._square)
        self._left = np.empty((len(z), d + 2), dtype)  # its product with a row of a table is a squared distance
        np.multiply(z, -2, out=self._left[:, :d], casting="same_kind")
        self._left[:, d], self._left[:, d + 1] = 1, self._square
        self._starts = np.arange(0, len(z), BLOCK)
        self._set_blocks(z)

    def _set_blocks(self, z: np.ndarray) -> None:
        size = np.diff(self._starts, append=len(z))
        middle = (np.add.reduceat(z, self._starts, axis=0) / size[:, None]).astype(self._dtype)
        away = z - np.repeat(middle, size, axis=0)
        self._to_middle = np.sqrt(np.einsum("ij,ij->i", away, away)) * (1 + 2.0**-20) + 2.0**-60
        self._middle = np.empty((len(middle), self._d + 2), self._dtype)
        self._middle[:, :-2], self._middle[:, -2] = -2 * middle, self._shrink
        middle = middle.astype(float)
        self._middle_square = self._shrink * np.einsum("ij,ij->i", middle, middle)

    def nearest(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Places of shape (m, count), and the edge of each list."""
        start = self._own.start
        score = self._left @ self._table(np.arange(start, self._own.stop)).T
        score[np.arange(len(score)), self._places - start] = np.inf
        lists = TopK(score, count, self._search_set.n, start)
        del score

        def threshold() -> np.ndarray:
            lists.finish()
            now: np.ndarray = lists.threshold
            return now

        for here, places, score in self._scored_rows(threshold, False):
            lists.add_tile(score, places, lists=here)
        lists.finish()
        edge = lists.threshold.astype(float)
        return lists.places, edge - self._error(edge)

    def exact_nearest(self, queries: np.ndarray, kth: np.ndarray, k: int) -> np.ndarray:
        """The exact k nearest other rows, ties included, given a bound for the distance of the k-th.

        A row whose deciding distance is at most D has an approximate squared distance of at most ``D**2 + eps``. The
        deciding distance is computed for all rows within that limit.

        Parameters
        ----------
        queries : ndarray of shape (m,), int64
            Row numbers of the queries of this block, in the same order.
        kth : ndarray of shape (m,), float64
            ``D**2`` in the units of reduced rows.
        k : int

        Returns
        -------
        ndarray of shape (m, k), int64
            Row numbers, nearest first, ties by row number.
        """
        threshold = np.nextafter((kth + self._error(kth)).astype(self._dtype), self._dtype(np.inf))
        nearest = KNearest(np, len(queries), k)
        for here, places, score in self._scored_rows(lambda: threshold, True):
            query, column = np.nonzero(score <= threshold[here, None])
            nearest.compare(self._search_set, queries, query + here.start, self._balls.order[places[column]])
        rows: np.ndarray = nearest.rows()
        return rows

    def _error(self, square: np.ndarray) -> np.ndarray:
        """``eps`` for rows within this squared distance."""
        reach = 2 * self._norm + np.sqrt(square) * (1 + 2.0**-20) + 2.0**-150
        error: np.ndarray = self._arithmetic.relative(self._d) * reach * reach + self._arithmetic.absolute(self._d)
        return error

    def _scored_rows(self, threshold: Callable[[], np.ndarray], own: bool) -> Iterator[ScoredRows]:
        """Compare queries with all rows that may be within the threshold of one in their block, nearest balls first."""
        branches, low, most = *self._nearby_branches(threshold(), own), _FIRST
        starts = self._balls.branches.starts
        while len(branches):
            kappa = np.sqrt(threshold()) * self._round_up
            keep = low < (self._norm + kappa).max() * (1 + 2.0**-40)
            branches, low = branches[keep], low[keep]
            end = int(np.searchsorted(np.cumsum(starts[branches + 1] - starts[branches]), most)) + 1
            yield from self._compare_branches(branches[:end], kappa)
            branches, low, most = branches[end:], low[end:], min(2 * most, _MOST)

    def _nearby_branches(self, threshold: np.ndarray, own: bool) -> tuple[np.ndarray, np.ndarray]:
        """The branches that may hold near rows, nearest centers first, and lower bounds for the norms of their rows."""
        reach = (self._norm + np.sqrt(threshold.astype(float))).max() * (1 + 2.0**-20)
        cells, branches = self._balls.cells, self._balls.branches
        low = self._ball_distances(cells, np.arange(len(cells.radii)))[1]
        inside = _children(branches, cells, np.flatnonzero(low < reach))
        if not own:
            inside = inside[(branches.starts[inside] < self._own.start) | (branches.starts[inside] >= self._own.stop)]
        distance, low = self._ball_distances(branches, inside)
        order = np.argsort(distance)
        order = order[low[order] < reach]
        return inside[order], low[order]

    def _ball_distances(self, level: Level, balls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances from the group's center to the centers of balls, and lower bounds for those to their rows."""
        local = self._local(level, balls)
        distance = np.sqrt(np.einsum("ij,ij->i", local, local)) * (1 - (self._d + 8) * 2.0**-52)
        return distance, distance - level.radii[balls]

    def _local(self, level: Level, balls: np.ndarray) -> np.ndarray:
        """Centers of balls relative to the group's center."""
        local: np.ndarray = (level.centers.take(balls, axis=0) - self._center) * self._search_set.unit
        return local

    def _compare_branches(self, branches: np.ndarray, kappa: np.ndarray) -> Iterator[ScoredRows]:
        """Compare the queries of each block with the rows of some branches that no test excludes."""
        balls = self._balls
        branches = branches[self._balls_needed(balls.branches, branches, kappa).any(axis=0)]
        leaves = _children(balls.leaves, balls.branches, branches)
        need = self._balls_needed(balls.leaves, leaves, kappa)
        some = need.any(axis=0)
        leaves, need = leaves[some], need[:, some]
        begin, size = balls.leaves.starts[leaves], balls.leaves.starts[leaves + 1] - balls.leaves.starts[leaves]
        places = _spans(begin, size)
        table = self._table(places)
        need = np.repeat(need, size, axis=1)
        need &= self._rows_needed(table, kappa)
        for start, row in zip(self._starts, need, strict=True):
            here, columns = slice(start, start + BLOCK), np.flatnonzero(row)
            if len(columns):
                score = self._left[here] @ table.take(columns, axis=0).T
                yield here, places[columns], score

    def _balls_needed(self, level: Level, balls: np.ndarray, kappa: np.ndarray) -> np.ndarray:
        """Which balls may hold a near row for a query of a block: bool of shape (blocks, balls)."""
        d, local = self._d, self._local(level, balls)
        radius = (level.radii[balls] * self._round_up).astype(self._dtype)
        right = np.empty((len(balls), d + 3), self._dtype)
        right[:, :d], right[:, d + 1], right[:, d + 2] = local, radius, 1
        right[:, d] = self._shrink * np.einsum("ij,ij->i", local, local) - radius.astype(float) ** 2
        left = np.empty((len(kappa), d + 3), self._dtype)
        left[:, : d + 1], left[:, d + 1] = self._left[:, : d + 1], -2 * kappa
        left[:, d + 2] = self._shrink * self._square - kappa.astype(float) ** 2
        wanted = np.zeros((len(self._starts) * BLOCK, len(balls)), np.uint8)
        np.less_equal(left @ right.T, self._t, out=wanted[: len(kappa)].view(bool))
        by_block = np.bitwise_or.reduce(wanted.reshape(len(self._starts), BLOCK, len(balls)), axis=1)
        return np.asarray(by_block).view(bool)

    def _rows_needed(self, table: np.ndarray, kappa: np.ndarray) -> np.ndarray:
        """Which rows may be near a query of a block, by their distance from its mean: bool of shape (blocks, rows)."""
        radius = np.maximum.reduceat((self._to_middle + kappa) * (1 + 2.0**-40), self._starts)
        self._middle[:, -1] = self._middle_square - radius * radius
        return np.asarray(self._middle @ table.T <= self._t)

    def _table(self, places: np.ndarray) -> np.ndarray:
        """``(y, |y|**2, 1)`` for the rows at these places, relative to the group's center."""
        z, d = self._search_set.reduced(self._balls.order[places], self._center), self._d
        table = np.empty((len(z), d + 2), self._dtype)
        table[:, :d], table[:, d], table[:, d + 1] = z, np.einsum("ij,ij->i", z, z), 1
        return table


def _children(small: Level, large: Level, balls: np.ndarray) -> np.ndarray:
    """The balls of a lower level within some balls of a higher level."""
    first = np.searchsorted(small.starts, large.starts[balls])
    return _spans(first, np.searchsorted(small.starts, large.starts[balls + 1]) - first)


def _spans(first: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The concatenated ranges ``first[i], ..., first[i] + size[i] - 1``."""
    return np.asarray(np.arange(size.sum()) + np.repeat(first - (np.cumsum(size) - size), size))
