"""Data frames: tables in which each column has its own dtype.

polars and pyarrow are not imported here, because a caller who has a frame has imported its library.
"""

from __future__ import annotations

import abc
import sys
from collections.abc import Hashable
from typing import Any

import numpy as np

from gpusmote.backends.cpu import Array, Backend
from gpusmote.containers.checks import check_frame, check_shape, is_instance, refuse_column_types
from gpusmote.containers.table import Table, Write, converted, string_names, work_dtype

__all__ = ["ArrowTable", "FrameTable", "PolarsTable"]

_GATHER_VALUES = 262_144  # 2 MiB of float64: a block that is filled column by column stays in the cache
_FRAME_BYTES = 128 << 20  # of one frame of synthetic rows; building a frame costs some microseconds per column

# Types of polars and pyarrow by their lower-case names. Others are refused, including decimals and 128-bit integers,
# which float64 cannot represent.
_NAMES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
_DTYPES = {name: np.dtype(name) for name in (*_NAMES, "bool")} | {"boolean": np.dtype(bool)}
_DTYPES |= {"halffloat": np.dtype("f2"), "float": np.dtype("f4"), "double": np.dtype("f8")}


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
        blocks = self._blocks(n_new, write, backend, block_bytes=_FRAME_BYTES)
        return self._restored(self._join([self._frame(rows) for _, _, rows in blocks]))

    def _frame(self, rows: np.ndarray) -> Any:
        return self._new_frame([converted(rows[:, j], dtype) for j, dtype in enumerate(self._dtypes)])

    def check_finite(self) -> None:
        check_frame(self._columns, self._nulls, self._labels)


def _numpy_dtypes(names: list[str], types: list[Any]) -> list[np.dtype]:
    known = {kind: _DTYPES.get(str(kind).lower()) for kind in set(types)}  # a table may have many columns of few types
    refuse_column_types(list(zip(names, types, strict=True)), lambda kind: known[kind] is not None)
    return [dtype for kind in types if (dtype := known[kind]) is not None]


class PolarsTable(FrameTable):
    """A polars DataFrame. The result shares the memory of the original rows, as with polars.concat."""

    def __init__(self, X: Any) -> None:
        check_shape(X.shape)
        dtypes, nulls = _numpy_dtypes(X.columns, X.dtypes), [column.null_count() for column in X.get_columns()]
        values = [None if null else column.to_numpy() for column, null in zip(X.get_columns(), nulls, strict=True)]
        super().__init__(X, X.columns, dtypes, values, nulls)

    def _new_frame(self, columns: list[np.ndarray]) -> Any:
        pl = sys.modules["polars"]
        schema = self._X.schema.items()
        return pl.DataFrame(
            [pl.Series(name, values, dtype) for (name, dtype), values in zip(schema, columns, strict=True)]
        )

    def _join(self, new: list[Any]) -> Any:
        return sys.modules["polars"].concat([self._X, *new])


class ArrowTable(FrameTable):
    """A pyarrow Table or RecordBatch, with the metadata of its schema.

    The result shares the memory of the original rows of a Table; a RecordBatch is in newly allocated memory.
    """

    def __init__(self, X: Any) -> None:
        check_shape(X.shape)
        self._table = X
        if is_instance(X, "pyarrow", "RecordBatch"):
            self._table, self._restore = sys.modules["pyarrow"].Table.from_batches([X]), _to_batch
        columns = self._table.columns
        dtypes, nulls = _numpy_dtypes(X.schema.names, X.schema.types), [column.null_count for column in columns]
        values = [None if null else column.to_numpy() for column, null in zip(columns, nulls, strict=True)]
        super().__init__(X, X.schema.names, dtypes, values, nulls)
        self.itemsize *= 2 if self._restore else 1

    def _new_frame(self, columns: list[np.ndarray]) -> Any:
        pa, schema = sys.modules["pyarrow"], self._table.schema
        arrays = [pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)]
        return pa.Table.from_arrays(arrays, schema=schema)

    def _join(self, new: list[Any]) -> Any:
        return sys.modules["pyarrow"].concat_tables([self._table, *new])


def _to_batch(table: Any) -> Any:
    columns = [column.combine_chunks() for column in table.columns]
    return sys.modules["pyarrow"].RecordBatch.from_arrays(columns, schema=table.schema)
