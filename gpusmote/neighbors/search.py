"""The k nearest rows of a table for some of its own rows: candidates, re-rank, certificate, and what is left again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpusmote.backends.cpu import Array, Backend
from gpusmote.backends.threads import single_threaded_blas
from gpusmote.neighbors.candidates import AT_ONCE, CandidateSource, Sequenced, Settling, every_other
from gpusmote.neighbors.certificate import FLOAT32, FLOAT64, certified
from gpusmote.neighbors.deduplicate import Groups, groups_of
from gpusmote.neighbors.exhaustive import last_pass
from gpusmote.neighbors.intrinsic_dimension import DataGeometry, data_geometry
from gpusmote.neighbors.report import SearchReport
from gpusmote.neighbors.search_set import SearchSet
from gpusmote.neighbors.selection import LISTED, SearchSize, choose, second

if TYPE_CHECKING:
    from gpusmote.neighbors.gpu.streamed import StreamedSearch

__all__ = ["SOURCES", "NeighborSearch", "SearchReport"]


def _tree(pool: SearchSet) -> CandidateSource:
    from gpusmote.neighbors.cpu.tree import Tree

    return Tree(pool)


def _tiles(pool: SearchSet) -> CandidateSource:
    from gpusmote.neighbors.cpu.tiles import Tiles

    return Tiles(pool)


def _tiles64(pool: SearchSet) -> CandidateSource:
    from gpusmote.neighbors.cpu.tiles import Tiles

    return Tiles(pool, FLOAT64)


def _pruned(pool: SearchSet, axes: Array | None = None) -> CandidateSource:
    from gpusmote.neighbors.cpu.pruned import Pruned

    return Pruned(pool, axes)


def _pairs(pool: SearchSet) -> CandidateSource:
    from gpusmote.neighbors.cpu.pairs import Pairs

    return Pairs(pool)


def _product(pool: SearchSet) -> CandidateSource:
    from gpusmote.neighbors.product import Product

    return Product(pool, FLOAT32)


def _product64(pool: SearchSet) -> CandidateSource:
    from gpusmote.neighbors.product import Product

    return Product(pool, FLOAT64)


def _device(pool: SearchSet) -> CandidateSource:
    from gpusmote.neighbors.gpu.faiss_gpu import device_source

    return device_source(pool)


SOURCES: dict[str, Callable[..., CandidateSource]] = {
    "tree": _tree,
    "pruned": _pruned,
    "tiles": _tiles,
    "tiles-float64": _tiles64,
    "pairs": _pairs,
    "product": _product,
    "product-float64": _product64,
    "device": _device,
}
"""Every source of candidates by the name that :mod:`~gpusmote.neighbors.selection` gives it."""


class NeighborSearch:
    """Rows among which neighbors are sought; what a search prepares once is kept for the next.

    Parameters
    ----------
    backend : Backend
    values : array of shape (n, d), float32 or float64
        C-contiguous, on the backend's device, finite. Not written to.
    report : SearchReport
        Counted up by every search.
    source : str, optional
        A name in :data:`SOURCES`, in place of the one that :func:`~gpusmote.neighbors.selection.choose` names.
    """

    def __init__(self, backend: Backend, values: Array, report: SearchReport, source: str | None = None) -> None:
        self._report, self._forced = report, source
        groups = self._groups = groups_of(backend, values) if backend.memory.copies == 2 else None
        self._pool = SearchSet(backend, values if groups is None else values[groups.lowest])
        self._n, self._sources = len(values), dict[str, CandidateSource]()
        self._share: float | None = None
        self._found: DataGeometry | None = None

    @property
    def half_range(self) -> float:
        """Half of the largest range (maximum minus minimum) of any column."""
        return self._pool.half_range

    def nearest(self, queries: Array | None, k: int) -> Array:
        """The k nearest other rows of each query.

        Nearest by the squared Euclidean distance of :meth:`gpusmote.backends.Backend.rerank`, ties to the lower
        row; the query itself is left out by its row number, duplicates of it are not. Where the largest range of a
        column is outside [2**-300, 2**300], by that distance of the rows times a power of two
        (see :class:`~gpusmote.neighbors.search_set.SearchSet`).

        Parameters
        ----------
        queries : array of shape (m,), int64, or None
            Rows of ``values``; None is all of them in order.
        k : int
            At least 1, at most n - 1.

        Returns
        -------
        array of shape (m, k), int64
            Rows of ``values``, nearest first.

        Notes
        -----
        A search on the host goes block by block: besides its result and a float32 copy of ``values`` (another in
        float64 where the float64 pass is needed) it holds some 32 MiB and up to 16 MiB a thread, more where k is in
        the hundreds. For 100,000 rows of 32 float32 columns and k = 5 on two cores the peak was 63 MB in all.
        """
        pool, groups = self._pool, self._groups
        queries = pool.xp.arange(self._n) if queries is None else queries
        with single_threaded_blas() if pool.backend.name == "cpu" else contextlib.nullcontext():
            if groups is None:
                out, passes = self.search(queries, k)
            else:
                out, passes = self._nearest_by_groups(groups, queries, k)
        self._count(passes)
        return out

    def _nearest_by_groups(self, groups: Groups, queries: Array, k: int) -> tuple[Array, Array]:
        """The same among groups of equal rows, then among the rows in them."""
        pool, xp = self._pool, self._pool.xp
        out = xp.empty((len(queries), k), "i8")
        every, of = xp.arange(groups.n), groups.of[queries]
        if len(queries) < groups.n:
            every, of = xp.unique(of, return_inverse=True)
        near, passes = self.search(every, min(k, groups.n - 1))
        distance = pool.backend.rerank(pool.values, every, near)
        block = max(1, pool.backend.memory.size(AT_ONCE) // ((k + 1) * (k + 1)))
        for start in range(0, len(queries), block):
            part = slice(start, start + block)
            out[part] = groups.expand(queries[part], near[of[part]], distance[of[part]], k)
        return out, passes[of]

    def search(self, queries: Array, k: int) -> tuple[Array, Array]:
        """The k nearest rows among those that are all different, and which pass was certain of them: 0, 1 or 2."""
        pool = self._pool
        out = pool.xp.empty((len(queries), k), "i8")
        passes = pool.xp.zeros(len(queries), "i1")
        if k == 0:  # all rows are one
            return out, passes
        if pool.backend.through is not None and pool.n - 1 > LISTED:
            return self._through(pool.backend.through).nearest(queries, k, max(LISTED, k + 8))
        source, count = self._choice(queries, k)
        block = max(1, pool.backend.memory.size(AT_ONCE) // count)
        sequence = None
        if isinstance(source, Sequenced) and len(queries) > block:
            sequence = source.sequence(queries)
        for start in range(0, len(queries), block):
            part: Any = slice(start, start + block)
            if sequence is not None:
                part = sequence[part]
            out[part], passes[part] = self._search(source, queries[part], count, k)
        return out, passes

    def _choice(self, queries: Array, k: int) -> tuple[CandidateSource | None, int]:
        """The first source, None where all other rows are candidates, and how many it is asked for."""
        size = self._size(queries, k)
        choice = choose(
            size, lambda limit: self._geometry.dimension, lambda limit: self._compared(queries, size.count, limit)
        )
        if self._forced is None:
            self._report.chose(choice.source, choice.why)
        name = choice.source if self._forced is None or choice.source == "every" else self._forced
        return None if name == "every" else self._source(name), choice.count

    def _size(self, queries: Array, k: int) -> SearchSize:
        pool = self._pool
        return SearchSize(pool.n, pool.d, len(queries), k, pool.backend.name == "cpu", pool.backend.memory.copies)

    def _compared(self, queries: Array, count: int, limit: float) -> float:
        """Which share of all pairs the pruned search would compare.

        By a trial, for which balls are made, unless a sample foretells too much; what was tried is not tried again.
        """
        if self._share is None:
            if self._geometry.share > limit:
                return self._geometry.share
            source: Any = self._source("pruned")
            self._share = source.share(queries, count)
            if self._share > limit:
                del self._sources["pruned"]
        return self._share

    def _count(self, passes: Array) -> None:
        number = [int((passes == i).sum()) for i in range(3)]
        self._report.queries += len(passes)
        self._report.certified_first += number[0]
        self._report.certified_second += number[1]
        self._report.certified_last += number[2]

    def _through(self, device: Backend) -> StreamedSearch:
        from gpusmote.neighbors.gpu.streamed import StreamedSearch

        return StreamedSearch(self._pool, device, self._report.used)

    def _source(self, name: str) -> CandidateSource:
        if name not in self._sources:
            axes = (self._geometry.axes,) if name == "pruned" else ()
            self._sources[name] = SOURCES[name](self._pool, *axes)
        return self._sources[name]

    @property
    def _geometry(self) -> DataGeometry:
        """What a sample tells of the rows, computed when first asked for.

        Not a ``functools.cached_property``: in Python 3.11 all objects share its lock, and a child that is forked while
        another thread holds the lock waits forever. Two threads that ask at the same time both compute it.
        """
        if self._found is None:
            self._found = data_geometry(self._pool)
        return self._found

    def _search(self, source: CandidateSource | None, asked: Array, count: int, k: int) -> tuple[Array, Array]:
        """The k nearest of each query: by the first source, by a second, then by the last pass."""
        pool = self._pool
        out, passes = pool.xp.empty((len(asked), k), "i8"), pool.xp.zeros(len(asked), "i1")
        doubtful, kth = self._pass(source, asked, count, k, out)
        if isinstance(source, Settling):
            if len(doubtful):
                self._report.used("last")
                out[doubtful], passes[doubtful] = source.settle(asked[doubtful], kth[doubtful], k), 2
            return out, passes
        left = asked[doubtful]
        size = self._size(left, k)
        name = second(size, lambda limit: self._compared(left, size.count, limit))
        if name == "pruned":
            out[doubtful], again = self._search(self._source(name), left, size.count, k)
            passes[doubtful] = pool.xp.maximum(again, 1)
            return out, passes
        wider = min(4 * count, pool.n - 1)
        block = max(1, pool.backend.memory.size(AT_ONCE) // wider)
        for start in range(0, len(doubtful), block):
            self._again(name, asked, doubtful[start : start + block], wider, k, out, passes)
        return out, passes

    def _again(self, name: str, asked: Array, doubtful: Array, wider: int, k: int, out: Array, passes: Array) -> None:
        """The same for those that the first source was not certain of, by the source of that name."""
        pool, xp = self._pool, self._pool.xp
        source = self._source(name) if wider < pool.n - 1 else None
        again = xp.empty((len(doubtful), k), "i8")
        left, kth = self._pass(source, asked[doubtful], wider, k, again)
        passes[doubtful] = 1
        if len(left):
            self._report.used("last")
            again[left] = last_pass(pool, asked[doubtful[left]], kth[left], k)
            passes[doubtful[left]] = 2
        out[doubtful] = again

    def _pass(
        self, source: CandidateSource | None, asked: Array, count: int, k: int, out: Array
    ) -> tuple[Array, Array]:
        """The k nearest of each list, and which lists are not certain to hold the k nearest of all rows."""
        pool, xp = self._pool, self._pool.xp
        if source is None:
            arithmetic = FLOAT64
            rows, edge = every_other(pool, asked)
            self._report.used("every")
        else:
            arithmetic = source.arithmetic
            rows, edge = source.candidates(asked, count)
            self._report.used(source.name)
        rows = xp.sort(rows, axis=1)  # a stable sort by distance then leaves ties in the order of rows
        distance = pool.backend.rerank(pool.values, asked, rows)
        order = xp.argsort(distance, axis=1, kind="stable")[:, :k]
        out[...] = xp.take_along_axis(rows, order, axis=1)
        kth = xp.take_along_axis(distance, order[:, -1:], axis=1)[:, 0] * pool.unit * pool.unit
        (doubtful,) = xp.nonzero(~certified(pool, arithmetic, asked, kth, edge))
        return doubtful, kth
