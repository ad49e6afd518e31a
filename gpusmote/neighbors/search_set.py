"""The rows that are searched, in the form in which searches want them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gpusmote.backends import transfer
from gpusmote.backends.cpu import Array, Backend, Read
from gpusmote.backends.threads import run_blocks

__all__ = ["DeviceWindow", "SearchSet"]

_LARGEST_EXPONENT = 300
_SAMPLE = 4096


class SearchSet:
    """Rows among which neighbors are sought, with what every search needs to know of them.

    Let ``R`` be the largest range (maximum minus minimum) of any column. Where ``R`` lies outside
    [2**-300, 2**300], squares of differences would overflow or underflow; the rows are then multiplied by the
    power of two that brings ``R`` into [1/2, 1), but for columns that do not vary, which become zero; "distance" means
    the distance of those rows. That changes no order that float64 could tell. The rule uses minima and maxima only, so
    that it is the same on every device.

    Searches by matrix products work on *reduced* rows, ``(row - centre) * unit``: a centre taken away in float64,
    then a power of two that brings the largest norm into [1/2, 1].

    Parameters
    ----------
    backend : Backend
    values : array of shape (n, d), float32 or float64
        C-contiguous, on the backend's device, finite. Not written to.

    Attributes
    ----------
    values : array of shape (n, d)
        The rows whose distances decide: those given, or their scaled copy.
    n, d : int
    unit : float
        Power of two; a distance of ``values`` times ``unit`` is a distance of reduced rows.
    norms : array of shape (n,), float64
        Euclidean norms of the reduced rows.
    largest : float
        The largest of them.
    half_range : float
        Half of ``R``.
    centre : array of shape (d,), float64
        In the unit of ``values``.
    """

    def __init__(self, backend: Backend, values: Array) -> None:
        self.backend, self.xp = backend, backend.xp
        self.n, self.d = values.shape
        low, high = backend.column_range(values)
        spread = self.half_range = float((high / 2 - low / 2).max())  # the range itself may overflow
        exponent = math.frexp(spread)[1] + 1 if spread > 0 else 0
        if abs(exponent) > _LARGEST_EXPONENT:
            varies = high > low
            values, low = _scaled(backend.to_float64(values), -exponent, varies), _scaled(low, -exponent, varies)
        self.values = values
        # Any centre is right; a sample's mean is as good as the mean. Above the minimum no sum can overflow.
        sample = values[:: max(1, self.n // _SAMPLE)]
        total, block = self.xp.zeros(self.d, "f8"), self.block(self.d)
        for start in range(0, len(sample), block):
            total += (backend.to_float64(sample[start : start + block]) - low).sum(axis=0)
        self.centre = low + total / len(sample)
        self.unit = 1.0
        self.norms = self.xp.empty(self.n, "f8")
        self.each_block(self._measure, self.n, self.block(self.d))
        self.unit = 2.0 ** -math.frexp(float(self.norms.max()))[1]
        self.norms *= self.unit
        self.largest = float(self.norms.max())

    def reduced(self, rows: slice | Array, centre: Array | None = None) -> Array:
        """Reduced rows in float64, each element rounded once.

        Parameters
        ----------
        rows : slice, or array of shape (m,), int64
        centre : array of shape (d,) or (m, d), float64, optional
            To be taken away instead of the pool's own.

        Returns
        -------
        array of shape (m, d), float64
        """
        # Where rows are numbered, take is several times as fast as indexing.
        values = self.values[rows] if isinstance(rows, slice) else self.values.take(rows, axis=0)
        z = self.backend.to_float64(values)
        z -= self.centre if centre is None else centre
        if self.unit != 1.0:
            z *= self.unit
        return z

    def own(self, queries: Array) -> Array:
        """Which of the rows that are searched is each query itself."""
        return queries

    def each_block(self, work: Callable[[int, int], None], n: int, block: int) -> None:
        """Call ``work(start, stop)`` over ``range(n)``: on all cores on the host, in order on a device."""
        if self.backend.name == "cpu":
            run_blocks(work, n, block)
            return
        for start in range(0, n, block):
            work(start, min(n, start + block))

    def block(self, width: int) -> int:
        """Rows of ``width`` float64 numbers that make 2 MiB on the host, 64 MiB on a device."""
        return max(1, self.backend.memory.size(1 << (18 if self.backend.name == "cpu" else 23)) // max(1, width))

    def _measure(self, start: int, stop: int) -> None:
        z = self.reduced(slice(start, stop))
        # CuPy's einsum would be a batch of products of one row and one column each.
        square = np.einsum("ij,ij->i", z, z) if self.xp is np else (z * z).sum(axis=1)
        self.norms[start:stop] = self.xp.sqrt(square)


class DeviceWindow(SearchSet):
    """Some rows of a pool that lies on the host, on a device, and beside them the queries of the moment.

    It serves a search as a pool does: rows 0 to n - 1 are searched, and ``queries`` names those that ask. Centre, unit
    and the largest norm are those of the whole pool, so that lists from several windows can be put together.

    There is room for two spans of rows. They take turns: one is searched while the next goes up to the other's place.

    Parameters
    ----------
    backend : Backend
        Of the device.
    whole : SearchSet
        On the host.
    spans : list of (int, int)
        The rows of ``whole`` that are searched, one span after another.
    asked : ndarray of shape (m,), int64
        Rows of ``whole``.

    Attributes
    ----------
    queries : array of shape (m,), int64
        Another one for each span.
    """

    def __init__(self, backend: Backend, whole: SearchSet, spans: list[tuple[int, int]], asked: np.ndarray) -> None:
        self.backend, self.xp = backend, backend.xp
        self.n, self.d, self.unit, self.largest = 0, whole.d, whole.unit, whole.largest
        self._whole, self._spans, self._first = whole, spans, 0
        self._size = max(last - first for first, last in spans)
        self._places = min(2, len(spans))
        self.centre, self._asked = backend.asarray(whole.centre), backend.asarray(asked)
        held = self._places * self._size
        self._all_values = self.xp.empty((held + len(asked), whole.d), whole.values.dtype)
        self._all_norms = self.xp.empty(held + len(asked), "f8")

        def chosen(host: np.ndarray) -> Read:
            def read(start: int, stop: int, buffer: np.ndarray) -> None:
                # Any other mode would make np.take write to an array of its own first.
                np.take(host, asked[start:stop], axis=0, out=buffer, mode="clip")

            return read

        self._send(held, len(asked), chosen, None)
        self._look_at(0)

    def over(self) -> Iterator[int]:
        """Let the spans be the rows that are searched, one after another.

        Whatever the current stream is asked before the next step belongs to a span's search: it runs while the next
        span goes up, which waits only for the search of the last but one, in whose place it is put.

        Yields
        ------
        first : int
            The row of ``whole`` that row 0 is.
        """
        stream = self.xp.cuda.get_current_stream()
        before = transfer.mark(self.xp, stream)
        self._fetch(0, before)
        for number, (first, _) in enumerate(self._spans):
            self._look_at(number)
            yield first
            searched = transfer.mark(self.xp, stream)
            if number + 1 < len(self._spans):
                self._fetch(number + 1, before)
            before = searched

    def own(self, queries: Array) -> Array:
        """As of any pool; a number that no row has where the query is not among them."""
        return self._asked[queries - self._asking] - self._first

    def _look_at(self, number: int) -> None:
        """Memory holds one place, the other place, the queries: from either place on, the queries are at the end."""
        at = number % self._places * self._size
        first, last = self._spans[number]
        self.n, self._first = last - first, first
        self.values, self.norms = self._all_values[at:], self._all_norms[at:]
        self._asking = self._places * self._size - at
        self.queries = self.xp.arange(self._asking, len(self._all_norms) - at)

    def _fetch(self, number: int, after: Any) -> None:
        first, last = self._spans[number]

        def next_to_each_other(host: np.ndarray) -> Read:
            return lambda start, stop, buffer: transfer.copy_rows(host[first + start : first + stop], buffer)

        self._send(number % self._places * self._size, last - first, next_to_each_other, after)

    def _send(self, at: int, n: int, reading: Callable[[np.ndarray], Read], after: Any) -> None:
        size = self.backend.memory.size(transfer.BLOCK_BYTES)
        whole = self._whole
        for host, out in ((whole.values, self._all_values), (whole.norms, self._all_norms)):
            transfer.send(self.xp, out[at : at + n], reading(host), size, after)


def _scaled(a: Array, exponent: int, varies: Array) -> Array:
    """``a`` (float64) times ``2**exponent``, in two steps because the power itself may overflow.

    Columns that do not vary become zero: they are part of no distance, and might overflow.
    """
    half = exponent // 2
    return a * (varies * 2.0**half) * 2.0 ** (exponent - half)
