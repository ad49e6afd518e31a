"""Exact search for the k nearest rows: candidates, re-ranking, a certificate, and further passes where it fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpusmote.backends.cpu import Array, Backend
from gpusmote.backends.threads import single_threaded_blas
from gpusmote.neighbors.candidates import (
    BATCH_ENTRIES,
    CandidateSource,
    ExactSource,
    OrderedSource,
    all_candidates,
    nearest_first,
)
from gpusmote.neighbors.certificate import FLOAT32, FLOAT64, certified
from gpusmote.neighbors.deduplicate import Groups, find_groups
from gpusmote.neighbors.exhaustive import last_pass
from gpusmote.neighbors.intrinsic_dimension import DataGeometry, data_geometry
from gpusmote.neighbors.report import SearchReport
from gpusmote.neighbors.search_set import SearchSet
from gpusmote.neighbors.selection import LISTED, SearchSize, choose, choose_second

if TYPE_CHECKING:
    from gpusmote.neighbors.gpu.streamed import StreamedSearch

__all__ = ["SOURCES", "NeighborSearch", "SearchReport"]


def _tree(search_set: SearchSet) -> CandidateSource:
    from gpusmote.neighbors.cpu.tree import Tree

    return Tree(search_set)


def _tiles(search_set: SearchSet) -> CandidateSource:
    from gpusmote.neighbors.cpu.tiles import Tiles

    return Tiles(search_set)


def _tiles64(search_set: SearchSet) -> CandidateSource:
    from gpusmote.neighbors.cpu.tiles import Tiles

    return Tiles(search_set, FLOAT64)


def _pruned(search_set: SearchSet, axes: Array | None = None) -> CandidateSource:
    from gpusmote.neighbors.cpu.pruned import Pruned

    return Pruned(search_set, axes)


def _pairs(search_set: SearchSet) -> CandidateSource:
    from gpusmote.neighbors.cpu.pairs import Pairs

    return Pairs(search_set)


def _product(search_set: SearchSet) -> CandidateSource:
    from gpusmote.neighbors.product import Product

    return Product(search_set, FLOAT32)


def _product64(search_set: SearchSet) -> CandidateSource:
    from gpusmote.neighbors.product import Product

    return Product(search_set, FLOAT64)


def _device(search_set: SearchSet) -> CandidateSource:
    from gpusmote.neighbors.gpu.faiss_gpu import device_source

    return device_source(search_set)


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
"""The candidate sources, by the names that :mod:`~gpusmote.neighbors.selection` uses."""


class NeighborSearch:
    """Exact nearest-neighbor search in one table. It keeps its indexes from one call to the next.

    Parameters
    ----------
    backend : Backend
    values : array of shape (n, d), float32 or float64
        C-contiguous, on the backend's device, finite. Not written to.
    report : SearchReport
        Every search adds its counts to it.
    source : str, optional
        A name in :data:`SOURCES`. Default: the one that :func:`~gpusmote.neighbors.selection.choose` returns.
    """

    def __init__(self, backend: Backend, values: Array, report: SearchReport, source: str | None = None) -> None:
        self._report, self._forced = report, source
        groups = self._groups = find_groups(backend, values) if backend.memory.copies == 2 else None
        self._search_set = SearchSet(backend, values if groups is None else values[groups.lowest])
        self._n, self._sources = len(values), dict[str, CandidateSource]()
        self._tried_share: float | None = None
        self._known_geometry: DataGeometry | None = None

    @property
    def half_range(self) -> float:
        """Half of the largest range (maximum minus minimum) of any column."""
        return self._search_set.half_range

    def nearest(self, queries: Array | None, k: int) -> Array:
        """Find the k nearest other rows of each query.

        The distance is the squared Euclidean distance of :meth:`gpusmote.backends.Backend.rerank`; among equal
        distances the lower row number comes first. The query itself is excluded by its row number, duplicates of it
        are not. If the largest range of a column is outside [2**-300, 2**300], the rows are first multiplied by a power
        of two (see :class:`~gpusmote.neighbors.search_set.SearchSet`).

        Parameters
        ----------
        queries : array of shape (m,), int64, or None
            Row numbers of ``values``; None means all rows in order.
        k : int
            At least 1, at most n - 1.

        Returns
        -------
        array of shape (m, k), int64
            Row numbers of ``values``, nearest first.

        Notes
        -----
        A search on the host works in blocks. Besides its result and a float32 copy of ``values`` (and a float64 copy
        if the float64 pass is needed) it holds about 32 MiB and up to 16 MiB for each thread, more if k is in the
        hundreds. For 100,000 rows of 32 float32 columns and k = 5 on two cores the peak was 63 MB in all.
        """
        search_set, groups = self._search_set, self._groups
        queries = search_set.xp.arange(self._n) if queries is None else queries
        with single_threaded_blas() if search_set.backend.name == "cpu" else contextlib.nullcontext():
            if groups is None:
                out, passes = self.search(queries, k)
            else:
                out, passes = self._nearest_by_groups(groups, queries, k)
        self._count(passes)
        return out

    def _nearest_by_groups(self, groups: Groups, queries: Array, k: int) -> tuple[Array, Array]:
        """Search among the distinct rows, then expand each to its copies."""
        search_set, xp = self._search_set, self._search_set.xp
        out = xp.empty((len(queries), k), "i8")
        every, of = xp.arange(groups.n), groups.of[queries]
        if len(queries) < groups.n:
            every, of = xp.unique(of, return_inverse=True)
        near, passes = self.search(every, min(k, groups.n - 1))
        distance = search_set.backend.rerank(search_set.values, every, near)
        block = max(1, search_set.backend.memory.size(BATCH_ENTRIES) // ((k + 1) * (k + 1)))
        for start in range(0, len(queries), block):
            part = slice(start, start + block)
            out[part] = groups.expand(queries[part], near[of[part]], distance[of[part]], k)
        return out, passes[of]

    def search(self, queries: Array, k: int) -> tuple[Array, Array]:
        """The k nearest rows among the distinct rows, and the pass (0, 1 or 2) that certified each result."""
        search_set = self._search_set
        out = search_set.xp.empty((len(queries), k), "i8")
        passes = search_set.xp.zeros(len(queries), "i1")
        if k == 0:  # all rows are equal
            return out, passes
        if search_set.backend.search_device is not None and search_set.n - 1 > LISTED:
            return self._streamed(search_set.backend.search_device).nearest(queries, k, max(LISTED, k + 8))
        source, count = self._choice(queries, k)
        block = max(1, search_set.backend.memory.size(BATCH_ENTRIES) // count)
        order = None
        if isinstance(source, OrderedSource) and len(queries) > block:
            order = source.query_order(queries)
        for start in range(0, len(queries), block):
            part: Any = slice(start, start + block)
            if order is not None:
                part = order[part]
            out[part], passes[part] = self._search(source, queries[part], count, k)
        return out, passes

    def _choice(self, queries: Array, k: int) -> tuple[CandidateSource | None, int]:
        """The first source and its number of candidates; the source is None if all other rows are candidates."""
        size = self._size(queries, k)
        choice = choose(
            size, lambda limit: self._geometry.dimension, lambda limit: self._share_compared(queries, size.count, limit)
        )
        if self._forced is None:
            self._report.chose(choice.source, choice.why)
        name = choice.source if self._forced is None or choice.source == "every" else self._forced
        return None if name == "every" else self._source(name), choice.count

    def _size(self, queries: Array, k: int) -> SearchSize:
        search_set = self._search_set
        return SearchSize(
            search_set.n,
            search_set.d,
            len(queries),
            k,
            search_set.backend.name == "cpu",
            search_set.backend.memory.copies,
        )

    def _share_compared(self, queries: Array, count: int, limit: float) -> float:
        """The share of all pairs that the pruned search would compare.

        It is measured by a trial, which needs the ball tree, unless the estimate from a sample is already above
        ``limit``. The result of the trial is kept.
        """
        if self._tried_share is None:
            if self._geometry.share > limit:
                return self._geometry.share
            source: Any = self._source("pruned")
            self._tried_share = source.share(queries, count)
            if self._tried_share > limit:
                del self._sources["pruned"]
        return self._tried_share

    def _count(self, passes: Array) -> None:
        number = [int((passes == i).sum()) for i in range(3)]
        self._report.queries += len(passes)
        self._report.certified_first += number[0]
        self._report.certified_second += number[1]
        self._report.certified_last += number[2]

    def _streamed(self, device: Backend) -> StreamedSearch:
        from gpusmote.neighbors.gpu.streamed import StreamedSearch

        return StreamedSearch(self._search_set, device, self._report.used)

    def _source(self, name: str) -> CandidateSource:
        if name not in self._sources:
            axes = (self._geometry.axes,) if name == "pruned" else ()
            self._sources[name] = SOURCES[name](self._search_set, *axes)
        return self._sources[name]

    @property
    def _geometry(self) -> DataGeometry:
        """Properties of the rows, estimated from a sample at the first use.

        Not a ``functools.cached_property``: in Python 3.11 all objects share its lock, and a child that is forked while
        another thread holds the lock waits forever. Two threads that need it at the same time both compute it.
        """
        if self._known_geometry is None:
            self._known_geometry = data_geometry(self._search_set)
        return self._known_geometry

    def _search(self, source: CandidateSource | None, queries: Array, count: int, k: int) -> tuple[Array, Array]:
        """The k nearest rows of each query: from the first source, then a second, then the last pass."""
        search_set = self._search_set
        out, passes = search_set.xp.empty((len(queries), k), "i8"), search_set.xp.zeros(len(queries), "i1")
        uncertain, kth = self._pass(source, queries, count, k, out)
        if isinstance(source, ExactSource):
            if len(uncertain):
                self._report.used("last")
                out[uncertain] = source.exact_nearest(queries[uncertain], kth[uncertain], k)
                passes[uncertain] = 2
            return out, passes
        left = queries[uncertain]
        size = self._size(left, k)
        name = choose_second(size, lambda limit: self._share_compared(left, size.count, limit))
        if name == "pruned":
            out[uncertain], second_passes = self._search(self._source(name), left, size.count, k)
            passes[uncertain] = search_set.xp.maximum(second_passes, 1)
            return out, passes
        wider = min(4 * count, search_set.n - 1)
        block = max(1, search_set.backend.memory.size(BATCH_ENTRIES) // wider)
        for start in range(0, len(uncertain), block):
            part = uncertain[start : start + block]
            out[part], passes[part] = self._second_pass(name, queries[part], wider, k)
        return out, passes

    def _second_pass(self, name: str, queries: Array, count: int, k: int) -> tuple[Array, Array]:
        """The k nearest rows from a second source, or from the last pass if that is uncertain too."""
        search_set, xp = self._search_set, self._search_set.xp
        source = self._source(name) if count < search_set.n - 1 else None
        out, passes = xp.empty((len(queries), k), "i8"), xp.ones(len(queries), "i1")
        uncertain, kth = self._pass(source, queries, count, k, out)
        if len(uncertain):
            self._report.used("last")
            out[uncertain] = last_pass(search_set, queries[uncertain], kth[uncertain], k)
            passes[uncertain] = 2
        return out, passes

    def _pass(
        self, source: CandidateSource | None, queries: Array, count: int, k: int, out: Array
    ) -> tuple[Array, Array]:
        """Write the k nearest candidates of each query to ``out``; return the uncertain queries and all k-th distances.

        A query is uncertain if the certificate does not prove that its candidates include its k nearest rows.
        """
        search_set, xp = self._search_set, self._search_set.xp
        if source is None:
            arithmetic = FLOAT64
            rows, edge = all_candidates(search_set, queries)
            self._report.used("every")
        else:
            arithmetic = source.arithmetic
            rows, edge = source.candidates(queries, count)
            self._report.used(source.name)
        rows = xp.sort(rows, axis=1)  # equal distances are then returned in the order of row numbers
        distance = search_set.backend.rerank(search_set.values, queries, rows)
        out[...], distance = nearest_first(xp, rows, distance, k)
        kth = distance[:, -1] * search_set.unit * search_set.unit
        (uncertain,) = xp.nonzero(~certified(search_set, arithmetic, queries, kth, edge))
        return uncertain, kth
