"""Turn a sampler's recipes into the parts of a plan."""

from __future__ import annotations

import numbers
import sys
from typing import Any

import numpy as np

from gpusmote import random_stream
from gpusmote.backends import Array, Backend
from gpusmote.base.recipe import ClassTask, Recipe
from gpusmote.errors import InputError, PlanError
from gpusmote.messages import counted
from gpusmote.synthesis.class_plan import ClassPlan
from gpusmote.synthesis.imblearn_stream import ImblearnStream
from gpusmote.synthesis.report import Report

__all__ = ["ClassPlanner"]


class ClassPlanner:
    """Searches the neighbors that recipes ask for, and sets the random streams.

    Parameters
    ----------
    backend : Backend
    report : Report
        Its ``seed`` is set.
    random_state : int, RandomState, Generator or None
    bit_generator : {"philox", "mt19937"}
    shrink_k : bool
    """

    def __init__(self, backend: Backend, report: Report, random_state: Any, bit_generator: str, shrink_k: bool) -> None:
        self._backend, self._shrink_k = backend, shrink_k
        self._imblearn: ImblearnStream | None = None
        self._entropy: random_stream.Entropy = ()
        if bit_generator == "mt19937":
            self._imblearn = ImblearnStream(random_state)
            report.seed = int(random_state) if isinstance(random_state, numbers.Integral) else None
        else:
            self._entropy = random_stream.entropy_words(random_state)
            report.seed = random_stream.seed_of(self._entropy)

    def parts(self, task: ClassTask, recipes: Recipe | list[Recipe]) -> list[ClassPlan]:
        """The parts of the plan that make the rows of one class.

        Parameters
        ----------
        task : ClassTask
        recipes : Recipe or list of Recipe
            Each recipe of a list has a random stream of its own, by its position in the list.

        Raises
        ------
        PlanError
            If a recipe lacks something, or the recipes together do not make ``task.n_new`` rows.
        """
        several = isinstance(recipes, list)
        recipes = recipes if isinstance(recipes, list) else [recipes]
        sizes = [task.n_new if recipe.n_new is None else int(recipe.n_new) for recipe in recipes]
        if sum(sizes) != task.n_new:
            raise PlanError(
                f"The recipes for class {task.label!r} make {counted(sum(sizes), 'row')} instead of {task.n_new:,}.",
                "The n_new of the recipes must sum to task.n_new; task.apportion(weights) computes them.",
            )
        numbered = enumerate(zip(recipes, sizes, strict=True))
        return [self._part(task, recipe, n, number if several else None) for number, (recipe, n) in numbered if n]

    def _part(self, task: ClassTask, recipe: Recipe, n_new: int, number: int | None) -> ClassPlan:
        backend, pool, xp = self._backend, recipe.pool, self._backend.xp
        neighbors = self._neighbors(task, recipe)
        fields: dict[str, Any] = {}
        beyond = 0.0  # how far the shares leave [0, 1]
        if recipe.reach is not None:
            low, high = recipe.reach(neighbors)
            fields = {"low": low, "width": high - low}
            beyond = max(0.0, -float(low.min()), float(high.max()) - 1.0)
        if self._imblearn is not None:
            fields = self._drawn(self._imblearn, recipe, fields, neighbors, n_new)
        if recipe.counts is not None:
            fields["ends"] = ends = xp.cumsum(recipe.counts)
            if int(ends[-1]) != n_new:
                raise _wrong_recipe(task, f"has counts that sum to {int(ends[-1]):,} instead of {n_new:,}")
        seeds, rows = pool.locate(recipe.seeds), pool.rows
        values = pool.values if pool.numeric else xp.empty((pool.size, 0))
        if recipe.targets is not None:
            targets = backend.asarray(recipe.targets, values.dtype)
            values, rows = backend.stack(values, targets), xp.concatenate([rows, xp.full(len(targets), -1)])
        if beyond or recipe.targets is not None:
            self._check_range(task, values, beyond)
        if pool.everything:  # keep only the rows that synthetic rows are made from, and no reference to X
            kept = xp.unique(xp.concatenate([seeds, neighbors.ravel()]))
            values, rows = values[kept], rows[kept]
            seeds, neighbors = xp.searchsorted(kept, seeds), xp.searchsorted(kept, neighbors)
        no_key = np.zeros(2, np.uint64)  # all random numbers are in the plan
        key = random_stream.class_key(self._entropy, task.position, number) if self._entropy else no_key
        return ClassPlan(
            task.position, n_new, values, rows, seeds, neighbors, key, **fields, generator=recipe.generator
        )

    def _neighbors(self, task: ClassTask, recipe: Recipe) -> Array:
        """The neighbors or targets of each seed, as row numbers of the pool; targets are numbered after its rows."""
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
        return pool.nearest(recipe.seeds, recipe.k, self._shrink_k)

    def _drawn(
        self, stream: ImblearnStream, recipe: Recipe, fields: dict[str, Any], neighbors: Array, n_new: int
    ) -> dict[str, Any]:
        """The fields, and all random numbers of the part, drawn in imbalanced-learn's order."""
        if recipe.counts is None:
            limit = None
            if fields:
                low, width = (self._backend.to_host(fields[name]).ravel() for name in ("low", "width"))
                if not low.any() and width.max() <= 1.0:  # imbalanced-learn draws the gaps within such a limit
                    limit, fields = width, {}
            pick, gap = stream.draw_pairs(int(neighbors.size), n_new, limit)
        else:
            pick, gap = stream.draw_neighbors(int(neighbors.shape[1]), n_new)
        return {**fields, "picks": self._backend.asarray(pick), "gaps": self._backend.asarray(gap)}

    def _check_range(self, task: ClassTask, values: Array, beyond: float) -> None:
        """Refuse synthetic rows that could overflow because they leave the segments, or because of their targets."""
        low, high = self._backend.column_range(values)
        half_range = float((high / 2 - low / 2).max())  # the range itself may overflow
        largest = float(max(-low.min(), high.max())) + 2 * beyond * half_range
        fits = half_range <= sys.float_info.max / 2 / (1 + beyond) and largest <= float(np.finfo(values.dtype).max)
        if not fits:  # also if one of them is NaN
            raise InputError(
                f"The rows of class {task.label!r} or the targets of its synthetic rows are not finite, or so far "
                f"apart that synthetic rows overflow {values.dtype}.",
                "Divide the column, or take its logarithm.",
            )


def _wrong_recipe(task: ClassTask, what: str) -> PlanError:
    return PlanError(f"A recipe for class {task.label!r} {what}.", "See gpusmote.base.recipe.Recipe.")
