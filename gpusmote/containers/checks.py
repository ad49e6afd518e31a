"""Kinds of containers, and checks of X with errors that name the columns.

Types are found without an import of their libraries: if a caller has a container, its library is imported.

Where the estimator checks of scikit-learn and imbalanced-learn match the text of an error, the same text is used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from gpusmote.errors import InputError, InputTypeError, NonFiniteError
from gpusmote.messages import counted, indefinite

__all__ = ["ColumnLabels", "check_dtype", "check_frame", "check_integers", "check_shape", "check_values"]
__all__ += ["is_instance", "is_sequence_like", "object_to_float", "refuse_column_types", "refuse_known_features"]
__all__ += ["type_name", "unreadable"]

_EXACT_INTEGER = 2**53
"""Largest n such that all whole numbers from -n to n are exact in float64."""

ColumnLabels = Sequence[Hashable] | None
"""The column names of the caller's container, or None if its columns have no names."""

_ENCODE = (
    "Encode text and categories as bool columns, whose synthetic values are rounded to 0 and 1 (for instance with "
    "sklearn.preprocessing.OneHotEncoder(dtype=bool))."
)
"""Hint for columns of text. It says bool, because synthetic values of float indicator columns would be fractions."""

_IMPUTE = (
    "Fill the missing values (for instance with sklearn.impute.SimpleImputer), or drop those rows or columns, "
    "before resampling."
)


def _column_label(column: int, labels: ColumnLabels) -> str:
    """The name of a column, or its number from 0 if it has no name, for messages."""
    return f"column {column if labels is None else labels[column]!r}"


def _listing(items: Sequence[str], most: int = 5) -> str:
    """The first ``most`` items, and the number of the others, for messages.

    Examples
    --------
    >>> _listing(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    if len(items) <= most:
        return ", ".join(items)
    return f"{', '.join(items[:most])} and {len(items) - most:,} more"


def check_shape(shape: tuple[int, ...]) -> None:
    """Raise InputError unless ``shape`` is that of a table with at least one row and one column."""
    if len(shape) != 2:
        raise InputError(
            f"Expected 2D array, got {len(shape)}D array instead: X has shape {tuple(shape)}.",
            "Reshape your data: X.reshape(-1, 1) if it is one feature, X.reshape(1, -1) if it is one row, "
            "X.reshape(len(X), -1) to make one row of each sample.",
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
        f"{_ENCODE} Convert text that holds numbers, and long doubles, with X.astype(np.float64), and dates to a "
        "number of days.",
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
    # Not numbers.Real, which includes fractions.Fraction: a float cannot represent it exactly.
    numeric = (int, float, np.integer, np.floating, np.bool_, type(None))
    kinds = [(j, kind) for j in range(values.shape[1]) for kind in set(map(type, values[:, j].tolist()))]
    bad = sorted(f"{_column_label(j, labels)} ({kind.__name__})" for j, kind in kinds if not issubclass(kind, numeric))
    try:
        floats: np.ndarray = values.astype(np.float64)
        why = ""
    except (TypeError, ValueError, OverflowError) as error:
        why = f": {error}"  # scikit-learn's checks expect Python's text
    if bad or why:
        where = f" in {_listing(bad)}" if bad else ""
        raise InputTypeError(
            f"X holds objects that are not read as numbers{where}{why}.",
            f"{_ENCODE} Convert decimals and fractions to float (X.astype(float)), or drop these columns.",
        )
    check_integers(values, floats, labels)
    return floats


def check_integers(values: Any, floats: np.ndarray, labels: ColumnLabels) -> None:
    """Raise if an integer of ``values``, an object array or a nested list, was rounded when ``floats`` was made."""
    for i, j in np.argwhere(abs(floats) >= _EXACT_INTEGER).tolist():
        value = values[i][j]
        if isinstance(value, (int, np.integer)) and abs(int(value)) > _EXACT_INTEGER:
            _refuse_inexact(j, int(value), labels)


def check_values(
    values: Any, labels: ColumnLabels, n_features: int, columns: Callable[[], np.ndarray] | None = None, xp: Any = np
) -> None:
    """Raise unless every value is finite and exact in float64.

    Parameters
    ----------
    values : array of shape (n, n_features), or (n,) with ``columns``; any numeric dtype
    labels : sequence or None
        Column names for messages.
    n_features : int
    columns : callable or None, default=None
        ``columns()`` returns the column of each value, for the entries of a sparse matrix.
    xp : module, default=numpy
        The module of the array, numpy or cupy.

    Raises
    ------
    NonFiniteError
        If a value is NaN or infinite.
    InputError
        If an integer is beyond 2**53.
    """
    _check_extremes(values, labels, columns)
    _refuse_non_finite(_count_non_finite(values, columns, xp), labels, n_features)


def check_frame(columns: Sequence[Any], nulls: Sequence[int], labels: Sequence[Hashable]) -> None:
    """Like :func:`check_values` for a data frame: the values of each column, or None if ``nulls`` is not 0."""
    bad = {j: (0, 0, null) for j, null in enumerate(nulls) if null}
    for j, column in enumerate(columns):
        if column is not None:
            bad.update((j, counts) for counts in _count_non_finite(np.asarray(column)[:, None]).values())
    _refuse_non_finite(dict(sorted(bad.items())), labels, len(labels))
    for j, column in enumerate(columns):
        if column.dtype.kind in "iu":
            _check_extremes(np.asarray(column)[:, None], labels[j : j + 1])


def _check_extremes(values: Any, labels: ColumnLabels, columns: Callable[[], np.ndarray] | None = None) -> None:
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8 and values.size:
        for extreme in (values.max(), values.min()):
            if abs(int(extreme)) > _EXACT_INTEGER:
                where = values == extreme
                column = columns()[where.argmax()] if columns else where.any(axis=0).argmax()
                _refuse_inexact(int(column), int(extreme), labels)


def _surely_finite(values: Any, xp: Any = np) -> bool:
    """Whether the sum of all values is finite, a fast check in one pass. False may also mean that the sum overflows."""
    if values.dtype.kind != "f":
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(xp.isfinite(values.sum(dtype=np.float32 if values.dtype.itemsize < 4 else None)))


def _count_non_finite(
    values: Any, columns: Callable[[], np.ndarray] | None = None, xp: Any = np
) -> dict[int, tuple[int, int, int]]:
    """The numbers of NaN, infinite and missing values in each column that has any; an array has no missing ones."""
    if _surely_finite(values, xp):
        return {}
    wrong = xp.isnan(values), xp.isinf(values)
    if columns:
        nan, infinite = (np.bincount(columns()[marked], minlength=1 + columns().max()).tolist() for marked in wrong)
    else:
        nan, infinite = (marked.sum(axis=0).tolist() for marked in wrong)
    return {j: (nan[j], infinite[j], 0) for j in range(len(nan)) if nan[j] or infinite[j]}


def _refuse_non_finite(bad: Mapping[int, tuple[int, int, int]], labels: ColumnLabels, n_features: int) -> None:
    """Raise NonFiniteError for columns with NaN, infinite and missing values, given as in :func:`_count_non_finite`."""
    if not bad:
        return
    named = []
    for j, counts in bad.items():
        kinds = zip(counts, ("NaN", "infinite", "missing"), strict=True)
        found = ", ".join(f"{count:,} {kind}" for count, kind in kinds if count)
        named.append(f"{_column_label(j, labels)} ({found})")
    raise NonFiniteError(
        f"X holds {counted(sum(map(sum, bad.values())), 'value')} that cannot be used in {len(bad):,} of its "
        f"{counted(n_features, 'column')}: {_listing(named)}.",
        _IMPUTE,
    )


def _refuse_inexact(column: int, value: int, labels: ColumnLabels) -> None:
    """Raise InputError for an integer that float64 cannot represent exactly."""
    raise InputError(
        f"X holds the integer {value} in {_column_label(column, labels)}; neighbors and synthetic rows are computed in "
        f"float64, which cannot represent all integers beyond 2**53 = {_EXACT_INTEGER}.",
        "Drop the column if it is an identifier; otherwise subtract an offset, or convert it to float64 yourself.",
    )


def refuse_column_types(kinds: list[tuple[Hashable, Any]], numeric: Callable[[Any], bool]) -> None:
    """Raise InputTypeError if there are columns (name, type) whose type is not numeric."""
    refused = [f"{_column_label(0, [label])} ({kind})" for label, kind in kinds if not numeric(kind)]
    if refused:
        raise InputTypeError(
            f"X has {counted(len(refused), 'column')} whose type is not numeric: {_listing(refused)}.",
            f"{_ENCODE} Convert dates and decimals to float64, or drop these columns: rows are interpolated, so "
            "every column must be numbers.",
        )


def is_instance(value: Any, module: str, *classes: str) -> bool:
    """Whether ``value`` is an instance of one of the classes of a module; False if the module is not loaded.

    Examples
    --------
    >>> is_instance(1, "decimal", "Decimal")
    False
    """
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, tuple(getattr(loaded, name, ()) for name in classes))


def is_sequence_like(value: Any) -> bool:
    """Whether NumPy may be able to read ``value`` as an array."""
    return hasattr(value, "__array__") or (isinstance(value, Sequence) and not isinstance(value, (str, bytes)))


def type_name(value: Any) -> str:
    """The name of the type with its library, for messages."""
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    return kind.__qualname__ if library == "builtins" else f"{library}.{kind.__qualname__}"


_HINTS = {
    # Library: how to convert its containers to a supported one. Lazy containers are never collected without notice.
    "polars": "Call X.collect() first.",
    "dask": "Call X.compute() first.",
    "cupyx": "Make it dense, X.toarray(), or copy it to the host as a SciPy matrix, X.get().",
    "cudf": "Pass X.to_cupy(), or X.to_pandas().",
    "narwhals": "Pass the native frame: X.to_native().",
    "pyspark": "Pass X.toPandas().",
}


def refuse_known_features(X: Any) -> None:
    """Raise for known types of X that are not supported, with a hint how to convert them."""
    if is_instance(X, "polars", "Series") or is_instance(X, "pyarrow", "Array"):
        check_shape((len(X),))
    library = type(X).__module__.partition(".")[0]
    if library in _HINTS or hasattr(X, "__dataframe__"):
        hint = _HINTS.get(library, "Convert it to a pandas or polars DataFrame, or a pyarrow Table.")
        raise InputTypeError(f"X is {indefinite(type_name(X))}, which gpusmote does not read.", hint)


def unreadable(X: Any) -> InputTypeError:
    """The error for an X of a type that is not a table."""
    return InputTypeError(
        f"X is {indefinite(type_name(X))}, which gpusmote cannot read as a table.",
        "Pass a NumPy array, a nested list, a SciPy sparse matrix, a pandas, polars or pyarrow table, or a CuPy or "
        "torch array.",
    )
