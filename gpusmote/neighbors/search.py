"""Exact search for the k nearest rows: candidates, re-ranking, a certificate, and further passes where it fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

from gpusmote.backends.cpu import Array, Backend
from gpusmote.backends.threads import single_threaded_blas
from gpusmote.neighbors.candidates import BATCH_ENTRIES, CandidateSource, Every, nearest_first
from gpusmote.neighbors.certificate import FLOAT32, FLOAT64, certified
from gpusmote.neighbors.cpu.pairs import Pairs
from gpusmote.neighbors.cpu.pruned import Pruned
from gpusmote.neighbors.cpu.tiles import Tiles
from gpusmote.neighbors.cpu.tree import Tree
from gpusmote.neighbors.deduplicate import Groups, find_groups
from gpusmote.neighbors.exhaustive import last_pass
from gpusmote.neighbors.gpu.faiss_gpu import device_source
from gpusmote.neighbors.gpu.streamed import StreamedSearch
from gpusmote.neighbors.intrinsic_dimension import DataGeometry, data_geometry
from gpusmote.neighbors.product import Product
from gpusmote.neighbors.report import SearchReport
from gpusmote.neighbors.search_set import SearchSet
from gpusmote.neighbors.selection import LISTED, SearchSize, choose, choose_second

__all__ = ["SOURCES", "NeighborSearch", "SearchReport"]

SOURCES: dict[str, Callable[[SearchSet], CandidateSource]] = {
    "every": Every,
    "tree": Tree,
    "pruned": Pruned,
    "tiles": Tiles,
    "tiles-float64": partial(Tiles, arithmetic=FLOAT64),
    "pairs": Pairs,
    "product": partial(Product, arithmetic=FLOAT32),
    "product-float64": partial(Product, arithmetic=FLOAT64),
    "device": device_source,
}
"""The candidate sources, by the names that :mod:`~gpusmote.neighbors.selection` uses."""

_MANY_TIES = 256  # queries from which building a ball tree costs less than comparing each of them with all rows


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
        self._geometry: DataGeometry | None = None

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
                out, passes = self._search(queries, k)
            else:
                out, passes = self._nearest_by_groups(groups, queries, k)
        self._report.count(*(int((passes == number).sum()) for number in range(3)))
        return out

    def _nearest_by_groups(self, groups: Groups, queries: Array, k: int) -> tuple[Array, Array]:
        """Search among the distinct rows, then expand each to its copies."""
        search_set, xp = self._search_set, self._search_set.xp
        out = xp.empty((len(queries), k), "i8")
        every, of = xp.arange(groups.n), groups.of[queries]
        if len(queries) < groups.n:
            every, of = xp.unique(of, return_inverse=True)
        near, passes = self._search(every, min(k, groups.n - 1))
        distance = search_set.distances(every, near)
        block = max(1, search_set.backend.memory.size(BATCH_ENTRIES) // ((k + 1) * (k + 1)))
        for start in range(0, len(queries), block):
            part = slice(start, start + block)
            out[part] = groups.expand(queries[part], near[of[part]], distance[of[part]], k)
        return out, passes[of]

    def _search(self, queries: Array, k: int) -> tuple[Array, Array]:
        """The k nearest rows among the distinct rows, and the pass (0, 1 or 2) that certified each result."""
        search_set = self._search_set
        if k == 0:  # all rows are equal
            return search_set.xp.empty((len(queries), 0), "i8"), search_set.xp.zeros(len(queries), "i1")
        device = search_set.backend.search_device
        if device is not None and search_set.n - 1 > LISTED:
            return StreamedSearch(search_set, device, self._report.used).nearest(queries, k, max(LISTED, k + 8))
        size = self._size(queries, k)
        name, why = choose(size, self._measure)
        if self._forced is None:
            self._report.chose(name, why)
        elif name != "every":
            name = self._forced
        return self._certify(name, queries, size.count, k, 0)

    def _size(self, queries: Array, k: int) -> SearchSize:
        search_set, backend = self._search_set, self._search_set.backend
        return SearchSize(search_set.n, search_set.d, len(queries), k, backend.name == "cpu", backend.memory.copies)

    def _source(self, name: str) -> CandidateSource:
        if name not in self._sources:
            self._sources[name] = SOURCES[name](self._search_set)
        return self._sources[name]

    def _measure(self, what: str) -> float:
        """The "dimension" of the rows, or the "share" of pairs to compare, estimated from a sample at the first use.

        Not a ``functools.cached_property``: in Python 3.11 all objects share its lock, and a child that is forked while
        another thread holds the lock waits forever. Two threads that need it at the same time both compute it.
        """
        if self._geometry is None:
            self._geometry = data_geometry(self._search_set)
        return self._geometry.dimension if what == "dimension" else self._geometry.share

    def _certify(self, name: str, queries: Array, count: int, k: int, number: int) -> tuple[Array, Array]:
        """The k nearest rows of each query, and the pass that certified them: this one (0 or 1) or a later one."""
        search_set, xp = self._search_set, self._search_set.xp
        source = self._source(name if count < search_set.n - 1 else "every")
        out, passes = xp.empty((len(queries), k), "i8"), xp.full(len(queries), number, "i1")
        for part in self._batches(source, queries, count):
            out[part], uncertain, kth = self._pass(source, queries[part], count, k)
            if not len(uncertain):
                continue
            at, kth = part[uncertain], kth[uncertain]
            left = queries[at]
            if number == 1 or name in ("tree", "pruned"):
                out[at], passes[at] = self._last(name, left, kth, k), 2
                continue
            size = self._size(left, k)
            second = choose_second(size, self._measure)
            wider = size.count if second == "pruned" else min(4 * count, search_set.n - 1)
            out[at], passes[at] = self._certify(second, left, wider, k, 1)
        return out, passes

    def _batches(self, source: CandidateSource, queries: Array, count: int) -> Iterator[Array]:
        """Positions in ``queries``, in batches whose lists of candidates fit in memory."""
        block = max(1, self._search_set.backend.memory.size(BATCH_ENTRIES) // count)
        if isinstance(source, Pruned) and len(queries) > block:
            order = source.query_order(queries)
        else:
            order = self._search_set.xp.arange(len(queries))
        for start in range(0, len(queries), block):
            yield order[start : start + block]

    def _pass(self, source: CandidateSource, queries: Array, count: int, k: int) -> tuple[Array, Array, Array]:
        """The k nearest candidates of each query, the uncertain queries, and all k-th distances.

        A query is uncertain if the certificate does not prove that its candidates include its k nearest rows.
        """
        search_set, xp = self._search_set, self._search_set.xp
        rows, edge = source.candidates(queries, count)
        self._report.used(source.name)
        rows = xp.sort(rows, axis=1)  # equal distances are then returned in the order of row numbers
        out, distance = nearest_first(xp, rows, search_set.distances(queries, rows), k)
        kth = distance[:, -1] * search_set.unit * search_set.unit
        (uncertain,) = xp.nonzero(~certified(search_set, source.arithmetic, queries, kth, edge))
        return out, uncertain, kth

    def _last(self, name: str, queries: Array, kth: Array, k: int) -> Array:
        """The exact k nearest rows, from a bound for the distance of the k-th."""
        self._report.used("last")
        copies = self._search_set.backend.memory.copies
        if name == "pruned" or (name == "tree" and copies == 2 and len(queries) >= _MANY_TIES):
            source = self._source("pruned")
            assert isinstance(source, Pruned)
            return source.exact_nearest(queries, kth, k)
        return last_pass(self._search_set, queries, kth, k)
