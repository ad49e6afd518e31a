"""The base class of all samplers. A sampler adds its parameters and its rule for one class."""

from __future__ import annotations

import abc
import difflib
import functools
import inspect
import logging
import numbers
import sys
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypedDict

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)

from gpusmote.backends import Backend
from gpusmote.backends.budget import Estimate, Sizes
from gpusmote.backends.versions import FAISS, installed
from gpusmote.base.class_planner import ClassPlanner
from gpusmote.base.estimate import estimate_of
from gpusmote.base.execution import Execution
from gpusmote.base.recipe import ClassTask, Pool, Recipe, too_few_rows
from gpusmote.base.signature import write_signature
from gpusmote.base.strategy import STRINGS, rows_to_make
from gpusmote.config import setting
from gpusmote.containers import Table, Target, row_taker, wrap_features, wrap_rows, wrap_target
from gpusmote.errors import InputError, NoSeedsError, ParameterError, warn
from gpusmote.messages import counted
from gpusmote.synthesis.class_plan import ClassPlan
from gpusmote.synthesis.origins import Origins
from gpusmote.synthesis.plan import Plan
from gpusmote.synthesis.report import Report

__all__ = ["BaseSampler", "CommonParameters", "NumberInterval", "neighbors_constraint", "neighbors_number"]

logger = logging.getLogger("gpusmote")


class NumberInterval(Interval):
    """An interval of numbers without True, which Python counts as the number 1."""

    def is_satisfied_by(self, val: Any) -> bool:
        return not isinstance(val, bool) and bool(super().is_satisfied_by(val))


neighbors_constraint = [
    NumberInterval(numbers.Integral, 1, None, closed="left"),
    HasMethods(["kneighbors", "kneighbors_graph"]),
]
"""The constraint of a number of neighbors, for scikit-learn's parameter validation."""


def neighbors_number(k: Any) -> int:
    """The number of neighbors that a parameter means; an estimator counts the row itself as its first neighbor."""
    return int(k) if isinstance(k, numbers.Integral) else max(1, int(getattr(k, "n_neighbors", 6)) - 1)


class CommonParameters(TypedDict, total=False):
    """The parameters of every sampler. The ``__init__`` of a sampler passes them on as ``**common``."""

    sampling_strategy: Any
    random_state: Any
    device: str
    bit_generator: str | None
    shrink_k: bool
    search: str
    recall_target: float
    memory_limit: Any


class BaseSampler(OneToOneFeatureMixin, BaseEstimator, abc.ABC):
    """Base class of the samplers: checks the input, makes a plan, and makes the rows in the caller's container.

    A sampler implements :meth:`_recipe`. It adds its own parameters to ``_parameter_constraints``, and to an
    ``__init__`` that takes all others as ``**common``.
    """

    _estimator_type = "sampler"
    _sampling_type = "over-sampling"
    k_neighbors: Any
    _origins: Any  # Origins, or the array read from them
    _looks_at_all_rows = False  # whether neighbors are searched among all rows; decides how large the work is
    _repeats_rows = False  # whether all recipes copy rows, so that X need not be numeric
    _searches_each_class = False  # whether each class must have more than k rows, whatever the rule finds

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "sampling_strategy": [
            Interval(numbers.Real, 0, 1, closed="right"),
            StrOptions(set(STRINGS)),
            Mapping,
            callable,
        ],
        "random_state": [
            Interval(numbers.Integral, 0, None, closed="left"),
            np.random.RandomState,
            np.random.Generator,
            None,
        ],
        "device": [str],
        "bit_generator": [StrOptions({"philox", "mt19937"}), None],
        "shrink_k": ["boolean"],
        "search": [StrOptions({"exact", "approximate"})],
        "recall_target": [NumberInterval(numbers.Real, 0, 1, closed="right")],
        "memory_limit": [Interval(numbers.Real, 0, None, closed="neither"), str, Mapping, None],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        device: str = "auto",
        bit_generator: str | None = None,
        shrink_k: bool = False,
        search: str = "exact",
        recall_target: float = 0.95,
        memory_limit: Any = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise _unknown_parameter(type(self), next(iter(unknown)))
        self.sampling_strategy = sampling_strategy
        self.random_state = random_state
        self.device = device
        self.bit_generator = bit_generator
        self.shrink_k = shrink_k
        self.search = search
        self.recall_target = recall_target
        self.memory_limit = memory_limit

    def __init_subclass__(cls, **options: Any) -> None:
        """Replace ``**common`` in the signature by its parameters, because scikit-learn reads them there."""
        super().__init_subclass__(**options)
        write_signature(cls, BaseSampler)

    @abc.abstractmethod
    def _recipe(self, task: ClassTask) -> Recipe | list[Recipe]:
        """The sampler's rule: which rows of the class are seeds, and how synthetic rows are made from them.

        A list has one recipe, with its ``n_new``, for each part of the class, such as a cluster. Each recipe has its
        own random stream, which depends on its position in the list.
        """

    def fit(self, X: Any, y: Any) -> Self:
        """Check X and y and compute ``sampling_strategy_``, without searching neighbors.

        Parameters
        ----------
        X : container of shape (n_rows, n_features)
        y : container of shape (n_rows,)

        Returns
        -------
        self

        Raises
        ------
        GpusmoteError
            As :meth:`fit_resample`.
        """
        self._check(X, y)
        return self

    def fit_resample(self, X: Any, y: Any, **metadata: Any) -> tuple[Any, Any]:
        """Return the original rows followed by the synthetic rows, class by class in sorted order.

        Parameters
        ----------
        X : container of shape (n_rows, n_features)
            NumPy array, nested list, SciPy sparse matrix or array, pandas, polars or pyarrow table, CuPy array, or an
            array that supports DLPack. The values must be finite numbers. X is never modified.
        y : container of shape (n_rows,)
            Labels of at least two classes.
        **metadata : container of shape (n_rows, ...), or None
            Further data of each row under any name, such as ``sample_weight`` or ``groups``. A synthetic row gets the
            entry of its base row; to apply another rule, use ``sample_origins_``. The results are in ``metadata_``,
            because pipelines expect exactly X and y from ``fit_resample``. For the same reason metadata routing is not
            supported: a pipeline would pass the metadata of the original rows to its later steps.

        Returns
        -------
        X_resampled, y_resampled
            The same types of containers as X and y, with the same dtypes. pandas results have a new default index, as
            in imbalanced-learn; ``X_resampled[:len(X)].set_index(X.index)`` has the index of the originals.

        Raises
        ------
        InputError
            If X or y cannot be used; the message says which rows or columns.
        ParameterError
            If a parameter has a value that is not allowed.
        DeviceError
            If the requested device is missing or fails.
        MemoryLimitError
            If the result would not fit; raised before anything is allocated.
        """
        call = self._call(X, y)
        takers = {name: row_taker(name, values, call.table.n_rows) for name, values in metadata.items()}
        resampled = call.run(Plan.resample, True)
        if takers:
            originals = np.arange(call.table.n_rows)
            rows = np.concatenate([originals, self.sample_origins_["base"]])
            self.metadata_ = {name: take(rows) for name, take in takers.items()}
        return resampled

    @property
    def sample_origins_(self) -> np.ndarray:
        """structured ndarray of shape (n_synthetic_,): the origin of each synthetic row of the last call.

        Fields ``class`` (label), ``base`` and ``neighbor`` (int64, positions of rows in X), ``gap`` (float64): the row
        is ``X[base] + gap * (X[neighbor] - X[base])``. Computed on first access. :meth:`Plan.origin` returns any slice
        of it, and says when ``neighbor`` is -1.
        """
        origins = vars(self).get("_origins")
        if origins is None:
            raise NotFittedError(f"This {type(self).__name__} has made no rows yet: call fit_resample first.")
        if isinstance(origins, Origins):
            self._origins = origins.read(0, len(origins))
        return np.asarray(self._origins)

    def plan(self, X: Any, y: Any) -> Plan:
        """Search the neighbors and set the random streams, without making a row.

        Parameters
        ----------
        X : container of shape (n_rows, n_features)
        y : container of shape (n_rows,)

        Returns
        -------
        Plan

        Raises
        ------
        GpusmoteError
            As :meth:`fit_resample`.
        """
        return self._call(X, y).run(lambda plan: plan, False)

    def estimate(
        self, n_rows: int, n_features: int, dtype: Any = np.float64, *, y: Any, device: str | None = None
    ) -> Estimate:
        """Upper bound of the memory that :meth:`fit_resample` needs for a NumPy array of this size.

        Parameters
        ----------
        n_rows, n_features : int
            Of X.
        dtype : dtype, default=float64
            Of X.
        y : dict or container of shape (n_rows,)
            Number of rows of each label, or the labels themselves.
        device : str, optional
            Default: the sampler's ``device``.

        Returns
        -------
        Estimate
            Bytes of the output, the plan, the searched rows and the blocks of work, and their sum.

        Raises
        ------
        ParameterError
            If a parameter or an argument has a value that is not allowed, or the rows of y do not sum to n_rows.
        MemoryLimitError
            If the call would not fit into the memory limit.

        Examples
        --------
        >>> from gpusmote import SMOTE
        >>> estimate = SMOTE(device="cpu").estimate(100_000, 32, "float32", y={"no": 90_000, "yes": 10_000})
        >>> estimate.output, estimate.total < 400_000_000
        (31680000, True)
        """
        self._check_parameters()
        return estimate_of(self, n_rows, n_features, dtype, y, self.device if device is None else device)

    def _call(self, X: Any, y: Any) -> Execution:
        start = time.perf_counter()
        table, target, make = self._check(X, y)
        wanted = {c: n for c, n in make.items() if n}
        self._check_sizes(target, wanted)
        return Execution(self, table, target, wanted, time.perf_counter() - start)

    def _planned(self, backend: Backend, table: Table, target: Target, wanted: dict[int, int], report: Report) -> Plan:
        with backend.active(), report.stage("search", backend):
            parts = self._parts(backend, table, target, wanted, report)
        report.notes += report.search.notes
        report.bytes["plan"] = sum(part.nbytes() for part in parts)
        faiss = installed(FAISS) if report.search.approximate else None  # on the host as well
        packages = *backend.packages, *(faiss[:1] if faiss else ())
        report.add_versions("gpusmote", "numpy", "scipy", "scikit-learn", *packages)
        self.report_ = report
        self.n_synthetic_ = sum(part.n_new for part in parts)
        self._origins = Origins(backend, parts, target.classes)
        return Plan(backend, table, target, parts, report)

    def _check_parameters(self) -> None:
        try:
            validate_parameter_constraints(
                self._parameter_constraints, self.get_params(deep=False), caller_name=type(self).__name__
            )
        except InvalidParameterError as error:
            raise ParameterError(str(error)) from None

    def _check(self, X: Any, y: Any) -> tuple[Table, Target, dict[int, int]]:
        self._check_parameters()
        for name in ("n_synthetic_", "_origins", "metadata_"):  # of an earlier call
            self.__dict__.pop(name, None)
        table = wrap_rows(X) if self._repeats_rows else wrap_features(X)
        target = wrap_target(y, table.n_rows)
        table.check_finite()
        classes = target.classes
        if len(classes) < 2:
            raise InputError(f"y has one class only, {classes.tolist()[0]!r}.", "At least two classes are needed.")
        self.n_features_in_ = table.n_features
        if table.names is not None:
            self.feature_names_in_ = np.array(table.names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        make = rows_to_make(self.sampling_strategy, classes, target.counts, lambda: classes[target.codes])
        labels = classes.tolist()
        self.sampling_strategy_ = {labels[c]: n for c, n in make.items()}
        return table, target, make

    def _check_sizes(self, target: Target, wanted: dict[int, int]) -> None:
        """Raise TooFewRowsError before any work is done, if a class is certainly too small."""
        k = self._k if self._searches_each_class else None
        if isinstance(k, numbers.Integral):
            least, sizes = 1 if self.shrink_k else int(k), target.counts.tolist()
            small = next((c for c in wanted if sizes[c] <= least), None)
            if small is not None:
                raise too_few_rows(f"Class {target.classes[small : small + 1].tolist()[0]!r}", sizes[small], int(k))

    def _work(self, table: Table, target: Target, make: dict[int, int]) -> float:
        """Rows x rows x columns that an exhaustive search would compare."""
        if self._repeats_rows:
            return 0.0
        sizes = [float(target.counts[c]) for c in make]
        return table.n_features * sum(m * (table.n_rows if self._looks_at_all_rows else m) for m in sizes)

    @property
    def _k(self) -> Any:
        """The value of the parameter for the number of neighbors, whose name depends on the sampler."""
        return self.k_neighbors

    def _sizes(self, table: Table, target: Target, make: dict[int, int]) -> Sizes:
        """The sizes that the memory of a call depends on. A k that is too large is refused later."""
        names = [name for name in self._parameter_constraints if name.endswith("_neighbors")]
        classes = [target.rows_of(c) for c in make] if table.sparse else []
        return Sizes(
            table.n_rows,
            table.n_features,
            table.work_dtype.itemsize,
            tuple((int(target.counts[c]), n) for c, n in make.items()),
            functools.partial(table.result_bytes, classes=classes),
            min(max((neighbors_number(getattr(self, name)) for name in names), default=1), table.n_rows - 1),
            self._looks_at_all_rows,
            (self.bit_generator or setting("bit_generator")) == "mt19937",
            table.kept,
            target.row_bytes,
            table.entries() if table.sparse else None,
        )

    def _parts(
        self, backend: Backend, table: Table, target: Target, make: dict[int, int], report: Report
    ) -> list[ClassPlan]:
        recall = float(self.recall_target) if self.search == "approximate" else None
        everyone = Pool(backend, table, None, "X", report.search, recall_target=recall)
        bit_generator = self.bit_generator or setting("bit_generator")
        planner = ClassPlanner(backend, report, self.random_state, bit_generator, self.shrink_k)
        parts, labels = [], target.classes.tolist()
        for c, n_new in make.items():
            rows = target.rows_of(c)
            own = Pool(backend, table, rows, f"Class {labels[c]!r}", report.search, everyone, recall)
            task = ClassTask(backend, target, c, n_new, own, everyone)
            recipes: Any = self._recipe(task)
            if not any(len(recipe.seeds) for recipe in (recipes if isinstance(recipes, list) else [recipes])):
                recipes = self._without_seeds(task, report)
            if recipes is not None:
                parts += planner.parts(task, recipes)
        return parts

    def _without_seeds(self, task: ClassTask, report: Report) -> Recipe | None:
        """The recipe for a class in which the rule finds no seed, as ``no_seeds`` says; None makes no rows."""
        choice = getattr(self, "no_seeds", "raise")
        found = f"{type(self).__name__} finds no seed in class {task.label!r} ({counted(task.own.size, 'row')})"
        if choice == "raise":
            raise NoSeedsError(
                f"{found}.", 'no_seeds="smote" uses all its rows as seeds, no_seeds="skip" makes no rows for it.'
            )
        skip = choice == "skip"
        done = "no rows are made for it" if skip else "all its rows are used as seeds, as in SMOTE"
        report.notes.append(f"{found}: {done}.")
        warn(f"{found}: {done}. The parameter no_seeds decides.")
        return None if skip else Recipe(seeds=task.rows, pool=task.own, k=self._k)

    def __sklearn_tags__(self) -> Any:
        # imbalanced-learn's checks need its own tags. Importing it for them would take seconds.
        if "imblearn" in sys.modules:
            from imblearn.base import BaseSampler as ImblearnSampler

            return ImblearnSampler.__sklearn_tags__(self)
        tags = super().__sklearn_tags__()
        tags.estimator_type = "sampler"
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        return tags


write_signature(BaseSampler, BaseSampler)


def _unknown_parameter(sampler: type[BaseSampler], name: str) -> ParameterError:
    """The error for a keyword argument that no ``__init__`` has, with Python's words."""
    known = list(inspect.signature(sampler).parameters)
    meant = difflib.get_close_matches(name, known, n=1)
    return ParameterError(
        f"{sampler.__name__}.__init__() got an unexpected keyword argument {name!r}.",
        f"Did you mean {meant[0]}?" if meant else f"Its parameters are {', '.join(known)}.",
    )
