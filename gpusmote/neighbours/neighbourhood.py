"""The k nearest rows of a table for some of its own rows."""

from __future__ import annotations

import dataclasses

import numpy as np

from gpusmote.backends.base import Array, Backend

__all__ = ["Neighbourhood", "SearchReport"]


@dataclasses.dataclass
class SearchReport:
    """What searches did: how many queries each pass certified, and where the candidates came from."""

    sources: list[str] = dataclasses.field(default_factory=list)
    queries: int = 0
    certified_first: int = 0
    certified_float64: int = 0
    certified_last: int = 0


class Neighbourhood:
    """Rows among which neighbours are sought; what a search prepares once is kept for the next.

    Parameters
    ----------
    backend : Backend
    values : array of shape (n, d), float32 or float64
        C-contiguous, on the backend's device, finite. Not written to.
    report : SearchReport
        Counted up by every search.
    """

    def __init__(self, backend: Backend, values: Array, report: SearchReport) -> None:
        self._backend, self._values, self._report = backend, values, report

    def nearest(self, queries: Array | None, k: int) -> Array:
        """The k nearest other rows of each query.

        Nearest by the squared Euclidean distance of :meth:`gpusmote.backends.Backend.rerank`, ties to the lower
        row; the query itself is left out by its row number, duplicates of it are not.

        Parameters
        ----------
        queries : array of shape (m,), int64, or None
            Rows of ``values``; None is all of them in order.
        k : int
            At least 1, at most n - 1.

        Returns
        -------
        array of shape (m, k), int64
            Rows of ``values``, nearest first.
        """
        backend, values = self._backend, self._values
        n = len(values)
        queries = np.arange(n) if queries is None else queries
        out = np.empty((len(queries), k), np.int64)
        every = np.arange(n)
        for i, q in enumerate(queries):
            d = backend.rerank(values, queries[i : i + 1], every[None, :])[0]
            d[q] = np.inf
            out[i] = np.argsort(d, kind="stable")[:k]
        self._report.queries += len(queries)
        self._report.certified_last += len(queries)
        return out
