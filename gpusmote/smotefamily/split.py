"""The split of X and target into the minority class and the other classes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from gpusmote.backends import Backend
from gpusmote.containers import wrap_features
from gpusmote.errors import InputError, MissingPackageError
from gpusmote.messages import counted

__all__ = ["Split", "load_pandas", "split"]


@dataclasses.dataclass(frozen=True)
class Split:
    """X and target, checked. The arrays may share memory with the caller's data, so they must not be changed.

    Attributes
    ----------
    frame : pandas.DataFrame
        X with the caller's dtypes and index.
    labels : pandas array of shape (n,)
        ``target`` with its dtype.
    values : ndarray of shape (n, d), float64
        The values of X.
    is_minority : ndarray of shape (n,), bool
        Whether each row is of the minority class.
    label : object
        Label of the minority class.
    """

    frame: Any
    labels: Any
    values: np.ndarray
    is_minority: np.ndarray
    label: Any

    @property
    def minority(self) -> np.ndarray:
        """Positions in X of the minority rows, ascending."""
        return np.flatnonzero(self.is_minority)

    @property
    def others(self) -> np.ndarray:
        """Positions in X of the other rows, ascending."""
        return np.flatnonzero(~self.is_minority)


def split(X: Any, target: Any) -> Split:
    """Read and check X and target.

    Raises
    ------
    InputError
        If X or target cannot be used; also as NonFiniteError and InputTypeError.
    MissingPackageError
        If pandas is not installed.
    """
    frame = _frame(X)
    table = wrap_features(frame)
    table.check_finite()
    values = np.ascontiguousarray(table.take(None, Backend()), dtype=np.float64)
    labels = _labels(target, len(frame))
    codes, classes = _codes(labels)
    counts = np.bincount(codes, minlength=len(classes))
    present = np.flatnonzero(counts)  # a categorical target may have categories that no row has
    if len(present) < 2:
        raise InputError(
            f"target has one class only, {classes[int(present[0])]!r}.",
            "At least two classes are needed.",
        )
    smallest = int(present[counts[present].argmin()])
    return Split(frame, labels, values, codes == smallest, classes[smallest])


def load_pandas() -> Any:
    """Import pandas, which is optional.

    Raises
    ------
    MissingPackageError
        If pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingPackageError(
            "gpusmote.r returns pandas data frames, and pandas is not installed.", "python -m pip install pandas"
        ) from error
    return pandas


def _frame(X: Any) -> Any:
    """X as a pandas DataFrame. Columns without names are named V1, V2, ..., as R names the columns of a matrix."""
    pd = load_pandas()
    if isinstance(X, pd.DataFrame):
        return X
    if hasattr(X, "to_pandas"):  # polars, pyarrow
        X = X.to_pandas()
    if isinstance(X, (pd.Series, pd.DataFrame)):
        return pd.DataFrame(X)
    try:
        if isinstance(X, dict):
            return pd.DataFrame(X)
        values = np.asarray(X)
        if values.dtype.names:
            return pd.DataFrame(values)
    except ValueError as error:
        raise InputError(
            f"X cannot be read as a table: {error}", "Give every row the same number of values."
        ) from error
    if values.ndim != 2:
        raise InputError(
            f"X has {counted(values.ndim, 'dimension')}; a table has 2.",
            "Pass a data frame, or an array of shape (rows, columns).",
        )
    return pd.DataFrame(values, columns=[f"V{j + 1}" for j in range(values.shape[1])])


def _labels(target: Any, n_rows: int) -> Any:
    """target as a pandas array, with one label for each row by position; the index of a Series is ignored, as in R."""
    pd = load_pandas()
    if hasattr(target, "to_pandas"):
        target = target.to_pandas()
    if getattr(target, "ndim", 1) != 1:
        raise InputError(
            f"target has {counted(target.ndim, 'dimension')}.",
            "Pass one label for each row: a list, an array or a column.",
        )
    try:
        labels = pd.Series(target).array
    except (TypeError, ValueError) as error:
        raise InputError(
            f"target cannot be read as labels: {error}", "Pass a list with one label for each row."
        ) from error
    if len(labels) != n_rows:
        raise InputError(
            f"target has {counted(len(labels), 'label')}, X has {counted(n_rows, 'row')}.",
            "Pass one label for each row.",
        )
    missing = np.flatnonzero(pd.isna(labels))
    if len(missing):
        shown = ", ".join(map(str, missing[:5].tolist())) + (", ..." if len(missing) > 5 else "")
        raise InputError(
            f"target has {counted(len(missing), 'missing label')} (rows {shown}, counted from 0).",
            "Drop these rows, or give them a label.",
        )
    return labels


def _codes(labels: Any) -> tuple[np.ndarray, list[Any]]:
    """The position of each label among the sorted classes, and the classes. A categorical has its own order."""
    pd = load_pandas()
    if isinstance(labels, pd.Categorical):
        return labels.codes.astype(np.int64), labels.categories.tolist()
    try:
        codes, found = pd.factorize(pd.Series(labels))
        classes = found.tolist()
        order = sorted(range(len(classes)), key=classes.__getitem__)
    except TypeError as error:
        raise InputError(
            "The labels of target cannot be sorted, for instance because they mix numbers and text.",
            "Pass labels of one type.",
        ) from error
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[codes], [classes[i] for i in order]
