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
    """ADASYN of He, Bai, Garcia & Li (2008), with the interface of R's smotefamily.

    Of the K nearest of all rows to minority row i, let f_i be of other classes. With P minority and N other rows, row i
    gets this many synthetic rows::

        dup_size_i = round((N - P) * f_i / (f_1 + f_2 + ...)),   halves to the even number

    each on the segment to one of its K nearest minority rows, drawn with replacement::

        row = base + gap * (neighbor - base),   gap uniform on [0, 1)

    Since each number is rounded by itself, their sum may be some more or less than N - P.

    Parameters
    ----------
    X : pandas.DataFrame of shape (n, d), or what pandas can make one of
        See :func:`SMOTE`.
    target : sequence of n labels
        See :func:`SMOTE`.
    K : int, default=5
        Neighbors among all rows, which decide how many rows a minority row gets; and as many among the minority
        rows, to choose from, fewer than there are.
    random_state : int, RandomState, Generator or None, default=None
        Decides the order of ``orig_P`` and the draws, never how many rows a minority row gets.

    Returns
    -------
    Result
        With ``K``; ``dup_size`` has one number for each row of ``orig_P``, and their sum is the number of rows of
        ``syn_data``. ``K_all``, ``outcast`` and ``eps`` are None.

    Raises
    ------
    InputError
        If X or target cannot be used; TooFewRowsError if K is not less than the number of minority rows.
    NoSeedsError
        If no minority row has another class among its neighbors.
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
    SMOTE : As many rows from every minority row.
    gpusmote.ADASYN : As a scikit-learn estimator, with rows that add up.

    Notes
    -----
    The paper has the neighbors that rows lie towards among the K nearest of all rows. R does otherwise, and so does
    this function.

    :mod:`gpusmote.r` lists where R's behaviour is not followed.

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
    call.refuse_too_large("K", K, call.own, f"of class {call.label!r}")
    foreign = K - call.count_own(K)
    if not foreign.any():
        raise NoSeedsError(
            f"No row of class {call.label!r} has another class among its K={K} nearest: there is no border to fill.",
            "A larger K may find some; SMOTE starts from every row.",
        )
    counts = _rounded(call.difference, foreign)
    if not counts.any():
        warn(
            f"ADAS makes no synthetic row: class {call.label!r} has {counted(len(counts), 'row')}, the others "
            f"{len(counts) + call.difference:,}, and each row's share of the difference is rounded to 0. SMOTE with "
            "dup_size=1 makes one for each."
        )
    made = counts > 0
    rows = call.make(Recipe(seeds=call.minority[made], pool=call.own, k=K, counts=counts[made]))
    return call.result(rows, K=K, dup_size=counts, method="ADASYN")


def _rounded(n: int, weights: np.ndarray) -> np.ndarray:
    """``n * weight / total``, each rounded to the nearest whole number, of two as near to the even one."""
    total = int(weights.sum())
    table: list[int] = []
    for weight in range(int(weights.max()) + 1):
        share, left = divmod(n * weight, total)
        table.append(share + (2 * left > total or (2 * left == total and share % 2 == 1)))
    return np.take(np.array(table, np.int64), weights)
