"""Checks of X, with errors that name the columns.

Where the estimator checks of scikit-learn and imbalanced-learn match the text of an error, the same text is used.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from gpusmote.errors import InputError, InputTypeError, NonFiniteError
from gpusmote.messages import counted

__all__ = [
    "ENCODE",
    "EXACT_INTEGER",
    "ColumnLabels",
    "check_dtype",
    "check_shape",
    "check_values",
    "column_label",
    "count_non_finite",
    "listing",
    "object_to_float",
    "refuse_inexact",
    "refuse_non_finite",
    "surely_finite",
]

EXACT_INTEGER = 2**53
"""Largest n such that all whole numbers from -n to n are exact in float64."""

ColumnLabels = Sequence[Hashable] | None
"""The column names of the caller's container, or None if its columns have no names."""

ENCODE = (
    "Encode text and categories as bool columns, whose synthetic values are rounded to 0 and 1 (for instance with "
    "sklearn.preprocessing.OneHotEncoder(dtype=bool))."
)
"""Hint for columns of text. It says bool, because synthetic values of float indicator columns would be fractions."""

_IMPUTE = (
    "Fill the missing values (for instance with sklearn.impute.SimpleImputer), or drop those rows or columns, "
    "before resampling."
)


def column_label(column: int, labels: ColumnLabels) -> str:
    """The name of a column, or its number from 0 if it has no name, for messages."""
    return f"column {column if labels is None else labels[column]!r}"


def listing(items: Sequence[str], most: int = 5) -> str:
    """The first ``most`` items, and the number of the others, for messages.

    Examples
    --------
    >>> listing(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    if len(items) <= most:
        return ", ".join(items)
    return f"{', '.join(items[:most])} and {len(items) - most:,} more"


def check_shape(shape: tuple[int, ...]) -> None:
    """Raise InputError unless ``shape`` is that of a table with at least one row and one column."""
    if len(shape) < 2:
        got = "scalar" if not shape else "1D"
        raise InputError(
            f"Expected 2D array, got {got} array instead: X has shape {shape}.",
            "Reshape your data: X.reshape(-1, 1) if it is one feature, X.reshape(1, -1) if it is one row.",
        )
    if len(shape) > 2:
        raise InputError(
            f"Found array with dim {len(shape)}, while dim <= 2 is required: X has shape {tuple(shape)}.",
            "Flatten each sample into one row: X.reshape(len(X), -1).",
        )
    for count, what in zip(shape, ("sample", "feature"), strict=True):
        if not count:
            raise InputError(
                f"Found array with 0 {what}(s) (shape=({shape[0]}, {shape[1]})) while a minimum of 1 is required.",
                f"Check the code that selects the {what}s of X.",
            )


def check_dtype(dtype: np.dtype) -> None:
    """Raise InputTypeError unless a NumPy dtype holds real numbers that fit in float64."""
    if dtype.kind in "biuO" or (dtype.kind == "f" and dtype.itemsize <= 8):
        return
    if dtype.kind == "c":
        raise InputTypeError(f"Complex data not supported: X is {dtype}.", "Pass real and imaginary parts as columns.")
    raise InputTypeError(
        f"X has dtype {dtype}; rows are interpolated in float64, so every column must be numbers that fit in it.",
        f"{ENCODE} Convert numbers written as text and long doubles with X.astype(np.float64), and dates to the number "
        "of days since a fixed date.",
    )


def object_to_float(values: np.ndarray, labels: ColumnLabels) -> np.ndarray:
    """Convert Python numbers to float64, and None to NaN.

    Parameters
    ----------
    values : ndarray of shape (n, d), object
    labels : sequence or None
        Column names for messages.

    Returns
    -------
    ndarray of shape (n, d), float64

    Raises
    ------
    InputTypeError
        If a value is neither a real number nor None. Text is refused even if it could be parsed as a number.
    InputError
        If an integer is beyond 2**53.
    """
    columns = [values[:, j].tolist() for j in range(values.shape[1])]
    kinds = [set(map(type, column)) for column in columns]
    # Not numbers.Real, which includes fractions.Fraction: a float cannot represent it exactly.
    numeric = (int, float, np.integer, np.floating, np.bool_, type(None))
    bad = [(j, kind) for j, found in enumerate(kinds) for kind in found if not issubclass(kind, numeric)]
    if bad:
        j, kind = min(bad, key=lambda column: (column[0], column[1].__name__))
        names = [f"{column_label(j, labels)} ({kind.__name__})" for j, kind in bad]
        raise InputTypeError(
            f"X holds objects that are not numbers in {listing(sorted(names))}"
            f"{_why_not(next(value for value in columns[j] if type(value) is kind))}.",
            f"{ENCODE} Convert decimals and fractions to float (X.astype(float)), or drop these columns.",
        )
    for j, column in enumerate(columns):
        if any(issubclass(kind, (int, np.integer)) for kind in kinds[j]):
            largest = max((int(value) for value in column if isinstance(value, (int, np.integer))), key=abs)
            if abs(largest) > EXACT_INTEGER:
                refuse_inexact(j, largest, labels)
    return values.astype(np.float64)


def _why_not(value: Any) -> str:
    """Python's error text for converting ``value`` to float, which scikit-learn's checks expect; empty if it works."""
    try:
        float(value)
    except (TypeError, ValueError) as error:
        return f": {error}"
    return ""


def check_values(values: Any, labels: ColumnLabels, xp: Any = np) -> None:
    """Raise unless every value is finite and exact in float64.

    Parameters
    ----------
    values : array of shape (n, d), any numeric dtype
    labels : sequence or None
        Column names for messages.
    xp : module, default=numpy
        The module of the array, numpy or cupy.

    Raises
    ------
    NonFiniteError
        If a value is NaN or infinite.
    InputError
        If an integer is beyond 2**53.
    """
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8:
        for extreme in (values.max(), values.min()):
            if abs(int(extreme)) > EXACT_INTEGER:
                refuse_inexact(int((values == extreme).any(axis=0).argmax()), int(extreme), labels)
    refuse_non_finite(count_non_finite(values, xp), labels, values.shape[1])


def surely_finite(values: Any, xp: Any = np) -> bool:
    """Whether the sum of all values is finite, a fast check in one pass. False may also mean that the sum overflows."""
    if values.dtype.kind != "f":
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(xp.isfinite(values.sum(dtype=np.float32 if values.dtype.itemsize < 4 else None)))


def count_non_finite(values: Any, xp: Any = np) -> dict[int, tuple[int, int, int]]:
    """The numbers of NaN, infinite and missing values in each column that has any; an array has no missing ones."""
    if surely_finite(values, xp):
        return {}
    nan, infinite = xp.isnan(values).sum(axis=0).tolist(), xp.isinf(values).sum(axis=0).tolist()
    return {j: (nan[j], infinite[j], 0) for j in range(len(nan)) if nan[j] or infinite[j]}


def refuse_non_finite(bad: Mapping[int, tuple[int, int, int]], labels: ColumnLabels, n_features: int) -> None:
    """Raise NonFiniteError for columns with NaN, infinite and missing values, given as in :func:`count_non_finite`."""
    if not bad:
        return
    named = []
    for j, counts in bad.items():
        kinds = zip(counts, ("NaN", "infinite", "missing"), strict=True)
        found = ", ".join(f"{count:,} {kind}" for count, kind in kinds if count)
        named.append(f"{column_label(j, labels)} ({found})")
    raise NonFiniteError(
        f"X holds {counted(sum(map(sum, bad.values())), 'value')} that cannot be used in {len(bad):,} of its "
        f"{counted(n_features, 'column')}: {listing(named)}.",
        _IMPUTE,
    )


def refuse_inexact(column: int, value: int, labels: ColumnLabels) -> None:
    """Raise InputError for an integer that float64 cannot represent exactly."""
    raise InputError(
        f"X holds the integer {value} in {column_label(column, labels)}; neighbors and synthetic rows are computed in "
        f"float64, which cannot represent all integers beyond 2**53 = {EXACT_INTEGER}.",
        "Drop the column if it is an identifier; otherwise subtract an offset, or convert it to float64 yourself.",
    )
