"""SciPy sparse matrices and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from gpusmote.backends.cpu import Array, Backend
from gpusmote.containers.checks import (
    EXACT_INTEGER,
    BadColumn,
    ColumnLabels,
    check_dtype,
    check_shape,
    refuse_inexact,
    refuse_non_finite,
)
from gpusmote.containers.rounding import native, store
from gpusmote.containers.table import Table, Write, write_in_blocks

__all__ = ["SparseTable"]

_Parts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""data, indices and indptr of a csr (or csc) matrix."""


class SparseTable(Table):
    """A SciPy sparse matrix or array. The result of csr and csc has the same format, that of other formats is csr.

    Only rows that are taken become dense, and the synthetic rows are converted to sparse ones in blocks. The stored
    entries of the original rows are not changed, including their order, explicit zeros and duplicate entries.

    Parameters
    ----------
    X : scipy.sparse matrix or array of shape (n, d)
    labels : sequence or None, default=None
        Column names for messages.
    """

    copies = 3  # values and column indices, in blocks and then concatenated

    def __init__(self, X: Any, labels: ColumnLabels = None) -> None:
        check_dtype(X.dtype)
        check_shape(X.shape)
        self._X = X if X.format in ("csr", "csc") else X.tocsr()
        self._rows = self._X if self._X.format == "csr" else self._X.tocsr()  # for selecting rows
        self._labels = labels
        self.n_rows, self.n_features = X.shape
        self.work_dtype = np.dtype(np.float32 if native(X.dtype) == np.float32 else np.float64)
        stored = self._X.data.nbytes + self._X.indices.nbytes + self._X.indptr.nbytes
        self.itemsize = stored / (self.n_rows * self.n_features)

    def _gather(self, rows: np.ndarray | slice | None) -> np.ndarray:
        chosen = self._rows if rows is None else self._rows[rows]
        return np.ascontiguousarray(chosen.toarray(), dtype=self.work_dtype)

    def only(self, work: Array, backend: Backend) -> Any:
        parts = _compress(self._stored(backend.to_host(work)))
        return self._build(self._in_format(parts, len(work)), len(work))

    def append(self, n_new: int, write: Write, backend: Backend) -> Any:
        blocks = [
            _compress(self._stored(rows))
            for _, _, rows in write_in_blocks(n_new, self.n_features, self.work_dtype, write, backend)
        ]
        if not blocks:
            return self._X.copy()
        new = self._in_format(_stack(blocks), n_new)
        stored = int(self._X.indptr[-1])  # the arrays may be longer than the number of entries
        old = self._X.data[:stored], self._X.indices[:stored], self._X.indptr
        parts = _stack([old, new]) if self._X.format == "csr" else _interleave(old, new, self.n_rows)
        return self._build(parts, self.n_rows + n_new)

    def check_finite(self) -> None:
        # A new matrix with the same arrays, because has_canonical_format sets flags on the matrix.
        X = type(self._X)((self._X.data, self._X.indices, self._X.indptr), shape=self._X.shape)
        if not X.has_canonical_format:  # a value may be the sum of duplicate entries
            X = X.copy()
            X.sum_duplicates()
        data = X.data[: X.indptr[-1]]
        if data.dtype.kind == "f":
            nan, infinite = _count(X, np.isnan(data)), _count(X, np.isinf(data))
            bad = [BadColumn(j, int(nan[j]), int(infinite[j])) for j in np.flatnonzero(nan + infinite).tolist()]
            refuse_non_finite(bad, self._labels, self.n_features)
        elif data.dtype.kind in "iu" and data.dtype.itemsize == 8 and len(data):
            for position in (int(data.argmax()), int(data.argmin())):
                if abs(int(data[position])) > EXACT_INTEGER:
                    refuse_inexact(int(_columns(X)[position]), int(data[position]), self._labels)

    def _stored(self, rows: np.ndarray) -> np.ndarray:
        if rows.dtype == self._X.dtype:
            return rows
        out = np.empty(rows.shape, self._X.dtype)
        store(rows, out)
        return out

    def _in_format(self, parts: _Parts, n_rows: int) -> _Parts:
        """Convert csr parts to the format of the caller's matrix."""
        if self._X.format == "csr":
            return parts
        turned = sp.csr_array(parts, shape=(n_rows, self.n_features)).tocsc()
        return turned.data, turned.indices, turned.indptr

    def _build(self, parts: _Parts, n_rows: int) -> Any:
        data, indices, indptr = parts
        index = _index_dtype(self._X.indices.dtype, max(len(data), n_rows, self.n_features))
        pointers = indices.astype(index, copy=False), indptr.astype(index, copy=False)
        return type(self._X)((data, *pointers), shape=(n_rows, self.n_features))


def _columns(X: Any) -> np.ndarray:
    """The column of each stored entry."""
    if X.format == "csr":
        return np.asarray(X.indices[: X.indptr[-1]])
    return np.repeat(np.arange(X.shape[1]), np.diff(X.indptr))


def _count(X: Any, marked: np.ndarray) -> np.ndarray:
    """The number of marked entries in each column."""
    found = _columns(X)[marked] if marked.any() else np.zeros(0, np.int64)
    return np.bincount(found, minlength=X.shape[1])


def _index_dtype(own: np.dtype, largest: int) -> np.dtype:
    """The index dtype of the caller's matrix, or int64 if the result needs it."""
    return own if largest <= np.iinfo(own).max else np.dtype(np.int64)


def _compress(rows: np.ndarray) -> _Parts:
    """The csr parts of dense rows."""
    stored = rows != 0
    indptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(np.count_nonzero(stored, axis=1), out=indptr[1:])
    index = _index_dtype(np.dtype(np.int32), rows.shape[1])
    return rows[stored], np.nonzero(stored)[1].astype(index), indptr


def _stack(blocks: list[_Parts]) -> _Parts:
    """Concatenate csr matrices vertically."""
    sizes = [len(data) for data, _, _ in blocks]
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    pointers = [indptr[1:].astype(np.int64) + start for (_, _, indptr), start in zip(blocks, starts, strict=True)]
    return (
        np.concatenate([data for data, _, _ in blocks]),
        np.concatenate([indices for _, indices, _ in blocks]),
        np.concatenate([np.zeros(1, np.int64), *pointers]),
    )


def _interleave(old: _Parts, new: _Parts, n_old: int) -> _Parts:
    """Concatenate two csc matrices vertically; the first has ``n_old`` rows."""
    old_start, new_start = old[2].astype(np.int64), new[2].astype(np.int64)
    # In each column the old entries come first. They are shifted by the number of new entries in the columns before;
    # new entries by the number of old entries in all columns up to and including their own.
    to_old = np.arange(len(old[0])) + np.repeat(new_start[:-1], np.diff(old_start))
    to_new = np.arange(len(new[0])) + np.repeat(old_start[1:], np.diff(new_start))
    data = np.empty(len(to_old) + len(to_new), old[0].dtype)
    indices = np.empty(len(data), np.int64)
    data[to_old], data[to_new] = old[0], new[0]
    indices[to_old], indices[to_new] = old[1], new[1].astype(np.int64) + n_old
    return data, indices, old_start + new_start
