"""ADASYN (He, Bai, Garcia & Li 2008)."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from sklearn.utils._param_validation import StrOptions

from gpusmote.base.recipe import ClassTask, Recipe
from gpusmote.base.sampler import BaseSampler, CommonParameters, neighbors_constraint

__all__ = ["ADASYN"]


class ADASYN(BaseSampler):
    """Adaptive synthetic sampling (ADASYN).

    Rows with more neighbors of other classes get more synthetic rows. For row i of the class, let f_i be the number of
    rows of other classes among its ``n_neighbors`` nearest rows of all classes. Of the n rows to make, row i gets::

        g_i = n * f_i / (f_1 + f_2 + ...)

    Each g_i is rounded down to a whole number. The rows still missing are given one each to the rows with the largest
    remainders; ties go to the row that comes first. Each synthetic row lies on the segment between row i and one of its
    ``n_neighbors`` nearest rows of the class, chosen uniformly::

        row = base + gap * (neighbor - base),   gap uniform on [0, 1)

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable, default="auto"
        See :class:`SMOTE`.
    random_state : int, RandomState, Generator or None, default=None
        See :class:`SMOTE`.
    n_neighbors : int or estimator, default=5
        Number of nearest neighbors: among all rows, to set how many synthetic rows each row gets, and within the
        class, to interpolate to.

        Or a scikit-learn neighbors estimator. It is fitted on all rows, then on the class; its ``n_neighbors`` counts
        the row itself.
    no_seeds : {"smote", "raise", "skip"}, default="smote"
        See :class:`BorderlineSMOTE`.

        In ADASYN a class has no seeds if none of its rows has a neighbor of another class. imbalanced-learn raises an
        error in this case.
    device, bit_generator, shrink_k, search, recall_target, memory_limit
        See :class:`SMOTE`.

    Attributes
    ----------
    sampling_strategy_, n_features_in_, feature_names_in_, n_synthetic_, sample_origins_, metadata_, device_, report_
        See :class:`SMOTE`.

    See Also
    --------
    SMOTE : Uses every row of the class as a seed.
    BorderlineSMOTE : Uses only rows near the border to other classes as seeds.

    Notes
    -----
    The paper covers two classes, does not say how g_i is rounded, and chooses the neighbor from the rows of the class
    among the n_neighbors nearest of all rows. Here, as in imbalanced-learn, the rows of all other classes count
    together, and the neighbor is one of the n_neighbors nearest rows within the class. So a row whose neighbors all
    belong to other classes can be used too.

    imbalanced-learn rounds each g_i to the nearest whole number, so a class may get more or fewer rows than requested.
    Here each number is within 1 of n * f_i / (f_1 + f_2 + ...), and they sum to n.

    With ``bit_generator="mt19937"`` the rows equal imbalanced-learn's for the same ``random_state`` if its rounded
    numbers sum to n and no g_i lies exactly between two whole numbers. From the first class where this does not hold,
    the rows differ.

    References
    ----------
    H. He, Y. Bai, E. A. Garcia, S. Li, "ADASYN: adaptive synthetic sampling approach for imbalanced learning",
    IJCNN 2008, 1322-1328, doi:10.1109/IJCNN.2008.4633969.

    Examples
    --------
    >>> import numpy as np
    >>> from gpusmote import ADASYN
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(1000, 2))
    >>> y = (X[:, 0] + 0.5 * rng.normal(size=1000) > 1.5).astype(int)
    >>> X_res, y_res = ADASYN(random_state=0).fit_resample(X, y)
    >>> bool(np.bincount(y_res)[0] == np.bincount(y_res)[1])
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseSampler._parameter_constraints,
        "n_neighbors": neighbors_constraint,
        "no_seeds": [StrOptions({"smote", "raise", "skip"})],
    }

    def __init__(self, *, n_neighbors: Any = 5, no_seeds: str = "smote", **common: Unpack[CommonParameters]) -> None:
        super().__init__(**common)
        self.n_neighbors = n_neighbors
        self.no_seeds = no_seeds

    _looks_at_all_rows = True

    @property
    def _searches_each_class(self) -> bool:  # type: ignore[override]
        return self.no_seeds == "smote"

    @property
    def _k(self) -> Any:
        return self.n_neighbors

    def _recipe(self, task: ClassTask) -> Recipe:
        neighbors = task.everyone.nearest(task.rows, self.n_neighbors, self.shrink_k)
        counts = task.apportion(task.count_foreign(neighbors))
        made = counts > 0
        return Recipe(seeds=task.rows[made], pool=task.own, k=self.n_neighbors, counts=counts[made])
