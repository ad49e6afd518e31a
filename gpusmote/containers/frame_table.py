"""Data frames: a table whose columns each have a dtype of their own."""

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

_GATHER_VALUES = 262_144  # 2 MiB of float64: while a block of rows is filled column by column, it stays in the cache
_FRAME_BYTES = 128 << 20  # of one frame of synthetic rows: each costs some microseconds a column


class Column:
    """One column as NumPy sees it.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the column (object where it holds Python's numbers); decides rounding, and together with the others the
        work dtype.
    nulls : int
        Missing values.
    read : callable
        ``read()`` gives the values, ndarray of shape (n,), numeric; called only where ``nulls`` is 0.
    keep : bool, default=True
        Whether what was read is kept for the next time; not where it is much larger than what it is read from.
    """

    def __init__(self, dtype: np.dtype, nulls: int, read: Callable[[], np.ndarray], keep: bool = True) -> None:
        self.dtype = dtype
        self.nulls = nulls
        self._read = read
        self.keep = keep
        self._kept: np.ndarray | None = None

    @property
    def values(self) -> np.ndarray:
        # No cached_property: in Python 3.11 it holds a lock, which a process forked meanwhile would wait for.
        values = self._read() if self._kept is None else self._kept
        if self.keep:
            self._kept = values
        return values


class FrameTable(Table):
    """A data frame of whatever library; a subclass says how one is built.

    Parameters
    ----------
    columns : list of Column
    labels : list
        The columns' names, of any kind and possibly repeated.
    n_rows : int
    """

    copies = 2  # frames of new rows, then the frame of all rows
    _X: Any

    def __init__(self, columns: list[Column], labels: list[Hashable], n_rows: int) -> None:
        check_shape((n_rows, len(columns)))
        self._columns = columns
        self._labels = labels
        self.names = string_names(labels)
        self.n_rows, self.n_features = n_rows, len(columns)
        single = all(native(column.dtype) == np.float32 for column in columns)
        self.work_dtype = np.dtype(np.float32 if single else np.float64)
        self._by_blocks = all(column.keep for column in columns)  # the others are read whole each time
        self.itemsize = sum(column.dtype.itemsize for column in columns) / len(columns)
        self.kept = sum(n_rows * column.dtype.itemsize for column in columns if column.keep)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._X,)  # the columns are read again where it is unpickled

    @abc.abstractmethod
    def _new_frame(self, columns: list[np.ndarray]) -> Any:
        """The caller's kind of frame, with the schema of X and these columns."""

    @abc.abstractmethod
    def _join(self, new: list[Any]) -> Any:
        """X, and below it the frames ``new``."""

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
        # Frame by frame rather than as whole columns, so that sparse columns are never dense from end to end.
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
        """The columns of work rows, each in its dtype."""
        columns = [np.empty(len(rows), column.dtype) for column in self._columns]
        for j, column in enumerate(columns):
            store(rows[:, j], column)
        return columns


def refuse_column_types(refused: list[tuple[Hashable, str]]) -> None:
    """Raise InputTypeError about columns, by name and type, that are not numbers; nothing happens for none."""
    if refused:
        names = [f"{column_label(0, [label])} ({kind})" for label, kind in refused]
        raise InputTypeError(
            f"X has {counted(len(refused), 'column')} whose type is not numeric: {listing(names)}.",
            f"{ENCODE} Convert dates and decimals to float64, or leave these columns out: rows are interpolated, so "
            "every column must be numbers.",
        )
