"""The caller's y: the code of each row, the classes, and containers with labels of the same kind.

The labels of synthetic rows are selected from the rows of y, so no container has to be built.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import scipy.sparse

from gpusmote.containers.checks import is_instance, is_sequence_like, type_name
from gpusmote.containers.selection import taker
from gpusmote.errors import InputError, InputTypeError, NonFiniteError
from gpusmote.messages import counted, indefinite

__all__ = ["Target", "encode", "wrap_target"]

_FEW_CLASSES = 256  # up to so many classes, one pass over all rows per class is cheaper than a sort


class Target:
    """The caller's y, encoded.

    Parameters
    ----------
    values : ndarray of shape (n,) or (n, c), on the host
        The labels, or positions in ``categories``.
    categories : ndarray or None
        The categories, if the container is categorical.
    take : callable
        ``take(rows)`` returns a container like y with these rows (ndarray of int64), in this order.

    Attributes
    ----------
    codes : ndarray of shape (n,), int64
        Position of the label of each row in ``classes``; on the host.
    classes : ndarray of shape (c,)
        The labels that occur, sorted; for indicator columns, the positions of the columns.
    counts : ndarray of shape (c,), int64
        Number of rows of each class.
    row_bytes : int
        Upper bound of the bytes per row for encoding the labels or for making those of the resampled table.
    """

    row_bytes = 48
    _order: np.ndarray | None = None

    def __init__(self, values: np.ndarray, categories: np.ndarray | None, take: Callable[[np.ndarray], Any]) -> None:
        self._take = take
        self.classes, self.codes = _classes_and_codes(values, categories)
        self.counts = np.bincount(self.codes, minlength=len(self.classes))
        self._row_of_class = np.empty(len(self.classes), np.int64)
        self._row_of_class[self.codes] = np.arange(len(self.codes))  # any row of each class serves

    def rows_of(self, c: int) -> np.ndarray:
        """Positions of the rows of class number ``c``, ascending."""
        if len(self.classes) <= _FEW_CLASSES:
            return np.flatnonzero(self.codes == c)
        if self._order is None:  # a pass over all rows for each class would take quadratic time
            self._order, self._ends = np.argsort(self.codes, kind="stable"), np.cumsum(self.counts)
        return self._order[self._ends[c] - self.counts[c] : self._ends[c]]

    def only(self, codes: np.ndarray) -> Any:
        """A container of the caller's kind with the labels of these codes."""
        return self._take(self._row_of_class[codes])

    def append(self, codes: np.ndarray) -> Any:
        """A container of the caller's kind: the original labels, then those of ``codes``."""
        return self._take(np.concatenate([np.arange(len(self.codes)), self._row_of_class[codes]]))


def wrap_target(y: Any, n_rows: int) -> Target:
    """Wrap y in a :class:`Target`, which encodes it and builds labels of the same kind.

    Parameters
    ----------
    y : container of n labels
        A NumPy array, list, pandas Series, polars Series, pyarrow array or array that supports DLPack. The labels are
        whole numbers (floats too), bool, text, or any objects that can be sorted. y may also be a table of one column,
        or of indicator columns, of which exactly one is 1 in each row. Labels belong to rows by position; an index is
        ignored.
    n_rows : int
        Number of rows of X.

    Raises
    ------
    InputError
        If the lengths differ, or the labels are not classes.
    NonFiniteError
        If labels are missing.
    """
    if isinstance(y, Target):
        return y
    values, categories = _read_labels(y)
    if values.shape[:1] != (n_rows,):
        raise InputError(
            f"Found input variables with inconsistent numbers of samples: X has {counted(n_rows, 'row')}, y has shape "
            f"{values.shape}.",
            "Pass one label for each row of X.",
        )
    return Target(values, categories, taker(np.asarray(y) if isinstance(y, np.ndarray) else y))


def _read_labels(y: Any) -> tuple[np.ndarray, np.ndarray | None]:
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
    if isinstance(y, (np.ndarray, list)):
        return _read_array(y), None
    column = y.iloc[:, 0] if is_instance(y, "pandas", "DataFrame") and y.shape[1] == 1 else y
    if hasattr(column, "cat") and hasattr(column.cat, "codes"):  # a pandas Series of categories
        codes = column.cat.codes.to_numpy()
        _refuse_missing(codes < 0)
        return codes, column.cat.categories.to_numpy()
    if is_instance(y, "pyarrow", "Array", "ChunkedArray", "Table"):
        for one in y.columns if is_instance(y, "pyarrow", "Table") else [y]:
            _refuse_missing(np.asarray(one.is_null()))  # pyarrow converts nulls of dictionary chunks to other labels
    elif scipy.sparse.issparse(y):
        return y.toarray(), None
    elif hasattr(y, "__dlpack_device__"):
        from gpusmote.containers.device_table import host_copy

        return host_copy(y), None
    if is_sequence_like(y):
        return _read_array(y), None
    raise InputTypeError(
        f"y should be a 1d array, got {indefinite(type_name(y))}.",
        "Pass one class label for each row of X, as an array, list, series or column.",
    )


def _refuse_missing(missing: np.ndarray) -> None:
    """Raise NonFiniteError if any label is marked as missing; the message names the first rows."""
    rows = np.flatnonzero(missing)
    if len(rows):
        first = ", ".join(str(row) for row in rows[:5].tolist())
        raise NonFiniteError(
            f"y holds missing labels, NaN or infinity (inf) in {len(rows):,} of its {counted(len(missing), 'row')} "
            f"(first: {first}).",
            "Drop these rows from X and y, or give them a label.",
        )


def _read_array(y: Any) -> np.ndarray:
    if isinstance(y, np.ma.MaskedArray):
        _refuse_missing(np.ma.getmaskarray(y).reshape(len(y), -1).max(axis=1))
    try:
        values = np.asarray(y)
    except ValueError as error:
        raise InputError(
            f"Unknown label type: y cannot be read as an array: {error}.", "Pass one label for each row."
        ) from error
    if isinstance(y, list) and values.dtype.kind in "US" and values.ndim == 1 and len(set(map(type, y))) > 1:
        return np.array(y, dtype=object)  # else NumPy would convert numbers in a list with strings to text
    return values


def _classes_and_codes(values: np.ndarray, categories: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim > 1:
        values = _indicated(values)
    if categories is None:
        return encode(values)
    # Categories may be of any type, floats included. Their own order may differ from the sorted order.
    present, codes = encode(values)
    used = categories[present]
    classes, position = _encode_objects(used.astype(object))
    return classes.astype(used.dtype), position[codes]


def _indicated(values: np.ndarray) -> np.ndarray:
    """The column that is 1 in each row of indicator columns."""
    numeric = values.ndim == 2 and values.dtype.kind in "biuf"
    if not numeric or not (((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all()):
        raise InputError(
            f"Multilabel and multioutput targets are not supported. y has shape {values.shape}, and not every row of "
            "it is a single 1 among zeros.",
            "Pass one label for each row, or one indicator column for each class.",
        )
    return np.asarray(values.argmax(axis=1))


def encode(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sorted classes, and the position of each row's class among them.

    Parameters
    ----------
    values : ndarray of shape (n,)

    Returns
    -------
    classes : ndarray of shape (c,)
        Of the dtype of ``values``, in the native byte order.
    codes : ndarray of shape (n,), int64

    Raises
    ------
    InputError
        If the values are not classes.
    """
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    kind = values.dtype.kind
    if kind in "OUST":
        classes, codes = _encode_objects(values)
    elif kind in "biufmM":
        classes, codes = np.unique(values, return_inverse=True)
        if kind not in "biu":
            _refuse_missing_among(classes.tolist(), values)
    else:
        what = "Complex data not supported" if kind == "c" else "Unknown label type"
        raise InputTypeError(f"{what}: y is {values.dtype}.", "Pass whole numbers or text, one label for each row.")
    for code, label in enumerate(classes.tolist()):
        if isinstance(label, (float, np.floating)) and not float(label).is_integer():
            raise InputError(
                f"Unknown label type: continuous. y holds {float(label)!r} in row {(codes == code).argmax()}, which is "
                "a measurement rather than a class.",
                "Convert y to classes first, for instance y > threshold, or numpy.digitize(y, edges).",
            )
    return classes, codes.astype(np.int64, copy=False)


def _encode_objects(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Encode Python objects by hashing, which is five times as fast as sorting them all and gives clearer errors."""
    labels = values.tolist()
    try:
        found: list[Any] = list(dict.fromkeys(labels))
    except TypeError as error:
        raise InputTypeError(
            f"Unknown label type: {error}.", "Pass numbers or text, one label for each row."
        ) from error
    _refuse_missing_among(found, values)
    try:
        found.sort()
    except TypeError as error:
        kinds = ", ".join(sorted({type(label).__name__ for label in found}))
        raise InputTypeError(
            f"Unknown label type: the classes of y cannot be sorted, their types are {kinds} ({error}).",
            "Convert them to one type, for instance all to str.",
        ) from error
    classes = np.empty(len(found), values.dtype)
    for code, label in enumerate(found):
        classes[code] = label  # one by one, because NumPy would read a list of tuples as a table
    position = {label: code for code, label in enumerate(found)}
    return classes, np.fromiter((position[label] for label in labels), np.int64, len(labels))


def _refuse_missing_among(found: list[Any], values: np.ndarray) -> None:
    """Raise if one of the different labels ``found`` in ``values`` is missing."""
    if any(_is_missing(label) for label in found):
        _refuse_missing(np.array([_is_missing(label) for label in values.tolist()]))


def _is_missing(label: Hashable) -> bool:
    if isinstance(label, (float, np.floating)):
        return not np.isfinite(label)
    return label is None or type(label).__name__ in ("NAType", "NaTType")
