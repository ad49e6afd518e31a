"""Borderline-SMOTE (Han, Wang & Mao 2005)."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from sklearn.utils._param_validation import StrOptions

from gpusmote.base.recipe import ClassTask, Recipe, half_way_to
from gpusmote.base.sampler import BaseSampler, CommonParameters, neighbors_constraint

__all__ = ["BorderlineSMOTE"]


class BorderlineSMOTE(BaseSampler):
    """SMOTE that starts only from rows near the border to other classes.

    Of the ``m_neighbors`` nearest rows of all classes to a row of the class, let f be of other classes. The row is
    a seed, "in danger", if::

        m_neighbors / 2 <= f < m_neighbors

    (with f = m_neighbors it is noise). "borderline-1" seeks the ``k_neighbors`` neighbors of a seed in the class,
    "borderline-2" among all rows, and a synthetic row goes at most half the way to a neighbor of another class.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable, default="auto"
        See :class:`SMOTE`.
    random_state : int, RandomState, Generator or None, default=None
        See :class:`SMOTE`.
    k_neighbors : int or estimator, default=5
        Neighbors to choose from.
    m_neighbors : int or estimator, default=10
        Neighbors that decide whether a row is in danger.
    kind : {"borderline-1", "borderline-2"}, default="borderline-1"
        Whether the neighbors of a seed are sought in its class, or among all rows: then a row goes at most half the
        way to one of another class.
    no_seeds : {"smote", "raise", "skip"}, default="smote"
        What happens to a class in which no row is a seed: "smote" takes all its rows as seeds, so that the class ends
        with the rows that were asked for, and warns; "raise" is an error (:class:`~gpusmote.errors.NoSeedsError`);
        "skip" leaves it as it is, and warns.

        Here it is a class none of whose rows is in danger. imbalanced-learn leaves it as it is.
    device, bit_generator, shrink_k, search, recall_target, memory_limit
        See :class:`SMOTE`.

    Attributes
    ----------
    sampling_strategy_, n_features_in_, feature_names_in_, n_synthetic_, sample_origins_, metadata_, device_, report_
        See :class:`SMOTE`.

    See Also
    --------
    SMOTE : Starts from every row of the class.
    ADASYN : Starts from a row the more often, the more of its neighbors are of other classes.

    Notes
    -----
    The paper has "borderline-2" use the nearest neighbor of other classes beside the k of the class; here, as in
    imbalanced-learn, the k nearest of all rows are used.

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
