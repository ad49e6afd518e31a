"""Candidates from a tree of balls: balls that cannot hold a near row are skipped. NumPy only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpusmote.backends.threads import run_blocks
from gpusmote.neighbors.certificate import DIRECT, FLOAT32, FLOAT64, Arithmetic
from gpusmote.neighbors.cpu.ball_tree import BallTree
from gpusmote.neighbors.cpu.query_block import QueryBlock
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["Pruned"]

_AREA = 1 << 20  # queries that are searched together, times the rows of their cells


class Pruned:
    """Compare groups of near queries with the balls around them, nearest first, while a ball can hold a nearer row.

    Parameters
    ----------
    search_set : SearchSet
        On the host.
    """

    name = "pruned"
    arithmetic = DIRECT

    def __init__(self, search_set: SearchSet) -> None:
        self._search_set, self._balls = search_set, BallTree(search_set)

    def query_order(self, queries: np.ndarray) -> np.ndarray:
        """The order in which to search the queries if they are searched in blocks: array of shape (m,), int64."""
        return np.argsort(self._balls.place[queries])

    def candidates(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~gpusmote.neighbors.candidates.CandidateSource`."""
        rows, edge = np.empty((len(queries), count), np.int64), np.empty(len(queries))

        def work(here: np.ndarray, group: QueryBlock) -> None:
            places, edge[here] = group.nearest(count)
            rows[here] = self._balls.order[places]

        self._each_group(queries, count, work)
        return rows, edge

    def exact_nearest(self, queries: np.ndarray, kth: np.ndarray, k: int) -> np.ndarray:
        """The exact k nearest other rows, ties included: see :func:`gpusmote.neighbors.exhaustive.last_pass`."""
        out = np.empty((len(queries), k), np.int64)

        def work(here: np.ndarray, group: QueryBlock) -> None:
            out[here] = group.exact_nearest(queries[here], kth[here], k)

        self._each_group(queries, k, work, FLOAT64)
        return out

    def _each_group(
        self,
        queries: np.ndarray,
        count: int,
        work: Callable[[np.ndarray, QueryBlock], None],
        arithmetic: Arithmetic = FLOAT32,
    ) -> None:
        at = self.query_order(queries)
        places = self._balls.place[queries[at]]
        groups = _groups(self._balls, places, count)

        def one(i: int, _: int) -> None:
            span, rows = groups[i]
            work(at[span], QueryBlock(self._search_set, self._balls, places[span], rows, arithmetic))

        run_blocks(one, len(groups), 1)


def _groups(balls: BallTree, places: np.ndarray, count: int) -> list[tuple[slice, slice]]:
    """Groups of queries, each with the places of whole cells that hold its queries and at least count + 1 rows."""
    begin = balls.cells.starts
    before = np.searchsorted(places, begin)
    groups, first, n_cells = [], 0, len(begin) - 1
    for last in range(1, n_cells + 1):
        if before[last] == before[first]:
            first = last
        elif last == n_cells or (before[last + 1] - before[first]) * (begin[last + 1] - begin[first]) > _AREA:
            a, b = first, last
            while begin[b] - begin[a] <= count:  # enough rows for the first list
                a, b = max(0, a - 1), min(n_cells, b + 1)
            groups.append((slice(before[first], before[last]), slice(begin[a], begin[b])))
            first = last
    return groups
