"""Queries that lie near each other, and the rows that may matter to any of them, in a frame of their own. NumPy only.

All that a group meets is measured from one centre ``A`` near it, so that float32 tells neighbors apart however far
from everything else they lie. In reduced rows and measured from ``A``, let ``x`` be a query, ``c`` the centre of a
ball of radius ``r``, ``y`` a row in it, and ``bar`` the largest approximate squared distance in the query's list. The
ball is left out where ::

    |x - c| - r  >=  kappa,      kappa = sqrt(bar)

because then ``|x - y| >= kappa`` for every ``y`` in it, exactly. What is computed, by one matrix product for all
queries and balls, is ::

    V = (1 - s) (|x|**2 + |c|**2) - 2 x.c - (kappa + r)**2,      s = 8 g,      g = (d + 9) u / (1 - (d + 9) u)

from the d + 3 products of ``(-2 x, 1, -2 kappa, (1 - s) |x|**2 - kappa**2)`` and ``(c, (1 - s) |c|**2 - r**2, r, 1)``,
with ``kappa`` and ``r`` rounded up and u = 2**-24. ``V > t`` leaves the ball out. (Where ties are settled, all this is
done in float64, with the constants of its own that :data:`~gpusmote.neighbors.certificate.FLOAT64` has: 3 d + 19 for
d + 9, since squares are then no better than the rest.)

**Why that is certain.** Let ``S = |x|**2 + |c|**2`` and ``T = (kappa + r)**2``. To first order, rounding ``x`` and
``c`` moves ``2 x.c`` by 4 u |x||c| <= 2 u S and every other factor by u, their squares having been formed in float64;
a sum of d + 3 products in any order adds (d + 3) u of their absolute values, which are together at most
``(|x| + |c|)**2 + T <= 2 S + T``; underflow loses less than ``t = (6 d + 20) 2**-126``. So ``V > t`` as computed means
``|x - c|**2 > T + s S - g (2 S + T)``. If ``T <= 4 S``, then ``g (2 S + T) <= 6 g S < s S`` and ``|x - c|**2 > T``.
If ``T > 4 S``, then ``|x - c|**2 > T (1 - g) - 2 g S > T / 2 > 2 S >= |x - c|**2``: that cannot be.

The same test, with the middle of a block of queries for ``x``, a row ``y`` for the ball, and the largest
``|q - x| + kappa`` of any query q of the block for ``kappa + r``, leaves out single rows. And where rows vary most
along a few axes, it is asked of queries and rows as seen along those axes only, ``x'`` and ``y'`` of p coordinates for
``x`` and ``c``, and r = 0, at a fraction of the arithmetic: ``|x - y| >= |x' - y'|``. There S stays that of the rows
themselves, and what ``s`` has over 6 g covers the rounding of the axes and of the coordinates, which are formed in
float64: together they move ``|x' - y'|**2`` by less than ``16 (d + p) 2**-53 S``, far below ``g S``.

**The edge.** A row outside a list was left out, and is no nearer than ``kappa``. Or it was compared, and its
approximate squared distance is no less than ``bar``; that differs from the exact one by at most
``eps = g' (2 |x| + kappa)**2 + t'``, with ``g'`` and ``t'`` of :mod:`~gpusmote.neighbors.certificate`, or the row is
further from ``A`` than ``|x| + kappa`` and so from ``x`` than ``kappa``. Either way its exact squared distance is at
least ``bar - eps``, the edge. What is left to the certificate is the rounding of the distance that decides, which its
rule for direct search covers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from gpusmote.neighbors.certificate import FLOAT32, Arithmetic
from gpusmote.neighbors.cpu.ball_tree import BallTree, Level
from gpusmote.neighbors.cpu.top_k import TopK
from gpusmote.neighbors.exhaustive import Best
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["BLOCK", "QueryBlock", "relative_cost"]

BLOCK = 64
_FIRST, _MOST = 2048, 16_384  # rows that a group meets at once: few while its lists are bad

Met: TypeAlias = "tuple[slice, np.ndarray, np.ndarray]"
"""Which queries of a group met which places, and their scores."""


class QueryBlock:
    """Some near queries, in their own frame.

    Parameters
    ----------
    pool : SearchSet
    balls : BallTree
    places : ndarray of shape (m,), int64
        Of the queries, ascending.
    own : slice
        Places of whole cells that hold them, and more rows than a list shall.
    arithmetic : Arithmetic, default=FLOAT32
        FLOAT32 or FLOAT64.
    axes : ndarray of shape (d, p), float64, optional
        Orthonormal; along which rows vary most. With FLOAT32 only.

    Attributes
    ----------
    compared : float
        Pairs of a query and a row whose distance was computed so far; one along the axes only is a part of a pair.
    """

    def __init__(
        self,
        pool: SearchSet,
        balls: BallTree,
        places: np.ndarray,
        own: slice,
        arithmetic: Arithmetic = FLOAT32,
        axes: np.ndarray | None = None,
    ) -> None:
        self._pool, self._balls, self._places, self._own, self._arithmetic = pool, balls, places, own, arithmetic
        d, dtype = pool.d, np.dtype(arithmetic.dtype).type
        self._d, self._dtype = d, dtype
        leaves = np.searchsorted(balls.leaves.starts, [own.start, own.stop])
        # A median, whatever lies far away: one of the two in the middle, since their mean may overflow.
        centres = balls.leaves.centres[leaves[0] : leaves[1]]
        self._centre = np.partition(centres, len(centres) // 2, axis=0)[len(centres) // 2]
        self._less, self._t = 1 - 8 * arithmetic.relative(d + 1), dtype(arithmetic.absolute(d + 2))
        self._up = dtype(1 + 4 * arithmetic.roundoff)  # rounds up, whatever the rounding before was
        z = pool.reduced(balls.order[places], self._centre)
        self._square = np.einsum("ij,ij->i", z, z)
        self._norm = np.sqrt(self._square)
        self._left = np.empty((len(z), d + 2), dtype)  # times a row of a table: a squared distance
        np.multiply(z, -2, out=self._left[:, :d], casting="same_kind")
        self._left[:, d], self._left[:, d + 1] = 1, self._square
        self._starts = np.arange(0, len(z), BLOCK)
        self._set_blocks(z)
        self._axes = None if axes is None else _Axes(axes, z, self._square * (1 - self._less))
        self.compared = 0.0

    def _set_blocks(self, z: np.ndarray) -> None:
        size = np.diff(self._starts, append=len(z))
        middle = (np.add.reduceat(z, self._starts, axis=0) / size[:, None]).astype(self._dtype)
        away = z - np.repeat(middle, size, axis=0)
        self._away = np.sqrt(np.einsum("ij,ij->i", away, away)) * (1 + 2.0**-20) + 2.0**-60
        self._middle = np.empty((len(middle), self._d + 2), self._dtype)
        self._middle[:, :-2], self._middle[:, -2] = -2 * middle, self._less
        middle = middle.astype(float)
        self._middle_square = self._less * np.einsum("ij,ij->i", middle, middle)

    def nearest(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Places of shape (m, count), and the edge of each list."""
        start = self._own.start
        score = self._left @ self._table(self._rows(np.arange(start, self._own.stop))).T
        score[np.arange(len(score)), self._places - start] = np.inf
        self.compared += score.size
        lists = TopK(score, count, self._pool.n, start)
        del score

        def bar() -> np.ndarray:
            lists.finish()
            now: np.ndarray = lists.bar
            return now

        for here, places, score in self._meet(bar, False):
            lists.look(score, places, some=here)
        lists.finish()
        edge = lists.bar.astype(float)
        return lists.places, edge - self._error(edge)

    def settle(self, queries: np.ndarray, kth: np.ndarray, k: int) -> np.ndarray:
        """The k nearest other rows, given what the k-th of them is at most away.

        A row whose deciding distance is at most D has an approximate squared distance of at most ``D**2 + eps``; all
        rows that have are compared by the distance that decides.

        Parameters
        ----------
        queries : ndarray of shape (m,), int64
            The same queries by their rows.
        kth : ndarray of shape (m,), float64
            ``D**2`` in the unit of reduced rows.
        k : int

        Returns
        -------
        ndarray of shape (m, k), int64
            Rows, nearest first, ties to the lower one.
        """
        bar = np.nextafter((kth + self._error(kth)).astype(self._dtype), self._dtype(np.inf))
        pool, best = self._pool, Best(np, len(queries), k)
        for here, places, score in self._meet(lambda: bar, True):
            query, column = np.nonzero(score <= bar[here, None])
            query, row = query + here.start, self._balls.order[places[column]]
            other = row != queries[query]
            query, row = query[other], row[other]
            best.add(query, row, pool.backend.rerank(pool.values, queries[query], row[:, None])[:, 0])
        nearest: np.ndarray = best.rows()
        return nearest

    def _error(self, square: np.ndarray) -> np.ndarray:
        """``eps`` for rows of that squared distance or less."""
        reach = 2 * self._norm + np.sqrt(square) * (1 + 2.0**-20) + 2.0**-150
        error: np.ndarray = self._arithmetic.relative(self._d) * reach * reach + self._arithmetic.absolute(self._d)
        return error

    def _meet(self, bar: Callable[[], np.ndarray], own: bool) -> Iterator[Met]:
        """Every row that may be nearer than the bar of a query, with all queries of its block, nearest balls first."""
        branches, low, most = *self._around(bar(), own), _FIRST
        starts = self._balls.branches.starts
        while len(branches):
            kappa = np.sqrt(bar()) * self._up
            keep = low < (self._norm + kappa).max() * (1 + 2.0**-40)
            branches, low = branches[keep], low[keep]
            end = int(np.searchsorted(np.cumsum(starts[branches + 1] - starts[branches]), most)) + 1
            yield from self._compare(branches[:end], kappa)
            branches, low, most = branches[end:], low[end:], min(2 * most, _MOST)

    def _around(self, bar: np.ndarray, own: bool) -> tuple[np.ndarray, np.ndarray]:
        """Branches that may be needed, those of the nearest centres first, and how near their rows can be."""
        reach = (self._norm + np.sqrt(bar.astype(float))).max() * (1 + 2.0**-20)
        cells, branches = self._balls.cells, self._balls.branches
        low = self._away_from(cells, np.arange(len(cells.radii)))[1]
        inside = _inside(branches, cells, np.flatnonzero(low < reach))
        if not own:
            inside = inside[(branches.starts[inside] < self._own.start) | (branches.starts[inside] >= self._own.stop)]
        away, low = self._away_from(branches, inside)
        order = np.argsort(away)
        order = order[low[order] < reach]
        return inside[order], low[order]

    def _away_from(self, level: Level, balls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far balls are from the group's centre: their own centres, and the nearest that they may hold."""
        local = self._local(level, balls)
        away = np.sqrt(np.einsum("ij,ij->i", local, local)) * (1 - (self._d + 8) * 2.0**-52)
        return away, away - level.radii[balls]

    def _local(self, level: Level, balls: np.ndarray) -> np.ndarray:
        """Centres in the group's frame."""
        local: np.ndarray = (level.centres.take(balls, axis=0) - self._centre) * self._pool.unit
        return local

    def _compare(self, branches: np.ndarray, kappa: np.ndarray) -> Iterator[Met]:
        """What queries of a block and rows that pass every test have to do with each other."""
        balls = self._balls
        branches = branches[self._needed(balls.branches, branches, kappa).any(axis=0)]
        leaves = _inside(balls.leaves, balls.branches, branches)
        need = self._needed(balls.leaves, leaves, kappa)
        some = need.any(axis=0)
        leaves, need = leaves[some], need[:, some]
        begin, size = balls.leaves.starts[leaves], balls.leaves.starts[leaves + 1] - balls.leaves.starts[leaves]
        places = _spans(begin, size)
        z = self._rows(places)
        table = self._table(z)
        seen = None if self._axes is None else self._axes.see(z, table[:, self._d] * (1 - self._less), kappa)
        del z
        need = np.repeat(need, size, axis=1)
        need &= self._rows_needed(table, kappa)
        for start, row in zip(self._starts, need, strict=True):
            here, columns = slice(start, start + BLOCK), np.flatnonzero(row)
            if seen is not None and len(columns):
                near = seen[0][here] @ seen[1].take(columns, axis=0).T <= self._t
                self.compared += near.size * relative_cost(seen[1].shape[1] - 2, self._d)
                columns = columns[np.bitwise_or.reduce(near.view(np.uint8), axis=0).view(bool)]
            if len(columns):
                score = self._left[here] @ table.take(columns, axis=0).T
                self.compared += score.size
                yield here, places[columns], score

    def _needed(self, level: Level, balls: np.ndarray, kappa: np.ndarray) -> np.ndarray:
        """Which balls may hold a row that a query of a block wants: bool of shape (blocks, balls)."""
        d, local = self._d, self._local(level, balls)
        radius = (level.radii[balls] * self._up).astype(self._dtype)
        right = np.empty((len(balls), d + 3), self._dtype)
        right[:, :d], right[:, d + 1], right[:, d + 2] = local, radius, 1
        right[:, d] = self._less * np.einsum("ij,ij->i", local, local) - radius.astype(float) ** 2
        left = np.empty((len(kappa), d + 3), self._dtype)
        left[:, : d + 1], left[:, d + 1] = self._left[:, : d + 1], -2 * kappa
        left[:, d + 2] = self._less * self._square - kappa.astype(float) ** 2
        wanted = np.zeros((len(self._starts) * BLOCK, len(balls)), np.uint8)
        np.less_equal(left @ right.T, self._t, out=wanted[: len(kappa)].view(bool))
        by_block = np.bitwise_or.reduce(wanted.reshape(len(self._starts), BLOCK, len(balls)), axis=1)
        return np.asarray(by_block).view(bool)

    def _rows_needed(self, table: np.ndarray, kappa: np.ndarray) -> np.ndarray:
        """The same for single rows, by the distance from the middle of each block."""
        radius = np.maximum.reduceat((self._away + kappa) * (1 + 2.0**-40), self._starts)
        self._middle[:, -1] = self._middle_square - radius * radius
        return np.asarray(self._middle @ table.T <= self._t)

    def _rows(self, places: np.ndarray) -> np.ndarray:
        """Rows in the group's frame, float64."""
        return np.asarray(self._pool.reduced(self._balls.order[places], self._centre))

    def _table(self, z: np.ndarray) -> np.ndarray:
        """``(y, |y|**2, 1)`` of such rows."""
        d = self._d
        table = np.empty((len(z), d + 2), self._dtype)
        table[:, :d], table[:, d], table[:, d + 1] = z, np.einsum("ij,ij->i", z, z), 1
        return table


class _Axes:
    """Queries along a few axes; ``slack`` is ``s |x|**2`` of each."""

    def __init__(self, axes: np.ndarray, z: np.ndarray, slack: np.ndarray) -> None:
        self._axes, x = axes, z @ axes
        self._queries = np.empty((len(z), axes.shape[1] + 2), np.float32)
        self._queries[:, :-2], self._queries[:, -2] = -2 * x, 1
        self._square = np.einsum("ij,ij->i", x, x) - slack

    def see(self, z: np.ndarray, slack: np.ndarray, kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Queries, and rows: V is one times the other, transposed."""
        y = z @ self._axes
        rows = np.empty((len(z), y.shape[1] + 2), np.float32)
        rows[:, :-2], rows[:, -2], rows[:, -1] = y, np.einsum("ij,ij->i", y, y) - slack, 1
        self._queries[:, -1] = self._square - kappa.astype(float) ** 2
        return self._queries, rows


def relative_cost(p: int, d: int) -> float:
    """What it costs to compare rows along p axes, in parts of what it costs along d: to write a score counts for 12."""
    return (p + 14) / (d + 14)


def _inside(small: Level, large: Level, balls: np.ndarray) -> np.ndarray:
    """The balls of a lower level that some of a higher level are made of."""
    first = np.searchsorted(small.starts, large.starts[balls])
    return _spans(first, np.searchsorted(small.starts, large.starts[balls + 1]) - first)


def _spans(first: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Consecutive numbers from each first one on, as many as its size says."""
    return np.asarray(np.arange(size.sum()) + np.repeat(first - (np.cumsum(size) - size), size))
