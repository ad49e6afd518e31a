"""Selection of rows from containers of any kind, such as y: each keeps its dtype, categories, name and encoding."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse

from gpusmote.containers.checks import is_instance, is_sequence_like
from gpusmote.errors import InputError
from gpusmote.messages import counted

__all__ = ["row_taker", "taker"]


def taker(values: Any) -> Callable[[np.ndarray], Any]:
    """A function that selects rows from a container, as :func:`row_taker` returns it. It can be pickled."""
    if isinstance(values, list):
        return partial(_take_list, values)
    if is_instance(values, "pandas", "Series", "DataFrame"):
        return partial(_take_pandas, values)
    if is_instance(values, "pyarrow", "Array", "ChunkedArray", "Table", "RecordBatch"):
        return partial(type(values).take, values)
    if scipy.sparse.issparse(values):
        return partial(_take_sparse, values)
    if is_instance(values, "cupy", "ndarray"):
        from gpusmote.containers.device_table import TakeOnDevice

        return TakeOnDevice(values)
    polars = is_instance(values, "polars", "Series", "DataFrame")
    if polars or (hasattr(values, "__dlpack_device__") and not isinstance(values, np.ndarray)):
        return partial(_take_items, values.detach() if hasattr(values, "detach") else values)
    array = values if isinstance(values, np.ndarray) else np.asarray(values)  # a masked array stays one
    return partial(_take_numpy, array, array.dtype)


def _take_list(values: list[Any], rows: np.ndarray) -> list[Any]:
    return [list(value) if isinstance(value, list) else value for value in map(values.__getitem__, rows.tolist())]


def _take_pandas(values: Any, rows: np.ndarray) -> Any:
    taken = values.take(rows)
    taken.index = sys.modules["pandas"].RangeIndex(len(rows))  # like reset_index(drop=True), without another copy
    return taken


def _take_sparse(values: Any, rows: np.ndarray) -> Any:
    return values.tocsr()[rows].asformat(values.format)


def _take_items(values: Any, rows: np.ndarray) -> Any:
    return values[rows]


def _take_numpy(values: np.ndarray, dtype: np.dtype, rows: np.ndarray) -> np.ndarray:
    # Unpickling may have changed the byte order of the array to the native one.
    return values.take(rows, axis=0).astype(dtype, copy=False)


def row_taker(name: str, values: Any, n_rows: int) -> Callable[[np.ndarray], Any]:
    """A function that selects rows from a container with one entry of any type for each row of X.

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    values : container of shape (n_rows, ...), or None
    n_rows : int
        Number of rows of X.

    Returns
    -------
    callable
        ``take(rows)`` returns a container of the same kind with these rows (ndarray of int64), in this order. A pandas
        container gets a new default index. For None, it returns None.

    Raises
    ------
    InputError
        If the container does not have ``n_rows`` entries.
    """
    if values is None:
        return lambda rows: None
    found = _length(values)
    if found != n_rows:
        has = f"is {values!r}" if found is None else f"has length {found:,}"
        raise InputError(
            f"{name} {has}, and X has {counted(n_rows, 'row')}.",
            "Keywords of fit_resample need one entry for each row of X; pass parameters to the constructor.",
        )
    return taker(values)


def _length(values: Any) -> int | None:
    """The number of entries of a container; None if ``values`` is not a container."""
    if (shape := getattr(values, "shape", None)) is not None:
        return int(shape[0]) if shape else None
    return len(values) if is_sequence_like(values) else None
