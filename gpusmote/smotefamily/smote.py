"""SMOTE with R's interface."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpusmote.base.recipe import Recipe
from gpusmote.smotefamily.call import Call, whole_number_from
from gpusmote.smotefamily.result import Result

__all__ = ["SMOTE"]


def SMOTE(X: Any, target: Any, K: int = 5, dup_size: Any = 0, random_state: Any = None) -> Result:  # noqa: N802
    """SMOTE (Chawla, Bowyer, Hall & Kegelmeyer 2002) with the interface of R's smotefamily.

    Each minority row gets ``dup_size`` synthetic rows. Each lies on the segment between the minority row and one of its
    K nearest minority rows, drawn with replacement::

        row = base + gap * (neighbor - base),   gap uniform on [0, 1)

    Parameters
    ----------
    X : pandas.DataFrame of shape (n, d), or data that pandas can convert to one
        Finite numbers. polars and pyarrow tables work too; the columns of an array are named V1, V2, ... The distance
        is Euclidean, without scaling. X is not changed.
    target : sequence of n labels
        The class with the fewest rows is the minority; with a tie, the first in sorted order (for a categorical, in the
        order of its categories). The index of a Series is ignored.
    K : int, default=5
        Number of nearest neighbors to interpolate to, less than the number of minority rows. A row is not its own
        neighbor, but exact duplicates of it are neighbors. A tie goes to the row that comes first in X.
    dup_size : int or sequence of int, default=0
        Number of synthetic rows for each minority row. 0 means ``floor((N - P) / P)`` for P minority and N other rows,
        which balances the classes only if the division has no remainder. Of several numbers, 0 is used if it is among
        them, else the largest.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the order of ``orig_P`` and of the draws.

    Returns
    -------
    Result
        ``K_all``, ``outcast`` and ``eps`` are None.

    Raises
    ------
    InputError
        If X or target cannot be used; TooFewRowsError if K is not less than the number of minority rows.
    ParameterError
        If K, dup_size or random_state has a value that is not allowed.
    MissingPackageError
        If pandas is not installed.

    Warns
    -----
    GpusmoteWarning
        If ``dup_size=0`` gives no synthetic rows.

    See Also
    --------
    BLSMOTE : Makes rows only from rows near the border to other classes.
    gpusmote.SMOTE : The scikit-learn estimator.

    Notes
    -----
    :mod:`gpusmote.r` lists the differences from R.

    References
    ----------
    N. V. Chawla, K. W. Bowyer, L. O. Hall, W. P. Kegelmeyer, "SMOTE: synthetic minority over-sampling technique",
    Journal of Artificial Intelligence Research 16 (2002) 321-357, doi:10.1613/jair.953.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from gpusmote.smotefamily import SMOTE
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.normal(size=(130, 2)), columns=["width", "length"])
    >>> target = ["rare"] * 30 + ["common"] * 100
    >>> result = SMOTE(X, target, K=3, random_state=0)
    >>> result
    <SMOTE (K=3, dup_size=2): 30 rows of class 'rare' + 60 synthetic + 100 others = 190 rows x 3 columns>
    >>> result.data["class"].value_counts().to_dict()
    {'common': 100, 'rare': 90}
    """
    call = Call("SMOTE", X, target, random_state, among_all=False, K=(K, whole_number_from(1)))
    call.check_neighbors("K", K, call.own, f"of class {call.label!r}")
    size = call.rows_per_base(dup_size, call.own.size)
    counts = np.full(call.own.size, size)
    rows = call.make(Recipe(seeds=call.minority, pool=call.own, k=K, counts=counts))
    return call.result(rows, K=K, dup_size=size, method="SMOTE")
