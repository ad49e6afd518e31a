"""A pool that is larger than the device: its rows stay on the host, and go through the device block by block.

Each block of rows gives each query a list of candidates, whose distances (those that decide) are computed while the
block is there; the nearest of all lists are kept. A row in no list lies beyond the edge of its own block's list, so
that the smallest edge is the edge of the lists put together, and the certificate is the same as for one list.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from gpusmote.backends.cpu import Array, Backend
from gpusmote.neighbors.candidates import AT_ONCE, CandidateSource
from gpusmote.neighbors.certificate import FLOAT64, Arithmetic, certified, error_bound
from gpusmote.neighbors.exhaustive import Nearest, sides
from gpusmote.neighbors.gpu.faiss_gpu import device_source
from gpusmote.neighbors.product import Product
from gpusmote.neighbors.search_set import DeviceWindow, SearchSet

__all__ = ["StreamedSearch"]


class StreamedSearch:
    """The k nearest rows of a pool on the host, by a device that never holds more than a part of it.

    A block of queries stays on the device while all rows go through it.

    Parameters
    ----------
    pool : SearchSet
        On the host.
    device : Backend
        Its cut says how many rows lie there at once, and as many queries.
    used : callable
        ErrorTranslator the name of each source.
    """

    def __init__(self, pool: SearchSet, device: Backend, used: Callable[[str], None]) -> None:
        self._pool, self._device, self._used = pool, device, used
        self._size = min(pool.n, device.memory.pool_rows or pool.n)
        # Half of the rows are searched while the other half goes up. The queries decide how often all rows go up, so
        # that the bytes moved are not more than with all the room for rows that are searched.
        parts = -(-pool.n // max(1, self._size // 2)) if self._size < pool.n else 1
        self._spans = _cut(pool.n, parts)

    def nearest(self, queries: np.ndarray, k: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`gpusmote.neighbors.NeighborSearch.nearest`, and which pass was certain: 0, 1 or 2.

        Parameters
        ----------
        queries : ndarray of shape (m,), int64
        k : int
        count : int
            Candidates of each list, more than k.
        """
        m = len(queries)
        out = np.empty((m, k), np.int64)
        passes = np.empty(m, np.int8)
        with self._device.active():
            for start, stop in _cut(m, -(-m // self._size)):  # as few blocks as there is room for
                part = slice(start, stop)
                _Block(self._pool, self._device, self._spans, self._used).search(
                    queries[part], k, count, out[part], passes[part]
                )
        return out, passes


def _cut(n: int, parts: int) -> list[tuple[int, int]]:
    """``range(n)`` in parts that differ by one at most."""
    return list(itertools.pairwise(n * i // parts for i in range(parts + 1)))


class _Block:
    """One block of queries on one device.

    Parameters
    ----------
    pool : SearchSet
        On the host.
    device : Backend
        It is current.
    spans : list of (int, int)
        The rows that are searched, part by part.
    used : callable
        ErrorTranslator the name of each source.
    """

    def __init__(
        self, pool: SearchSet, device: Backend, spans: list[tuple[int, int]], used: Callable[[str], None]
    ) -> None:
        self._pool, self._device, self._spans, self._used = pool, device, spans, used

    def search(self, asked: np.ndarray, k: int, count: int, out: np.ndarray, passes: np.ndarray) -> None:
        """Write the k nearest rows of each query to ``out``, and which pass was certain of them to ``passes``."""
        most = self._spans[0][1] - 2  # two of a part's rows may be no candidates: the query, and one for the edge
        passes[...] = 0
        out[...], _, doubtful = self._pass(asked, k, min(count, most), device_source)
        if not len(doubtful):
            return
        again, kth, left = self._pass(asked[doubtful], k, min(4 * count, most), lambda pool: Product(pool, FLOAT64))
        passes[doubtful] = 1
        if len(left):
            self._used("last")
            again[left] = self._last(asked[doubtful[left]], kth[left], k)
            passes[doubtful[left]] = 2
        out[doubtful] = again

    def _pass(
        self, asked: np.ndarray, k: int, count: int, make: Callable[[SearchSet], CandidateSource]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The k nearest of all lists, their k-th distance, and which queries are not certain of them."""
        xp, m = self._device.xp, len(asked)
        window = DeviceWindow(self._device, self._pool, self._spans, asked)
        rows, distance = xp.zeros((m, k), "i8"), xp.full((m, k), xp.inf)
        edge = xp.full(m, xp.inf)
        arithmetic: Arithmetic = FLOAT64
        name = ""
        for first in window.over():
            source = make(window)
            arithmetic, name = source.arithmetic, source.name
            block = max(1, self._device.memory.size(AT_ONCE) // count)
            for start in range(0, m, block):
                part = slice(start, start + block)
                found, far, outside = self._meet(window, source, window.queries[part], count)
                found += first
                rows[part], distance[part] = self._merge(rows[part], distance[part], found, far)
                edge[part] = xp.minimum(edge[part], outside)
            del source  # what it keeps of these rows makes room for the next
        self._used(name)
        kth = distance[:, -1] * self._pool.unit * self._pool.unit
        (doubtful,) = xp.nonzero(~certified(window, arithmetic, window.queries, kth, edge))
        host = self._device.to_host
        return host(rows), host(kth), host(doubtful)

    def _meet(
        self, window: DeviceWindow, source: CandidateSource, queries: Array, count: int
    ) -> tuple[Array, Array, Array]:
        """Candidates in the order of rows, their deciding distances, and the edge of the lists."""
        rows, edge = source.candidates(queries, count)
        rows = self._device.xp.sort(rows, axis=1)
        return rows, self._device.rerank(window.values, queries, rows), edge

    def _merge(self, rows: Array, distance: Array, new: Array, new_distance: Array) -> tuple[Array, Array]:
        """The nearest of both; what was there before has lower numbers, and comes first where distances tie."""
        xp, k = self._device.xp, rows.shape[1]
        rows, distance = xp.concatenate([rows, new], axis=1), xp.concatenate([distance, new_distance], axis=1)
        order = xp.argsort(distance, axis=1, kind="stable")[:, :k]
        return xp.take_along_axis(rows, order, axis=1), xp.take_along_axis(distance, order, axis=1)

    def _last(self, asked: np.ndarray, kth: np.ndarray, k: int) -> np.ndarray:
        """See :func:`~gpusmote.neighbors.exhaustive.last_pass`: each block of rows meets all queries that are left."""
        device = self._device
        window = DeviceWindow(device, self._pool, self._spans, asked)
        bound = device.asarray(kth)
        limit = bound + error_bound(window, FLOAT64, window.queries, bound)
        step, _ = sides(window)
        blocks = [slice(start, start + step) for start in range(0, len(asked), step)]
        nearest = [Nearest(window, window.queries[block], limit[block], k) for block in blocks]
        for first in window.over():
            for some, block in zip(nearest, blocks, strict=True):
                some.meet(window, window.queries[block], first)
        return device.to_host(device.xp.concatenate([some.rows() for some in nearest]))
