"""The rows of a file that must be in memory: those of the classes that get synthetic ones, or all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from gpusmote.backends import Array, Backend
from gpusmote.containers import Table, Write, wrap_features
from gpusmote.errors import NonFiniteError, PlanError
from gpusmote.messages import counted

__all__ = ["ResidentRows", "features_of"]


class ResidentRows(Table):
    """X of a file, of which only some rows can be taken; to a sampler, those are at their places in the file.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the features.
    n_rows : int
        Of the file.
    groups : list of ndarray of int64, or None
        Rows to hold, ascending in each group, no row twice; None is all.

    Raises
    ------
    InputTypeError
        If a column is not numeric.
    """

    itemsize = 0.0  # the result goes to a file: it takes no memory

    def __init__(self, schema: Any, n_rows: int, groups: list[np.ndarray] | None) -> None:
        self._shell = _shell(schema)
        self.n_rows, self.n_features, self.names = n_rows, len(schema), list(schema.names)
        self.work_dtype = self._shell.work_dtype
        self._groups = groups
        self._size = n_rows if groups is None else sum(map(len, groups))
        self._values = np.empty((0, self.n_features), self.work_dtype)
        self._sorted, self._order = np.empty(0, np.int64), np.empty(0, np.int64)

    @property
    def n_held(self) -> int:
        """Rows that are held."""
        return self._size

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that are held, with their positions."""
        values = self._size * self.n_features * self.work_dtype.itemsize
        return values if self._groups is None else values + 3 * 8 * self._size

    @property
    def nbytes_beside(self) -> int:
        """Of these, what is no part of a plan: of classes it has the very rows, of all rows copies of some."""
        return self.nbytes if self._groups is None else 3 * 8 * self._size

    def fill(self, batches: Iterator[Any]) -> Iterator[int]:
        """Take the rows in from all batches of the file, in order, and check all that come by.

        Yields
        ------
        int
            Rows that came by so far.

        Raises
        ------
        NonFiniteError, InputError
            If a value cannot be used, whether its row is held or not.
        """
        self._values = np.empty((self._size, self.n_features), self.work_dtype)
        if self._groups is not None:
            held = np.concatenate([np.empty(0, np.int64), *self._groups])
            self._order = np.argsort(held, kind="stable")
            self._sorted = held[self._order]
        start = 0
        for batch in batches:
            features = features_of(batch, start)
            self._hold(features, start)
            start += batch.num_rows
            del batch, features  # before the next is read
            yield start

    def _hold(self, features: Table, start: int) -> None:
        stop = start + features.n_rows
        if self._groups is None:
            self._values[start:stop] = features.take(None, Backend())
            return
        first = 0
        for group in self._groups:
            low, high = np.searchsorted(group, [start, stop])
            if low < high:
                self._values[first + low : first + high] = features.take(group[low:high] - start, Backend())
            first += len(group)

    def let_go(self) -> None:
        """Drop the rows: a plan has those that it makes rows from, in this very memory where it is a whole class."""
        self._values = np.empty((0, self.n_features), self.work_dtype)
        self._sorted = self._order = np.empty(0, np.int64)
        self._groups, self._size = [], 0

    def _gather(self, rows: np.ndarray | slice | None) -> np.ndarray:
        if self._groups is None:
            return np.ascontiguousarray(self._values if rows is None else self._values[rows])
        if not isinstance(rows, np.ndarray):
            rows = np.arange(self.n_rows)[slice(None) if rows is None else rows]
        at = np.searchsorted(self._sorted, rows)
        if len(rows) and (at.max() >= self._size or not np.array_equal(self._sorted[at], rows)):
            raise PlanError("Rows were asked for that are not held.", "Only those of the classes that get rows are.")
        at = self._order[at]
        # A whole class stands in one piece and need not be copied; nobody writes to what a table gives.
        return self._values[at[0] : at[0] + len(at)] if _consecutive(at) else self._values[at]

    def only(self, work: Array, backend: Backend) -> Any:
        """pyarrow.Table of these rows."""
        return self._shell.only(work, backend)

    def append(self, n_new: int, write: Write, backend: Backend) -> Any:
        raise PlanError("The rows of a file are not in memory.", "resample_file writes them to a file.")

    def check_finite(self) -> None:
        """Nothing: every row was checked as it came by."""


def _consecutive(at: np.ndarray) -> bool:
    return len(at) > 0 and bool((np.diff(at) == 1).all())


def _shell(schema: Any) -> Table:
    """The table of one row, for what hangs on the types alone."""
    return wrap_features(pa.Table.from_arrays([pa.nulls(1, field.type) for field in schema], schema=schema))


def features_of(batch: Any, start: int) -> Table:
    """The features of a batch that begins at row ``start`` of the file, checked.

    Raises
    ------
    NonFiniteError
        With the first row and all columns of the batch that are not finite.
    InputError
        If an integer is beyond 2**53.
    """
    features = wrap_features(pa.Table.from_batches([batch]))
    try:
        features.check_finite()
    except NonFiniteError as error:
        row = start + min(row for row in map(_first_bad, batch.columns) if row is not None)
        raise NonFiniteError(
            f"{error.message} That is among {counted(batch.num_rows, 'row')} from row {start:,} on; row {row:,} is the "
            "first of them (the first row is 0).",
            error.hint,
        ) from error
    return features


def _first_bad(column: Any) -> int | None:
    bad = np.asarray(column.is_null())
    if pa.types.is_floating(column.type):
        bad = bad | ~np.isfinite(column.to_numpy(zero_copy_only=False).astype(np.float64))
    return int(bad.argmax()) if bad.any() else None
