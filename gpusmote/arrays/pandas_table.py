"""pandas DataFrames. pandas is never imported here: a caller who has a frame has imported it.

The index rule, for X and for y where X is not a pandas frame:

- pandas' default index (a RangeIndex from 0 in steps of 1) goes on counting;
- another index of integers without repetition keeps its labels for the originals, and the synthetic rows get the
  largest label + 1, + 2, and so on;
- any other index says nothing about rows that did not exist before: the result has a new default index.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np

from gpusmote.arrays.checks import check_dtype, check_shape, object_to_float
from gpusmote.arrays.frame_table import Column, FrameTable, refuse_column_types
from gpusmote.arrays.numpy_table import NumpyTable
from gpusmote.arrays.sparse_table import SparseTable
from gpusmote.arrays.table import Table, WrappedTable, string_names

__all__ = ["extended_index", "from_pandas"]


def from_pandas(X: Any) -> Table:
    """The table of a pandas DataFrame.

    Frames of one dtype, which are one block of memory, are read and built as the block that they are; the others
    column by column.
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
        return WrappedTable(matrix, _Shell(X.iloc[:0], X.index, shared), string_names(labels))
    if isinstance(shared, np.dtype) and shared.kind != "O":
        table = NumpyTable(X.to_numpy(), labels)
        if not np.may_share_memory(table._X, X.iloc[:, -1].to_numpy()):  # columns of one dtype in several blocks
            table.kept += table._X.nbytes
        return WrappedTable(table, _Shell(X.iloc[:0], X.index), string_names(labels))
    return PandasTable(X)


def extended_index(index: Any, n_new: int) -> Any:
    """The index of the result, by the rule of this module."""
    pd: Any = sys.modules["pandas"]
    total = len(index) + n_new
    if isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1:
        return pd.RangeIndex(total, name=index.name)
    if pd.api.types.is_integer_dtype(index.dtype) and not index.hasnans and index.is_unique and len(index):
        first, dtype = int(index.max()) + 1, _numpy_dtype(index.dtype)
        if first + n_new - 1 <= np.iinfo(dtype).max:
            labels = np.arange(first, first + n_new, dtype=dtype)
            return index.append(pd.Index(labels, dtype=index.dtype, name=index.name))
    return pd.RangeIndex(total)


@dataclasses.dataclass(frozen=True)
class _Shell:
    """From a NumPy or SciPy table to the frame that it is the values of.

    Attributes
    ----------
    head : DataFrame without rows
    index : Index
        Of X.
    sparse : SparseDtype or None
        Of all columns, where they are sparse.
    """

    head: Any
    index: Any
    sparse: Any = None

    def __call__(self, values: Any, n_original: int) -> Any:
        pd: Any = sys.modules["pandas"]
        index = extended_index(self.index, values.shape[0] - n_original) if n_original else None
        if self.sparse is None:
            frame = pd.DataFrame(values, index=index, columns=self.head.columns, copy=False)
        else:
            frame = pd.DataFrame.sparse.from_spmatrix(values, index=index, columns=self.head.columns)
            frame = frame.astype(self.sparse)
        return _like(frame, self.head)


def _like(frame: Any, X: Any) -> Any:
    """The frame as one of X's class, with its attrs and what else the class declares as its metadata."""
    return X._constructor(frame).__finalize__(X)  # how pandas itself makes results of a subclass


def _is_numeric(dtype: Any) -> bool:
    # Categories and strings, too, are of kind "O", but only NumPy's object dtype may hold Python's numbers.
    return dtype.kind in "biufc" or (isinstance(dtype, np.dtype) and dtype.kind == "O")


def _numpy_dtype(dtype: Any) -> np.dtype:
    """The NumPy dtype of a numeric dtype's values, which may be sparse, nullable or Arrow's."""
    found: np.dtype = np.dtype(getattr(dtype, "subtype", getattr(dtype, "numpy_dtype", dtype)))
    return found


class PandasTable(FrameTable):
    """A pandas DataFrame whose columns differ in dtype, or have dtypes of pandas' own."""

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
        joined = pd.concat([self._X, *new], ignore_index=True)
        joined.index = extended_index(self._X.index, len(joined) - self.n_rows)
        return _like(joined, self._X)


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
