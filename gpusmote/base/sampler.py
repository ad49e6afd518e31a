"""The one template of all samplers; a sampler adds its parameters and its rule for one class."""

from __future__ import annotations

import abc
import difflib
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

from gpusmote import random_stream
from gpusmote.backends import Backend
from gpusmote.backends.budget import Estimate, Sizes
from gpusmote.backends.versions import FAISS, installed
from gpusmote.base.estimate import estimate_of
from gpusmote.base.execution import Execution
from gpusmote.base.recipe import ClassTask, Pool, Recipe, too_few_rows
from gpusmote.base.signature import write_signature
from gpusmote.base.strategy import STRINGS, rows_to_make
from gpusmote.config import setting
from gpusmote.containers import Table, Target, row_taker, wrap_features, wrap_rows, wrap_target
from gpusmote.errors import InputError, NoSeedsError, ParameterError, PlanError, warn
from gpusmote.messages import counted
from gpusmote.synthesis.class_plan import ClassPlan
from gpusmote.synthesis.imblearn_stream import ImblearnStream
from gpusmote.synthesis.origins import Origins
from gpusmote.synthesis.plan import Plan
from gpusmote.synthesis.report import Report

__all__ = ["BaseSampler", "CommonParameters", "NumberInterval", "neighbors_constraint", "neighbors_number"]

logger = logging.getLogger("gpusmote")


class NumberInterval(Interval):
    """An interval of numbers that does not hold True, which Python counts as the number 1."""

    def is_satisfied_by(self, val: Any) -> bool:
        return not isinstance(val, bool) and bool(super().is_satisfied_by(val))


neighbors_constraint = [
    NumberInterval(numbers.Integral, 1, None, closed="left"),
    HasMethods(["kneighbors", "kneighbors_graph"]),
]
"""What scikit-learn's parameter validation holds a number of neighbors to."""


def neighbors_number(k: Any) -> int:
    """How many neighbors a parameter stands for; an estimator counts the row itself among its own."""
    return int(k) if isinstance(k, numbers.Integral) else max(1, int(getattr(k, "n_neighbors", 6)) - 1)


class CommonParameters(TypedDict, total=False):
    """Parameters of every sampler, which a sampler's own ``__init__`` passes on as ``**common``."""

    sampling_strategy: Any
    random_state: Any
    device: str
    bit_generator: str | None
    shrink_k: bool
    search: str
    recall_target: float
    memory_limit: Any


class BaseSampler(OneToOneFeatureMixin, BaseEstimator, abc.ABC):
    """Validate, ask the sampler's rule about each class, search, plan, make the rows, restore the container.

    A sampler adds its parameters to ``_parameter_constraints`` and in an ``__init__`` that takes ``**common`` for the
    others, and implements :meth:`_recipe`.
    """

    _estimator_type = "sampler"
    _sampling_type = "over-sampling"
    k_neighbors: Any
    _origins: Any  # Origins, then what they read
    _looks_at_all_rows = False  # whether neighbors are sought among all rows; tells how large the work is
    _repeats_rows = False  # whether X is not read as numbers, because all recipes copy rows
    _searches_each_class = False  # whether the seeds' k neighbors are sought within the class, whatever the rule finds

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
        """What ``**common`` stands for is written into the signature, where scikit-learn reads the parameters."""
        super().__init_subclass__(**options)
        write_signature(cls, BaseSampler)

    @abc.abstractmethod
    def _recipe(self, task: ClassTask) -> Recipe | list[Recipe]:
        """The sampler's rule: which rows of the class are seeds, and what is made of them.

        A list has one recipe for each part of the class, such as a cluster, with its ``n_new``. Each has a random
        stream of its own, by its number in the list.
        """

    def fit(self, X: Any, y: Any) -> Self:
        """Check X and y and work out ``sampling_strategy_``, without a search.

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
        """The originals, then the synthetic rows class by class in sorted class order.

        Parameters
        ----------
        X : container of shape (n_rows, n_features)
            NumPy array, nested list, SciPy sparse matrix or array, pandas, polars or pyarrow table, CuPy array, or
            what speaks DLPack. Finite numbers. Never written to.
        y : container of shape (n_rows,)
            Labels, of at least two classes.
        **metadata : container of shape (n_rows, ...), or None
            More about each row, under names of your choice: ``sample_weight``, ``groups``, row numbers. A synthetic
            row takes what its base row has; with ``sample_origins_`` you can apply another rule. The results are in
            ``metadata_``, because pipelines take exactly X and y from ``fit_resample``. For the same reason metadata
            is not routed: a pipeline hands its later steps the metadata of the original rows, not the sampler's.

        Returns
        -------
        X_resampled, y_resampled
            Of the kinds and dtypes of X and y. pandas results have a new default index, as in imbalanced-learn;
            ``X_resampled[:len(X)].set_index(X.index)`` are the originals with their labels.

        Raises
        ------
        InputError
            If X or y cannot be used; the message says which rows or columns.
        ParameterError
            If a parameter has a value that is not allowed.
        DeviceError
            If the device that was asked for is not there or fails.
        MemoryLimitError
            If the result would not fit, estimated before anything is allocated.
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
        """structured ndarray of shape (n_synthetic_,): where each synthetic row of the last call comes from.

        Fields ``class`` (label), ``base`` and ``neighbor`` (int64, positions of rows in X), ``gap`` (float64): the row
        is ``X[base] + gap * (X[neighbor] - X[base])``. ``neighbor`` is -1 where there is none, see :meth:`Plan.origin`.
        Computed when it is first read. :meth:`Plan.origin` gives any
        slice of them.
        """
        origins = vars(self).get("_origins")
        if origins is None:
            raise NotFittedError(f"This {type(self).__name__} has made no rows yet: call fit_resample first.")
        if isinstance(origins, Origins):
            self._origins = origins.read(0, len(origins))
        return np.asarray(self._origins)

    def plan(self, X: Any, y: Any) -> Plan:
        """Search the neighbors and fix the random stream, without making a row.

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
        """How much memory :meth:`fit_resample` needs at most for a NumPy array on the host, without the array.

        Parameters
        ----------
        n_rows, n_features : int
            Of X.
        dtype : dtype, default=float64
            Of X.
        y : dict or container of shape (n_rows,)
            How many rows each label has, or the labels themselves. ``sampling_strategy`` decides about the rest.
        device : str, optional
            Other than the sampler's.

        Returns
        -------
        Estimate
            Upper bounds in bytes, by purpose, and how the work would be cut under ``memory_limit``.

        Raises
        ------
        ParameterError
            If a parameter or an argument has a value that is not allowed, or y has another number of rows than n_rows.
        MemoryLimitError
            If it cannot be cut small enough to fit.

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
            raise InputError(
                f"y has one class only, {classes.tolist()[0]!r}.",
                "There must be another class to balance it against.",
            )
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
        """Refuse a class that is too small before any work is done, where that is known beforehand."""
        k = self._k if self._searches_each_class else None
        if isinstance(k, numbers.Integral):
            least, sizes = 1 if self.shrink_k else int(k), target.counts.tolist()
            small = next((c for c in wanted if sizes[c] <= least), None)
            if small is not None:
                raise too_few_rows(f"Class {target.classes[small : small + 1].tolist()[0]!r}", sizes[small], int(k))

    def _work(self, table: Table, target: Target, make: dict[int, int]) -> float:
        """Rows x rows x columns that a search without any cleverness would compare."""
        if self._repeats_rows:
            return 0.0
        sizes = [float(target.counts[c]) for c in make]
        return table.n_features * sum(m * (table.n_rows if self._looks_at_all_rows else m) for m in sizes)

    @property
    def _k(self) -> Any:
        """The parameter that says how many neighbors of a seed there are, whatever a sampler calls it."""
        return self.k_neighbors

    def _sizes(self, table: Table, target: Target, make: dict[int, int]) -> Sizes:
        """What the memory of a call depends on; a k that is too large is refused later, with an error that names it."""
        names = [name for name in self._parameter_constraints if name.endswith("_neighbors")]
        return Sizes(
            table.n_rows,
            table.n_features,
            table.work_dtype.itemsize,
            tuple((int(target.counts[c]), n) for c, n in make.items()),
            table.result_bytes,
            min(max((neighbors_number(getattr(self, name)) for name in names), default=1), table.n_rows - 1),
            self._looks_at_all_rows,
            (self.bit_generator or setting("bit_generator")) == "mt19937",
            table.kept,
            target.row_bytes,
        )

    def _parts(
        self, backend: Backend, table: Table, target: Target, make: dict[int, int], report: Report
    ) -> list[ClassPlan]:
        recall = float(self.recall_target) if self.search == "approximate" else None
        everyone = Pool(backend, table, None, "X", report.search, recall_target=recall)
        planner = _Planner(self, backend, report)
        parts, labels = [], target.classes.tolist()
        for c, n_new in make.items():
            rows = target.rows_of(c)
            own = Pool(backend, table, rows, f"Class {labels[c]!r}", report.search, everyone, recall)
            task = ClassTask(backend, target, c, n_new, own, everyone)
            found = self._recipe(task)
            several = isinstance(found, list)
            recipes = found if isinstance(found, list) else [found]
            if not any(len(recipe.seeds) for recipe in recipes):
                instead = self._without_seeds(task, report)
                if instead is None:
                    continue
                several, recipes = False, [instead]
            amounts = [n_new if recipe.n_new is None else int(recipe.n_new) for recipe in recipes]
            if sum(amounts) != n_new:
                raise PlanError(
                    f"{type(self).__name__} makes {counted(sum(amounts), 'row')} of class {task.label!r}, of which "
                    f"{n_new:,} were asked for.",
                    "The n_new of its recipes must add up to task.n_new, as task.apportion(weights) makes them.",
                )
            parts += [
                planner.part(task, recipe, amount, number if several else None)
                for number, (recipe, amount) in enumerate(zip(recipes, amounts, strict=True))
                if amount
            ]
        return parts

    def _without_seeds(self, task: ClassTask, report: Report) -> Recipe | None:
        """What is done for a class in which the rule finds no seed."""
        choice = getattr(self, "no_seeds", "raise")
        found = f"{type(self).__name__} finds no seed in class {task.label!r} ({counted(task.own.size, 'row')})"
        if choice == "raise":
            raise NoSeedsError(
                f"{found}.", 'no_seeds="smote" starts from all its rows, no_seeds="skip" leaves it as it is.'
            )
        skip = choice == "skip"
        done = "it is left as it is" if skip else "all its rows are taken as seeds, as in SMOTE"
        report.notes.append(f"{found}: {done}.")
        warn(f"{found}: {done}. The parameter no_seeds decides.")
        return None if skip else Recipe(seeds=task.rows, pool=task.own, k=self._k)

    def __sklearn_tags__(self) -> Any:
        # imbalanced-learn's checks ask for its own tags. Whoever runs them has imported it; nobody else pays for that.
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
    """What Python would say of a keyword that no ``__init__`` takes, had it not been passed on to here."""
    known = list(inspect.signature(sampler).parameters)
    meant = difflib.get_close_matches(name, known, n=1)
    return ParameterError(
        f"{sampler.__name__}.__init__() got an unexpected keyword argument {name!r}.",
        f"Did you mean {meant[0]}?" if meant else f"Its parameters are {', '.join(known)}.",
    )


def _wrong_recipe(task: ClassTask, what: str) -> PlanError:
    return PlanError(f"A recipe for class {task.label!r} {what}.", "See gpusmote.base.recipe.Recipe.")


class _Planner:
    """From a recipe to the part of a plan: neighbors or targets, key or draws."""

    def __init__(self, sampler: BaseSampler, backend: Backend, report: Report) -> None:
        self._backend, self._report, self._shrink = backend, report, sampler.shrink_k
        self._legacy: ImblearnStream | None = None
        self._entropy: random_stream.Entropy = ()
        if (sampler.bit_generator or setting("bit_generator")) == "mt19937":
            self._legacy = ImblearnStream(sampler.random_state)
            given = sampler.random_state
            report.seed = int(given) if isinstance(given, numbers.Integral) else None
        else:
            self._entropy = random_stream.entropy_words(sampler.random_state)
            report.seed = random_stream.seed_of(self._entropy)

    def part(self, task: ClassTask, recipe: Recipe, n_new: int, number: int | None) -> ClassPlan:
        """The part of the plan that makes ``n_new`` rows by a recipe, the ``number``-th of its class if it has several.

        Raises
        ------
        PlanError
            If the recipe lacks what it needs for that.
        """
        backend, pool, xp = self._backend, recipe.pool, self._backend.xp
        neighbors = self._neighbors(task, recipe)
        fields: dict[str, Any] = self._reach(recipe, neighbors)
        low, width = fields.get("low"), fields.get("width")
        beyond = 0.0 if low is None else max(0.0, -float(low.min()), float((low + width).max()) - 1.0)
        if self._legacy is not None:
            fields = self._drawn(self._legacy, recipe, fields, neighbors, n_new)
        if recipe.counts is not None:
            fields["ends"] = ends = xp.cumsum(recipe.counts)
            if int(ends[-1]) != n_new:
                raise _wrong_recipe(task, f"has counts that add up to {int(ends[-1]):,}, not to {n_new:,}")
        seeds, rows = pool.locate(recipe.seeds), pool.rows
        values = pool.values if pool.numeric else xp.empty((pool.size, 0))
        if recipe.targets is not None:
            targets = backend.asarray(recipe.targets, values.dtype)
            values, rows = xp.concatenate([values, targets]), xp.concatenate([rows, xp.full(len(targets), -1)])
        if beyond or recipe.targets is not None:
            self._check_range(task, values, beyond)
        if pool.everything:  # keep only what the rows are made from, and no reference to the caller's X
            kept = xp.unique(xp.concatenate([seeds, neighbors.ravel()]))
            values, rows = values[kept], rows[kept]
            seeds, neighbors = xp.searchsorted(kept, seeds), xp.searchsorted(kept, neighbors)
        no_key = np.zeros(2, np.uint64)
        key = random_stream.class_key(self._entropy, task.position, number) if self._entropy else no_key
        return ClassPlan(
            task.position, n_new, values, rows, seeds, neighbors, key, **fields, generator=recipe.generator
        )

    def _check_range(self, task: ClassTask, values: Any, beyond: float) -> None:
        """Refuse what a search does not: synthetic rows that overflow because they leave segments, or go to any point.

        Parameters
        ----------
        values : array of shape (v, d)
        beyond : float
            How far the shares leave [0, 1].
        """
        low, high = self._backend.column_range(values)
        half_range = float((high / 2 - low / 2).max())  # the range itself may overflow
        largest = float(max(-low.min(), high.max())) + 2 * beyond * half_range
        fits = half_range <= sys.float_info.max / 2 / (1 + beyond) and largest <= float(np.finfo(values.dtype).max)
        if not fits:  # NaN does not
            raise InputError(
                f"The rows of class {task.label!r} and what synthetic rows go towards are not finite, or lie so far "
                f"apart that synthetic rows overflow {values.dtype}.",
                "Divide the column, or take its logarithm.",
            )

    def _neighbors(self, task: ClassTask, recipe: Recipe) -> Any:
        """What rows go towards, array of shape (s, k), int64: numbers within the pool; targets come after its rows."""
        pool, xp = recipe.pool, self._backend.xp
        if not len(recipe.seeds):
            raise _wrong_recipe(task, "has no seeds, but rows to make")
        if recipe.generator == "copy":
            return pool.locate(recipe.seeds)[:, None]
        if recipe.targets is not None:
            targets = xp.arange(pool.size, pool.size + len(recipe.targets))
            return xp.tile(targets, (len(recipe.seeds), 1))
        if recipe.k is None:
            raise _wrong_recipe(task, "has neither k nor targets")
        return pool.nearest(recipe.seeds, recipe.k, self._shrink)

    def _drawn(
        self, legacy: ImblearnStream, recipe: Recipe, fields: dict[str, Any], neighbors: Any, n_new: int
    ) -> dict[str, Any]:
        """The fields with all draws of the part in them, in imbalanced-learn's order."""
        if recipe.counts is None:
            limit = None
            if fields:
                low, width = (self._backend.to_host(fields[name]).ravel() for name in ("low", "width"))
                if not low.any() and width.max() <= 1.0:  # such a limit is part of imbalanced-learn's draws
                    limit, fields = width, {}
            pick, gap = legacy.draw_pairs(int(neighbors.size), n_new, limit)
        else:
            pick, gap = legacy.draw_neighbors(int(neighbors.shape[1]), n_new)
        return {**fields, "picks": self._backend.asarray(pick), "gaps": self._backend.asarray(gap)}

    @staticmethod
    def _reach(recipe: Recipe, neighbors: Any) -> dict[str, Any]:
        if recipe.reach is None:
            return {}
        low, high = recipe.reach(neighbors)
        return {"low": low, "width": high - low}
