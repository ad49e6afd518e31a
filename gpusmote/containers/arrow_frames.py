"""polars and pyarrow tables, read and built with the library of the caller's table."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from gpusmote.containers.checks import check_shape, refuse_column_types
from gpusmote.containers.frame_table import FrameTable
from gpusmote.containers.kinds import is_instance

__all__ = ["ArrowTable", "PolarsTable"]

# By the names of polars and pyarrow. Other types are refused, including decimals and 128-bit integers, which float64
# cannot represent.
_DTYPES = {
    name: np.dtype(name.lower()) for name in ("Int8", "Int16", "Int32", "Int64", "Float16", "Float32", "Float64")
}
_DTYPES |= {name: np.dtype(name.lower()) for name in ("UInt8", "UInt16", "UInt32", "UInt64")}
_DTYPES |= {name.lower(): dtype for name, dtype in _DTYPES.items() if dtype.kind in "iu"}
_DTYPES |= {"halffloat": np.dtype("f2"), "float": np.dtype("f4"), "double": np.dtype("f8")}
_DTYPES |= dict.fromkeys(("Boolean", "bool"), np.dtype(bool))


def _numpy_dtypes(names: list[str], types: list[Any]) -> list[np.dtype]:
    known = {kind: _DTYPES.get(str(kind)) for kind in set(types)}  # a table may have many columns of few types
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
