"""The rows to search among, in the form that the searches need."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gpusmote.backends import transfer
from gpusmote.backends.cpu import Array, Backend
from gpusmote.backends.threads import run_blocks

__all__ = ["DeviceWindow", "SearchSet", "scaled", "scaling"]

_LARGEST_EXPONENT = 300
_SAMPLE = 4096


class SearchSet:
    """The rows to search among, with the values that every search needs.

    Let ``R`` be the largest range (maximum minus minimum) of any column. If ``R`` is outside [2**-300, 2**300], squares
    of differences would overflow or underflow. All columns that vary are then multiplied by the power of two that
    brings ``R`` into [1/2, 1); constant columns become zero. "Distance" then means the distance of these scaled rows.
    This changes no order that float64 can represent. The rule uses only minima and maxima, so it gives the same result
    on every device.

    Searches by matrix products use *reduced* rows, ``(row - center) * unit``: a center is subtracted in float64, then
    a power of two brings the largest norm into [1/2, 1].

    The sources ``product-float32`` and ``product-float64`` and the last pass read the rows only with :meth:`scores` and
    :meth:`distances`. All others also use :meth:`reduced` or ``values``.

    Parameters
    ----------
    backend : Backend
    values : array of shape (n, d), float32 or float64
        C-contiguous, on the backend's device, finite. Not written to.

    Attributes
    ----------
    values : array of shape (n, d)
        The rows whose distances decide: the given rows or their scaled copy.
    n, d : int
    unit : float
        Power of two. A distance of ``values`` times ``unit`` is a distance of reduced rows.
    norms : array of shape (n,), float64
        Euclidean norms of the reduced rows.
    largest : float
        The largest norm.
    half_range : float
        Half of ``R``.
    center : array of shape (d,), float64
        In the units of ``values``.
    """

    def __init__(self, backend: Backend, values: Array) -> None:
        self.backend, self.xp = backend, backend.xp
        self.n, self.d = values.shape
        low, high = backend.column_range(values)
        self.half_range, exponent = scaling(low, high)
        if exponent:
            varies = high > low
            values, low = scaled(backend.to_float64(values), exponent, varies), scaled(low, exponent, varies)
        self.values = values
        # Any center is correct; the mean of a sample is good enough. Relative to the minimum no sum can overflow.
        sample = values[:: max(1, self.n // _SAMPLE)]
        total, block = self.xp.zeros(self.d, "f8"), self.block(self.d)
        for start in range(0, len(sample), block):
            total += (backend.to_float64(sample[start : start + block]) - low).sum(axis=0)
        self.center = low + total / len(sample)
        self.unit = 1.0
        self.norms = self.xp.empty(self.n, "f8")
        self.each_block(self._measure, self.n, self.block(self.d))
        self.unit = 2.0 ** -math.frexp(float(self.norms.max()))[1]
        self.norms *= self.unit
        self.largest = float(self.norms.max())

    def reduced(self, rows: slice | Array, center: Array | None = None) -> Array:
        """Reduced rows in float64, each element rounded once.

        Parameters
        ----------
        rows : slice, or array of shape (m,), int64
        center : array of shape (d,) or (m, d), float64, optional
            Subtracted instead of the center of the search set.

        Returns
        -------
        array of shape (m, d), float64
        """
        # For row numbers, take is several times faster than indexing.
        values = self.values[rows] if isinstance(rows, slice) else self.values.take(rows, axis=0)
        z = self.backend.to_float64(values)
        z -= self.center if center is None else center
        if self.unit != 1.0:
            z *= self.unit
        return z

    def reduced32(self) -> Array:
        """All reduced rows, in float32: an array of shape (n, d)."""
        rows = self.xp.empty((self.n, self.d), "f4")

        def fill(start: int, stop: int) -> None:
            rows[start:stop] = self.reduced(slice(start, stop))

        self.each_block(fill, self.n, self.block(self.d))
        return rows

    def distances(self, queries: Array, rows: Array) -> Array:
        """The squared distances that decide, between queries and rows: see :meth:`gpusmote.backends.Backend.rerank`."""
        return self.backend.rerank(self.values, queries, rows)

    def scores(self, queries: Array, first: int, last: int, dtype: str) -> Array:
        """The scores ``|y|**2 - 2 x.y`` of queries x and consecutive rows y, infinite if x and y are the same row.

        Parameters
        ----------
        queries : array of shape (m,), int64
        first, last : int
            Range of row numbers.
        dtype : {"f4", "f8"}
            Dtype of the matrix product.

        Returns
        -------
        array of shape (m, last - first), ``dtype``
        """
        xp = self.xp
        x = self.reduced(queries).astype(dtype, copy=False)
        x *= -2
        score = x @ self.reduced(slice(first, last)).astype(dtype, copy=False).T
        score += (self.norms[first:last] ** 2).astype(dtype)
        # Without a mask, for which the host would wait for the device.
        column, query = self.own_rows(queries) - first, xp.arange(len(queries))
        inside = (column >= 0) & (column < last - first)
        column = xp.where(inside, column, 0)
        score[query, column] = xp.where(inside, xp.inf, score[query, column])
        return score

    def own_rows(self, queries: Array) -> Array:
        """The row number that each query has among the searched rows."""
        return queries

    def each_block(self, work: Callable[[int, int], None], n: int, block: int) -> None:
        """Call ``work(start, stop)`` over ``range(n)``: on all cores on the host, sequentially on a device."""
        if self.backend.name == "cpu":
            run_blocks(work, n, block)
            return
        for start in range(0, n, block):
            work(start, min(n, start + block))

    def block(self, width: int) -> int:
        """Number of rows of ``width`` float64 values in a block: 2 MiB on the host, 64 MiB on a device."""
        return max(1, self.backend.memory.size(1 << (18 if self.backend.name == "cpu" else 23)) // max(1, width))

    def _measure(self, start: int, stop: int) -> None:
        z = self.reduced(slice(start, stop))
        # CuPy's einsum would run one tiny matrix product for each row.
        square = np.einsum("ij,ij->i", z, z) if self.xp is np else (z * z).sum(axis=1)
        self.norms[start:stop] = self.xp.sqrt(square)


class DeviceWindow(SearchSet):
    """A part of the rows of a host search set, on a device, together with a block of queries.

    A search uses it like any search set: rows 0 to n - 1 are searched, and ``queries`` holds the row numbers of the
    queries. The center, the unit and the largest norm are those of the whole search set, so that results from several
    windows can be merged.

    There are two buffers, each for one span of rows. While one span is searched, the next is copied to the other
    buffer.

    Parameters
    ----------
    backend : Backend
        Of the device.
    whole : SearchSet
        On the host.
    spans : list of (int, int)
        The spans of rows of ``whole``, in the order in which they are searched.
    queries : ndarray of shape (m,), int64
        Row numbers of ``whole``.

    Attributes
    ----------
    queries : array of shape (m,), int64
        Row numbers of the queries in this window. They change with each span.
    """

    def __init__(self, backend: Backend, whole: SearchSet, spans: list[tuple[int, int]], queries: np.ndarray) -> None:
        self.backend, self.xp = backend, backend.xp
        self.n, self.d, self.unit, self.largest = 0, whole.d, whole.unit, whole.largest
        self._whole, self._spans, self._first = whole, spans, 0
        self._size = max(last - first for first, last in spans)
        self._buffers = min(2, len(spans))
        self.center, self._whole_rows = backend.asarray(whole.center), backend.asarray(queries)
        held = self._buffers * self._size
        self._all_values = self.xp.empty((held + len(queries), whole.d), whole.values.dtype)
        self._all_norms = self.xp.empty(held + len(queries), "f8")

        def read(host: np.ndarray, start: int, stop: int, buffer: np.ndarray) -> None:
            # Any other mode would make np.take write to a temporary array first.
            np.take(host, queries[start:stop], axis=0, out=buffer, mode="clip")

        self._upload(held, len(queries), read, None)
        self._select(0)

    def each_span(self) -> Iterator[int]:
        """Make each span in turn the rows that are searched.

        All work that the caller queues on the current stream before the next step must belong to the search of the
        current span. It runs while the next span is copied. The copy waits only for the search of the last span but
        one, because it overwrites the buffer of that span.

        Yields
        ------
        first : int
            The row number in ``whole`` of row 0.
        """
        stream = self.xp.cuda.get_current_stream()
        before = transfer.record_event(self.xp, stream)
        self._load(0, before)
        for number, (first, _) in enumerate(self._spans):
            self._select(number)
            yield first
            searched = transfer.record_event(self.xp, stream)
            if number + 1 < len(self._spans):
                self._load(number + 1, before)
            before = searched

    def own_rows(self, queries: Array) -> Array:
        """As in any search set; outside 0 to n - 1 if the query is not among the searched rows."""
        return self._whole_rows[queries - self._first_query] - self._first

    def _select(self, number: int) -> None:
        """Search span ``number``. The memory holds buffer 0, buffer 1, then the queries, which end either view."""
        at = number % self._buffers * self._size
        first, last = self._spans[number]
        self.n, self._first = last - first, first
        self.values, self.norms = self._all_values[at:], self._all_norms[at:]
        self._first_query = self._buffers * self._size - at
        self.queries = self.xp.arange(self._first_query, len(self._all_norms) - at)

    def _load(self, number: int, buffer_free: Any) -> None:
        first, last = self._spans[number]

        def read(host: np.ndarray, start: int, stop: int, buffer: np.ndarray) -> None:
            transfer.copy_rows(host[first + start : first + stop], buffer)

        self._upload(number % self._buffers * self._size, last - first, read, buffer_free)

    def _upload(self, at: int, n: int, read: Callable[..., None], buffer_free: Any) -> None:
        size = self.backend.memory.size(transfer.BLOCK_BYTES)
        for host, out in ((self._whole.values, self._all_values), (self._whole.norms, self._all_norms)):
            transfer.upload(self.xp, out[at : at + n], functools.partial(read, host), size, buffer_free)


def scaling(low: Array, high: Array) -> tuple[float, int]:
    """Half of the largest range of a column, and the exponent of the power of two that scales the rows; 0: none does.

    Parameters
    ----------
    low, high : array of shape (d,), float64
        Minimum and maximum of each column.
    """
    half_range = float((high / 2 - low / 2).max())  # the range itself may overflow
    exponent = math.frexp(half_range)[1] + 1 if half_range > 0 else 0
    return half_range, -exponent if abs(exponent) > _LARGEST_EXPONENT else 0


def scaled(a: Array, exponent: int, varies: Array) -> Array:
    """``a`` (float64) times ``2**exponent``, in two steps because the power itself may overflow.

    Constant columns become zero: they add nothing to any distance, and might overflow.
    """
    half = exponent // 2
    return a * (varies * 2.0**half) * 2.0 ** (exponent - half)
