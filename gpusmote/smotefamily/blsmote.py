"""Borderline-SMOTE with R's interface."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils._param_validation import StrOptions

from gpusmote.base.recipe import Recipe, half_way_to
from gpusmote.errors import NoSeedsError
from gpusmote.smotefamily.call import Call, whole_number_from
from gpusmote.smotefamily.result import Result

__all__ = ["BLSMOTE"]


def BLSMOTE(  # noqa: N802
    X: Any, target: Any, K: int = 5, C: int = 5, dup_size: Any = 0, method: str = "type1", random_state: Any = None
) -> Result:
    """Borderline-SMOTE (Han, Wang & Mao 2005) with the interface of R's smotefamily.

    A minority row is in DANGER if at least one and at most half of its C nearest rows of all classes are minority rows.
    Each DANGER row gets ``dup_size`` synthetic rows::

        row = base + gap * (neighbor - base)

    "type1" draws the neighbor from the K nearest DANGER rows, with a gap uniform on [0, 1). "type2" draws it from the C
    nearest of all rows; the gap is uniform on [0, 1) towards a minority row and on [0, 0.5) towards another row.

    Parameters
    ----------
    X : pandas.DataFrame of shape (n, d), or data that pandas can convert to one
        See :func:`SMOTE`.
    target : sequence of n labels
        See :func:`SMOTE`.
    K : int, default=5
        Number of nearest neighbors that "type1" interpolates to, less than the number of DANGER rows; "type2" does not
        use it.
    C : int, default=5
        Number of nearest neighbors among all rows that decide whether a row is in DANGER. At least 2, because with one
        neighbor no row can be in DANGER.
    dup_size : int or sequence of int, default=0
        Number of synthetic rows for each DANGER row. 0 means ``floor((N - P) / D)`` for D DANGER, P minority and N
        other rows. Of several numbers, 0 is used if it is among them, else the largest.
    method : {"type1", "type2"}, default="type1"
        How the neighbor is drawn; see above.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the order of ``orig_P`` and of the draws. The DANGER rows do not depend on it.

    Returns
    -------
    Result
        ``K_all`` is C; ``outcast`` and ``eps`` are None. The blocks of ``syn_data`` belong to the DANGER rows, in the
        order of ``orig_P``.

    Raises
    ------
    InputError
        If X or target cannot be used; TooFewRowsError if C is not less than the number of rows, or, in "type1", K
        not less than the number of DANGER rows.
    NoSeedsError
        If no row is in DANGER.
    ParameterError
        If another parameter has a value that is not allowed.
    MissingPackageError
        If pandas is not installed.

    Warns
    -----
    GpusmoteWarning
        If ``dup_size=0`` gives no synthetic rows.

    See Also
    --------
    SMOTE : Makes rows from every minority row.
    gpusmote.BorderlineSMOTE : The scikit-learn estimator, with the neighbors of imbalanced-learn.

    Notes
    -----
    In the paper, the neighbors of the first type are the k nearest minority rows; those of the second type are the k
    nearest minority rows and the nearest row of another class. This function follows R instead.

    :mod:`gpusmote.r` lists the differences from R.

    References
    ----------
    H. Han, W.-Y. Wang, B.-H. Mao, "Borderline-SMOTE: a new over-sampling method in imbalanced data sets learning",
    ICIC 2005, LNCS 3644, 878-887, doi:10.1007/11538059_91.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from gpusmote.smotefamily import BLSMOTE
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.normal(size=(600, 2)), columns=["width", "length"])
    >>> target = np.where(X["width"] + 0.5 * rng.normal(size=600) > 1.5, "rare", "common")
    >>> result = BLSMOTE(X, target, dup_size=3, random_state=0)
    >>> result.method, result.K_all, len(result.syn_data) % 3
    ('Borderline-SMOTE type1', 5, 0)
    """
    options = {"K": (K, whole_number_from(1)), "C": (C, whole_number_from(2))}
    method_option = {"method": (method, [StrOptions({"type1", "type2"})])}
    call = Call("BLSMOTE", X, target, random_state, among_all=True, **options, **method_option)
    call.check_neighbors("C", C, call.everyone, "in X")
    danger = _danger(call, C)
    if method == "type1":
        pool = call.pool(danger, "DANGER")
        hint = 'A larger C may give more DANGER rows, and method="type2" does not use K.'
        call.check_neighbors("K", K, pool, f"of class {call.label!r} in DANGER", hint)
    size = call.rows_per_base(dup_size, len(danger))
    counts = np.full(len(danger), size)

    if method == "type1":
        recipe = Recipe(seeds=danger, pool=pool, k=K, counts=counts)
    else:
        recipe = Recipe(seeds=danger, pool=call.everyone, k=C, counts=counts, reach=half_way_to(call.is_foreign))
    rows = call.make(recipe)
    return call.result(rows, K=K, K_all=C, dup_size=size, method=f"Borderline-SMOTE {method}")


def _danger(call: Call, C: int) -> np.ndarray:
    """The positions in X of the DANGER rows, in the order of ``orig_P``."""
    own = call.count_own(C)
    danger = call.minority[(own > 0) & (2 * own <= C)]
    if not len(danger):
        alone, safe = int((own == 0).sum()), int((2 * own > C).sum())
        raise NoSeedsError(
            f"No row of class {call.label!r} is in DANGER: of {len(own):,} rows, {alone:,} have no row of the class "
            f"among their C={C} nearest neighbors, and {safe:,} have more than half.",
            "Try another C, or use SMOTE, which makes rows from every row of the class.",
        )
    return danger
