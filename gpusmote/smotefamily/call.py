"""The code that the functions share: checks, the search, the rows for a given count per base row, and R's result."""

from __future__ import annotations

import dataclasses
import logging
import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError, validate_parameter_constraints

from gpusmote import random_stream
from gpusmote.backends import Array, Backend, select
from gpusmote.backends.budget import Estimate, Sizes, arrange, fit, limits_of
from gpusmote.base.recipe import Pool, Recipe
from gpusmote.base.sampler import NumberInterval
from gpusmote.config import setting
from gpusmote.containers import wrap_features
from gpusmote.errors import MemoryLimitError, ParameterError, TooFewRowsError, warn
from gpusmote.messages import counted
from gpusmote.neighbors import SearchReport
from gpusmote.smotefamily.result import Result
from gpusmote.smotefamily.split import load_pandas, split
from gpusmote.synthesis import segment
from gpusmote.synthesis.class_plan import ClassPlan

__all__ = ["Call", "whole_number_from"]

_OTHERS, _MINORITY = 0, 1  # the two classes; each has a key of the random stream

logger = logging.getLogger("gpusmote")


def whole_number_from(least: int) -> list[Any]:
    """The scikit-learn parameter constraint "an integer of at least ``least``"."""
    return [NumberInterval(numbers.Integral, least, None, closed="left")]


class Call:
    """One call of a function. The function gives it a :class:`~gpusmote.base.recipe.Recipe` with counts.

    Parameters
    ----------
    function : str
        Name of the function, for messages.
    X, target, random_state
        The arguments of the caller.
    among_all : bool
        Whether neighbors are searched among all rows, for the estimate of the work.
    **checked : (value, constraints)
        The other parameters of the function, with constraints for scikit-learn's parameter validation.

    Attributes
    ----------
    minority : ndarray of int64
        Positions in X of the minority rows, in the order of ``orig_P``.
    own, everyone : Pool
        The minority rows, and all rows.
    """

    def __init__(
        self,
        function: str,
        X: Any,
        target: Any,
        random_state: Any,
        *,
        among_all: bool,
        **checked: tuple[Any, list[Any]],
    ) -> None:
        checked["random_state"] = (random_state, ["random_state", np.random.Generator])
        _validate(function, checked)
        self._split = split(X, target)
        self._table = wrap_features(self._split.values)
        n, d = self._split.values.shape
        p = len(self._split.minority)
        self._call_sizes = self._sizes(n, p, among_all, {name: value for name, (value, _) in checked.items()})
        backend, reason = select("auto", float(d) * p * (n if among_all else p), "cpu")
        self._backend = self._within_memory(backend)
        logger.info("r.%s runs on %s: %s", function, self._device.name, reason)
        self._entropy = random_stream.entropy_words(random_state)
        # The shuffle sorts random words, so it does not depend on NumPy's shuffle. It uses the key of the other
        # classes, which make no rows.
        shuffle = np.argsort(random_stream.words(random_stream.class_key(self._entropy, _OTHERS), 0, p), kind="stable")
        self.minority = self._split.minority[shuffle]
        self._codes = self._backend.asarray(self._split.is_minority.astype(np.int64))
        self._search = SearchReport()
        self.own = self.pool(self._split.minority, "minority")
        self.everyone = Pool(self._backend, self._table, None, "X", self._search)

    def _sizes(self, n: int, p: int, among_all: bool, options: Mapping[str, Any]) -> Sizes:
        """The sizes that decide the memory of a call, without the number of rows to make.

        X is copied once. Each synthetic row is in ``data`` and ``syn_data``, each original row in ``data`` and
        ``orig_P`` or ``orig_N``; the arrays that the frames are built from hold the rows once more.
        """
        d = self._table.n_features
        k = max(int(options[name]) for name in ("K", "C") if name in options)
        return Sizes(n, d, 8, ((p, 0),), lambda n_new: 8 * d * (3 * n + 4 * n_new), min(k, n - 1), among_all)

    @property
    def _device(self) -> Backend:
        """The backend that does the searches."""
        return self._backend.search_device or self._backend

    def _arranged(self, backend: Backend, n_new: int, output: bool) -> Estimate:
        """The estimate within the ``memory_limit`` of :func:`gpusmote.get_config`, or the free memory."""
        p = len(self._split.minority)
        sizes, limits = dataclasses.replace(self._call_sizes, classes=((p, n_new),)), setting("memory_limit")
        return arrange(sizes, backend.name, "cpu", limits_of(limits, backend), output=output)

    def _within_memory(self, backend: Backend) -> Backend:
        """The backend with its working memory; falls back to the CPU if the device has too little memory."""
        try:
            return fit(self._arranged(backend, 0, False), backend)
        except MemoryLimitError as error:
            if backend.name == "cpu" or setting("memory_limit") is not None:
                raise
            logger.info("%s has too little memory: %s", backend.name, error.message)
        return self._within_memory(Backend())

    @property
    def label(self) -> Any:
        """The label of the minority class."""
        return self._split.label

    @property
    def difference(self) -> int:
        """The number of other rows less the number of minority rows."""
        return len(self._split.others) - len(self._split.minority)

    def pool(self, rows: np.ndarray, description: str) -> Pool:
        """A pool of rows of X, given by their positions in any order, in which neighbors can be searched."""
        return Pool(self._backend, self._table, np.sort(rows), description, self._search)

    def check_neighbors(self, name: str, k: int, pool: Pool, which: str, hint: str = "") -> None:
        """Raise TooFewRowsError unless the pool has more than k rows."""
        if k < pool.size:
            return
        raise TooFewRowsError(
            f"{counted(pool.size, 'row')} {which}: too few for {counted(k, 'neighbor')} of each ({name}).",
            f"The largest {name} that fits is {pool.size - 1}. {hint}".strip() if pool.size > 1 else hint,
        )

    def count_own(self, k: int) -> np.ndarray:
        """For each row of ``minority``, the number of minority rows among its k nearest of all rows."""
        with self._backend.active():
            neighbors = self.everyone.nearest(self._backend.asarray(self.minority), k)
            return k - self._backend.to_host(self._backend.count_foreign(self._codes, neighbors, _MINORITY))

    def is_foreign(self, rows: Array) -> Array:
        """Whether rows of X, given by positions on the device, are of other classes."""
        return self._codes[rows] != _MINORITY

    def rows_per_base(self, dup_size: Any, n_base: int) -> int:
        """The number of synthetic rows for each base row, from ``dup_size`` by R's rule; warns if 0 gives none."""
        wanted = _whole(dup_size)
        if wanted:
            return wanted
        n, p = len(self._split.others), len(self._split.minority)
        filled = (n - p) // n_base
        if not filled:
            warn(
                f"dup_size=0 gives no synthetic rows: class {self.label!r} has {counted(p, 'row')}, the others "
                f"{n:,}, and the difference is less than one for each of {counted(n_base, 'base row')}. dup_size=1 "
                "makes one for each."
            )
        return filled

    def make(self, recipe: Recipe) -> np.ndarray:
        """The rows of a recipe with counts, in the order of its seeds; ndarray of shape (sum of counts, d), float64."""
        backend, pool = self._backend, recipe.pool
        ends = np.cumsum(np.asarray(recipe.counts, np.int64))
        n_new = int(ends[-1]) if len(ends) else 0
        self._arranged(self._device, n_new, True)  # raises if the rows do not fit
        out = np.empty((n_new, self._table.n_features), np.float64)
        if not n_new:
            return out
        with backend.active():
            seeds = backend.asarray(recipe.seeds)
            neighbors = pool.nearest(seeds, recipe.k)
            fields: dict[str, Any] = {"ends": backend.asarray(ends)}
            if recipe.reach is not None:
                low, high = recipe.reach(neighbors)
                fields |= {"low": low, "width": high - low}
            key = random_stream.class_key(self._entropy, _MINORITY)
            part = ClassPlan(_MINORITY, n_new, pool.values, pool.rows, pool.locate(seeds), neighbors, key, **fields)
            segment.write(part, range(n_new), out, backend)
        return out

    def result(self, rows: np.ndarray, *, method: str, **fields: Any) -> Result:
        """The result with the synthetic rows; fields that are not given are None."""
        source, order = self._split, self.minority
        text = load_pandas().Series(source.labels).astype(str).array
        in_data = np.concatenate([order, np.repeat(order[:1], len(rows)), source.others])
        values = np.concatenate([source.values[order], rows, source.values[source.others]])
        absent = dict.fromkeys(("K", "K_all", "dup_size", "outcast", "eps"))
        return Result(
            data=self._frame(values, text[in_data]),
            syn_data=self._frame(rows, text[in_data[len(order) : len(order) + len(rows)]]),
            orig_N=_with_class(source.frame.iloc[source.others], source.labels[source.others]),
            orig_P=_with_class(source.frame.iloc[order], text[order]),
            method=method,
            **(absent | fields),
        )

    def _frame(self, values: np.ndarray, labels: Any) -> Any:
        frame = load_pandas().DataFrame(values, columns=self._split.frame.columns, copy=False)
        return _with_class(frame, labels)


def _with_class(frame: Any, labels: Any) -> Any:
    frame.insert(frame.shape[1], "class", labels, allow_duplicates=True)
    return frame


def _validate(function: str, checked: Mapping[str, tuple[Any, list[Any]]]) -> None:
    values = {name: value for name, (value, _) in checked.items()}
    constraints = {name: allowed for name, (_, allowed) in checked.items()}
    try:
        validate_parameter_constraints(constraints, values, caller_name=function)
    except InvalidParameterError as error:
        raise ParameterError(str(error)) from None


def _whole(dup_size: Any) -> int:
    """``dup_size`` as one number: of several, 0 if it is among them, else the largest."""
    try:
        several = list(dup_size)
    except TypeError:
        several = [dup_size]
    if not several or not all(_is_whole(number) for number in several):
        raise ParameterError(
            f"dup_size is {dup_size!r}.",
            "It must be a whole number of at least 0 (synthetic rows for each base row), or a sequence of them.",
        )
    return 0 if 0 in several else int(max(several))


def _is_whole(number: Any) -> bool:
    if isinstance(number, bool) or not isinstance(number, numbers.Real):
        return False
    return math.isfinite(number) and float(number) >= 0 and number == math.floor(number)
