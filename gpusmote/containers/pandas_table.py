"""pandas DataFrames. pandas is not imported here, because a caller who has a DataFrame has imported it.

Results have a new default index, as in imbalanced-learn. Any index label given to a synthetic row could also be the
label of another row of the caller.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np

from gpusmote.containers.checks import check_dtype, check_shape, object_to_float, refuse_column_types
from gpusmote.containers.frame_table import FrameTable
from gpusmote.containers.numpy_table import NumpyTable
from gpusmote.containers.sparse_table import SparseTable
from gpusmote.containers.table import Table

__all__ = ["from_pandas"]


def from_pandas(X: Any) -> Table:
    """Wrap a pandas DataFrame.

    A frame with a single dtype is read as one NumPy or SciPy array, other frames column by column.
    """
    check_shape(X.shape)
    dtypes = X.dtypes.tolist()
    refuse_column_types(list(zip(X.columns.tolist(), dtypes, strict=True)), _is_numeric)
    shared = dtypes[0] if len(set(dtypes)) == 1 else None
    if getattr(shared, "fill_value", None) == 0:
        return SparseFrame(X)
    if not isinstance(shared, np.dtype) or shared.kind == "O":
        return PandasTable(X)
    values = X.to_numpy()
    table = NumpyTable(values, X.columns.tolist(), partial(_new_frame, X.iloc[:0]))
    if not np.may_share_memory(values, X.iloc[:, -1].to_numpy()):  # several blocks of one dtype were copied
        table.kept += values.nbytes
    return table


def _new_frame(like: Any, columns: Any) -> Any:
    """A frame of these columns, with the column names, class, attrs and other metadata of the frame ``like``."""
    pd: Any = sys.modules["pandas"]
    frame = columns if isinstance(columns, pd.DataFrame) else pd.DataFrame(columns, copy=False)
    frame.columns = like.columns
    return like._constructor(frame).__finalize__(like)  # as pandas does for results of a subclass


def _join(X: Any, new: list[Any]) -> Any:
    return _new_frame(X, sys.modules["pandas"].concat([X, *new], ignore_index=True))


def _is_numeric(dtype: Any) -> bool:
    # Categories and strings also have kind "O", but only NumPy's object dtype may hold Python numbers.
    return dtype.kind in "biufc" or (isinstance(dtype, np.dtype) and dtype.kind == "O")


class SparseFrame(SparseTable):
    """A pandas DataFrame whose columns share one sparse dtype, with 0 as the value that is not stored."""

    def __init__(self, X: Any) -> None:
        super().__init__(X.sparse.to_coo(), X.columns.tolist())
        self._frame = X

    def _from_csr(self, matrix: Any) -> Any:
        frame = sys.modules["pandas"].DataFrame.sparse.from_spmatrix(matrix)
        return _new_frame(self._frame, frame.astype(self._frame.dtypes.iloc[0]))

    def _join(self, new: list[Any]) -> Any:
        if self._X.dtype.kind == "b":  # pandas 2 warns when it concatenates sparse bool columns
            return super()._join(new)
        return _join(self._frame, [self._from_csr(rows) for rows in new])


class PandasTable(FrameTable):
    """A pandas DataFrame with different dtypes, or with dtypes that NumPy does not have."""

    def __init__(self, X: Any) -> None:
        labels = X.columns.tolist()
        columns = [_read_column(column, label) for label, column in X.items()]
        super().__init__(X, labels, *map(list, zip(*columns, strict=True)))

    def _new_frame(self, columns: list[np.ndarray]) -> Any:
        pd: Any = sys.modules["pandas"]
        arrays = [
            values if isinstance(dtype, np.dtype) else pd.array(values, dtype=dtype)
            for values, dtype in zip(columns, self._X.dtypes.tolist(), strict=True)
        ]
        return _new_frame(self._X, dict(enumerate(arrays)))

    def _join(self, new: list[Any]) -> Any:
        return _join(self._X, new)


def _read_column(column: Any, label: Any) -> tuple[np.dtype, Any, int]:
    """The dtype of the values, the values, and the number of missing ones."""
    kind = column.dtype
    dtype: np.dtype = np.dtype(getattr(kind, "subtype", getattr(kind, "numpy_dtype", kind)))
    check_dtype(dtype)
    if hasattr(kind, "fill_value"):  # sparse
        return dtype, column.array, 0
    if isinstance(kind, np.dtype) and dtype.kind != "O":
        return dtype, column.to_numpy(), 0
    nulls = int(column.isna().sum())
    if dtype.kind == "O":
        numbers = object_to_float(column.dropna().to_numpy()[:, None], [label])[:, 0]
        return dtype, None if nulls else numbers, nulls
    return dtype, None if nulls else column.to_numpy(dtype), nulls
