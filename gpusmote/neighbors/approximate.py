"""Approximate search with inverted lists, tuned to the requested recall.

The rows found are sorted by the deciding distance, but no certificate proves that no nearer row was missed. Instead,
the recall is measured on a sample of the queries, and as many lists are searched as the requested recall needs.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from gpusmote.backends.cpu import Array, Backend
from gpusmote.messages import counted
from gpusmote.neighbors.candidates import BATCH_ENTRIES, nearest_first
from gpusmote.neighbors.faiss_ivf import InvertedLists, inverted_lists, require, sample_rows
from gpusmote.neighbors.report import Approximation, SearchReport
from gpusmote.neighbors.search import NeighborSearch
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["SAMPLE", "SMALLEST_WORK", "ApproximateSearch", "measured_recall"]

SAMPLE = 1_000
"""Number of queries on which the recall is measured."""

SMALLEST_WORK = 30_000 * 30_000
"""Queries times rows below which the exact search is used. Measured on two cores, for 32 columns of 8 dimensions and
for clusters: with 10,000 rows the exact search is faster, with 20,000 both are equal, with 40,000 inverted lists take a
third less."""

_MOST_ON_HOST, _MOST_ON_DEVICE = 1 / 16, 1 / 4
"""Shares of the lists beyond which the exact search costs less. On the host, measured: FAISS takes 13 to 16 ns for each
row of 32 columns that it compares, the tiles of the exact search 1 ns. On a device not measured."""


class ApproximateSearch:
    """Nearest-neighbor search that may miss some of the k nearest rows; the recall is measured.

    Parameters
    ----------
    backend, values, report
        See :class:`~gpusmote.neighbors.search.NeighborSearch`.
    target : float
        Requested recall, in (0, 1].

    Raises
    ------
    MissingPackageError
        If FAISS is not installed or does not support this device, even if the exact search would be used.
    """

    def __init__(self, backend: Backend, values: Array, report: SearchReport, target: float) -> None:
        require(backend)
        self._exact = NeighborSearch(backend, values, report)
        self._backend, self._xp, self._values = backend, backend.xp, values
        self._report, self._target = report, target
        self._search_set: SearchSet | None = None
        self._lists: InvertedLists | None = None

    @property
    def half_range(self) -> float:
        """See :attr:`gpusmote.neighbors.NeighborSearch.half_range`."""
        return self._exact.half_range

    def nearest(self, queries: Array | None, k: int) -> Array:
        """Find the k nearest other rows of each query, some of which may be missed.

        Parameters and the order of the result are those of :meth:`gpusmote.neighbors.NeighborSearch.nearest`. The
        queries of the sample, and those for which fewer than k rows were found, get exact neighbors.
        """
        every = self._xp.arange(len(self._values)) if queries is None else queries
        why = self._why_exact(len(every), k)
        if why is None:
            found = self._approximately(every, k)
            if not isinstance(found, str):
                return found
            why = found
        self._report.notes.append(f"{why}; the exact search was used.")
        return self._exact.nearest(queries, k)

    def _why_exact(self, m: int, k: int) -> str | None:
        """The reason to use the exact search, or None. If it is None, the lists have been built."""
        n = len(self._values)
        if m <= SAMPLE or m * n < SMALLEST_WORK:
            return f"{counted(m, 'query')} among {counted(n, 'row')} are too few for an approximate search"
        # The lists are another copy of the rows.
        if self._backend.search_device is not None or self._backend.memory.copies < 2:
            return f"There is too little memory for inverted lists of {counted(n, 'row')}"
        if self._lists is None:
            self._search_set = SearchSet(self._backend, self._values)
            self._lists = inverted_lists(self._search_set)
        if k >= self._lists.most_found:
            return f"FAISS finds {self._lists.most_found:,} rows at most for a query"
        return None

    def _approximately(self, queries: Array, k: int) -> Array | str:
        """The neighbors, or the reason why the requested recall cannot be reached."""
        xp, m = self._xp, len(queries)
        rows = xp.empty((m, k), "i8")
        sample = self._backend.asarray(sample_rows(SAMPLE, m))
        rows[sample] = self._exact.nearest(queries[sample], k)
        search = _Search(self._search_set, self._lists, k)
        found = self._tuned(search, queries[sample], rows[sample], m)
        if found is None:
            return (
                f"A recall of {self._target:g} among {search.search_set.n:,} rows takes more than "
                f"{search.most_probes:,} of {search.lists.number:,} lists, beyond which the exact search costs less"
            )
        others = xp.ones(m, bool)
        others[sample] = False
        (rest,) = xp.nonzero(others)
        near, distance = search.nearest(queries[rest], found.nprobe)
        rows[rest] = near
        incomplete = rest[~xp.isfinite(distance[:, -1])]
        if len(incomplete):
            rows[incomplete] = self._exact.nearest(queries[incomplete], k)
        self._report.add(dataclasses.replace(found, queries=len(rest) - len(incomplete)))
        return rows

    def _tuned(self, search: _Search, sample: Array, exact: Array, m: int) -> Approximation | None:
        """Increase the probes until the recall on the sample is two standard errors above the target."""
        search_set, to_host = search.search_set, self._backend.to_host
        farthest = to_host(self._backend.rerank(search_set.values, sample, exact[:, -1:]))[:, 0]
        probes = 1
        while True:
            _, distance = search.nearest(sample, probes)
            recall, error = measured_recall(to_host(distance), farthest)
            error *= math.sqrt(1 - len(sample) / m)  # finite-population correction: the sample itself has no error
            if recall - 2 * error >= self._target:
                lists = search.lists
                return Approximation(
                    lists.name, m, search_set.n, search.k, lists.number, probes, len(sample), recall, error
                )
            if probes == search.most_probes:
                return None
            probes = min(search.most_probes, probes + (probes + 1) // 2)


class _Search:
    """Search for the k nearest rows in some of the inverted lists."""

    def __init__(self, search_set: SearchSet | None, lists: InvertedLists | None, k: int) -> None:
        assert search_set is not None
        assert lists is not None
        on_host = search_set.backend.name == "cpu"
        self.search_set, self.lists, self.k = search_set, lists, k
        self.most_probes = max(1, int(lists.number * (_MOST_ON_HOST if on_host else _MOST_ON_DEVICE)))
        # A few more than k and the query, because FAISS's float32 order may differ from the deciding one.
        self._count = min(lists.most_found, k + 4 if on_host else max(32, k + 9))

    def nearest(self, queries: Array, probes: int) -> tuple[Array, Array]:
        """The rows found and their deciding distances.

        Returns
        -------
        rows : array of shape (m, k), int64
        distance : array of shape (m, k), float64
            Ascending; infinite if the lists held fewer than k rows, in which case the row is meaningless.
        """
        search_set, xp = self.search_set, self.search_set.xp
        rows, distance = xp.empty((len(queries), self.k), "i8"), xp.empty((len(queries), self.k), "f8")
        step = max(1, BATCH_ENTRIES // self._count)
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            block = queries[part]
            found = xp.sort(self.lists.search(block, self._count, probes), axis=1)  # ties by row number
            none = (found < 0) | (found == block[:, None])
            found[none] = 0
            far = search_set.backend.rerank(search_set.values, block, found)
            far[none] = xp.inf
            rows[part], distance[part] = nearest_first(xp, found, far, self.k)
        return rows, distance


def measured_recall(found: np.ndarray, farthest: np.ndarray) -> tuple[float, float]:
    """Share of the k nearest rows that a search found. Any row at the distance of the k-th nearest counts as found.

    Parameters
    ----------
    found : ndarray of shape (m, k), float64
        Deciding distances of the rows found; infinite if no row was found.
    farthest : ndarray of shape (m,), float64
        Deciding distance of the k-th nearest row.

    Returns
    -------
    recall : float
    error : float
        Its standard error, as an estimate for an infinite population of such queries.

    Examples
    --------
    >>> import numpy as np
    >>> measured_recall(np.array([[1.0, 2.0], [1.0, 9.0]]), np.array([2.0, 3.0]))
    (0.75, 0.25)
    """
    share = (found <= farthest[:, None]).mean(axis=1)
    return float(share.mean()), float(share.std(ddof=1) / math.sqrt(len(share)))
