"""polars and pyarrow tables: read through narwhals, built by the library itself, which alone keeps all of a schema."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from gpusmote.containers.frame_table import Column, FrameTable, refuse_column_types
from gpusmote.containers.table import Table, WrappedTable

__all__ = ["ArrowTable", "PolarsTable", "from_record_batch"]

# By narwhals' names. What is missing is refused: decimals and 128-bit integers, too, which float64 does not hold.
_DTYPES = {
    name: np.dtype(name.lower())
    for name in (
        *("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"),
        *("Float16", "Float32", "Float64"),
    )
} | {"Boolean": np.dtype(bool)}


def _read_columns(names: list[str], columns: list[Any]) -> list[Column]:
    """The columns of a frame, each a series that narwhals knows."""
    import narwhals.stable.v2 as nw

    series = [nw.from_native(column, series_only=True) for column in columns]
    kinds = [type(one.dtype).__name__ for one in series]
    refuse_column_types(
        [(name, str(one.dtype)) for name, one, kind in zip(names, series, kinds, strict=True) if kind not in _DTYPES]
    )
    return [Column(_DTYPES[kind], one.null_count(), one.to_numpy) for one, kind in zip(series, kinds, strict=True)]


class PolarsTable(FrameTable):
    """A polars DataFrame; the originals' memory is shared with the result, as polars.concat does."""

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
    """A pyarrow Table, with its schema's metadata; the originals' memory is shared with the result."""

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
    """The table of a pyarrow RecordBatch, which comes back as one, in memory of its own."""
    inner = ArrowTable(sys.modules["pyarrow"].Table.from_batches([X]))
    return WrappedTable(inner, _to_record_batch, inner.names, inner.itemsize)


def _to_record_batch(table: Any) -> Any:
    columns = [column.combine_chunks() for column in table.columns]
    return sys.modules["pyarrow"].RecordBatch.from_arrays(columns, schema=table.schema)
