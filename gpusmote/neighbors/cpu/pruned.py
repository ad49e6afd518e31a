"""Candidates without most of the comparisons: balls of rows that cannot matter are left out. NumPy only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpusmote.backends.threads import run_blocks
from gpusmote.neighbors.certificate import DIRECT, FLOAT32, FLOAT64, Arithmetic
from gpusmote.neighbors.cpu.ball_tree import BallTree
from gpusmote.neighbors.cpu.query_block import BLOCK, QueryBlock
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["Pruned"]

_AREA = 1 << 20  # queries that are searched together times rows of the cells that they lie in
_TRIED = 8  # groups


class Pruned:
    """Groups of near queries meet the balls around them, nearest first, as long as any can hold a nearer row.

    Parameters
    ----------
    pool : SearchSet
        On the host.
    axes : ndarray of shape (d, p), float64, optional
        See :class:`~gpusmote.neighbors.cpu.query_block.QueryBlock`.
    """

    name = "pruned"
    arithmetic = DIRECT

    def __init__(self, pool: SearchSet, axes: np.ndarray | None = None) -> None:
        self._pool, self._balls, self._axes = pool, BallTree(pool), axes

    def sequence(self, queries: np.ndarray) -> np.ndarray:
        """In which order queries are best searched, where not all are at once: array of shape (m,), int64."""
        return np.argsort(self._balls.place[queries])

    def share(self, queries: np.ndarray, count: int) -> float:
        """Which share of the arithmetic of comparing all pairs is done, going by a few of the queries."""
        places = np.sort(self._balls.place[queries])
        groups = _groups(self._balls, places, count)
        compared, asked = 0.0, 0
        for i in np.unique(np.linspace(0, len(groups) - 1, _TRIED).astype(int)):
            span, rows = groups[i]
            group = QueryBlock(self._pool, self._balls, places[span][:BLOCK], rows, axes=self._axes)
            group.nearest(count)
            compared, asked = compared + group.compared, asked + len(places[span][:BLOCK])
        return float(compared / (asked * self._pool.n))

    def candidates(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~gpusmote.neighbors.candidates.CandidateSource`."""
        rows, edge = np.empty((len(queries), count), np.int64), np.empty(len(queries))

        def work(here: np.ndarray, group: QueryBlock) -> None:
            places, edge[here] = group.nearest(count)
            rows[here] = self._balls.order[places]

        self._each_group(queries, count, work)
        return rows, edge

    def settle(self, queries: np.ndarray, kth: np.ndarray, k: int) -> np.ndarray:
        """The k nearest other rows, whatever ties there are: see :func:`gpusmote.neighbors.exhaustive.last_pass`."""
        out = np.empty((len(queries), k), np.int64)

        def work(here: np.ndarray, group: QueryBlock) -> None:
            out[here] = group.settle(queries[here], kth[here], k)

        self._each_group(queries, k, work, FLOAT64)
        return out

    def _each_group(
        self,
        queries: np.ndarray,
        count: int,
        work: Callable[[np.ndarray, QueryBlock], None],
        arithmetic: Arithmetic = FLOAT32,
    ) -> None:
        at = self.sequence(queries)
        places = self._balls.place[queries[at]]
        groups = _groups(self._balls, places, count)

        def one(i: int, _: int) -> None:
            span, rows = groups[i]
            axes = self._axes if arithmetic is FLOAT32 else None
            work(at[span], QueryBlock(self._pool, self._balls, places[span], rows, arithmetic, axes))

        run_blocks(one, len(groups), 1)


def _groups(balls: BallTree, places: np.ndarray, count: int) -> list[tuple[slice, slice]]:
    """Queries that are searched together, and the places of whole cells that hold them and more rows than a list."""
    begin = balls.cells.starts
    before = np.searchsorted(places, begin)
    groups, first, n_cells = [], 0, len(begin) - 1
    for last in range(1, n_cells + 1):
        if before[last] == before[first]:
            first = last
        elif last == n_cells or (before[last + 1] - before[first]) * (begin[last + 1] - begin[first]) > _AREA:
            a, b = first, last
            while begin[b] - begin[a] <= count:  # a list needs so many rows to begin with
                a, b = max(0, a - 1), min(n_cells, b + 1)
            groups.append((slice(before[first], before[last]), slice(begin[a], begin[b])))
            first = last
    return groups
