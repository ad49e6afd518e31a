"""SMOTE (Chawla, Bowyer, Hall & Kegelmeyer 2002)."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from gpusmote.base.recipe import ClassTask, Recipe
from gpusmote.base.sampler import BaseSampler, CommonParameters, neighbors_constraint

__all__ = ["SMOTE"]


class SMOTE(BaseSampler):
    """Synthetic Minority Over-sampling Technique (SMOTE).

    Each synthetic row lies on the segment between a row of the class and one of its k nearest neighbors in the
    class::

        row = base + gap * (neighbor - base),   gap uniform on [0, 1)

    All (base, neighbor) pairs are equally likely.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable, default="auto"
        The size of each class after resampling, originals included: a ratio of minority to majority; a dict from label
        to number of rows (or to a fraction of the largest class, a float up to 1); or the classes to make as large as
        the largest: "minority", "not minority", "not majority" (the same as "auto"), "all".

        Or a callable that takes y and returns such a dict. These include all forms that imbalanced-learn accepts.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the random numbers. The same int gives the same rows on every device.

        None and generators give different rows on each call; ``report_.seed`` is an int that gives the same rows again.
    k_neighbors : int or estimator, default=5
        Number of nearest neighbors of a seed to interpolate to.

        Or a scikit-learn neighbors estimator. It is fitted on the class; its ``n_neighbors`` counts the row itself.
    device : {"auto", "cpu", "cuda", "cuda:N"}, default="auto"
        Where to compute: "cpu", "cuda", "cuda:1" (the second CUDA device), or "auto": a CUDA device if there is one and
        the work is large enough, else the CPU. The rows do not depend on it.

        :func:`gpusmote.set_config` changes what "auto" means.
    bit_generator : {"philox", "mt19937"}, optional
        The random number generator: "philox" (the default), or "mt19937", which draws in imbalanced-learn's order, so
        that the rows equal imbalanced-learn's for the same ``random_state``.

        :func:`gpusmote.set_config` changes the default.
    shrink_k : bool, default=False
        Whether to use fewer neighbors for a class that has too few rows, instead of raising an error.
    search : {"exact", "approximate"}, default="exact"
        "approximate" searches with an inverted file index (IVF) of FAISS, which pays for large classes whose rows form
        clusters. Where it does not pay, the search is exact and a note says so. The rows may differ between devices and
        between versions of FAISS.

        It needs ``pip install faiss-cpu``, or the GPU build. The notes are in ``report_.notes``. It has no effect if
        the neighbors come from an estimator.
    recall_target : float in (0, 1], default=0.95
        For the approximate search: the fraction of the nearest neighbors to find, measured on 1,000 rows.

        More lists are searched until the recall is two standard errors above the target; ``report_.search`` holds the
        recall that was reached.
    memory_limit : int, float, str or dict, optional
        The most memory that a call may allocate at any one time: bytes (an int, or text such as "8GB" or "512MiB"), or
        a fraction of the free memory ("50%", or a float up to 1). It applies to the memory where the work is done (the
        host's for the CPU path, the device's for CUDA), and includes the output and the plan if they are there, but not
        X and y. ``{"cpu": ..., "cuda": ...}`` sets the two separately. The default is the limit of
        :func:`gpusmote.get_config`, else the free memory less a margin of 5 % on the host and 10 % on a device. To stay
        within the limit, the work is done in blocks; so is a class that is larger than the device's memory. The rows do
        not depend on it. The limit and the allocator of CuPy's memory pool are not changed.

    Attributes
    ----------
    sampling_strategy_ : dict
        Number of synthetic rows for each label.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Column names of X; only if all of them are strings.
    n_synthetic_ : int
        Number of synthetic rows of the last call; they follow the originals.
    sample_origins_ : structured ndarray of shape (n_synthetic_,)
        Where each synthetic row comes from: ``class``, ``base`` and ``neighbor`` (row positions in X), ``gap``.
        Computed on first access.
    metadata_ : dict of str to container
        The metadata given to ``fit_resample``, with an entry for each synthetic row appended.
    device_ : str
        The device that did the work.
    report_ : Report
        Seconds, bytes, certified queries and seed of the last call.

    See Also
    --------
    BorderlineSMOTE : Uses only rows near the border to other classes as seeds.
    ADASYN : Makes more rows from seeds with more neighbors of other classes.

    References
    ----------
    N. V. Chawla, K. W. Bowyer, L. O. Hall, W. P. Kegelmeyer, "SMOTE: synthetic minority over-sampling technique",
    Journal of Artificial Intelligence Research 16 (2002) 321-357, doi:10.1613/jair.953.

    Examples
    --------
    >>> import numpy as np
    >>> from gpusmote import SMOTE
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(1000, 4))
    >>> y = (np.arange(1000) < 50).astype(int)
    >>> X_res, y_res = SMOTE(random_state=0).fit_resample(X, y)
    >>> np.bincount(y_res)
    array([950, 950])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseSampler._parameter_constraints,
        "k_neighbors": neighbors_constraint,
    }

    _searches_each_class = True

    def __init__(self, *, k_neighbors: Any = 5, **common: Unpack[CommonParameters]) -> None:
        super().__init__(**common)
        self.k_neighbors = k_neighbors

    def _recipe(self, task: ClassTask) -> Recipe:
        return Recipe(seeds=task.rows, pool=task.own, k=self.k_neighbors)
