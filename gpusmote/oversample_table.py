"""SMOTE for a table that includes the label column, with the number of rows as a percentage of the minority class."""

from __future__ import annotations

import math
import numbers
from fractions import Fraction
from typing import Any

from gpusmote.containers import Target, wrap_target
from gpusmote.errors import InputError, InputTypeError, ParameterError, TooFewRowsError
from gpusmote.messages import counted
from gpusmote.over_sampling import SMOTE

__all__ = ["check_percentage", "minority_strategy", "oversample"]


def oversample(
    table: Any,
    label: str,
    *,
    percentage: float = 100,
    k_neighbors: int = 1,
    random_state: Any = None,
    device: str = "auto",
) -> Any:
    """Add synthetic rows of the minority class to a table with SMOTE.

    Parameters
    ----------
    table : pandas, polars or pyarrow table, or another eager table that narwhals supports
        The features, all numeric and finite, and the label column. It is not changed.
    label : str
        Name of the column with the two classes, of any type. The class with fewer rows is the minority; if both have
        the same number, the first in sorted order.
    percentage : float, default=100
        Number of synthetic rows per 100 minority rows, at least 0; the result is rounded down. It is computed exactly
        from the decimal number as written: 33.3 % of 1000 rows are 333.
    k_neighbors : int, default=1
        Number of nearest minority rows to interpolate to, less than the number of minority rows.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the random numbers. The same int gives the same rows on every device.
    device : {"auto", "cpu", "cuda", "cuda:N"}, default="auto"
        See :class:`gpusmote.SMOTE`.

    Returns
    -------
    table of the same kind
        The original rows, unchanged and in order, followed by the synthetic rows. The columns have the same order and
        dtypes. Integer and bool columns and a pandas index are handled as in :meth:`gpusmote.SMOTE.fit_resample`.

    Raises
    ------
    InputError
        If the label column does not exist, does not have exactly two classes or has missing values, or if the features
        cannot be used. Its subclass InputTypeError if a column is not numeric or ``table`` is not a table;
        TooFewRowsError if ``k_neighbors`` is not less than the number of minority rows.
    ParameterError
        If another parameter has a value that is not allowed.

    See Also
    --------
    gpusmote.SMOTE : The scikit-learn estimator, for any number of classes.

    Notes
    -----
    The number of synthetic rows is exact. Each draws a pair of a minority row and one of its neighbors; all pairs are
    equally likely. In :func:`gpusmote.r.SMOTE`, each minority row gets the same number of synthetic rows instead.

    References
    ----------
    N. V. Chawla, K. W. Bowyer, L. O. Hall, W. P. Kegelmeyer, "SMOTE: synthetic minority over-sampling technique",
    Journal of Artificial Intelligence Research 16 (2002) 321-357, doi:10.1613/jair.953.

    Examples
    --------
    >>> import pandas as pd
    >>> from gpusmote.oversample_table import oversample
    >>> donors = pd.DataFrame({"months": [2, 4, 1, 7, 9, 8], "gave": ["no", "no", "no", "no", "yes", "yes"]})
    >>> oversample(donors, "gave", percentage=150, random_state=0)["gave"].tolist()
    ['no', 'no', 'no', 'no', 'yes', 'yes', 'yes', 'yes', 'yes']
    """
    import narwhals as nw

    check_percentage(percentage)
    frame = _read(table, label)
    X, y = frame.drop(label).to_native(), frame.get_column(label).to_native()
    strategy = minority_strategy(wrap_target(y, len(frame)), label, percentage)
    sampler = SMOTE(sampling_strategy=strategy, k_neighbors=k_neighbors, random_state=random_state, device=device)
    try:
        X_more, y_more = sampler.fit_resample(X, y)
    except TooFewRowsError as error:  # its hint is about parameters that this function does not have
        raise TooFewRowsError(error.message, "k_neighbors must be less than the number of minority rows.") from None
    labels = nw.from_native(y_more, series_only=True).alias(label)
    at = frame.columns.index(label)
    order = [*range(at), len(frame.columns) - 1, *range(at, len(frame.columns) - 1)]
    # Reorder by position: column names of pandas need not be strings.
    return nw.from_native(X_more, eager_only=True).with_columns(labels)[:, order].to_native()


def _read(table: Any, label: str) -> Any:
    """The table as a narwhals frame, which has the column ``label``."""
    import narwhals as nw

    try:
        frame = nw.from_native(table, eager_only=True)
    except TypeError as error:
        raise InputTypeError(
            f"table is of type {type(table).__name__}.",
            "Pass a pandas, polars or pyarrow table (collect a lazy one first), or use gpusmote.SMOTE.",
        ) from error
    except nw.exceptions.DuplicateError as error:
        raise InputError(f"table cannot be read: {error}", "Give each column a unique name.") from error
    if label not in frame.columns:
        raise InputError(
            f"table has no column {label!r}.", f"Its columns are {', '.join(map(repr, frame.columns[:20]))}."
        )
    return frame


def check_percentage(percentage: Any) -> None:
    """Raise ParameterError unless ``percentage`` is a finite number of at least 0."""
    real = isinstance(percentage, numbers.Real) and not isinstance(percentage, bool)
    if not real or not math.isfinite(percentage) or percentage < 0:
        raise ParameterError(f"percentage is {percentage!r}.", "It must be a finite number of at least 0.")


def minority_strategy(target: Target, name: str, percentage: Any = None, dup_size: int | None = None) -> dict[Any, int]:
    """The ``sampling_strategy`` that adds rows to the smaller of two classes, the first one if both have the same size.

    Parameters
    ----------
    target : Target
    name : str
        Name of the label column, for errors.
    percentage : number, optional
        Synthetic rows per 100 rows of the class, rounded down, computed exactly from the decimal number as written.
    dup_size : int, optional
        Synthetic rows per row of the class, instead of ``percentage``.

    Raises
    ------
    InputError
        If there are not exactly two classes.
    """
    labels = target.classes.tolist()
    if len(labels) != 2:
        raise InputError(
            f"Column {name!r} has {counted(len(labels), 'class')}; exactly two are needed.",
            "For any number of classes, use gpusmote.SMOTE and its sampling_strategy.",
        )
    smaller = int(target.counts.argmin())
    have = int(target.counts[smaller])
    n_new = math.floor(Fraction(str(percentage)) * have / 100) if dup_size is None else have * int(dup_size)
    return {labels[smaller]: have + n_new}
