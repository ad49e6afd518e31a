"""Reading of labels from the containers of y, and selection of their rows.

The labels of synthetic rows are selected from the rows of y. So each container keeps its dtype, categories, name and
encoding, and no container has to be built.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse

from gpusmote.containers.kinds import is_instance, is_sequence_like, type_name
from gpusmote.errors import InputError, InputTypeError, NonFiniteError
from gpusmote.messages import counted, indefinite

__all__ = ["read_labels", "refuse_missing", "row_taker", "taker"]


def read_labels(y: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the labels of any supported container.

    Returns
    -------
    values : ndarray of shape (n,) or (n, c), on the host
        The labels, or positions in ``categories``.
    categories : ndarray or None
        The categories, if the container is categorical.

    Raises
    ------
    InputError
        If y is None, or cannot be read.
    NonFiniteError
        If the container marks labels as missing.
    """
    if y is None:
        raise InputError(
            "The sampler requires y to be passed, but the target y is None.", "Pass one class label for each row of X."
        )
    if is_instance(y, "pandas", "Series", "DataFrame"):
        return _read_pandas(y)
    if _is_arrow(y):
        return _read_arrow(y), None
    if scipy.sparse.issparse(y):
        return y.toarray(), None
    if not isinstance(y, np.ndarray) and hasattr(y, "__dlpack_device__"):
        from gpusmote.containers.device_table import host_copy

        return host_copy(y), None
    if is_sequence_like(y):
        return _read_array(y), None
    raise InputTypeError(
        f"y should be a 1d array, got {indefinite(type_name(y))}.",
        "Pass one class label for each row of X, as an array, list, series or column.",
    )


def refuse_missing(missing: np.ndarray, kind: str) -> None:
    """Raise NonFiniteError if any label is marked as missing; the message names the first rows."""
    rows = np.flatnonzero(missing)
    if len(rows):
        first = ", ".join(str(row) for row in rows[:5].tolist())
        raise NonFiniteError(
            f"y holds {kind} in {len(rows):,} of its {counted(len(missing), 'row')} (first: {first}).",
            "Drop these rows from X and y, or give them a label.",
        )


def _read_array(y: Any) -> np.ndarray:
    if isinstance(y, np.ma.MaskedArray):
        refuse_missing(np.ma.getmaskarray(y).reshape(len(y), -1).max(axis=1), "masked labels")
    try:
        values = np.asarray(y)
    except ValueError as error:
        raise InputError(
            f"Unknown label type: y cannot be read as an array: {error}.", "Pass one label for each row."
        ) from error
    if isinstance(y, list) and values.dtype.kind in "US" and values.ndim == 1 and len(set(map(type, y))) > 1:
        return np.array(y, dtype=object)  # else NumPy would convert numbers in a list with strings to text
    return values


def _read_pandas(y: Any) -> tuple[np.ndarray, np.ndarray | None]:
    refuse_missing(y.isna().to_numpy().reshape(len(y), -1).max(axis=1), "missing labels")
    column = y.iloc[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    categories = getattr(getattr(column, "cat", None), "categories", None)
    if categories is None:
        return column.to_numpy(), None
    return column.cat.codes.to_numpy(), categories.to_numpy()


def _read_arrow(y: Any) -> np.ndarray:
    import narwhals.stable.v2 as nw

    whole = sys.modules["pyarrow"].chunked_array([y]) if is_instance(y, "pyarrow", "Array") else y
    known: Any = nw.from_native(whole, eager_only=True, allow_series=True)
    columns = list(known.iter_columns()) if hasattr(known, "iter_columns") else [known]
    for column in columns:
        refuse_missing(column.is_null().to_numpy(), "nulls")
    values = [column.to_numpy() for column in columns]
    return values[0] if len(values) == 1 else np.column_stack(values)


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
    if is_instance(values, "polars", "Series", "DataFrame"):
        return partial(_take_items, values)
    if not isinstance(values, np.ndarray) and hasattr(values, "__dlpack_device__"):
        return partial(_take_items, values.detach() if hasattr(values, "detach") else values)
    array = np.asarray(values)
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
    return len(values) if is_sequence_like(values) or _is_arrow(values) else None


def _is_arrow(values: Any) -> bool:
    return is_instance(values, "polars", "Series", "DataFrame") or is_instance(
        values, "pyarrow", "Array", "ChunkedArray", "Table"
    )
