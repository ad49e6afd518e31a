"""Checks of X, with errors that name the columns.

Where the estimator checks of scikit-learn and imbalanced-learn match the text of an error, the same text is used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from gpusmote.errors import InputError, InputTypeError, NonFiniteError
from gpusmote.messages import counted

__all__ = [
    "ENCODE",
    "EXACT_INTEGER",
    "BadColumn",
    "ColumnLabels",
    "check_dtype",
    "check_shape",
    "check_values",
    "column_label",
    "find_bad_columns",
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


@dataclasses.dataclass
class BadColumn:
    """The number of values of a column that are not finite numbers."""

    column: int
    nan: int = 0
    infinite: int = 0
    null: int = 0

    def describe(self, labels: ColumnLabels) -> str:
        """Text such as ``column 'fare' (3 NaN, 1 infinite)``, in the terms of scikit-learn."""
        counts = [(self.nan, "NaN"), (self.infinite, "infinite"), (self.null, "null")]
        found = ", ".join(f"{count:,} {kind}" for count, kind in counts if count)
        return f"{column_label(self.column, labels)} ({found})"


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
    if dtype.kind == "f":
        raise InputTypeError(
            f"X is {dtype}, but rows are computed in float64, which has fewer digits.",
            "Convert it: X.astype(np.float64).",
        )
    if dtype.kind in "SUT":
        raise InputTypeError(
            f"X holds text (dtype {dtype}); rows are interpolated, so every column must be numbers.",
            f"{ENCODE} Convert numbers written as text: X.astype(np.float64).",
        )
    raise InputTypeError(
        f"X has dtype {dtype}; rows are interpolated, so every column must be numbers.",
        "Convert it to a numeric dtype, for instance dates to the number of days since a fixed date.",
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
    kinds = [set(map(type, values[:, j].tolist())) for j in range(values.shape[1])]
    bad = [(j, kind) for j, found in enumerate(kinds) for kind in found if not _is_number(kind)]
    bad.sort(key=lambda column: (column[0], column[1].__name__))
    if bad:
        j, kind = bad[0]
        example = next(value for value in values[:, j].tolist() if type(value) is kind)
        names = [f"{column_label(j, labels)} ({kind.__name__})" for j, kind in bad]
        raise InputTypeError(
            f"X holds objects that are not numbers in {listing(names)}{_why_not(example)}.",
            f"{ENCODE} Convert decimals and fractions to float (X.astype(float)), or drop these columns.",
        )
    for j, found in enumerate(kinds):
        if any(issubclass(kind, (int, np.integer)) for kind in found):
            whole = (int(value) for value in values[:, j].tolist() if isinstance(value, (int, np.integer)))
            largest = max(whole, key=abs)
            if abs(largest) > EXACT_INTEGER:
                refuse_inexact(j, largest, labels)
    return values.astype(np.float64)


def _is_number(kind: type) -> bool:
    # Not numbers.Real, which includes fractions.Fraction: a float cannot represent it exactly.
    return issubclass(kind, (int, float, np.integer, np.floating, np.bool_, type(None)))


def _why_not(example: Any) -> str:
    """Python's error text for converting ``example`` to float; empty for text and if the conversion works."""
    if isinstance(example, (str, bytes)):
        return ""
    try:
        float(example)
    except (TypeError, ValueError) as error:
        return f": {error}"
    return ""


def check_values(values: np.ndarray, labels: ColumnLabels) -> None:
    """Raise unless every value is finite and exact in float64.

    Parameters
    ----------
    values : ndarray of shape (n, d), any numeric dtype
    labels : sequence or None
        Column names for messages.

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
                where = np.argwhere(values == extreme)[0]
                refuse_inexact(int(where[1]), int(extreme), labels)
    elif not surely_finite(values):
        refuse_non_finite(find_bad_columns(values), labels, values.shape[1])


def surely_finite(values: np.ndarray) -> bool:
    """Whether the sum of all values is finite, a fast check in one pass. False may also mean that the sum overflows."""
    if values.dtype.kind != "f":
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum(dtype=np.float32 if values.dtype.itemsize < 4 else None)))


def find_bad_columns(values: Any, xp: Any = np) -> list[BadColumn]:
    """The columns with NaN or infinite values, and their numbers. ``values`` is an array of the module ``xp``."""
    nan = xp.isnan(values).sum(axis=0).tolist()
    infinite = xp.isinf(values).sum(axis=0).tolist()
    return [BadColumn(j, *counts) for j, counts in enumerate(zip(nan, infinite, strict=True)) if any(counts)]


def refuse_non_finite(bad: list[BadColumn], labels: ColumnLabels, n_features: int) -> None:
    """Raise NonFiniteError for the columns ``bad``, if there are any."""
    if not bad:
        return
    total = sum(column.nan + column.infinite + column.null for column in bad)
    found = {
        "NaN": any(column.nan for column in bad),
        "infinity": any(column.infinite for column in bad),
        "null": any(column.null for column in bad),
    }
    kinds = " and ".join(", ".join(kind for kind in found if found[kind]).rsplit(", ", 1))
    raise NonFiniteError(
        f"X holds {kinds} ({counted(total, 'value')}) in {len(bad):,} of its "
        f"{counted(n_features, 'column')}: {listing([column.describe(labels) for column in bad])}.",
        _IMPUTE,
    )


def refuse_inexact(column: int, value: int, labels: ColumnLabels) -> None:
    """Raise InputError for an integer that float64 cannot represent exactly."""
    raise InputError(
        f"X holds the integer {value} in {column_label(column, labels)}; neighbors and synthetic rows are computed in "
        f"float64, which cannot represent all integers beyond 2**53 = {EXACT_INTEGER}.",
        "Drop the column if it is an identifier; otherwise subtract an offset, or convert it to float64 yourself.",
    )
