"""The k nearest rows of a table for some of its own rows: candidates, re-rank, certificate, and what is left again."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

from gpusmote._threads import single_threaded_blas
from gpusmote.backends.base import Array, Backend
from gpusmote.neighbours.candidates import Source, every_other
from gpusmote.neighbours.certificate import FLOAT32, FLOAT64, certified
from gpusmote.neighbours.choose import choose
from gpusmote.neighbours.last import last_pass
from gpusmote.neighbours.pool import Pool

__all__ = ["SOURCES", "Neighbourhood", "SearchReport"]

_ENTRIES = 1 << 21  # candidates re-ranked at once: 16 MiB of row numbers and as much of distances


@dataclasses.dataclass
class SearchReport:
    """What searches did.

    Attributes
    ----------
    sources : list of str
        Where the candidates came from, in the order of first use.
    queries : int
        Rows whose neighbours were sought: the sum of the three below.
    certified_first, certified_float64, certified_last : int
        How many of them the first source's list was certain for, how many needed the float64 pass, and how many the
        last.
    """

    sources: list[str] = dataclasses.field(default_factory=list)
    queries: int = 0
    certified_first: int = 0
    certified_float64: int = 0
    certified_last: int = 0

    def used(self, source: str) -> None:
        """Note a source, once."""
        if source not in self.sources:
            self.sources.append(source)


def _tree(pool: Pool) -> Source:
    from gpusmote.neighbours.tree import Tree

    return Tree(pool)


def _tiles(pool: Pool) -> Source:
    from gpusmote.neighbours.tiles import Tiles

    return Tiles(pool)


def _pairs(pool: Pool) -> Source:
    from gpusmote.neighbours.pairs import Pairs

    return Pairs(pool)


def _product(pool: Pool) -> Source:
    from gpusmote.neighbours.product import Product

    return Product(pool, FLOAT32)


def _product64(pool: Pool) -> Source:
    from gpusmote.neighbours.product import Product

    return Product(pool, FLOAT64)


def _faiss(pool: Pool) -> Source:
    from gpusmote.neighbours.faiss_gpu import FaissGpu

    return FaissGpu(pool)


SOURCES: dict[str, Callable[[Pool], Source]] = {
    "tree": _tree,
    "tiles": _tiles,
    "pairs": _pairs,
    "product": _product,
    "product-float64": _product64,
    "faiss": _faiss,
}
"""Every source of candidates by the name that :mod:`~gpusmote.neighbours.choose` gives it."""


class Neighbourhood:
    """Rows among which neighbours are sought; what a search prepares once is kept for the next.

    Parameters
    ----------
    backend : Backend
    values : array of shape (n, d), float32 or float64
        C-contiguous, on the backend's device, finite. Not written to.
    report : SearchReport
        Counted up by every search.
    source : str, optional
        A name in :data:`SOURCES`, to be used instead of the one that :func:`~gpusmote.neighbours.choose.choose` names.
    """

    def __init__(self, backend: Backend, values: Array, report: SearchReport, source: str | None = None) -> None:
        self._pool, self._report, self._forced = Pool(backend, values), report, source
        self._sources: dict[str, Source] = {}

    def nearest(self, queries: Array | None, k: int) -> Array:
        """The k nearest other rows of each query.

        Nearest by the squared Euclidean distance of :meth:`gpusmote.backends.Backend.rerank`, ties to the lower
        row; the query itself is left out by its row number, duplicates of it are not. Where the largest range of a
        column is outside [2**-300, 2**300], by that distance of the rows times a power of two
        (see :class:`~gpusmote.neighbours.pool.Pool`).

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
        Besides its result and one float32 copy of ``values``, a search on the host holds at most about 60 MiB and
        another 12 MiB a thread.
        """
        pool = self._pool
        everything = queries is None
        queries = pool.xp.arange(pool.n) if everything else queries
        out = pool.xp.empty((len(queries), k), "i8")
        choice = choose(pool.backend.name, pool.n, pool.d, k, everything)
        block = max(1, _ENTRIES // choice.count)
        with single_threaded_blas() if pool.backend.name == "cpu" else contextlib.nullcontext():
            source = None if choice.source == "every" else self._source(self._forced or choice.source)
            for start in range(0, len(queries), block):
                asked = queries[start : start + block]
                self._search(source, asked, choice.count, k, out[start : start + block])
        self._report.queries += len(queries)
        return out

    def _source(self, name: str) -> Source:
        if name not in self._sources:
            self._sources[name] = SOURCES[name](self._pool)
        source = self._sources[name]
        self._report.used(source.name)
        return source

    def _search(self, source: Source | None, asked: Array, count: int, k: int, out: Array) -> None:
        """Write the k nearest of each query to ``out``: the first source, then float64, then the last pass."""
        pool, xp, report = self._pool, self._pool.xp, self._report
        doubtful, _ = self._pass(source, asked, count, k, out)
        report.certified_first += len(asked) - len(doubtful)
        if not len(doubtful):
            return
        again = xp.empty((len(doubtful), k), "i8")
        wider = min(4 * count, pool.n - 1)
        still, kth = self._pass(
            self._source("product-float64") if wider < pool.n - 1 else None, asked[doubtful], wider, k, again
        )
        report.certified_float64 += len(doubtful) - len(still)
        if len(still):
            report.certified_last += len(still)
            report.used("last")
            again[still] = last_pass(pool, asked[doubtful[still]], kth[still], k)
        out[doubtful] = again

    def _pass(self, source: Source | None, asked: Array, count: int, k: int, out: Array) -> tuple[Array, Array]:
        """The k nearest of each list, and which lists are not certain to hold the k nearest of all rows."""
        pool, xp = self._pool, self._pool.xp
        if source is None:
            arithmetic = FLOAT64
            rows, edge = every_other(pool, asked)
            self._report.used("every")
        else:
            arithmetic = source.arithmetic
            rows, edge = source.candidates(asked, count)
        rows = xp.sort(rows, axis=1)  # a stable sort by distance then leaves ties in the order of rows
        distance = pool.backend.rerank(pool.values, asked, rows)
        order = xp.argsort(distance, axis=1, kind="stable")[:, :k]
        out[...] = xp.take_along_axis(rows, order, axis=1)
        kth = xp.take_along_axis(distance, order[:, -1:], axis=1)[:, 0] * pool.unit * pool.unit
        (doubtful,) = xp.nonzero(~certified(pool, arithmetic, asked, kth, edge))
        return doubtful, kth
