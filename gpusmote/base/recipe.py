"""A sampler's decision about one class (Recipe), and the data that it decides by (ClassTask, Pool)."""

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
from gpusmote.neighbors.sparse import SparseSearch

if TYPE_CHECKING:
    from gpusmote.neighbors.approximate import ApproximateSearch

__all__ = ["ClassTask", "Pool", "Recipe", "half_way_to", "too_few_rows"]


class Pool:
    """Rows of X among which neighbors are searched. They are read and prepared once, at their first use.

    Parameters
    ----------
    backend : Backend
    table : Table
    rows : ndarray of shape (p,), int64, or None
        Positions in X, ascending; None is all of X.
    description : str
        Name of these rows in error messages.
    report : SearchReport
    whole : Pool, optional
        The pool of all rows. If it has been read already, the rows are copied from it.
    recall_target : float, optional
        Recall of an approximate search; None means an exact search.
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
        self._neighborhood: NeighborSearch | SparseSearch | ApproximateSearch | None = None
        self.everything = rows is None
        self.numeric = table.numeric
        self.size = table.n_rows if rows is None else len(rows)
        self._rows: Array | None = None

    @property
    def rows(self) -> Array:
        """array of shape (size,), int64: positions in X; on the device."""
        if self._rows is None:
            rows = self._host_rows
            self._rows = self._backend.xp.arange(self.size) if rows is None else self._backend.integers(rows)
        return self._rows

    @property
    def values(self) -> Array:
        """array of shape (size, d), on the device, or a csr_array: the rows."""
        if self._values is None:
            self._values = self._read()
        return self._values

    def _read(self) -> Array:
        whole, on_device = self._whole, self._backend.name != "cpu"
        if self._table.sparse:
            return self._table.take_sparse(self._host_rows)
        if whole is not None and whole._values is not None:
            return self._backend.xp.take(whole._values, self.rows, axis=0)
        # If X is on the device, its rows are taken by positions on the device.
        rows = self.rows if on_device and self._table.device != "cpu" and not self.everything else self._host_rows
        return self._table.take(rows, self._backend)

    def codes(self, target: Target) -> Array:
        """array of shape (size,), int64: the class of each row; on the device."""
        if self._codes is None:
            codes = target.codes if self._host_rows is None else target.codes[self._host_rows]
            self._codes = self._backend.integers(codes)
        return self._codes

    def locate(self, positions: Array) -> Array:
        """Row numbers within the pool, from positions in X."""
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
            Whether to use a smaller k if the pool has too few rows.

        Returns
        -------
        array of shape (m, k), int64
            Row numbers within the pool, nearest first.

        Raises
        ------
        TooFewRowsError
            If the pool has fewer than k rows besides the row itself.
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
                    f"A column of {self._description} has a range of more than {sys.float_info.max:.3e}: differences "
                    "between its values overflow float64.",
                    "Divide the column, or take its logarithm.",
                )
        return self._neighborhood.nearest(queries, int(k))

    def _searcher(self) -> NeighborSearch | SparseSearch | ApproximateSearch:
        if self._table.sparse:
            if self._recall_target is not None:
                self._report.notes.append("The search is exact: an approximate search needs dense rows.")
            return SparseSearch(self._backend, self.values, self._report)
        if self._recall_target is None:
            return NeighborSearch(self._backend, self.values, self._report)
        from gpusmote.neighbors.approximate import ApproximateSearch

        return ApproximateSearch(self._backend, self.values, self._report, self._recall_target)

    def _shrunk(self, k: int, shrink: bool) -> int:
        if shrink and self.size > 1:
            self._report.notes.append(
                f"{self._description}: {counted(self.size - 1, 'neighbor')} of each row instead of {k}."
            )
            return self.size - 1
        raise too_few_rows(self._description, self.size, k)


def too_few_rows(description: str, size: int, k: int) -> TooFewRowsError:
    """The error if ``size`` rows, described by ``description``, have fewer than k neighbors each."""
    if size == 1:
        hint = "A class of one row has no neighbors: drop it, or repeat its row by random over-sampling."
    else:
        hint = f"The largest possible k is {size - 1}; shrink_k=True uses it automatically."
    return TooFewRowsError(
        f"{description} has {counted(size, 'row')}, too few for {counted(k, 'neighbor')} of each.", hint
    )


@dataclasses.dataclass(frozen=True)
class ClassTask:
    """One class that gets synthetic rows: the data for a sampler's rule.

    Attributes
    ----------
    label : object
        Label of the class.
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
        """Whether the rows at these positions of X belong to another class; bool array of the same shape."""
        return self._codes[rows] != self.position

    def count_foreign(self, neighbors: Array) -> Array:
        """Count the neighbors of each row that belong to another class.

        Parameters
        ----------
        neighbors : array of shape (m, k), int64
            From ``everyone.nearest``.

        Returns
        -------
        array of shape (m,), int64
        """
        return self.backend.count_foreign(self._codes, neighbors, self.position)

    def apportion(self, weights: Array) -> Array:
        """Split the rows to make in proportion to weights: :func:`~gpusmote.base.apportion.apportion`.

        Parameters
        ----------
        weights : array of shape (m,), int64

        Returns
        -------
        array of shape (m,), int64
            They sum to ``n_new``, or to 0 if all weights are 0.
        """
        return apportion(self.n_new, weights, self.backend)

    @property
    def _codes(self) -> Array:
        return self.everyone.codes(self.target)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A sampler's decision about one class, or a part of it: seeds, neighbors, counts and generator.

    Attributes
    ----------
    seeds : array of shape (s,), int64
        Positions in X of the base rows of the synthetic rows. They are rows of ``pool``.
    pool : Pool
        The rows among which their neighbors are searched.
    k : int or estimator, optional
        Number of neighbors, or a scikit-learn neighbors estimator. Not needed with ``targets`` or for copies.
    counts : array of shape (s,), int64, optional
        Number of synthetic rows of each seed; they sum to the number of rows to make. If None, each synthetic row
        draws one of all (seed, neighbor) pairs.
    reach : callable, optional
        ``reach(neighbors) -> (low, high)``: the range of the gap for each neighbor, float64 arrays of shape (s, k) with
        low <= high. ``neighbors`` are row numbers of the pool; targets are numbered after its rows. Gaps below 0 or
        above 1 extend the segment. None is [0, 1), the segment.
    targets : array of shape (t, d), optional
        Points to interpolate to instead of neighbors, the same for all seeds. They need not be rows of X. They are
        rounded to its dtype, and must be finite and equal to the bit on every device, which sums of floats are not.
    generator : {"segment", "copy"}, default="segment"
        "segment" interpolates between a seed and its neighbors or targets, "copy" repeats the seeds. To copy rows that
        are not numeric, a sampler sets ``_repeats_rows``.
    n_new : int, optional
        Number of rows to make by this recipe, if there are several for the class; they sum to the task's ``n_new``.
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
    """A ``reach`` with gaps up to 0.5 for foreign neighbors, and up to 1 for others.

    Parameters
    ----------
    foreign : callable
        Returns whether each neighbor belongs to another class.
    """

    def reach(neighbors: Array) -> tuple[Array, Array]:
        high = 1.0 - 0.5 * foreign(neighbors)
        return high * 0.0, high

    return reach
