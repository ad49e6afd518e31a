r"""Exact search among the rows of a sparse matrix, which is never converted to a dense one.

A product of sparse matrices gives scores ``S(Y) = |Y|**2 - 2 X.Y`` of all rows Y, for a block of queries X. The k rows
with the smallest scores are compared exactly; let ``T`` be the largest of their deciding distances. A row with a
deciding distance of at most ``T`` has ::

    S(Y) <= T - |X|**2 + c * (|X|**2 + M**2) + 2**-960,     c = (8 w + 32) * 2**-53

where M is the largest norm and w the largest number of stored entries of a row. All rows within this bound are compared
exactly, so the result is certain. The bound, in units of ``2**-53 (|X|**2 + |Y|**2)``, with ``2 |X| |Y| <= |X|**2 +
|Y|**2``: the norms and the product are sums of at most w terms (w + 1 each); their sum has two roundings (4); the
deciding distance has at most 2 w terms (4 w + 4). These are 6 w + 10. The rest covers the evaluation of the bound. The
constant covers products that underflow.

The deciding distance is the same as for dense rows, to the bit: columns in which both rows are zero add nothing, and
all others are added in column order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpusmote.backends.cpu import Backend
from gpusmote.backends.threads import n_threads, run_blocks
from gpusmote.neighbors.report import SearchReport
from gpusmote.neighbors.search_set import scaled, scaling

__all__ = ["SparseSearch", "cut"]

_BLOCK = 1 << 21  # scores of a block of queries, 16 MiB
_BLOCK_BYTES = 96  # of each of them, all temporary arrays included, if all rows are compared
_COMPARED = 1 << 20  # stored entries of the pairs of rows that are compared at a time
_COMPARED_BYTES = 128
_UNDERFLOW = 2.0**-960
_MOST = 2.0**1000  # larger squared norms could overflow in the products


def cut(sizes: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """Yield the starts and stops of consecutive blocks whose sizes sum to at most ``most``, or of one element."""
    ends, start = np.cumsum(sizes), 0
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield start, stop
        start = stop


class SparseSearch:
    """The nearest rows within a sparse matrix, on the CPU.

    Parameters
    ----------
    backend : Backend
    values : scipy.sparse.csr_array of shape (n, d), float32 or float64
        In canonical format (sorted columns, no duplicate entries). It is not modified.
    report : SearchReport
        Counts the queries.

    Attributes
    ----------
    half_range : float
        Half of the largest range of a column.
    """

    def __init__(self, backend: Backend, values: Any, report: SearchReport) -> None:
        self._backend, self._report = backend, report
        rows = values.astype(np.float64)
        by_column = rows.tocsc()
        low, high = backend.column_range(by_column)
        self.half_range, exponent = scaling(low, high)
        if exponent:
            rows.data = scaled(rows.data, exponent, (high > low)[rows.indices])
            by_column = rows.tocsc()
        self._rows, self._minus_twice_columns = rows, by_column.T
        with np.errstate(over="ignore"):
            by_column.data *= -2.0
            self._norms = self._row_sums(rows.data * rows.data, rows)
        self._largest = float(self._norms.max())
        self._widest = max(1, int(np.diff(rows.indptr).max()))
        self._bound = (8 * self._widest + 32) * 2.0**-53

    def nearest(self, queries: np.ndarray | None, k: int) -> np.ndarray:
        """The k nearest other rows of each query; ties go to the lower row number.

        Parameters
        ----------
        queries : ndarray of shape (m,), int64, or None
            Row numbers; None means all rows.
        k : int
            Less than n.

        Returns
        -------
        ndarray of shape (m, k), int64
        """
        n, d = self._rows.shape
        queries = np.arange(n) if queries is None else queries
        out = np.empty((len(queries), k), np.int64)

        def block(start: int, stop: int) -> None:
            out[start:stop] = self._nearest(queries[start:stop], k)

        run_blocks(block, len(queries), max(1, self._size(_BLOCK, _BLOCK_BYTES) // n))
        self._report.used("sparse")
        self._report.chose("sparse", f"{len(queries):,} queries among {n:,} rows, {d:,} columns")
        self._report.count(len(queries), 0, 0)
        return out

    def _size(self, usual: int, value_bytes: int) -> int:
        """Number of scores or entries in a block of one thread; each of the two has half of the memory."""
        return min(usual, self._backend.memory.bytes // (2 * n_threads() * value_bytes))

    def _nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        m, n = len(queries), len(self._norms)
        own = np.arange(m), queries
        if self._largest < _MOST:
            score = (self._rows[queries] @ self._minus_twice_columns).toarray()
            score += self._norms
            score[own] = np.inf
            row = np.argpartition(score, k - 1, axis=1)[:, :k]
            distance = self._compare(np.repeat(queries, k), row.ravel())
            own_norms = self._norms[queries]
            limit = (
                distance.reshape(m, k).max(axis=1) - own_norms + self._bound * (own_norms + self._largest) + _UNDERFLOW
            )
            near = score <= limit[:, None]
            del score  # the memory is needed if many rows are near
            near[np.arange(m)[:, None], row] = False
            query, row = np.repeat(np.arange(m), k), row.ravel()
        else:  # no bound is known
            query, row, distance = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
            near = np.ones((m, n), bool)
            near[own] = False
        more_query, more_row = np.divmod(np.flatnonzero(near), n)
        del near
        query, row = np.concatenate([query, more_query]), np.concatenate([row, more_row])
        distance = np.concatenate([distance, self._compare(queries[more_query], more_row)])
        order = np.lexsort((row, distance, query))
        first_of_query = np.searchsorted(query[order], np.arange(m))
        return np.asarray(row[order[first_of_query[:, None] + np.arange(k)]])

    def _compare(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The deciding distances between rows ``a`` and rows ``b``, pair by pair."""
        distance = np.empty(len(a), np.float64)
        width = np.diff(self._rows.indptr)
        for start, stop in cut(width[a] + width[b] + 1, self._size(_COMPARED, _COMPARED_BYTES)):
            difference = self._rows[a[start:stop]] - self._rows[b[start:stop]]
            difference.data *= difference.data
            distance[start:stop] = self._row_sums(difference.data, difference)
        return distance

    @staticmethod
    def _row_sums(data: np.ndarray, pattern: Any) -> np.ndarray:
        """Sums over the stored entries of each row, in their order."""
        # A product with a vector adds them one by one, which np.add.reduceat does not promise. Products with 1 are
        # exact, so it makes no difference whether the processor fuses them with the additions.
        parts = data, np.zeros_like(pattern.indices), pattern.indptr
        return np.asarray(type(pattern)(parts, shape=(pattern.shape[0], 1)) @ np.ones(1))
