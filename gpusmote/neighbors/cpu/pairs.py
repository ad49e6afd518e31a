"""Candidates for all rows at once: each pair of rows is compared once, for both rows. NumPy only."""

from __future__ import annotations

import numpy as np

from gpusmote.backends.threads import run_blocks
from gpusmote.neighbors.certificate import FLOAT32
from gpusmote.neighbors.cpu.top_k import Layout, TopK
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["Pairs"]

_SIDE = 1024


class Pairs:
    """Compute only the tiles on and above the diagonal of the symmetric matrix of squared distances.

    The first block of rows is a systematic sample (see :class:`~gpusmote.neighbors.cpu.top_k.Layout`). Every block is
    compared with it first, which gives every list its first threshold.

    Parameters
    ----------
    search_set : SearchSet
        On the host.
    """

    name = "pairs"
    arithmetic = FLOAT32

    def __init__(self, search_set: SearchSet) -> None:
        self._n = search_set.n
        self._layout = Layout(search_set, "f4", _SIDE)

    def candidates(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~gpusmote.neighbors.candidates.CandidateSource`. It always makes the lists of all rows."""
        side = max(_SIDE, count + 1)
        lists = self._compare_all(count, side)
        rows = np.empty((self._n, count), np.int64)
        edge = np.empty(self._n)

        def write(block: int, _: int) -> None:
            lists[block].finish()
            at = self._layout.order[block * side : (block + 1) * side]
            rows[at] = self._layout.order[lists[block].places]
            edge[at] = lists[block].threshold

        run_blocks(write, len(lists), 1)
        return (rows, edge) if len(queries) == self._n else (rows[queries], edge[queries])

    def _compare_all(self, count: int, side: int) -> dict[int, TopK]:
        """The lists of every block, after every two blocks have been compared."""
        n_blocks = -(-self._n // side)
        lists = {0: TopK(self._scores(0, 0, side), count, self._n)}
        # In this order, threads that work at the same time rarely update the same lists.
        tasks = [(i, i + step) for step in range(n_blocks - 1) for i in range(1, n_blocks - step)]

        def compare_first(_: int, block: int) -> None:
            score = self._scores(block, 0, side)
            lists[block] = TopK(score, count, self._n)
            lists[0].add_tile(score, block * side, by_columns=True)

        def compare(task: int, _: int) -> None:
            i, j = tasks[task]
            score = self._scores(i, j, side)
            lists[i].add_tile(score, j * side)
            if i != j:
                lists[j].add_tile(score, i * side, by_columns=True)

        run_blocks(compare_first, n_blocks - 1, 1)
        run_blocks(compare, len(tasks), 1)
        return lists

    def _scores(self, i: int, j: int, side: int) -> np.ndarray:
        score = self._layout.left(slice(i * side, (i + 1) * side)) @ self._layout.right[j * side : (j + 1) * side].T
        if i == j:
            np.fill_diagonal(score, np.inf)
        return score
