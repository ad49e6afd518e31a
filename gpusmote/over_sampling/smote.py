"""SMOTE (Chawla, Bowyer, Hall & Kegelmeyer 2002)."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from gpusmote.base.recipe import ClassTask, Recipe
from gpusmote.base.sampler import BaseSampler, CommonParameters, neighbors_constraint

__all__ = ["SMOTE"]


class SMOTE(BaseSampler):
    """Synthetic Minority Over-sampling Technique.

    Each synthetic row lies on the segment between a row of the class and one of its k nearest neighbors of the
    class::

        row = base + gap * (neighbor - base),   gap uniform on [0, 1)

    where every (base, neighbor) pair is as likely as every other.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable, default="auto"
        How many rows each class ends with: a ratio of minority to majority, a dict from label to rows (or to a share
        of the largest class's rows, a float up to 1), or which classes end with as many as the largest: "minority",
        "not minority", "not majority" (which is "auto"), "all".

        Or a callable that takes y and returns such a dict. All forms that imbalanced-learn takes are among these.
    random_state : int, RandomState, Generator or None, default=None
        The same number gives the same rows on every device.

        None and generators give other rows each time; ``report_.seed`` is the number that makes them again.
    k_neighbors : int or estimator, default=5
        Neighbors to choose from.

        Or a scikit-learn neighbors estimator (fitted on the class, the row itself counted among its neighbors).
    device : {"auto", "cpu", "cuda", "cuda:N"}, default="auto"
        Where the work is done: "cpu", "cuda", "cuda:1" (the second of them), or "auto": a CUDA device where there is
        one and the work pays for the trip. The rows do not depend on it.

        "auto" first follows :func:`gpusmote.get_config`.
    bit_generator : {"philox", "mt19937"}, optional
        The random stream: "philox", gpusmote's own and the default, or "mt19937", which draws in the order in which
        imbalanced-learn draws, so that the rows equal its rows for the same ``random_state``.

        :func:`gpusmote.set_config` changes the default.
    shrink_k : bool, default=False
        Whether a class that has too few rows for so many neighbors is made with as many as it has, instead of an
        error.
    search : {"exact", "approximate"}, default="exact"
        "approximate" lets FAISS look only where near rows are likely, for large classes whose rows do not spread evenly
        in all directions; small or even ones are searched exactly all the same, and a note says so. On another device,
        or with another version of FAISS, it may give other rows.

        It needs ``pip install faiss-cpu``, or the GPU build; the notes are in ``report_.notes``; it has no say where
        neighbors are sought by an estimator.
    recall_target : float in (0, 1], default=0.95
        For the approximate search: the share of the nearest neighbors that must be found, as measured on 1,000 rows.

        More is looked into until the share is two standard errors above the target; ``report_.search`` says what was
        reached.
    memory_limit : int, float, str or dict, optional
        The most that a call may allocate at any one time in the memory of what does the work (the host's for the CPU
        path, the device's for CUDA), output and plan included where they lie there, X and y not: bytes (an int, or text
        such as "8GB" or "512MiB"), or a share of what is free ("50%", or a float up to 1). ``{"cpu": ..., "cuda":
        ...}`` sets the two apart. Default: what :func:`gpusmote.get_config` says, else what is free less a margin of 5
        % on the host and 10 % on a device. Inside it the work is cut into blocks; a class that is larger than the
        device goes through it in blocks, too. The rows do not depend on it. CuPy's memory pool keeps its limit and
        allocator.

    Attributes
    ----------
    sampling_strategy_ : dict
        Label to number of synthetic rows.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where X has names that are all strings.
    n_synthetic_ : int
        Synthetic rows of the last call; they follow the originals.
    sample_origins_ : structured ndarray of shape (n_synthetic_,)
        Where each of them comes from: ``class``, ``base`` and ``neighbor`` (positions of rows in X), ``gap``. Computed
        when it is first read.
    metadata_ : dict of str to container
        What was given to ``fit_resample`` beside X and y, with an entry for each synthetic row, too.
    device_ : str
        Where the work was done.
    report_ : Report
        Seconds, bytes, certified queries and seed of the last call.

    See Also
    --------
    BorderlineSMOTE : Starts only from rows near the border to other classes.
    ADASYN : Starts from a row the more often, the more of its neighbors are of other classes.

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
