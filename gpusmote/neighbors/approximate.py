"""Approximate search, by choice: inverted lists, and as many of them looked into as the recall that is asked for takes.

What comes back are real rows, put in order by the distance that decides; what is missing is the certificate that no
nearer row was overlooked. In its place stands a measurement: the recall over a sample of the queries.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from gpusmote.backends.cpu import Array, Backend
from gpusmote.messages import counted
from gpusmote.neighbors.candidates import AT_ONCE
from gpusmote.neighbors.faiss_ivf import InvertedLists, drawn, inverted_lists, require
from gpusmote.neighbors.report import Approximation, SearchReport
from gpusmote.neighbors.search import NeighborSearch
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["SAMPLE", "SMALLEST_WORK", "ApproximateSearch", "measured_recall"]

SAMPLE = 1_000
"""Queries that the recall is measured on."""

SMALLEST_WORK = 30_000 * 30_000
"""Queries times rows below which the exact search serves. Measured on two cores, for 32 columns of 8 dimensions and for
clusters: with 10,000 rows the exact search is faster, with 20,000 they are even, with 40,000 lists save a third."""

_MOST_ON_HOST, _MOST_ON_DEVICE = 1 / 16, 1 / 4
"""Shares of the lists beyond which the exact search costs less. On the host, measured: FAISS takes 13 to 16 ns for each
row of 32 columns that it looks at, the tiles of the exact search 1. On a device not yet measured."""


class ApproximateSearch:
    """A neighborhood whose lists may lack a nearer row; to what extent is measured.

    Parameters
    ----------
    backend, values, report
        See :class:`~gpusmote.neighbors.search.NeighborSearch`.
    target : float
        Recall that is wanted, in (0, 1].

    Raises
    ------
    MissingPackageError
        If FAISS is not installed, or not for this device: also where the exact search would come to serve.
    """

    def __init__(self, backend: Backend, values: Array, report: SearchReport, target: float) -> None:
        require(backend)
        self._exact = NeighborSearch(backend, values, report)
        self._backend, self._xp, self._values = backend, backend.xp, values
        self._report, self._target = report, target
        self._pool: SearchSet | None = None
        self._lists: InvertedLists | None = None

    @property
    def half_range(self) -> float:
        """See :attr:`gpusmote.neighbors.NeighborSearch.half_range`."""
        return self._exact.half_range

    def nearest(self, queries: Array | None, k: int) -> Array:
        """The k nearest other rows of each query, but for those that were overlooked.

        Parameters and the order of what is returned are those of :meth:`gpusmote.neighbors.NeighborSearch.nearest`. The
        rows of the sample, and those for which fewer than k rows were found, have exact neighbors.
        """
        asked = self._xp.arange(len(self._values)) if queries is None else queries
        why = self._why_exact(len(asked), k)
        if why is None:
            found = self._approximately(asked, k)
            if not isinstance(found, str):
                return found
            why = found
        self._report.notes.append(f"{why}: the exact search served.")
        return self._exact.nearest(queries, k)

    def _why_exact(self, m: int, k: int) -> str | None:
        """What speaks for the exact search, before any work; else the lists are there."""
        n = len(self._values)
        if m <= SAMPLE or m * n < SMALLEST_WORK:
            return f"Too few for an approximate search to pay, {counted(m, 'query')} among {counted(n, 'row')}"
        if self._backend.through is not None or self._backend.memory.copies < 2:  # lists are one copy more
            return f"Memory leaves no room for lists of {counted(n, 'row')}"
        if self._lists is None:
            self._pool = SearchSet(self._backend, self._values)
            self._lists = inverted_lists(self._pool)
        if k >= self._lists.most_found:
            return f"FAISS finds {self._lists.most_found:,} rows at most"
        return None

    def _approximately(self, asked: Array, k: int) -> Array | str:
        """The neighbors, or why there are none."""
        xp, m = self._xp, len(asked)
        rows = xp.empty((m, k), "i8")
        sample = self._backend.asarray(drawn(SAMPLE, m))
        rows[sample] = self._exact.nearest(asked[sample], k)
        search = _Search(self._pool, self._lists, k)
        found = self._tuned(search, asked[sample], rows[sample], m)
        if found is None:
            return (
                f"A recall of {self._target:g} among {search.pool.n:,} rows takes more than {search.most_probes:,} of"
                f" {search.lists.number:,} lists, beyond which the exact search costs less"
            )
        others = xp.ones(m, bool)
        others[sample] = False
        (rest,) = xp.nonzero(others)
        near, distance = search.nearest(asked[rest], found.nprobe)
        rows[rest] = near
        lacking = rest[~xp.isfinite(distance[:, -1])]
        if len(lacking):
            rows[lacking] = self._exact.nearest(asked[lacking], k)
        self._report.add(dataclasses.replace(found, queries=len(rest) - len(lacking)))
        return rows

    def _tuned(self, search: _Search, sample: Array, exact: Array, m: int) -> Approximation | None:
        """As many probes as it takes until the sample's recall is two standard errors above the target."""
        pool, to_host = search.pool, self._backend.to_host
        farthest = to_host(self._backend.rerank(pool.values, sample, exact[:, -1:]))[:, 0]
        probes = 1
        while True:
            _, distance = search.nearest(sample, probes)
            recall, error = measured_recall(to_host(distance), farthest)
            error *= math.sqrt(1 - len(sample) / m)  # the part of the queries that is known has none
            if recall - 2 * error >= self._target:
                lists = search.lists
                return Approximation(lists.name, m, pool.n, search.k, lists.number, probes, len(sample), recall, error)
            if probes == search.most_probes:
                return None
            probes = min(search.most_probes, probes + (probes + 1) // 2)


class _Search:
    """The k nearest of the rows that some lists hold."""

    def __init__(self, pool: SearchSet | None, lists: InvertedLists | None, k: int) -> None:
        assert pool is not None
        assert lists is not None
        on_host = pool.backend.name == "cpu"
        self.pool, self.lists, self.k = pool, lists, k
        self.most_probes = max(1, int(lists.number * (_MOST_ON_HOST if on_host else _MOST_ON_DEVICE)))
        # A few more than k and the query: FAISS's float32 order need not be the one that decides.
        self._count = min(lists.most_found, k + 4 if on_host else max(32, k + 9))

    def nearest(self, queries: Array, probes: int) -> tuple[Array, Array]:
        """Rows and deciding distances.

        Returns
        -------
        rows : array of shape (m, k), int64
        distance : array of shape (m, k), float64
            Ascending; infinite where the lists hold no more rows, the row then meaning nothing.
        """
        pool, xp = self.pool, self.pool.xp
        rows, distance = xp.empty((len(queries), self.k), "i8"), xp.empty((len(queries), self.k), "f8")
        block = max(1, AT_ONCE // self._count)
        for start in range(0, len(queries), block):
            part = slice(start, start + block)
            asked = queries[part]
            found = xp.sort(self.lists.search(asked, self._count, probes), axis=1)  # ties then stay in order of rows
            none = (found < 0) | (found == asked[:, None])
            found[none] = 0
            far = pool.backend.rerank(pool.values, asked, found)
            far[none] = xp.inf
            order = xp.argsort(far, axis=1, kind="stable")[:, : self.k]
            rows[part] = xp.take_along_axis(found, order, axis=1)
            distance[part] = xp.take_along_axis(far, order, axis=1)
        return rows, distance


def measured_recall(found: np.ndarray, farthest: np.ndarray) -> tuple[float, float]:
    """Share of the k nearest rows that a search found; a row as near as the k-th nearest counts, whichever it is.

    Parameters
    ----------
    found : ndarray of shape (m, k), float64
        Deciding distances of the rows found, infinite where none was.
    farthest : ndarray of shape (m,), float64
        Deciding distance of the k-th nearest row.

    Returns
    -------
    recall : float
    error : float
        Its standard error as an estimate for very many such queries.

    Examples
    --------
    >>> import numpy as np
    >>> measured_recall(np.array([[1.0, 2.0], [1.0, 9.0]]), np.array([2.0, 3.0]))
    (0.75, 0.25)
    """
    share = (found <= farthest[:, None]).mean(axis=1)
    return float(share.mean()), float(share.std(ddof=1) / math.sqrt(len(share)))
