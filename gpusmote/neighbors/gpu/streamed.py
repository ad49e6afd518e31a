"""Search on a device in rows that do not fit on it: they stay on the host and are copied to the device in spans.

Each span gives each query a list of candidates, whose deciding distances are computed while the span is on the device.
The nearest rows of all lists are kept. A row in no list is beyond the edge of the list of its own span, so the smallest
edge is the edge of the merged lists, and the certificate is the same as for one list.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from gpusmote.backends.cpu import Array, Backend
from gpusmote.neighbors.candidates import BATCH_ENTRIES, CandidateSource, nearest_first
from gpusmote.neighbors.certificate import FLOAT64, Arithmetic, certified, error_bound
from gpusmote.neighbors.exhaustive import ExhaustiveSearch, tile_shape
from gpusmote.neighbors.gpu.faiss_gpu import device_source
from gpusmote.neighbors.product import Product
from gpusmote.neighbors.search_set import DeviceWindow, SearchSet

__all__ = ["StreamedSearch"]


class StreamedSearch:
    """Find the k nearest rows of a host search set with a device that holds only a part of the rows at a time.

    A block of queries stays on the device while all rows are copied to it, span by span.

    Parameters
    ----------
    search_set : SearchSet
        On the host.
    device : Backend
        Its ``memory.pool_rows`` is the number of rows, and also of queries, that it can hold at a time.
    used : callable
        Called with the name of each source, for the report.
    """

    def __init__(self, search_set: SearchSet, device: Backend, used: Callable[[str], None]) -> None:
        self._search_set, self._device, self._used = search_set, device, used
        self._size = min(search_set.n, device.memory.pool_rows or search_set.n)
        # One half of the rows is searched while the other half is copied. The size of a block of queries decides how
        # often all rows are copied, so halving the spans copies no more bytes.
        parts = -(-search_set.n // max(1, self._size // 2)) if self._size < search_set.n else 1
        self._spans = _split(search_set.n, parts)

    def nearest(self, queries: np.ndarray, k: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest rows, and the pass (0, 1 or 2) that certified each result.

        Parameters
        ----------
        queries : ndarray of shape (m,), int64
        k : int
        count : int
            Candidates from each span, more than k.
        """
        m = len(queries)
        out = np.empty((m, k), np.int64)
        passes = np.empty(m, np.int8)
        with self._device.active():
            for start, stop in _split(m, -(-m // self._size)):  # as few blocks as fit
                part = slice(start, stop)
                _BlockSearch(self._search_set, self._device, self._spans, self._used).search(
                    queries[part], k, count, out[part], passes[part]
                )
        return out, passes


def _split(n: int, parts: int) -> list[tuple[int, int]]:
    """Split ``range(n)`` into parts whose sizes differ by at most one."""
    return list(itertools.pairwise(n * i // parts for i in range(parts + 1)))


class _BlockSearch:
    """Search for one block of queries on a device.

    Parameters
    ----------
    search_set : SearchSet
        On the host.
    device : Backend
        Must be current.
    spans : list of (int, int)
        The spans of rows.
    used : callable
        Called with the name of each source, for the report.
    """

    def __init__(
        self, search_set: SearchSet, device: Backend, spans: list[tuple[int, int]], used: Callable[[str], None]
    ) -> None:
        self._search_set, self._device, self._spans, self._used = search_set, device, spans, used

    def search(self, queries: np.ndarray, k: int, count: int, out: np.ndarray, passes: np.ndarray) -> None:
        """Write the k nearest rows of each query to ``out``, and the pass that certified them to ``passes``."""
        most = self._spans[0][1] - 2  # of a span, the query and the row for the edge are no candidates
        passes[...] = 0
        out[...], _, uncertain = self._pass(queries, k, min(count, most), device_source)
        if not len(uncertain):
            return
        second, kth, left = self._pass(
            queries[uncertain], k, min(4 * count, most), lambda search_set: Product(search_set, FLOAT64)
        )
        passes[uncertain] = 1
        if len(left):
            self._used("last")
            second[left] = self._last(queries[uncertain[left]], kth[left], k)
            passes[uncertain[left]] = 2
        out[uncertain] = second

    def _pass(
        self, queries: np.ndarray, k: int, count: int, make: Callable[[SearchSet], CandidateSource]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The k nearest rows in the lists of all spans, their k-th distances, and the queries that are uncertain."""
        xp, m = self._device.xp, len(queries)
        window = DeviceWindow(self._device, self._search_set, self._spans, queries)
        rows, distance = xp.zeros((m, k), "i8"), xp.full((m, k), xp.inf)
        edge = xp.full(m, xp.inf)
        arithmetic: Arithmetic = FLOAT64
        name = ""
        for first in window.each_span():
            source = make(window)
            arithmetic, name = source.arithmetic, source.name
            block = max(1, self._device.memory.size(BATCH_ENTRIES) // count)
            for start in range(0, m, block):
                part = slice(start, start + block)
                found, far, span_edge = self._candidates(window, source, window.queries[part], count)
                found += first
                rows[part], distance[part] = self._merge(rows[part], distance[part], found, far)
                edge[part] = xp.minimum(edge[part], span_edge)
            del source  # frees its copies of these rows before the next span
        self._used(name)
        kth = distance[:, -1] * self._search_set.unit * self._search_set.unit
        (uncertain,) = xp.nonzero(~certified(window, arithmetic, window.queries, kth, edge))
        host = self._device.to_host
        return host(rows), host(kth), host(uncertain)

    def _candidates(
        self, window: DeviceWindow, source: CandidateSource, queries: Array, count: int
    ) -> tuple[Array, Array, Array]:
        """Candidates sorted by row number, their deciding distances, and the edges."""
        rows, edge = source.candidates(queries, count)
        rows = self._device.xp.sort(rows, axis=1)
        return rows, self._device.rerank(window.values, queries, rows), edge

    def _merge(self, rows: Array, distance: Array, new: Array, new_distance: Array) -> tuple[Array, Array]:
        """Merge two lists; the rows of the first have lower numbers, so they come first among equal distances."""
        xp, k = self._device.xp, rows.shape[1]
        rows, distance = xp.concatenate([rows, new], axis=1), xp.concatenate([distance, new_distance], axis=1)
        return nearest_first(xp, rows, distance, k)

    def _last(self, queries: np.ndarray, kth: np.ndarray, k: int) -> np.ndarray:
        """See :func:`~gpusmote.neighbors.exhaustive.last_pass`. Each span is compared with all remaining queries."""
        device = self._device
        window = DeviceWindow(device, self._search_set, self._spans, queries)
        bound = device.asarray(kth)
        limit = bound + error_bound(window, FLOAT64, window.queries, bound)
        step, _ = tile_shape(window)
        blocks = [slice(start, start + step) for start in range(0, len(queries), step)]
        searches = [ExhaustiveSearch(window, window.queries[block], limit[block], k) for block in blocks]
        for first in window.each_span():
            for part, block in zip(searches, blocks, strict=True):
                part.search(window, window.queries[block], first)
        return device.to_host(device.xp.concatenate([part.nearest.rows() for part in searches]))
