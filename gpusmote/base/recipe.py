"""What a sampler decides about one class, and what it may ask to decide it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gpusmote.backends import Array, Backend
from gpusmote.base.apportion import apportion
from gpusmote.containers import Table, Target
from gpusmote.errors import InputError, TooFewRowsError
from gpusmote.messages import counted
from gpusmote.neighbors import NeighborSearch, SearchReport

if TYPE_CHECKING:
    from gpusmote.neighbors.approximate import ApproximateSearch

__all__ = ["ClassTask", "Pool", "Recipe", "half_way_to", "too_few_rows"]


class Pool:
    """Rows of X among which neighbors are sought; read and prepared once, when first needed.

    Parameters
    ----------
    backend : Backend
    table : Table
    rows : ndarray of shape (p,), int64, or None
        Positions in X, ascending; None is all of X.
    description : str
        What the error about too large a k calls these rows.
    report : SearchReport
    whole : Pool, optional
        Of all of X: where it has been read, these rows are taken from it, and X is not read again.
    recall_target : float, optional
        Share of the nearest rows that an approximate search is to find; None is the exact search.
    """

    def __init__(
        self,
        backend: Backend,
        table: Table,
        rows: np.ndarray | None,
        description: str,
        report: SearchReport,
        whole: Pool | None = None,
        recall_target: float | None = None,
    ) -> None:
        self._backend, self._table, self._host_rows = backend, table, rows
        self._description, self._report = description, report
        self._whole, self._recall_target = whole, recall_target
        self._values: Array | None = None
        self._codes: Array | None = None
        self._neighborhood: NeighborSearch | ApproximateSearch | None = None
        self.everything = rows is None
        self.numeric = table.numeric
        self.size = table.n_rows if rows is None else len(rows)
        self._rows: Array | None = None

    @property
    def rows(self) -> Array:
        """array of shape (size,), int64: positions in X, on the device; copied there once."""
        if self._rows is None:
            here = self._host_rows
            self._rows = self._backend.xp.arange(self.size) if here is None else self._backend.integers(here)
        return self._rows

    @property
    def values(self) -> Array:
        """array of shape (size, d): the rows themselves, on the device."""
        if self._values is None:
            self._values = self._read()
        return self._values

    def _read(self) -> Array:
        whole, on_device = self._whole, self._backend.name != "cpu"
        if whole is not None and whole._values is not None:  # all of X is there already
            return self._backend.xp.take(whole._values, self.rows, axis=0)
        # Positions that are on the device serve an X that is, too.
        rows = self.rows if on_device and self._table.device != "cpu" and not self.everything else self._host_rows
        return self._table.take(rows, self._backend)

    def codes(self, target: Target) -> Array:
        """array of shape (size,), int64: the class of each row, on the device; copied there once."""
        if self._codes is None:
            codes = target.codes if self._host_rows is None else target.codes[self._host_rows]
            self._codes = self._backend.integers(codes)
        return self._codes

    def locate(self, positions: Array) -> Array:
        """Which of the pool's rows stand at these positions of X."""
        return positions if self.everything else self._backend.xp.searchsorted(self.rows, positions)

    def nearest(self, positions: Array, k: int | Any, shrink: bool = False) -> Array:
        """The k nearest other rows of the pool, for rows of the pool.

        Parameters
        ----------
        positions : array of shape (m,), int64
            Positions in X.
        k : int or estimator
            A number, or a scikit-learn neighbors estimator that counts the row itself among its neighbors.
        shrink : bool, default=False
            Whether a k that is too large is cut down to what the pool has.

        Returns
        -------
        array of shape (m, k), int64
            Numbers within the pool, nearest first.

        Raises
        ------
        TooFewRowsError
            If the pool has no k rows besides the row itself.
        """
        queries = None if positions is self.rows else self.locate(positions)
        if not isinstance(k, (int, np.integer)):
            from gpusmote.neighbors.estimator import nearest_by_estimator

            host = self._backend.to_host
            asked = np.arange(self.size) if queries is None else host(queries)
            return self._backend.asarray(nearest_by_estimator(k, host(self.values), asked, self._description))
        if k >= self.size:
            k = self._shrunk(int(k), shrink)
        if self._neighborhood is None:
            self._neighborhood = self._searcher()
            if self._neighborhood.half_range > sys.float_info.max / 2:
                raise InputError(
                    f"A column of {self._description} spans more than {sys.float_info.max:.3e}: the differences of its "
                    "rows, on which synthetic rows lie, overflow float64.",
                    "Divide the column, or take its logarithm.",
                )
        return self._neighborhood.nearest(queries, int(k))

    def _searcher(self) -> NeighborSearch | ApproximateSearch:
        if self._recall_target is None:
            return NeighborSearch(self._backend, self.values, self._report)
        from gpusmote.neighbors.approximate import ApproximateSearch

        return ApproximateSearch(self._backend, self.values, self._report, self._recall_target)

    def _shrunk(self, k: int, shrink: bool) -> int:
        if shrink and self.size > 1:
            self._report.notes.append(
                f"{self._description}: {counted(self.size - 1, 'neighbor')} of each row, not {k}."
            )
            return self.size - 1
        raise too_few_rows(self._description, self.size, k)


def too_few_rows(description: str, size: int, k: int) -> TooFewRowsError:
    """The error about ``size`` rows, called ``description``, that have no k neighbors each."""
    if size == 1:
        hint = "A class of one row has no segment to lie on: drop it, or repeat its row by random over-sampling."
    else:
        hint = f"The largest k that fits is {size - 1}; shrink_k=True takes it by itself."
    return TooFewRowsError(
        f"{description} has {counted(size, 'row')}, too few for {counted(k, 'neighbor')} of each.", hint
    )


@dataclasses.dataclass(frozen=True)
class ClassTask:
    """One class that gets synthetic rows, as a sampler's rule sees it.

    Attributes
    ----------
    label : object
        The class.
    position : int
        Its position among the sorted classes.
    n_new : int
        Rows to make, at least 1.
    own : Pool
        The rows of the class.
    everyone : Pool
        All rows of X; the same pool for every class of a call.
    """

    backend: Backend
    target: Target
    position: int
    n_new: int
    own: Pool
    everyone: Pool

    @property
    def label(self) -> Any:
        return self.target.classes[self.position : self.position + 1].tolist()[0]

    @property
    def rows(self) -> Array:
        """array of int64: positions in X of the rows of the class."""
        return self.own.rows

    def is_foreign(self, rows: Array) -> Array:
        """Which of these positions of X belong to another class; bool, the shape of ``rows``."""
        return self._codes[rows] != self.position

    def count_foreign(self, neighbors: Array) -> Array:
        """How many of each row's neighbors in ``everyone`` belong to another class.

        Parameters
        ----------
        neighbors : array of shape (m, k), int64
            As ``everyone.nearest`` gives it.

        Returns
        -------
        array of shape (m,), int64
        """
        return self.backend.count_foreign(self._codes, neighbors, self.position)

    def apportion(self, weights: Array) -> Array:
        """Of the rows to make, how many each row gets: :func:`~gpusmote.base.apportion.apportion`.

        Parameters
        ----------
        weights : array of shape (m,), int64

        Returns
        -------
        array of shape (m,), int64
            Their sum is ``n_new``, or 0 if that of the weights is.
        """
        return apportion(self.n_new, weights, self.backend)

    @property
    def _codes(self) -> Array:
        return self.everyone.codes(self.target)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A sampler's decision about one class, or about a part of it; everything else is written once, in the plan.

    Attributes
    ----------
    seeds : array of shape (s,), int64
        Positions in X of the rows that synthetic rows start from or repeat, members of ``pool``.
    pool : Pool
        Where their neighbors are sought.
    k : int or estimator, optional
        How many neighbors, or a scikit-learn neighbors estimator. Needed where neighbors are sought: not with
        ``targets``, nor where rows are copied.
    counts : array of shape (s,), int64, optional
        Synthetic rows of each seed; their sum is the number of rows to make. None: each row draws one of all
        (seed, neighbor) pairs.
    reach : callable, optional
        ``reach(neighbors) -> (low, high)``: between which shares of the way to each neighbor rows may lie, float64
        arrays of shape (s, k), low <= high; ``neighbors`` counts within the pool, targets from its end on. A share
        below 0 or above 1 lies beyond the seed or the neighbor. None is the whole segment, [0, 1).
    targets : array of shape (t, d), optional
        Points that rows go towards in place of neighbors, from each seed to each of them. They need be no rows of X,
        are rounded to its dtype, and must be finite and the same bits on every device: sums of floats are not.
    generator : {"segment", "copy"}, default="segment"
        What makes the rows: points between a seed and its neighbors or targets, or the seeds again. Copies of rows
        that are not numbers need a sampler that sets ``_repeats_rows``.
    n_new : int, optional
        Rows to make by this recipe, where there are several for the class; they add up to the task's ``n_new``.
    """

    seeds: Array
    pool: Pool
    k: int | Any = None
    counts: Array | None = None
    reach: Callable[[Array], tuple[Array, Array]] | None = None
    targets: Array | None = None
    generator: str = "segment"
    n_new: int | None = None


def half_way_to(foreign: Callable[[Array], Array]) -> Callable[[Array], tuple[Array, Array]]:
    """A ``reach`` of at most half the way to foreign neighbors, of the whole way to others.

    Parameters
    ----------
    foreign : callable
        Which of the neighbors belong to another class; bool, their shape.
    """

    def reach(neighbors: Array) -> tuple[Array, Array]:
        high = 1.0 - 0.5 * foreign(neighbors)
        return high * 0.0, high

    return reach
