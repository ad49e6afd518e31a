"""Data frames: tables in which each column has its own dtype."""

from __future__ import annotations

import abc
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from gpusmote.backends.cpu import Array, Backend
from gpusmote.containers.checks import (
    ENCODE,
    BadColumn,
    check_shape,
    check_values,
    column_label,
    find_bad_columns,
    listing,
    refuse_non_finite,
    surely_finite,
)
from gpusmote.containers.rounding import native, store
from gpusmote.containers.table import Table, Write, string_names, write_in_blocks
from gpusmote.errors import InputTypeError
from gpusmote.messages import counted

__all__ = ["Column", "FrameTable", "refuse_column_types"]

_GATHER_VALUES = 262_144  # 2 MiB of float64: a block that is filled column by column stays in the cache
_FRAME_BYTES = 128 << 20  # of one frame of synthetic rows; building a frame costs some microseconds per column


class Column:
    """One column of a data frame, read as a NumPy array.

    Parameters
    ----------
    dtype : numpy.dtype
        dtype of the column (object for Python numbers). It decides the rounding and, with the other columns, the work
        dtype.
    nulls : int
        Number of missing values.
    read : callable
        ``read()`` returns the values, a numeric ndarray of shape (n,). It is called only if ``nulls`` is 0.
    keep : bool, default=True
        Whether the values are cached. False for sparse columns, whose values take much more memory than the column.
    """

    def __init__(self, dtype: np.dtype, nulls: int, read: Callable[[], np.ndarray], keep: bool = True) -> None:
        self.dtype = dtype
        self.nulls = nulls
        self._read = read
        self.keep = keep
        self._kept: np.ndarray | None = None

    @property
    def values(self) -> np.ndarray:
        # Not cached_property: its lock in Python 3.11 can block a process that is forked while the lock is held.
        values = self._read() if self._kept is None else self._kept
        if self.keep:
            self._kept = values
        return values


class FrameTable(Table):
    """A data frame; the subclass for each library builds the frames of the result.

    Parameters
    ----------
    columns : list of Column
    labels : list
        Column names, of any type; they may repeat.
    n_rows : int
    """

    copies = 2  # the frames of new rows, then the frame of all rows
    _X: Any

    def __init__(self, columns: list[Column], labels: list[Hashable], n_rows: int) -> None:
        check_shape((n_rows, len(columns)))
        self._columns = columns
        self._labels = labels
        self.names = string_names(labels)
        self.n_rows, self.n_features = n_rows, len(columns)
        single = all(native(column.dtype) == np.float32 for column in columns)
        self.work_dtype = np.dtype(np.float32 if single else np.float64)
        self._by_blocks = all(column.keep for column in columns)  # other columns are read as a whole each time
        self.itemsize = sum(column.dtype.itemsize for column in columns) / len(columns)
        self.kept = sum(n_rows * column.dtype.itemsize for column in columns if column.keep)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._X,)  # unpickling reads the columns again

    @abc.abstractmethod
    def _new_frame(self, columns: list[np.ndarray]) -> Any:
        """A frame of the caller's library with the schema of X and these columns."""

    @abc.abstractmethod
    def _join(self, new: list[Any]) -> Any:
        """Concatenate X and the frames ``new``."""

    def _gather(self, rows: np.ndarray | slice | None) -> np.ndarray:
        if not isinstance(rows, np.ndarray):
            start, stop, step = (rows or slice(None)).indices(self.n_rows)
            rows = np.arange(start, stop, step)
        out = np.empty((len(rows), self.n_features), self.work_dtype)
        for j, column in enumerate(self._columns):
            if not column.keep:
                out[:, j] = column.values[rows]
        kept = [(j, column.values) for j, column in enumerate(self._columns) if column.keep]
        block = max(256, _GATHER_VALUES // self.n_features)
        for start in range(0, len(rows), block):
            for j, values in kept:
                out[start : start + block, j] = values[rows[start : start + block]]
        return out

    def only(self, work: Array, backend: Backend) -> Any:
        return self._new_frame(self._stored(backend.to_host(work)))

    def append(self, n_new: int, write: Write, backend: Backend) -> Any:
        # In several frames, so that sparse columns are never dense as a whole.
        blocks = write_in_blocks(n_new, self.n_features, self.work_dtype, write, backend, block_bytes=_FRAME_BYTES)
        return self._join([self._new_frame(self._stored(rows)) for _, _, rows in blocks])

    def check_finite(self) -> None:
        bad = []
        for j, column in enumerate(self._columns):
            if column.nulls:
                bad.append(BadColumn(j, null=column.nulls))
            elif not surely_finite(column.values):
                bad += [BadColumn(j, found.nan, found.infinite) for found in find_bad_columns(column.values[:, None])]
        refuse_non_finite(bad, self._labels, self.n_features)
        for column, label in zip(self._columns, self._labels, strict=True):
            if column.dtype.kind in "iu":
                check_values(column.values[:, None], [label])

    def _stored(self, rows: np.ndarray) -> list[np.ndarray]:
        """The columns of an array of rows, each converted to its dtype."""
        columns = [np.empty(len(rows), column.dtype) for column in self._columns]
        for j, column in enumerate(columns):
            store(rows[:, j], column)
        return columns


def refuse_column_types(refused: list[tuple[Hashable, str]]) -> None:
    """Raise InputTypeError for columns (name, type) that are not numeric, if there are any."""
    if refused:
        names = [f"{column_label(0, [label])} ({kind})" for label, kind in refused]
        raise InputTypeError(
            f"X has {counted(len(refused), 'column')} whose type is not numeric: {listing(names)}.",
            f"{ENCODE} Convert dates and decimals to float64, or drop these columns: rows are interpolated, so "
            "every column must be numbers.",
        )
