"""polars and pyarrow tables: read with narwhals, built with the library itself to keep the whole schema."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from gpusmote.containers.frame_table import Column, FrameTable, refuse_column_types
from gpusmote.containers.table import Table, WrappedTable

__all__ = ["ArrowTable", "PolarsTable", "from_record_batch"]

# Names of narwhals dtypes. Others are refused, including decimals and 128-bit integers, which float64 cannot represent.
_DTYPES = {
    name: np.dtype(name.lower())
    for name in (
        *("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"),
        *("Float16", "Float32", "Float64"),
    )
} | {"Boolean": np.dtype(bool)}


def _read_columns(names: list[str], columns: list[Any]) -> list[Column]:
    """The columns of a frame, given as series that narwhals supports."""
    import narwhals.stable.v2 as nw

    series = [nw.from_native(column, series_only=True) for column in columns]
    kinds = [type(one.dtype).__name__ for one in series]
    refuse_column_types(
        [(name, str(one.dtype)) for name, one, kind in zip(names, series, kinds, strict=True) if kind not in _DTYPES]
    )
    return [Column(_DTYPES[kind], one.null_count(), one.to_numpy) for one, kind in zip(series, kinds, strict=True)]


class PolarsTable(FrameTable):
    """A polars DataFrame. The result shares the memory of the original rows, as with polars.concat."""

    def __init__(self, X: Any) -> None:
        super().__init__(_read_columns(X.columns, X.get_columns()), X.columns, len(X))
        self._X = X

    def _new_frame(self, columns: list[np.ndarray]) -> Any:
        pl = sys.modules["polars"]
        schema = self._X.schema.items()
        return pl.DataFrame(
            [pl.Series(name, values, dtype) for (name, dtype), values in zip(schema, columns, strict=True)]
        )

    def _join(self, new: list[Any]) -> Any:
        return sys.modules["polars"].concat([self._X, *new])


class ArrowTable(FrameTable):
    """A pyarrow Table with the metadata of its schema. The result shares the memory of the original rows."""

    def __init__(self, X: Any) -> None:
        super().__init__(_read_columns(X.column_names, X.columns), X.column_names, len(X))
        self._X = X

    def _new_frame(self, columns: list[np.ndarray]) -> Any:
        pa = sys.modules["pyarrow"]
        schema = self._X.schema
        arrays = [pa.array(values, field.type) for field, values in zip(schema, columns, strict=True)]
        return pa.Table.from_arrays(arrays, schema=schema)

    def _join(self, new: list[Any]) -> Any:
        return sys.modules["pyarrow"].concat_tables([self._X, *new])


def from_record_batch(X: Any) -> Table:
    """Wrap a pyarrow RecordBatch; the result is a RecordBatch in newly allocated memory."""
    inner = ArrowTable(sys.modules["pyarrow"].Table.from_batches([X]))
    return WrappedTable(inner, _to_record_batch, inner.names, inner.itemsize)


def _to_record_batch(table: Any) -> Any:
    columns = [column.combine_chunks() for column in table.columns]
    return sys.modules["pyarrow"].RecordBatch.from_arrays(columns, schema=table.schema)
