"""The interface of a candidate source, and functions that several sources share.

A source is made once for a :class:`~gpusmote.neighbors.search_set.SearchSet` and then called many times. It must never
return the query itself, and ``edge`` must be a true bound. Nothing else in a source can change the result of a search,
only its speed.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from gpusmote.backends.cpu import Array
from gpusmote.neighbors.certificate import FLOAT64, Arithmetic
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["BATCH_ENTRIES", "CandidateSource", "Every", "drop_self", "nearest_first", "smallest_scores"]

BATCH_ENTRIES = 1 << 21
"""Candidates in one call of a source: 16 MiB of row numbers and 16 MiB of distances."""

_GROUP = 32


class CandidateSource(Protocol):
    """A fast search that returns more rows than needed, in any order.

    Attributes
    ----------
    name : str
        Name in the report.
    arithmetic : Arithmetic
        How ``edge`` was computed.
    """

    name: str
    arithmetic: Arithmetic

    def candidates(self, queries: Array, count: int) -> tuple[Array, Array]:
        """Return candidates for each query.

        Parameters
        ----------
        queries : array of shape (m,), int64
            Row numbers of the search set.
        count : int
            Candidates for each query, less than n - 1. For n - 1, use :class:`Every`.

        Returns
        -------
        rows : array of shape (m, count), int64
            Distinct rows without the query.
        edge : array of shape (m,), float64
            No row outside the list has a smaller approximate squared distance, in the units of reduced rows.
        """
        ...


class Every:
    """All rows except the query, as candidates with an infinite edge: a source for searches among few rows."""

    name = "every"
    arithmetic = FLOAT64

    def __init__(self, search_set: SearchSet) -> None:
        self._search_set = search_set

    def candidates(self, queries: Array, count: int) -> tuple[Array, Array]:
        """See :class:`CandidateSource`; ``count`` is n - 1."""
        xp = self._search_set.xp
        rows = xp.arange(count)[None, :]
        return rows + (rows >= queries[:, None]), xp.full(len(queries), xp.inf)


def smallest_scores(xp: Any, score: Array, count: int) -> tuple[Array, Array]:
    """The ``count`` smallest scores of each query.

    On a device they are found by sorting: CuPy's argpartition has no barrier between its steps, so it may omit a
    smaller score or return one twice. Sorting all scores would take most of the time of a search. So the scores are
    split into groups of 32, and only the ``count`` groups with the smallest minima are sorted: their ``count`` minima
    are no larger than any score of another group.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    score : array of shape (m, n), any float
    count : int
        At least 1. If it is larger than n, all n scores are returned.

    Returns
    -------
    place, score : array of shape (m, min(count, n))
        Ascending on a device, in any order on the host.
    """
    m, n = score.shape
    if xp is np:
        chosen = np.argpartition(score, min(count, n) - 1, axis=1)[:, :count]
        return chosen, np.take_along_axis(score, chosen, axis=1)
    number = n // _GROUP
    if number <= count:
        place = xp.argsort(score, axis=1)[:, :count]
        return place, xp.take_along_axis(score, place, axis=1)
    minima = score[:, : number * _GROUP].reshape(m, number, _GROUP).min(axis=2)
    chosen = xp.argsort(minima, axis=1)[:, :count]
    place = (chosen[:, :, None] * _GROUP + xp.arange(_GROUP)).reshape(m, -1)
    if number * _GROUP < n:
        rest = xp.arange(number * _GROUP, n)
        place = xp.concatenate([place, xp.broadcast_to(rest, (m, len(rest)))], axis=1)
    score = xp.take_along_axis(score, place, axis=1)
    order = xp.argsort(score, axis=1)[:, :count]
    return xp.take_along_axis(place, order, axis=1), xp.take_along_axis(score, order, axis=1)


def drop_self(xp: Any, queries: Array, rows: Array, distance: Array) -> tuple[Array, Array]:
    """Remove the query from sorted lists that have one row too many and may hold it.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    queries : array of shape (m,), int64
    rows : array of shape (m, c + 1), int64
    distance : array of shape (m, c + 1), any float
        Ascending in each list.

    Returns
    -------
    rows : array of shape (m, c), int64
        If the query is not in its list (it has many duplicates), the last row is removed instead.
    edge : array of shape (m,), float64
        The largest distance kept.
    """
    is_self = rows == queries[:, None]
    is_self[:, -1] |= ~is_self.any(axis=1)
    if xp is np:
        kept = rows[~is_self].reshape(len(rows), -1)
    else:  # with a mask the host would wait for the device to count the selected rows
        column = xp.arange(rows.shape[1] - 1)
        kept = xp.take_along_axis(rows, column + (column >= is_self.argmax(axis=1)[:, None]), axis=1)
    # If the query was found, the last of the c + 1 rows is kept and gives the edge; else the last but one.
    edge = xp.where(is_self[:, -1], distance[:, -2], distance[:, -1])
    return kept, edge.astype("f8")


def nearest_first(xp: Any, rows: Array, distance: Array, k: int) -> tuple[Array, Array]:
    """The k nearest of each list and their distances, nearest first; equal distances keep their order.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    rows : array of shape (m, c), int64
    distance : array of shape (m, c), float64
    k : int
        At most c.

    Returns
    -------
    rows : array of shape (m, k), int64
    distance : array of shape (m, k), float64
    """
    order = xp.argsort(distance, axis=1, kind="stable")[:, :k]
    return xp.take_along_axis(rows, order, axis=1), xp.take_along_axis(distance, order, axis=1)
