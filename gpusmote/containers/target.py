"""The caller's y: the code of each row, the classes, and containers with labels of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from gpusmote.containers.labels import read_labels, refuse_missing, taker
from gpusmote.errors import InputError, InputTypeError
from gpusmote.messages import counted

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
    codes: np.ndarray
    classes: np.ndarray
    counts: np.ndarray
    _order: np.ndarray | None = None
    _ends: np.ndarray

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
    values, categories = read_labels(y)
    if values.ndim == 0:
        raise InputError(
            f"y should be a 1d array, got an array of shape () instead: {y!r}.", "Pass one label for each row of X."
        )
    if len(values) != n_rows:
        raise InputError(
            f"Found input variables with inconsistent numbers of samples: X has {counted(n_rows, 'row')}, y has "
            f"{len(values):,}.",
            "Pass one label for each row of X.",
        )
    return Target(values, categories, taker(y))


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
        for code, label in enumerate(classes.tolist()):
            if isinstance(label, (float, np.floating)) and not float(label).is_integer():
                _refuse_continuous(int(np.flatnonzero(codes == code)[0]), label)
        return classes, codes
    if kind == "f":
        _check_whole(values)
    elif kind in "mM":
        refuse_missing(np.isnat(values), "NaT")
    elif kind not in "biu":
        what = "Complex data not supported" if kind == "c" else "Unknown label type"
        raise InputTypeError(f"{what}: y is {values.dtype}.", "Pass whole numbers or text, one label for each row.")
    classes, codes = np.unique(values, return_inverse=True)
    return classes, codes.astype(np.int64, copy=False)


def _check_whole(values: np.ndarray) -> None:
    refuse_missing(np.isnan(values), "NaN")
    refuse_missing(np.isinf(values), "infinity (inf)")
    broken = np.flatnonzero(values != np.rint(values))
    if len(broken):
        _refuse_continuous(int(broken[0]), values[broken[0]])


def _refuse_continuous(row: int, value: Any) -> None:
    raise InputError(
        f"Unknown label type: continuous. y holds {float(value)!r} in row {row}, which is a measurement rather than a "
        "class.",
        "Convert y to classes first, for instance y > threshold, or numpy.digitize(y, edges).",
    )


def _encode_objects(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Encode Python objects by hashing, which is five times as fast as sorting them all and gives clearer errors."""
    labels = values.tolist()
    try:
        found: list[Any] = list(dict.fromkeys(labels))
    except TypeError as error:
        raise InputTypeError(
            f"Unknown label type: {error}.", "Pass numbers or text, one label for each row."
        ) from error
    if any(_is_missing(label) for label in found):
        refuse_missing(np.array([_is_missing(label) for label in labels]), "None or NaN")
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


def _is_missing(label: Hashable) -> bool:
    if isinstance(label, (float, np.floating)):
        return bool(np.isnan(label))
    return label is None or type(label).__name__ in ("NAType", "NaTType")
