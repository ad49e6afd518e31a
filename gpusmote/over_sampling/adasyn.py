"""ADASYN (He, Bai, Garcia & Li 2008)."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from sklearn.utils._param_validation import StrOptions

from gpusmote.base.recipe import ClassTask, Recipe
from gpusmote.base.sampler import BaseSampler, CommonParameters, neighbors_constraint

__all__ = ["ADASYN"]


class ADASYN(BaseSampler):
    """Adaptive synthetic sampling: the more of a row's neighbors belong to other classes, the more rows start from it.

    Of the ``n_neighbors`` nearest rows of all classes to row i of the class, let f_i be of other classes. Of the n rows
    to make, it gets::

        g_i = n * f_i / (f_1 + f_2 + ...)

    as a whole number: rounded down, and the rows that are then missing go, one each, to the largest remainders, of
    equal ones to the lower row. A row that starts from it lies on the segment to one of its ``n_neighbors`` nearest
    rows of the class, each as likely as the others::

        row = base + gap * (neighbor - base),   gap uniform on [0, 1)

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable, default="auto"
        See :class:`SMOTE`.
    random_state : int, RandomState, Generator or None, default=None
        See :class:`SMOTE`.
    n_neighbors : int or estimator, default=5
        Neighbors among all rows, which decide how many rows start from each; and as many in the class, to choose from.

        Or a scikit-learn neighbors estimator (fitted on all rows, then on the class, the row itself counted among its
        neighbors).
    no_seeds : {"smote", "raise", "skip"}, default="smote"
        See :class:`BorderlineSMOTE`.

        Here it is a class none of whose rows has a neighbor of another class. imbalanced-learn raises an error.
    device, bit_generator, shrink_k, search, recall_target, memory_limit
        See :class:`SMOTE`.

    Attributes
    ----------
    sampling_strategy_, n_features_in_, feature_names_in_, n_synthetic_, sample_origins_, metadata_, device_, report_
        See :class:`SMOTE`.

    See Also
    --------
    SMOTE : Starts from every row of the class.
    BorderlineSMOTE : Starts only from rows near the border to other classes.

    Notes
    -----
    The paper has two classes, leaves open how g_i becomes a whole number, and has the neighbor be one of the rows of
    the class among the n_neighbors of all. Here, as in imbalanced-learn, every other class is foreign, and the
    neighbor is one of the n_neighbors nearest within the class, so that a row all of whose neighbors are foreign has
    segments too.

    imbalanced-learn rounds each g_i to the nearest whole number, so that a class may end with more or fewer rows than
    were asked for; here each is within 1 of n * f_i / (f_1 + f_2 + ...), and their sum is n.

    With ``bit_generator="mt19937"`` the rows equal imbalanced-learn's for the same ``random_state`` where its rounded
    numbers add up to n and none of them was half way between two. In the first class where that is not so, and in all
    after it, the same draws go to other rows.

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
