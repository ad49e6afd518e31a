"""ADASYN with R's interface."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpusmote.base.recipe import Recipe
from gpusmote.errors import NoSeedsError, warn
from gpusmote.messages import counted
from gpusmote.smotefamily.call import Call, whole_number_from
from gpusmote.smotefamily.result import Result

__all__ = ["ADAS"]


def ADAS(X: Any, target: Any, K: int = 5, random_state: Any = None) -> Result:  # noqa: N802
    """ADASYN (He, Bai, Garcia & Li 2008) with the interface of R's smotefamily.

    For minority row i, let f_i be the number of rows of other classes among its K nearest rows of all classes. With P
    minority and N other rows, row i gets this number of synthetic rows::

        dup_size_i = round((N - P) * f_i / (f_1 + f_2 + ...)),   ties to even

    Each lies on the segment between row i and one of its K nearest minority rows, drawn with replacement::

        row = base + gap * (neighbor - base),   gap uniform on [0, 1)

    Because each number is rounded separately, their sum may differ from N - P.

    Parameters
    ----------
    X : pandas.DataFrame of shape (n, d), or data that pandas can convert to one
        See :func:`SMOTE`.
    target : sequence of n labels
        See :func:`SMOTE`.
    K : int, default=5
        Number of nearest neighbors: among all rows, to set how many synthetic rows each minority row gets, and among
        the minority rows, to interpolate to. Less than the number of minority rows.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the order of ``orig_P`` and of the draws. The number of rows does not depend on it.

    Returns
    -------
    Result
        ``dup_size`` has one number for each row of ``orig_P``; they sum to the number of rows of ``syn_data``.
        ``K_all``, ``outcast`` and ``eps`` are None.

    Raises
    ------
    InputError
        If X or target cannot be used; TooFewRowsError if K is not less than the number of minority rows.
    NoSeedsError
        If no minority row has a neighbor of another class.
    ParameterError
        If K or random_state has a value that is not allowed.
    MissingPackageError
        If pandas is not installed.

    Warns
    -----
    GpusmoteWarning
        If every number is rounded to 0.

    See Also
    --------
    SMOTE : The same number of rows from every minority row.
    gpusmote.ADASYN : The scikit-learn estimator, which makes exactly the requested number of rows.

    Notes
    -----
    In the paper, the neighbor of a base row is one of the minority rows among its K nearest of all rows. This function
    follows R instead.

    :mod:`gpusmote.r` lists the differences from R.

    References
    ----------
    H. He, Y. Bai, E. A. Garcia, S. Li, "ADASYN: adaptive synthetic sampling approach for imbalanced learning",
    IJCNN 2008, 1322-1328, doi:10.1109/IJCNN.2008.4633969.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from gpusmote.smotefamily import ADAS
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.normal(size=(600, 2)), columns=["width", "length"])
    >>> target = np.where(X["width"] + 0.5 * rng.normal(size=600) > 1.5, "rare", "common")
    >>> result = ADAS(X, target, random_state=0)
    >>> len(result.orig_P), len(result.orig_N), len(result.syn_data)
    (51, 549, 495)
    >>> result.dup_size[:10]
    array([ 4,  4, 11, 19, 15, 15,  8,  0,  0, 19])
    """
    call = Call("ADAS", X, target, random_state, among_all=True, K=(K, whole_number_from(1)))
    call.check_neighbors("K", K, call.own, f"of class {call.label!r}")
    foreign = K - call.count_own(K)
    if not foreign.any():
        raise NoSeedsError(
            f"No row of class {call.label!r} has a row of another class among its K={K} nearest neighbors.",
            "Try a larger K, or use SMOTE, which makes rows from every row of the class.",
        )
    counts = _rounded(call.difference, foreign)
    if not counts.any():
        warn(
            f"ADAS makes no synthetic rows: class {call.label!r} has {counted(len(counts), 'row')}, the others "
            f"{len(counts) + call.difference:,}, and each row's share of the difference is rounded to 0. SMOTE with "
            "dup_size=1 makes one row for each."
        )
    made = counts > 0
    rows = call.make(Recipe(seeds=call.minority[made], pool=call.own, k=K, counts=counts[made]))
    return call.result(rows, K=K, dup_size=counts, method="ADASYN")


def _rounded(n: int, weights: np.ndarray) -> np.ndarray:
    """``n * weight / total`` for each weight, rounded to the nearest whole number, ties to even."""
    total = int(weights.sum())
    table: list[int] = []
    for weight in range(int(weights.max()) + 1):
        share, left = divmod(n * weight, total)
        table.append(share + (2 * left > total or (2 * left == total and share % 2 == 1)))
    return np.take(np.array(table, np.int64), weights)
