"""pandas DataFrames. pandas is not imported here, because a caller who has a DataFrame has imported it.

Results have a new default index, as in imbalanced-learn. Any index label given to a synthetic row could also be the
label of another row of the caller.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np

from gpusmote.containers.checks import check_dtype, check_shape, object_to_float
from gpusmote.containers.frame_table import Column, FrameTable, refuse_column_types
from gpusmote.containers.numpy_table import NumpyTable
from gpusmote.containers.sparse_table import SparseTable
from gpusmote.containers.table import Table, WrappedTable, string_names

__all__ = ["from_pandas"]


def from_pandas(X: Any) -> Table:
    """Wrap a pandas DataFrame.

    A frame with a single dtype is read and built as one NumPy or SciPy array, other frames column by column.
    """
    pd: Any = sys.modules["pandas"]
    check_shape(X.shape)
    labels, dtypes = X.columns.tolist(), X.dtypes.tolist()
    refuse_column_types(
        [(label, str(dtype)) for label, dtype in zip(labels, dtypes, strict=True) if not _is_numeric(dtype)]
    )
    shared = dtypes[0] if len(set(dtypes)) == 1 else None
    if isinstance(shared, pd.SparseDtype) and shared.fill_value == 0:
        matrix = SparseTable(X.sparse.to_coo().tocsr(), labels)
        return WrappedTable(matrix, _FrameBuilder(X.iloc[:0], shared), string_names(labels))
    if isinstance(shared, np.dtype) and shared.kind != "O":
        table = NumpyTable(X.to_numpy(), labels)
        if not np.may_share_memory(table._X, X.iloc[:, -1].to_numpy()):  # several blocks of one dtype were copied
            table.kept += table._X.nbytes
        return WrappedTable(table, _FrameBuilder(X.iloc[:0]), string_names(labels))
    return PandasTable(X)


@dataclasses.dataclass(frozen=True)
class _FrameBuilder:
    """Builds a DataFrame from a NumPy or SciPy array of its values.

    Attributes
    ----------
    head : DataFrame without rows
        Columns, class and attrs of the frame.
    sparse : SparseDtype or None
        dtype of all columns, if they are sparse.
    """

    head: Any
    sparse: Any = None

    def __call__(self, values: Any) -> Any:
        pd: Any = sys.modules["pandas"]
        if self.sparse is None:
            frame = pd.DataFrame(values, columns=self.head.columns, copy=False)
        else:
            frame = pd.DataFrame.sparse.from_spmatrix(values, columns=self.head.columns)
            frame = frame.astype(self.sparse)
        return _like(frame, self.head)


def _like(frame: Any, X: Any) -> Any:
    """The frame in the class of X, with the attrs and other metadata of X."""
    return X._constructor(frame).__finalize__(X)  # as pandas does for results of a subclass


def _is_numeric(dtype: Any) -> bool:
    # Categories and strings also have kind "O", but only NumPy's object dtype may hold Python numbers.
    return dtype.kind in "biufc" or (isinstance(dtype, np.dtype) and dtype.kind == "O")


def _numpy_dtype(dtype: Any) -> np.dtype:
    """The NumPy dtype of the values of a numeric dtype, which may be sparse, nullable or Arrow-backed."""
    found: np.dtype = np.dtype(getattr(dtype, "subtype", getattr(dtype, "numpy_dtype", dtype)))
    return found


class PandasTable(FrameTable):
    """A pandas DataFrame with different dtypes, or with dtypes that NumPy does not have."""

    def __init__(self, X: Any) -> None:
        labels = X.columns.tolist()
        columns = [_read_column(X.iloc[:, j], label) for j, label in enumerate(labels)]
        super().__init__(columns, labels, len(X))
        self._X = X

    def _new_frame(self, columns: list[np.ndarray]) -> Any:
        pd: Any = sys.modules["pandas"]
        dtypes = self._X.dtypes.tolist()
        arrays = [
            values if isinstance(dtype, np.dtype) else pd.array(values, dtype=dtype)
            for values, dtype in zip(columns, dtypes, strict=True)
        ]
        frame = pd.DataFrame(dict(enumerate(arrays)), copy=False)
        frame.columns = self._X.columns
        return _like(frame, self._X)

    def _join(self, new: list[Any]) -> Any:
        pd: Any = sys.modules["pandas"]
        return _like(pd.concat([self._X, *new], ignore_index=True), self._X)


def _read_column(column: Any, label: Any) -> Column:
    pd: Any = sys.modules["pandas"]
    dtype = _numpy_dtype(column.dtype)
    check_dtype(dtype)
    if isinstance(column.dtype, pd.SparseDtype):
        return Column(dtype, 0, lambda: np.asarray(column.array, dtype), keep=False)
    if dtype.kind == "O":
        numbers = object_to_float(column.dropna().to_numpy()[:, None], [label])[:, 0]
        return Column(dtype, len(column) - len(numbers), lambda: numbers)
    if isinstance(column.dtype, np.dtype):
        return Column(dtype, 0, column.to_numpy)
    return Column(dtype, int(column.isna().sum()), lambda: column.to_numpy(dtype))
