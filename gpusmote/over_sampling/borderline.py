"""Borderline-SMOTE (Han, Wang & Mao 2005)."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from sklearn.utils._param_validation import StrOptions

from gpusmote.base.recipe import ClassTask, Recipe, half_way_to
from gpusmote.base.sampler import BaseSampler, CommonParameters, neighbors_constraint

__all__ = ["BorderlineSMOTE"]


class BorderlineSMOTE(BaseSampler):
    """SMOTE that uses only rows near the border to other classes as seeds.

    For a row of the class, let f be the number of rows of other classes among its ``m_neighbors`` nearest rows of all
    classes. The row is "in danger", and so a seed, if::

        m_neighbors / 2 <= f < m_neighbors

    With f = m_neighbors it is noise. "borderline-1" interpolates between a seed and one of its ``k_neighbors`` nearest
    rows of the class. "borderline-2" uses its ``k_neighbors`` nearest of all rows; the gap towards a row of another
    class is at most 0.5.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable, default="auto"
        See :class:`SMOTE`.
    random_state : int, RandomState, Generator or None, default=None
        See :class:`SMOTE`.
    k_neighbors : int or estimator, default=5
        Number of nearest neighbors of a seed to interpolate to.
    m_neighbors : int or estimator, default=10
        Number of nearest neighbors that decide whether a row is in danger.
    kind : {"borderline-1", "borderline-2"}, default="borderline-1"
        "borderline-1" interpolates between a seed and its neighbors of the same class, "borderline-2" between a seed
        and its neighbors of any class, at most half of the way to a neighbor of another class.
    no_seeds : {"smote", "raise", "skip"}, default="smote"
        What to do for a class without seeds: "smote" uses all its rows as seeds and warns, so the class still gets
        the requested number of rows; "raise" raises an error (:class:`~gpusmote.errors.NoSeedsError`); "skip" makes no
        rows for it and warns.

        In Borderline-SMOTE a class has no seeds if none of its rows is in danger. imbalanced-learn makes no rows in
        this case.
    device, bit_generator, shrink_k, search, recall_target, memory_limit
        See :class:`SMOTE`.

    Attributes
    ----------
    sampling_strategy_, n_features_in_, feature_names_in_, n_synthetic_, sample_origins_, metadata_, device_, report_
        See :class:`SMOTE`.

    See Also
    --------
    SMOTE : Uses every row of the class as a seed.
    ADASYN : Makes more rows from seeds with more neighbors of other classes.

    Notes
    -----
    In the paper, "borderline-2" uses the k nearest rows of the class and the nearest row of another class. Here, as in
    imbalanced-learn, it uses the k nearest of all rows.

    References
    ----------
    H. Han, W.-Y. Wang, B.-H. Mao, "Borderline-SMOTE: a new over-sampling method in imbalanced data sets learning",
    ICIC 2005, LNCS 3644, 878-887, doi:10.1007/11538059_91.

    Examples
    --------
    >>> import numpy as np
    >>> from gpusmote import BorderlineSMOTE
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(1000, 2))
    >>> y = (X[:, 0] + 0.5 * rng.normal(size=1000) > 1.5).astype(int)
    >>> X_res, y_res = BorderlineSMOTE(random_state=0).fit_resample(X, y)
    >>> bool(np.bincount(y_res)[0] == np.bincount(y_res)[1])
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseSampler._parameter_constraints,
        "k_neighbors": neighbors_constraint,
        "m_neighbors": neighbors_constraint,
        "kind": [StrOptions({"borderline-1", "borderline-2"})],
        "no_seeds": [StrOptions({"smote", "raise", "skip"})],
    }

    def __init__(
        self,
        *,
        k_neighbors: Any = 5,
        m_neighbors: Any = 10,
        kind: str = "borderline-1",
        no_seeds: str = "smote",
        **common: Unpack[CommonParameters],
    ) -> None:
        super().__init__(**common)
        self.k_neighbors = k_neighbors
        self.m_neighbors = m_neighbors
        self.kind = kind
        self.no_seeds = no_seeds

    _looks_at_all_rows = True

    @property
    def _searches_each_class(self) -> bool:  # type: ignore[override]
        return self.kind == "borderline-1" and self.no_seeds == "smote"

    def _recipe(self, task: ClassTask) -> Recipe:
        neighbors = task.everyone.nearest(task.rows, self.m_neighbors, self.shrink_k)
        m, foreign = neighbors.shape[1], task.count_foreign(neighbors)
        seeds = task.rows[(2 * foreign >= m) & (foreign < m)]
        if self.kind == "borderline-1":
            return Recipe(seeds=seeds, pool=task.own, k=self.k_neighbors)

        return Recipe(seeds=seeds, pool=task.everyone, k=self.k_neighbors, reach=half_way_to(task.is_foreign))
