"""NumPy arrays, and objects that NumPy can read as arrays: nested lists, objects with ``__array__``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpusmote.backends.cpu import Array, Backend
from gpusmote.backends.threads import run_blocks
from gpusmote.containers.checks import (
    ColumnLabels,
    check_dtype,
    check_integers,
    check_shape,
    check_values,
    object_to_float,
)
from gpusmote.containers.table import Table, Write, converted, store, string_names, work_dtype
from gpusmote.errors import InputError
from gpusmote.messages import counted

__all__ = ["NumpyTable", "from_array_like", "from_ndarray"]

_GATHER_BYTES = 1 << 20  # size of the block that one thread gathers
_LIST_ITEM_BYTES = 32.0  # a Python float and the reference to it
_LIST_BYTES = 64.0  # the list of one row and the reference to it


class NumpyTable(Table):
    """A NumPy array. The result is a C-contiguous array of the same dtype and byte order.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Of any real dtype up to 64 bits, or of dtype object with numbers only.
    labels : sequence or None, default=None
        Column names.
    restore : callable or None, default=None
        ``restore(array)`` converts an array of the result to the caller's container.
    """

    def __init__(
        self, X: np.ndarray, labels: ColumnLabels = None, restore: Callable[[np.ndarray], Any] | None = None
    ) -> None:
        check_shape(X.shape)
        check_dtype(X.dtype)
        self._X = X
        self._dtype = X.dtype  # stored separately, because unpickling may change the byte order of the array
        self._labels, self._restore = labels, restore
        self.names = None if labels is None else string_names(labels)
        self._numbers = object_to_float(X, labels) if X.dtype.kind == "O" else X
        self.n_rows, self.n_features = X.shape
        self.work_dtype = work_dtype([X.dtype])
        self.itemsize = _LIST_ITEM_BYTES if X.dtype.kind == "O" else float(X.dtype.itemsize)
        self.kept = 0 if self._numbers is X else self._numbers.nbytes

    def _gather(self, rows: np.ndarray | slice | None) -> np.ndarray:
        numbers = self._numbers
        if rows is None:
            chosen = numbers
        elif isinstance(rows, np.ndarray) and numbers.flags.c_contiguous:
            chosen = numbers.take(rows, axis=0)  # twice as fast as indexing, but copies a Fortran-ordered array whole
        else:
            chosen = numbers[rows]
        return np.ascontiguousarray(chosen, dtype=self.work_dtype)

    def _gather_into(self, rows: np.ndarray | slice, out: np.ndarray) -> None:
        numbers = self._numbers
        if not isinstance(rows, np.ndarray) or numbers.dtype != out.dtype or not numbers.flags.c_contiguous:
            out[...] = numbers[rows]
            return

        def gather(start: int, stop: int) -> None:
            # mode="clip" makes NumPy write directly into out; all rows are in range.
            np.take(numbers, rows[start:stop], axis=0, out=out[start:stop], mode="clip")

        run_blocks(gather, len(rows), max(1, _GATHER_BYTES // max(1, out.nbytes // len(out))))

    def only(self, work: Array, backend: Backend) -> Any:
        return self._restored(converted(backend.to_host(work), self._dtype))

    def append(self, n_new: int, write: Write, backend: Backend) -> Any:
        out = np.empty((self.n_rows + n_new, self.n_features), self._dtype)
        out[: self.n_rows] = self._X
        new = out[self.n_rows :]
        if new.dtype == self.work_dtype:
            write(0, n_new, new)
        else:
            for start, stop, rows in self._blocks(n_new, write, backend):
                store(rows, new[start:stop])
        return self._restored(out)

    def check_finite(self) -> None:
        check_values(self._numbers, self._labels, self.n_features)


def from_ndarray(X: np.ndarray) -> Table:
    """Wrap a NumPy array, or a subclass such as np.matrix. Raises if values are masked."""
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        masked = int(np.ma.getmaskarray(X).sum())
        raise InputError(
            f"X is a masked array with {counted(masked, 'masked value')}; synthetic rows cannot have masked values.",
            "Fill the masked values: X.filled(value).",
        )
    return NumpyTable(np.asarray(X))


def from_array_like(X: Any) -> Table:
    """Wrap a nested list (the result is a nested list) or another object that NumPy can read."""
    try:
        values = np.asarray(X)
    except ValueError as error:
        raise InputError(
            f"X cannot be read as a table of numbers: {error}.", "Give every row the same number of values."
        ) from error
    if isinstance(X, (list, tuple)) and values.dtype.kind == "f" and values.ndim == 2:
        check_integers(X, values, None)
    table = from_ndarray(values)
    if isinstance(X, list):
        table._restore = np.ndarray.tolist
        table.kept += values.nbytes
        table.itemsize += _LIST_ITEM_BYTES + _LIST_BYTES / table.n_features
    return table
