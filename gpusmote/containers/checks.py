"""What is asked of X before anything is computed, and the errors that say where it fails.

Where scikit-learn and imbalanced-learn have a sentence that their users (and estimator checks) know, it is kept.
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
"""Every whole number up to this one, and its negative, is a float64."""

ColumnLabels = Sequence[Hashable] | None
"""The columns' names in the caller's container, or None where they are only numbered."""

ENCODE = (
    "Encode text and categories as bool columns, whose synthetic values are rounded to 0 and 1 (for instance with "
    "sklearn.preprocessing.OneHotEncoder(dtype=bool))."
)
"""What to do about text: dummies of a float type would become fractions."""

_IMPUTE = (
    "Fill the gaps (for instance with sklearn.impute.SimpleImputer), or drop those rows or columns, "
    "before the resampling."
)


@dataclasses.dataclass
class BadColumn:
    """How many values of a column are not finite numbers."""

    column: int
    nan: int = 0
    infinite: int = 0
    null: int = 0

    def describe(self, labels: ColumnLabels) -> str:
        """For instance ``column 'fare' (3 NaN, 1 infinite)``; scikit-learn's words for both are in it."""
        counts = [(self.nan, "NaN"), (self.infinite, "infinite"), (self.null, "null")]
        found = ", ".join(f"{count:,} {kind}" for count, kind in counts if count)
        return f"{column_label(self.column, labels)} ({found})"


def column_label(column: int, labels: ColumnLabels) -> str:
    """The column by its name, or by its number from 0 where it has no name."""
    return f"column {column if labels is None else labels[column]!r}"


def listing(items: Sequence[str], most: int = 5) -> str:
    """The first few of ``items``, and how many more there are.

    Examples
    --------
    >>> listing(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    if len(items) <= most:
        return ", ".join(items)
    return f"{', '.join(items[:most])} and {len(items) - most:,} more"


def check_shape(shape: tuple[int, ...]) -> None:
    """Refuse what is not a table of at least one row and one column."""
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
                f"Look at what selected the {what}s of X.",
            )


def check_dtype(dtype: np.dtype) -> None:
    """Refuse a NumPy dtype that does not hold real numbers which float64 can hold."""
    if dtype.kind in "biuO" or (dtype.kind == "f" and dtype.itemsize <= 8):
        return
    if dtype.kind == "c":
        raise InputTypeError(f"Complex data not supported: X is {dtype}.", "Pass real and imaginary parts as columns.")
    if dtype.kind == "f":
        raise InputTypeError(
            f"X is {dtype}, of which float64, in which everything is computed, keeps only a part.",
            "Convert it: X.astype(np.float64).",
        )
    if dtype.kind in "SUT":
        raise InputTypeError(
            f"X holds text (dtype {dtype}); rows are interpolated, so every column must be numbers.",
            f"{ENCODE} Convert numbers written as text: X.astype(np.float64).",
        )
    raise InputTypeError(
        f"X has dtype {dtype}; rows are interpolated, so every column must be numbers.",
        "Convert it to a numeric dtype: dates, for instance, to the days since one of them.",
    )


def object_to_float(values: np.ndarray, labels: ColumnLabels) -> np.ndarray:
    """Numbers that are Python objects, as float64 with NaN for None.

    Parameters
    ----------
    values : ndarray of shape (n, d), object
    labels : sequence or None

    Raises
    ------
    InputTypeError
        If anything but a real number or None is found; text is refused even where it could be read as a number.
    InputError
        If an integer is not exactly a float64.
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
            f"{ENCODE} Convert decimals and fractions to float (X.astype(float)), or leave these columns out.",
        )
    for j, found in enumerate(kinds):
        if any(issubclass(kind, (int, np.integer)) for kind in found):
            whole = (int(value) for value in values[:, j].tolist() if isinstance(value, (int, np.integer)))
            largest = max(whole, key=abs)
            if abs(largest) > EXACT_INTEGER:
                refuse_inexact(j, largest, labels)
    return values.astype(np.float64)


def _is_number(kind: type) -> bool:
    # Not numbers.Real: fractions are real, but no float holds them.
    return issubclass(kind, (int, float, np.integer, np.floating, np.bool_, type(None)))


def _why_not(example: Any) -> str:
    """Python's own words for why ``example`` is no number; empty where it could be read as one."""
    if isinstance(example, (str, bytes)):
        return ""
    try:
        float(example)
    except (TypeError, ValueError) as error:
        return f": {error}"
    return ""


def check_values(values: np.ndarray, labels: ColumnLabels) -> None:
    """Raise unless every value is finite and is held exactly by a float64.

    Parameters
    ----------
    values : ndarray of shape (n, d), any numeric dtype
    labels : sequence or None

    Raises
    ------
    NonFiniteError, InputError
    """
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8:
        for extreme in (values.max(), values.min()):
            if abs(int(extreme)) > EXACT_INTEGER:
                where = np.argwhere(values == extreme)[0]
                refuse_inexact(int(where[1]), int(extreme), labels)
    elif not surely_finite(values):
        refuse_non_finite(find_bad_columns(values), labels, values.shape[1])


def surely_finite(values: np.ndarray) -> bool:
    """Whether all is finite, told by one pass without a temporary array; False may only mean that the sum overflows."""
    if values.dtype.kind != "f":
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum(dtype=np.float32 if values.dtype.itemsize < 4 else None)))


def find_bad_columns(values: Any, xp: Any = np) -> list[BadColumn]:
    """The columns with NaN or infinity, and how many they have; ``values`` may lie on ``xp``'s device."""
    nan = xp.isnan(values).sum(axis=0).tolist()
    infinite = xp.isinf(values).sum(axis=0).tolist()
    return [BadColumn(j, *counts) for j, counts in enumerate(zip(nan, infinite, strict=True)) if any(counts)]


def refuse_non_finite(bad: list[BadColumn], labels: ColumnLabels, n_features: int) -> None:
    """Raise NonFiniteError about ``bad``; nothing happens when there is none."""
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
    """Raise InputError about an integer that a float64 rounds."""
    raise InputError(
        f"X holds the integer {value} in {column_label(column, labels)}; beyond 2**53 = {EXACT_INTEGER} float64, in "
        "which neighbors and synthetic rows are computed, skips whole numbers.",
        "Leave the column out if it is an identifier; otherwise subtract an offset, or convert it to float64 yourself.",
    )
