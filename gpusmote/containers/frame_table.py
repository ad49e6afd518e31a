"""Data frames: tables in which each column has its own dtype."""

from __future__ import annotations

import abc
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from gpusmote.backends.cpu import Array, Backend
from gpusmote.containers.checks import ENCODE, check_values, column_label, count_non_finite, listing, refuse_non_finite
from gpusmote.containers.rounding import converted
from gpusmote.containers.table import Table, Write, string_names, work_dtype, write_in_blocks
from gpusmote.errors import InputTypeError
from gpusmote.messages import counted

__all__ = ["FrameTable", "refuse_column_types"]

_GATHER_VALUES = 262_144  # 2 MiB of float64: a block that is filled column by column stays in the cache
_FRAME_BYTES = 128 << 20  # of one frame of synthetic rows; building a frame costs some microseconds per column


class FrameTable(Table):
    """A data frame; the subclass for each library builds the frames of the result.

    Parameters
    ----------
    X : data frame
    labels : list
        Column names, of any type; they may repeat.
    dtypes : list of numpy.dtype
        dtype of each column (object for Python numbers). It decides the rounding and the work dtype.
    columns : list
        The values of each column: a numeric ndarray of shape (n,), a pandas SparseArray, or None if ``nulls`` is not 0.
    nulls : list of int
        Number of missing values of each column.
    """

    copies = 2  # the frames of new rows, then the frame of all rows

    def __init__(
        self, X: Any, labels: list[Hashable], dtypes: list[np.dtype], columns: list[Any], nulls: list[int]
    ) -> None:
        self._X, self._labels, self._dtypes, self._columns, self._nulls = X, labels, dtypes, columns, nulls
        self.names = string_names(labels)
        self.n_rows, self.n_features = len(X), len(labels)
        self.work_dtype = work_dtype(dtypes)
        self.itemsize = sum(dtype.itemsize for dtype in dtypes) / len(dtypes)
        self.kept = sum(column.nbytes for column in columns if isinstance(column, np.ndarray))

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
            rows = np.arange(*(rows or slice(None)).indices(self.n_rows))
        out = np.empty((len(rows), self.n_features), self.work_dtype)
        dense = []
        for j, column in enumerate(self._columns):
            if isinstance(column, np.ndarray):
                dense.append((j, column))
            else:
                out[:, j] = np.nan if column is None else column[rows]
        block = max(256, _GATHER_VALUES // self.n_features)
        for start in range(0, len(rows), block):
            for j, column in dense:
                out[start : start + block, j] = column[rows[start : start + block]]
        return out

    def only(self, work: Array, backend: Backend) -> Any:
        return self._restored(self._frame(backend.to_host(work)))

    def append(self, n_new: int, write: Write, backend: Backend) -> Any:
        # In several frames, so that sparse columns are never dense as a whole.
        blocks = write_in_blocks(n_new, self.n_features, self.work_dtype, write, backend, block_bytes=_FRAME_BYTES)
        return self._restored(self._join([self._frame(rows) for _, _, rows in blocks]))

    def _frame(self, rows: np.ndarray) -> Any:
        return self._new_frame([converted(rows[:, j], dtype) for j, dtype in enumerate(self._dtypes)])

    def check_finite(self) -> None:
        bad = {j: (0, 0, nulls) for j, nulls in enumerate(self._nulls) if nulls}
        for j, column in enumerate(self._columns):
            if self._dtypes[j].kind in "fO" and column is not None:
                bad.update((j, found) for found in count_non_finite(np.asarray(column)[:, None]).values())
        refuse_non_finite(dict(sorted(bad.items())), self._labels, self.n_features)
        for j, column in enumerate(self._columns):
            if self._dtypes[j].kind in "iu":
                check_values(np.asarray(column)[:, None], self._labels[j : j + 1])


def refuse_column_types(kinds: list[tuple[Hashable, Any]], numeric: Callable[[Any], bool]) -> None:
    """Raise InputTypeError if there are columns (name, type) whose type is not numeric."""
    refused = [(label, kind) for label, kind in kinds if not numeric(kind)]
    if refused:
        names = [f"{column_label(0, [label])} ({kind})" for label, kind in refused]
        raise InputTypeError(
            f"X has {counted(len(refused), 'column')} whose type is not numeric: {listing(names)}.",
            f"{ENCODE} Convert dates and decimals to float64, or drop these columns: rows are interpolated, so "
            "every column must be numbers.",
        )
