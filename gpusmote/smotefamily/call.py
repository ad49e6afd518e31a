"""One call of a function: the same engine as the samplers', asked for counts a row, and R's frames around it."""

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

_OTHERS, _MINORITY = 0, 1  # positions of the two classes that are left; each names a key of the random stream

logger = logging.getLogger("gpusmote")


def whole_number_from(least: int) -> list[Any]:
    """What scikit-learn's parameter validation holds a number of neighbors to."""
    return [NumberInterval(numbers.Integral, least, None, closed="left")]


class Call:
    """What the functions have in common: each adds its rule, as a :class:`~gpusmote.base.recipe.Recipe` with counts.

    Parameters
    ----------
    function : str
        Name of the function, for messages.
    X, target, random_state
        As the caller gave them.
    among_all : bool
        Whether neighbors are sought among all rows; tells how large the work is.
    **checked : (value, constraints)
        The function's other parameters, with what scikit-learn's validation holds them to.

    Attributes
    ----------
    minority : ndarray of int64
        Positions in X of the minority rows in the order of ``orig_P``.
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
        # Sorting random words is a shuffle that does not hang on how NumPy's own happens to work. The others make no
        # rows, so that their key is free for it.
        shuffle = np.argsort(random_stream.words(random_stream.class_key(self._entropy, _OTHERS), 0, p), kind="stable")
        self.minority = self._split.minority[shuffle]
        self._codes = self._backend.asarray(self._split.is_minority.astype(np.int64))
        self._search = SearchReport()
        self.own = self.pool(self._split.minority, "minority")
        self.everyone = Pool(self._backend, self._table, None, "X", self._search)

    def _sizes(self, n: int, p: int, among_all: bool, options: Mapping[str, Any]) -> Sizes:
        """What the memory of a call depends on, but for the rows to make.

        X is read into a copy of its own. ``data`` and ``syn_data`` hold every synthetic row, ``data`` and the two
        originals every other: the rows, and once more what the frames are made from.
        """
        d = self._table.n_features
        k = max(int(options[name]) for name in ("K", "C") if name in options)
        return Sizes(n, d, 8, ((p, 0),), lambda n_new: 8 * d * (3 * n + 4 * n_new), min(k, n - 1), among_all)

    @property
    def _device(self) -> Backend:
        """What does the searches."""
        return self._backend.search_device or self._backend

    def _arranged(self, backend: Backend, n_new: int, output: bool) -> Estimate:
        """The work within the ``memory_limit`` of :func:`gpusmote.get_config`, or what is free."""
        p = len(self._split.minority)
        sizes, limits = dataclasses.replace(self._call_sizes, classes=((p, n_new),)), setting("memory_limit")
        return arrange(sizes, backend.name, "cpu", limits_of(limits, backend), output=output)

    def _within_memory(self, backend: Backend) -> Backend:
        """The backend, its work cut; the CPU where a device that nobody asked for has no room."""
        try:
            return fit(self._arranged(backend, 0, False), backend)
        except MemoryLimitError as error:
            if backend.name == "cpu" or setting("memory_limit") is not None:
                raise
            logger.info("%s has too little memory: %s", backend.name, error.message)
        return self._within_memory(Backend())

    @property
    def label(self) -> Any:
        """The minority's."""
        return self._split.label

    @property
    def difference(self) -> int:
        """How many more other rows there are than minority rows."""
        return len(self._split.others) - len(self._split.minority)

    def pool(self, rows: np.ndarray, description: str) -> Pool:
        """Rows of X, by position in any order, as a pool to seek neighbors among."""
        return Pool(self._backend, self._table, np.sort(rows), description, self._search)

    def refuse_too_large(self, name: str, k: int, pool: Pool, which: str, hint: str = "") -> None:
        """TooFewRowsError unless each row of the pool has k others."""
        if k < pool.size:
            return
        raise TooFewRowsError(
            f"{counted(pool.size, 'row')} {which}: too few for {counted(k, 'neighbor')} of each ({name}).",
            f"The largest {name} that fits is {pool.size - 1}. {hint}".strip() if pool.size > 1 else hint,
        )

    def count_own(self, k: int) -> np.ndarray:
        """How many of the k nearest of all rows are minority rows, for each row of ``minority``."""
        with self._backend.active():
            neighbors = self.everyone.nearest(self._backend.asarray(self.minority), k)
            return k - self._backend.to_host(self._backend.count_foreign(self._codes, neighbors, _MINORITY))

    def is_foreign(self, rows: Array) -> Array:
        """Which of these positions of X, on the device, are of other classes; bool."""
        return self._codes[rows] != _MINORITY

    def rows_a_base(self, dup_size: Any, n_base: int) -> int:
        """R's rule for ``dup_size``: 0 fills up as far as whole rows a base row go; of several numbers the largest.

        Warns where 0 comes to no row at all.
        """
        wanted = _whole(dup_size)
        if wanted:
            return wanted
        n, p = len(self._split.others), len(self._split.minority)
        filled = (n - p) // n_base
        if not filled:
            warn(
                f"dup_size=0 comes to no synthetic row: class {self.label!r} has {counted(p, 'row')}, the others "
                f"{n:,}, and the difference is less than one for each of {counted(n_base, 'base row')}. dup_size=1 "
                "makes one for each."
            )
        return filled

    def make(self, recipe: Recipe) -> np.ndarray:
        """The rows of a recipe with counts, ndarray of shape (their sum, d), float64, in the order of its seeds."""
        backend, pool = self._backend, recipe.pool
        ends = np.cumsum(np.asarray(recipe.counts, np.int64))
        n_new = int(ends[-1]) if len(ends) else 0
        self._arranged(self._device, n_new, True)  # refuses what would not fit
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
        """R's ten fields around the synthetic rows; those that are not given are None."""
        whole, order = self._split, self.minority
        text = load_pandas().Series(whole.labels).astype(str).array
        in_data = np.concatenate([order, np.repeat(order[:1], len(rows)), whole.others])
        values = np.concatenate([whole.values[order], rows, whole.values[whole.others]])
        absent = dict.fromkeys(("K", "K_all", "dup_size", "outcast", "eps"))
        return Result(
            data=self._frame(values, text[in_data]),
            syn_data=self._frame(rows, text[in_data[len(order) : len(order) + len(rows)]]),
            orig_N=_with_class(whole.frame.iloc[whole.others], whole.labels[whole.others]),
            orig_P=_with_class(whole.frame.iloc[order], text[order]),
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
    """One number from dup_size: 0 if 0 is among several, else the largest."""
    try:
        several = list(dup_size)
    except TypeError:
        several = [dup_size]
    if not several or not all(_is_whole(number) for number in several):
        raise ParameterError(
            f"dup_size is {dup_size!r}.",
            "It must be a whole number of at least 0, the synthetic rows a base row, or several of them.",
        )
    return 0 if 0 in several else int(max(several))


def _is_whole(number: Any) -> bool:
    if isinstance(number, bool) or not isinstance(number, numbers.Real):
        return False
    return math.isfinite(number) and float(number) >= 0 and number == math.floor(number)
