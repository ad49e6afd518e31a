"""The rows of a file that are held in memory: those of the classes that get synthetic rows, or all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from gpusmote.backends import Array, Backend
from gpusmote.containers import Table, Write, wrap_features
from gpusmote.containers.table import store
from gpusmote.errors import NonFiniteError, PlanError
from gpusmote.messages import counted

__all__ = ["ResidentRows", "check_features"]

_EXACT = 2.0**53  # float64 represents every integer up to this one


class ResidentRows(Table):
    """X of a file, of which only some rows are held; a row keeps its number in the file.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the features, all numeric or bool.
    n_rows : int
        Of the file.
    groups : list of ndarray of int64, or None
        Rows to hold, ascending in each group, no row twice; None: all rows.
    """

    itemsize = 0.0  # the result goes to a file: it takes no memory

    def __init__(self, schema: Any, n_rows: int, groups: list[np.ndarray] | None) -> None:
        self._schema = schema
        self.n_rows, self.n_features, self.names = n_rows, len(schema), list(schema.names)
        single = all(pa.types.is_float32(kind) for kind in schema.types)
        self.work_dtype = np.dtype(np.float32 if single else np.float64)
        self._groups = groups
        self.n_held = n_rows if groups is None else sum(map(len, groups))
        self._values = np.empty((0, self.n_features), self.work_dtype)
        self._sorted, self._order = np.empty(0, np.int64), np.empty(0, np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that are held, with their row numbers."""
        values = self.n_held * self.n_features * self.work_dtype.itemsize
        return values if self._groups is None else values + 3 * 8 * self.n_held

    @property
    def nbytes_beside(self) -> int:
        """Bytes that are not part of a plan: a plan shares the rows of whole classes, but copies some of all rows."""
        return self.nbytes if self._groups is None else 3 * 8 * self.n_held

    def fill(self, batches: Iterator[Any]) -> Iterator[int]:
        """Take the rows from all batches of the file, in order, and check all values of the file.

        Yields
        ------
        int
            Rows that have been read.

        Raises
        ------
        NonFiniteError, InputError
            If a value cannot be used, whether its row is held or not.
        """
        self._values = np.empty((self.n_held, self.n_features), self.work_dtype)
        if self._groups is not None:
            held = np.concatenate([np.empty(0, np.int64), *self._groups])
            self._order = np.argsort(held, kind="stable")
            self._sorted = held[self._order]
        start = 0
        for batch in batches:
            stop = start + batch.num_rows
            columns = np.empty((self.n_features, batch.num_rows), self.work_dtype)
            for j, column in enumerate(batch.columns):
                columns[j] = column.to_numpy(zero_copy_only=False)
            if not np.abs(columns).max() < _EXACT:  # False for NaN, too
                check_features(batch, start)
            if self._groups is None:
                self._values[start:stop] = columns.T
            first = 0
            for group in self._groups or ():
                low, high = np.searchsorted(group, [start, stop])
                if low < high:
                    self._values[first + low : first + high] = columns.T[group[low:high] - start]
                first += len(group)
            start = stop
            del batch, columns  # before the next one is read
            yield start

    def let_go(self) -> None:
        """Drop the rows: a plan keeps those that it needs, whole classes in this very memory."""
        self._values = np.empty((0, self.n_features), self.work_dtype)
        self._sorted = self._order = np.empty(0, np.int64)
        self._groups, self.n_held = [], 0

    def _gather(self, rows: np.ndarray | slice | None) -> np.ndarray:
        if self._groups is None:
            return np.ascontiguousarray(self._values if rows is None else self._values[rows])
        if not isinstance(rows, np.ndarray):
            rows = np.arange(self.n_rows)[slice(None) if rows is None else rows]
        at = np.searchsorted(self._sorted, rows)
        if len(rows) and (at.max() >= self.n_held or not np.array_equal(self._sorted[at], rows)):
            raise PlanError("Rows were asked for that are not held.", "Only those of the classes that get rows are.")
        at = self._order[at]
        # A whole class is contiguous and is not copied; the rows of a table are never written to.
        consecutive = len(at) > 0 and bool((np.diff(at) == 1).all())
        return self._values[at[0] : at[0] + len(at)] if consecutive else self._values[at]

    def only(self, work: Array, backend: Backend) -> Any:
        """pyarrow.Table of these rows."""
        rows, arrays = backend.to_host(work), []
        for j, kind in enumerate(self._schema.types):
            column = np.empty(len(rows), kind.to_pandas_dtype())
            store(rows[:, j], column)
            arrays.append(pa.array(column, kind))
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def append(self, n_new: int, write: Write, backend: Backend) -> Any:
        raise PlanError("The rows of a file are not in memory.", "resample_file writes them to a file.")

    def check_finite(self) -> None:
        """Nothing: every row was checked when it was read."""


def check_features(batch: Any, start: int) -> None:
    """Check the features of a batch that begins at row ``start`` of the file.

    Raises
    ------
    NonFiniteError
        With the first row that is not finite, and all columns of the batch that are not.
    InputError
        If an integer is beyond 2**53.
    """
    try:
        wrap_features(pa.Table.from_batches([batch])).check_finite()
    except NonFiniteError as error:
        bad = np.zeros(batch.num_rows, bool)
        for column in batch.columns:
            bad |= ~np.isfinite(column.to_numpy(zero_copy_only=False).astype(np.float64))
        raise NonFiniteError(
            f"{error.message} That is the count of {counted(batch.num_rows, 'row')} from row {start:,} on. The first "
            f"of them is in row {start + int(bad.argmax()):,} (the first row is 0).",
            error.hint,
        ) from error
