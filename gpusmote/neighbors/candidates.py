"""What a source of candidates is, and how to write one.

A source is made once for a :class:`~gpusmote.neighbors.search_set.SearchSet` and asked often. It must never return the
query itself, and must be honest about ``edge``; nothing else about it can change the result of a search, only its
speed.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from gpusmote.backends.cpu import Array
from gpusmote.neighbors.certificate import Arithmetic
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["AT_ONCE", "CandidateSource", "Sequenced", "Settling", "drop_self", "every_other", "lowest"]

AT_ONCE = 1 << 21
"""Candidates that a source is asked for at once: 16 MiB of row numbers, and as much of distances."""

_GROUP = 32


class CandidateSource(Protocol):
    """A search that finds more rows than are wanted, approximately nearest first or in any order.

    Attributes
    ----------
    name : str
        For the report.
    arithmetic : Arithmetic
        How ``edge`` was computed.
    """

    name: str
    arithmetic: Arithmetic

    def candidates(self, queries: Array, count: int) -> tuple[Array, Array]:
        """TopK of candidates.

        Parameters
        ----------
        queries : array of shape (m,), int64
            Rows of the pool.
        count : int
            Less than n - 1: how many candidates each query gets. Where it is not, :func:`every_other` serves.

        Returns
        -------
        rows : array of shape (m, count), int64
            All different, the query not among them.
        edge : array of shape (m,), float64
            No row outside the list has a smaller approximate squared distance, in the unit of reduced rows.
        """
        ...


@runtime_checkable
class Sequenced(CandidateSource, Protocol):
    """A source that likes near queries together."""

    def sequence(self, queries: Array) -> Array:
        """array of shape (m,), int64: in which order to ask about the queries, where not about all at once."""
        ...


@runtime_checkable
class Settling(CandidateSource, Protocol):
    """One that can also finish what its lists leave in doubt, without a look at all rows."""

    def settle(self, queries: Array, kth: Array, k: int) -> Array:
        """The k nearest other rows, whatever ties there are: see :func:`gpusmote.neighbors.exhaustive.last_pass`."""
        ...


def every_other(pool: SearchSet, queries: Array) -> tuple[Array, Array]:
    """TopK of all rows but the query; their edge is infinite.

    Returns
    -------
    rows : array of shape (m, n - 1), int64
    edge : array of shape (m,), float64
    """
    xp = pool.xp
    rows = xp.arange(pool.n - 1)[None, :]
    return rows + (rows >= queries[:, None]), xp.full(len(queries), xp.inf)


def lowest(xp: Any, score: Array, count: int) -> tuple[Array, Array]:
    """The ``count`` smallest scores of each line.

    On a device by sorting: CuPy's argpartition has no barrier between its steps, so that it may leave out a smaller
    score or name one twice. To sort whole lines would take most of the time of a search. So the scores are taken in
    groups of 32, and only the groups with the smallest minima are sorted: ``count`` groups hold ``count`` scores, their
    minima, that no score of another group is below.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    score : array of shape (m, n), any float
    count : int
        At least 1; all n scores are given where there are no more.

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
    """TopK without the query, from sorted lists of one more that may hold it.

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
        Where the query was not in its list (it has many duplicates), the last one is dropped instead.
    edge : array of shape (m,), float64
        The largest distance kept.
    """
    is_self = rows == queries[:, None]
    is_self[:, -1] |= ~is_self.any(axis=1)
    if xp is np:
        kept = rows[~is_self].reshape(len(rows), -1)
    else:  # how many rows a mask chooses, a device would have to be asked, and waited for
        column = xp.arange(rows.shape[1] - 1)
        kept = xp.take_along_axis(rows, column + (column >= is_self.argmax(axis=1)[:, None]), axis=1)
    # Without the query the last of c + 1 is kept, so it is the edge; else the last but one.
    edge = xp.where(is_self[:, -1], distance[:, -2], distance[:, -1])
    return kept, edge.astype("f8")
