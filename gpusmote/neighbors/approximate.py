"""Approximate search with inverted lists, tuned to the requested recall.

The rows found are sorted by the deciding distance, but no certificate proves that no nearer row was missed. Instead,
the recall is measured on a sample of the queries, and as many lists are searched as the requested recall needs.
"""

from __future__ import annotations

import math

import numpy as np

from gpusmote.backends.cpu import Array, Backend
from gpusmote.messages import counted
from gpusmote.neighbors.candidates import BATCH_ENTRIES, nearest_first
from gpusmote.neighbors.faiss_ivf import DeviceLists, HostLists, require, sample_rows
from gpusmote.neighbors.report import Approximation, SearchReport
from gpusmote.neighbors.search import NeighborSearch
from gpusmote.neighbors.search_set import SearchSet
from gpusmote.neighbors.selection import LARGEST_K

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
        self._faiss, self._exact = require(backend), NeighborSearch(backend, values, report)
        self._backend, self._xp, self._values = backend, backend.xp, values
        self._report, self._target = report, target
        self._on_host = backend.name == "cpu"
        self._lists: HostLists | DeviceLists | None = None

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
        found = self._why_exact(len(every), k) or self._approximately(every, k)
        if not isinstance(found, str):
            return found
        self._report.notes.append(f"{found}; the exact search was used.")
        return self._exact.nearest(queries, k)

    def _why_exact(self, m: int, k: int) -> str | None:
        """The reason to use the exact search without building the lists, or None."""
        n = len(self._values)
        if m <= SAMPLE or m * n < SMALLEST_WORK:
            return f"{counted(m, 'query')} among {counted(n, 'row')} are too few for an approximate search"
        # The lists are another copy of the rows.
        if self._backend.search_device is not None or self._backend.memory.copies < 2:
            return f"There is too little memory for inverted lists of {counted(n, 'row')}"
        if not self._on_host and k >= LARGEST_K:
            return f"FAISS finds {LARGEST_K:,} rows at most for a query"
        return None

    def _approximately(self, queries: Array, k: int) -> Array | str:
        """The neighbors, or the reason why the requested recall cannot be reached."""
        xp, m, n = self._xp, len(queries), len(self._values)
        if self._lists is None:
            make = HostLists if self._on_host else DeviceLists
            self._lists = make(SearchSet(self._backend, self._values), self._faiss)
        lists = self._lists
        most = max(1, int(lists.number * (_MOST_ON_HOST if self._on_host else _MOST_ON_DEVICE)))
        rows = xp.empty((m, k), "i8")
        sample = self._backend.asarray(sample_rows(SAMPLE, m))
        rows[sample] = self._exact.nearest(queries[sample], k)
        tuned = self._tuned(lists, queries[sample], rows[sample], m, most)
        if tuned is None:
            return (
                f"A recall of {self._target:g} among {n:,} rows takes more than {most:,} of {lists.number:,} lists, "
                "beyond which the exact search costs less"
            )
        probes, recall, error = tuned
        others = xp.ones(m, bool)
        others[sample] = False
        (rest,) = xp.nonzero(others)
        rows[rest], distance = self._search(lists, queries[rest], k, probes)
        incomplete = rest[~xp.isfinite(distance[:, -1])]
        if len(incomplete):
            rows[incomplete] = self._exact.nearest(queries[incomplete], k)
        found = len(rest) - len(incomplete)
        self._report.add(Approximation(lists.name, found, n, k, lists.number, probes, len(sample), recall, error))
        return rows

    def _tuned(
        self, lists: HostLists | DeviceLists, sample: Array, exact: Array, m: int, most: int
    ) -> tuple[int, float, float] | None:
        """Probes with which the recall on the sample is two standard errors above the target; recall and error."""
        to_host = self._backend.to_host
        farthest = to_host(lists.search_set.distances(sample, exact[:, -1:]))[:, 0]
        probes = 1
        while True:
            _, distance = self._search(lists, sample, exact.shape[1], probes)
            recall, error = measured_recall(to_host(distance), farthest)
            error *= math.sqrt(1 - len(sample) / m)  # finite-population correction: the sample itself has no error
            if recall - 2 * error >= self._target:
                return probes, recall, error
            if probes == most:
                return None
            probes = min(most, probes + (probes + 1) // 2)

    def _search(self, lists: HostLists | DeviceLists, queries: Array, k: int, probes: int) -> tuple[Array, Array]:
        """The k nearest rows in some of the lists, and their deciding distances.

        Returns
        -------
        rows : array of shape (m, k), int64
        distance : array of shape (m, k), float64
            Ascending; infinite if the lists held fewer than k rows, in which case the row is meaningless.
        """
        xp = self._xp
        # A few more than k and the query, because FAISS's float32 order may differ from the deciding one.
        count = min(len(self._values), k + 4) if self._on_host else min(LARGEST_K, max(32, k + 9))
        rows, distance = xp.empty((len(queries), k), "i8"), xp.empty((len(queries), k), "f8")
        step = max(1, BATCH_ENTRIES // count)
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            block = queries[part]
            found = xp.sort(lists.search(block, count, probes), axis=1)  # ties by row number
            none = (found < 0) | (found == block[:, None])
            found[none] = 0
            far = lists.search_set.distances(block, found)
            far[none] = xp.inf
            rows[part], distance[part] = nearest_first(xp, found, far, k)
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
