"""SMOTE as a module of a pipeline tool: a table in, a table out, and one percentage."""

from __future__ import annotations

import math
import numbers
from fractions import Fraction
from typing import Any

from gpusmote.containers import wrap_target
from gpusmote.errors import InputError, InputTypeError, ParameterError, TooFewRowsError
from gpusmote.messages import counted
from gpusmote.over_sampling import SMOTE

__all__ = ["oversample"]


def oversample(
    table: Any,
    label: str,
    *,
    percentage: float = 100,
    k_neighbors: int = 1,
    random_state: Any = None,
    device: str = "auto",
) -> Any:
    """Add ``percentage`` per cent of the minority's rows to a table, made by SMOTE.

    Parameters
    ----------
    table : pandas, polars or pyarrow table (or another eager one that narwhals knows)
        Features, all numeric and finite, and the label. Never written to.
    label : str
        Name of the column that holds the two classes, of whatever type. The class with fewer rows is the minority;
        of equals, the first in sorted order.
    percentage : float, default=100
        Synthetic rows for every hundred minority rows, at least 0; a fraction of a row is left out. The number is
        taken as it is written in decimals: 33.3 of 1000 rows are 333.
    k_neighbors : int, default=1
        Nearest minority rows to choose from, fewer than there are minority rows.
    random_state : int, RandomState, Generator or None, default=None
        The same int gives the same rows on every device.
    device : {"auto", "cpu", "cuda", "cuda:N"}, default="auto"
        See :class:`gpusmote.SMOTE`.

    Returns
    -------
    table of the same kind
        The same columns in the same order with the same dtypes: the originals, untouched and in order, then the
        synthetic rows. What becomes of integer and bool columns and of a pandas index is as in
        :meth:`gpusmote.SMOTE.fit_resample`.

    Raises
    ------
    InputError
        If there is no such column, it has not exactly two classes or has missing values, or features cannot be used;
        InputTypeError for columns that are not numbers and for what is no table; TooFewRowsError if ``k_neighbors``
        is not less than the number of minority rows.
    ParameterError
        If another parameter has a value that is not allowed.

    See Also
    --------
    gpusmote.SMOTE : As a scikit-learn estimator, for any number of classes.

    Notes
    -----
    The number of synthetic rows is exact, and each draws its pair of a minority row and a neighbor, every pair being
    as likely as every other. :func:`gpusmote.r.SMOTE` gives each minority row the same number instead.

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

    frame = _read(table, label)
    X, y = frame.drop(label).to_native(), frame.get_column(label).to_native()
    minority, have = _minority(y, len(frame), label)
    _check_k(k_neighbors, minority, have)
    n_new = _share(percentage, have)
    sampler = SMOTE(
        sampling_strategy={minority: have + n_new}, k_neighbors=k_neighbors, random_state=random_state, device=device
    )
    X_more, y_more = sampler.fit_resample(X, y)
    labels = nw.from_native(y_more, series_only=True).alias(label)
    at = frame.columns.index(label)
    order = [*range(at), len(frame.columns) - 1, *range(at, len(frame.columns) - 1)]
    # By position: pandas has column names that are no strings.
    return nw.from_native(X_more, eager_only=True).with_columns(labels)[:, order].to_native()


def _read(table: Any, label: str) -> Any:
    """The table as narwhals sees it, with a column ``label`` that has no gaps."""
    import narwhals as nw

    try:
        frame = nw.from_native(table, eager_only=True)
    except TypeError as error:
        raise InputTypeError(
            f"table is of type {type(table).__name__}.",
            "Give a pandas, polars or pyarrow table (a lazy one collected first), or use gpusmote.SMOTE.",
        ) from error
    except nw.exceptions.DuplicateError as error:
        raise InputError(f"table cannot be read: {error}", "Give each column a name of its own.") from error
    if label not in frame.columns:
        raise InputError(
            f"table has no column {label!r}.", f"Its columns are {', '.join(map(repr, frame.columns[:20]))}."
        )
    if missing := int(frame.get_column(label).null_count()):
        raise InputError(
            f"Column {label!r} has {counted(missing, 'missing label')}.",
            "Leave these rows out, or label them.",
        )
    return frame


def _minority(y: Any, n_rows: int, name: str) -> tuple[Any, int]:
    """The minority's label and rows."""
    target = wrap_target(y, n_rows)
    classes = target.classes.tolist()
    if len(classes) != 2:
        raise InputError(
            f"Column {name!r} has {counted(len(classes), 'class')}, and a minority needs exactly two.",
            "gpusmote.SMOTE takes any number of classes.",
        )
    smaller = int(target.counts.argmin())
    return classes[smaller], int(target.counts[smaller])


def _check_k(k: Any, minority: Any, have: int) -> None:
    if isinstance(k, numbers.Integral) and int(k) >= have:
        hint = f"The largest k_neighbors that fits is {have - 1}." if have > 1 else "One row has no segment to lie on."
        raise TooFewRowsError(
            f"Class {minority!r} has {counted(have, 'row')}, too few for {counted(int(k), 'neighbor')} of each.", hint
        )


def _share(percentage: Any, have: int) -> int:
    """``percentage`` per cent of the rows, rounded down, the product taken of the decimal number as it is written."""
    real = isinstance(percentage, numbers.Real) and not isinstance(percentage, bool)
    if not real or not math.isfinite(percentage) or percentage < 0:
        raise ParameterError(f"percentage is {percentage!r}.", "It must be a finite number of at least 0.")
    return math.floor(Fraction(str(percentage)) * have / 100)
