"""SciPy sparse matrices and arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from gpusmote.backends.cpu import Array, Backend
from gpusmote.containers.checks import ColumnLabels, check_dtype, check_shape, check_values
from gpusmote.containers.table import Table, Write, converted, string_names, work_dtype

__all__ = ["SparseTable"]

# From so many columns, and up to this fraction of entries that are stored, sparse rows take less time and memory.
_WIDE, _FEW = 256, 0.1


class SparseTable(Table):
    """A SciPy sparse matrix or array. The result of csr and csc has the same format, that of other formats is csr.

    Wide matrices with few entries stay sparse in all work on the CPU. Of others, the rows that are taken become dense,
    and the synthetic rows are converted to sparse ones in blocks. The stored entries of the original rows are not
    changed, explicit zeros and duplicate entries included; csr keeps their order.

    Parameters
    ----------
    X : scipy.sparse matrix or array of shape (n, d)
    labels : sequence or None, default=None
        Column names.
    """

    copies = 3  # values and column indices, in blocks and then concatenated

    def __init__(self, X: Any, labels: ColumnLabels = None) -> None:
        check_dtype(X.dtype)
        check_shape(X.shape)
        compressed = X if X.format in ("csr", "csc") else X.tocsr()
        # A new matrix that shares the arrays, without their unused ends; flags that SciPy sets on it are not on X.
        parts = compressed.data, compressed.indices, compressed.indptr
        self._X = type(compressed)(parts, shape=X.shape)
        self._rows = self._X.tocsr()  # for selecting rows; csr itself is not copied
        zeros = self._X.data[self._X.data == 0] if X.dtype.kind == "f" else np.empty(0)
        self._has_negative_zeros = bool(np.signbit(zeros).any())
        self._labels = labels
        self.names = None if labels is None else string_names(labels)
        self.n_rows, self.n_features = X.shape
        self.work_dtype = work_dtype([X.dtype])
        few = len(self._rows.data) <= _FEW * self.n_rows * self.n_features
        # Sums of sparse rows do not keep the sign of zero.
        self.sparse = self.n_features >= _WIDE and few and not self._has_negative_zeros
        stored = sum(part.nbytes for part in parts)
        self.itemsize = stored / (self.n_rows * self.n_features)
        if self._X.format == "csc":  # results are made in csr first
            self.kept, self.itemsize = stored, 2 * self.itemsize

    def _gather(self, rows: np.ndarray | slice | None) -> np.ndarray:
        chosen = self._rows if rows is None else self._rows[rows]
        dense = chosen.toarray()
        if self._has_negative_zeros:  # SciPy adds the entries to 0.0, which loses the sign of -0.0
            entries = chosen.tocoo(copy=False)
            negative = np.signbit(entries.data) & (dense[entries.row, entries.col] == 0)
            dense[entries.row[negative], entries.col[negative]] = -0.0
        return np.ascontiguousarray(dense, dtype=self.work_dtype)

    def result_bytes(self, n_new: int, classes: Sequence[np.ndarray] = ()) -> int:
        if not self.sparse:
            return super().result_bytes(n_new)
        width = np.diff(self._rows.indptr)
        # A synthetic row has the entries of two rows. Nearly all averages of many rows are below this bound. A neighbor
        # may belong to any class.
        groups = [width, *(width[rows] for rows in classes)]
        new = n_new * max(min(2.0 * group.max(), 2 * group.mean() + 4 * group.std()) for group in groups)
        entry = self.itemsize * self.n_features * self.n_rows / max(1, len(self._rows.data))
        return int(self.itemsize * self.n_features * self.n_rows + self.copies * entry * new)

    def rows_bytes(self, n_new: int, classes: Sequence[np.ndarray] = ()) -> int:
        if not self.sparse:
            return super().rows_bytes(n_new)
        return self.result_bytes(n_new, classes) - self.result_bytes(0)

    def entries(self) -> tuple[int, int]:
        """The number of stored entries, and the largest number of entries of a row."""
        return len(self._rows.data), int(np.diff(self._rows.indptr).max(initial=0))

    def take_sparse(self, rows: np.ndarray | slice | None) -> Any:
        chosen = self._rows if rows is None else self._rows[rows]
        taken = sp.csr_array(chosen)
        if not taken.has_canonical_format:
            # Sorts a copy and keeps the order of duplicate entries. Their sums are those of toarray: in that order, and
            # in X's dtype, in which integers may wrap around.
            taken = taken.tocsc().tocsr()
            taken.sum_duplicates()
        return taken.astype(self.work_dtype, copy=False)

    def only(self, work: Array, backend: Backend) -> Any:
        return self._from_csr(self._compress(backend.to_host(work)))

    def append(self, n_new: int, write: Write, backend: Backend) -> Any:
        blocks = self._blocks(n_new, write, backend)
        return self._join([self._compress(rows) for _, _, rows in blocks])

    def append_sparse(self, blocks: Iterable[Any]) -> Any:
        return self._join([self._compress(rows) for rows in blocks])

    def _from_csr(self, matrix: Any) -> Any:
        """The caller's container with the rows of a csr matrix."""
        return matrix.asformat(self._X.format)

    def _join(self, new: list[Any]) -> Any:
        """X and the csr matrices ``new``, stacked."""
        return self._from_csr(sp.vstack([self._rows, *new], format="csr"))

    def _compress(self, rows: Any) -> Any:
        """Dense or sparse rows as a csr matrix; only the bits of 0.0 are left out, -0.0 is stored."""
        values = converted(rows.data if sp.issparse(rows) else rows, self._X.dtype)
        stored = values.view(f"u{values.itemsize}") != 0
        if sp.issparse(rows):
            indices, indptr = rows.indices, rows.indptr
            if not stored.all():
                indptr = np.concatenate([[0], np.cumsum(stored)])[indptr].astype(indptr.dtype)
                values, indices = values[stored], indices[stored]
            return type(self._rows)((values, indices, indptr), shape=rows.shape)
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(np.count_nonzero(stored, axis=1), out=indptr[1:])
        index = self._rows.indices.dtype
        parts = values[stored], np.nonzero(stored)[1].astype(index), indptr.astype(index)
        return type(self._rows)(parts, shape=rows.shape)

    def check_finite(self) -> None:
        X = self._X
        if not X.has_canonical_format:  # a value may be the sum of duplicate entries
            X = X.copy()
            X.sum_duplicates()
        check_values(X.data, self._labels, self.n_features, lambda: X.tocoo(copy=False).col)
