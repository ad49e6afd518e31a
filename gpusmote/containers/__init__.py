"""Conversion between the caller's containers and the arrays that gpusmote computes with.

Only this package knows pandas, polars, pyarrow, SciPy sparse, CuPy arrays and DLPack.

=====================================  ==========================================================================
X                                      result
=====================================  ==========================================================================
NumPy array, any real dtype            NumPy array of that dtype (object arrays of numbers: new values are floats)
nested list                            nested list with the values of ``numpy.asarray(X)``
SciPy sparse, csr or csc               the same class and format; the synthetic rows are made dense only in blocks
SciPy sparse, any other format         csr, of the same family (matrix or array)
pandas DataFrame                       DataFrame: columns, dtypes (nullable, Arrow, sparse), attrs; a new default
                                       index
subclass of DataFrame                  the result of its ``_constructor``, as in operations of pandas
polars frame, pyarrow Table, batch     the same schema, Arrow's metadata included
CuPy array                             CuPy array on the same device
array that supports DLPack (torch,     array of its library on the same device, detached from any gradient
jax)
other objects that NumPy can read      NumPy array
=====================================  ==========================================================================

y may be any one-dimensional container of these libraries, a table of one column, or a table of indicator columns
(exactly one 1 in each row). It is returned as the same kind; see :mod:`gpusmote.containers.target`.

Neighbors and synthetic rows are computed in float64. The rows are float32 if every column is float32. A synthetic value
of an **integer** column is rounded to the nearest whole number (ties to even) and clipped to the range of the dtype. A
value of a **bool** column becomes the nearer of False and True (False if both are equally near). The same holds for
nullable, Arrow and sparse columns. Float columns stay float even if they hold only whole numbers. Integers beyond
2**53, which float64 cannot represent, raise an error, and so do types that would lose digits (longdouble, decimals) or
cannot be interpolated (text, categories, dates). A sampler that only repeats rows takes columns of any
type (:func:`wrap_rows`): the rows are taken from X itself.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import scipy.sparse

from gpusmote.containers.checks import is_instance, is_sequence_like, refuse_known_features, unreadable
from gpusmote.containers.numpy_table import from_array_like, from_ndarray
from gpusmote.containers.selection import row_taker
from gpusmote.containers.table import Table, Write
from gpusmote.containers.target import Target, wrap_target

__all__ = ["Table", "Target", "Write", "row_taker", "wrap_features", "wrap_rows", "wrap_target"]


def wrap_features(X: Any) -> Table:
    """Wrap X in a :class:`Table`, which reads it and builds results of the same kind.

    Parameters
    ----------
    X : table of shape (n, d)
        See :mod:`gpusmote.containers`.

    Returns
    -------
    Table
        Its shape and dtypes are checked, but not its values: see :meth:`Table.check_finite`.

    Raises
    ------
    InputError
        If X is not a table with at least one row and one column.
    InputTypeError
        If the container, or a column, cannot be read as numbers.
    """
    if isinstance(X, np.ndarray):
        return from_ndarray(X)
    if isinstance(X, Table):  # from another module of gpusmote, such as files
        return X
    if scipy.sparse.issparse(X):
        from gpusmote.containers.sparse_table import SparseTable

        return SparseTable(X)
    if is_instance(X, "pandas", "DataFrame"):
        from gpusmote.containers.pandas_table import from_pandas

        return from_pandas(X)
    if is_instance(X, "polars", "DataFrame"):
        from gpusmote.containers.frame_table import PolarsTable

        return PolarsTable(X)
    if is_instance(X, "pyarrow", "Table", "RecordBatch"):
        from gpusmote.containers.frame_table import ArrowTable

        return ArrowTable(X)
    refuse_known_features(X)
    if hasattr(X, "__dlpack_device__"):
        from gpusmote.containers.device_table import from_dlpack

        return from_dlpack(X)
    if is_sequence_like(X) or isinstance(X, numbers.Number):
        return from_array_like(X)  # for a number, this raises the error about the expected shape
    raise unreadable(X)


def wrap_rows(X: Any) -> Table:
    """Wrap an X whose rows are only repeated. Its columns may be of any type and have missing values.

    Parameters
    ----------
    X : table of shape (n, d)
        See :mod:`gpusmote.containers`.

    Returns
    -------
    Table
        Not ``numeric``, unless X is a Table already.

    Raises
    ------
    InputError
        If X is not a table with at least one row and one column, or of a type that is not supported.
    """
    if isinstance(X, Table):
        return X
    from gpusmote.containers.row_table import RowTable

    return RowTable(X)
