"""Search on a device in rows that do not fit on it: they stay on the host and are copied to the device in spans.

Each span gives each query a list of candidates, whose deciding distances are computed while the span is on the device.
The nearest rows of all lists are kept. A row in no list is beyond the edge of the list of its own span, so the smallest
edge is the edge of the merged lists, and the certificate is the same as for one list.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from gpusmote.backends.cpu import Backend
from gpusmote.neighbors.candidates import BATCH_ENTRIES, CandidateSource, nearest_first
from gpusmote.neighbors.certificate import FLOAT64, certified, error_bound
from gpusmote.neighbors.exhaustive import ExhaustiveSearch, tile_shape
from gpusmote.neighbors.gpu.faiss_gpu import device_source
from gpusmote.neighbors.product import Product
from gpusmote.neighbors.search_set import DeviceWindow, SearchSet
from gpusmote.neighbors.selection import LARGEST_K

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
        out, passes = np.empty((m, k), np.int64), np.empty(m, np.int8)
        with self._device.active():
            for start, stop in _split(m, -(-m // self._size)):  # as few blocks as fit
                out[start:stop], passes[start:stop] = self._nearest(queries[start:stop], k, count)
        return out, passes

    def _nearest(self, queries: np.ndarray, k: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The same for one block of queries."""
        most = self._spans[0][1] - 2  # of a span, the query and the row for the edge are no candidates
        passes = np.zeros(len(queries), np.int8)
        out, uncertain, kth = self._pass(queries, k, min(count, most), device_source if count < LARGEST_K else _float64)
        if len(uncertain):
            out[uncertain], left, kth = self._pass(queries[uncertain], k, min(4 * count, most), _float64)
            passes[uncertain], uncertain = 1, uncertain[left]
        if len(uncertain):
            self._used("last")
            out[uncertain], passes[uncertain] = self._last(queries[uncertain], kth, k), 2
        return out, passes

    def _pass(
        self, queries: np.ndarray, k: int, count: int, make: Callable[[SearchSet], CandidateSource]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The k nearest rows in the lists of all spans, the uncertain queries, and their k-th distances."""
        xp, m = self._device.xp, len(queries)
        window = DeviceWindow(self._device, self._search_set, self._spans, queries)
        rows, distance = xp.zeros((m, k), "i8"), xp.full((m, k), xp.inf)
        edge = xp.full(m, xp.inf)
        block = max(1, self._device.memory.size(BATCH_ENTRIES) // count)
        for first in window.each_span():
            source = make(window)
            arithmetic, name = source.arithmetic, source.name
            for start in range(0, m, block):
                part = slice(start, start + block)
                found, span_edge = source.candidates(window.queries[part], count)
                found = xp.sort(found, axis=1)
                # Rows found before have lower numbers, so they come first among equal distances.
                far = xp.concatenate([distance[part], window.distances(window.queries[part], found)], axis=1)
                found = xp.concatenate([rows[part], found + first], axis=1)
                rows[part], distance[part] = nearest_first(xp, found, far, k)
                edge[part] = xp.minimum(edge[part], span_edge)
            del source  # frees its copies of these rows before the next span
        self._used(name)
        kth = distance[:, -1] * self._search_set.unit * self._search_set.unit
        (uncertain,) = xp.nonzero(~certified(window, arithmetic, window.queries, kth, edge))
        host = self._device.to_host
        return host(rows), host(uncertain), host(kth[uncertain])

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


def _float64(search_set: SearchSet) -> CandidateSource:
    return Product(search_set, FLOAT64)


def _split(n: int, parts: int) -> list[tuple[int, int]]:
    """Split ``range(n)`` into parts whose sizes differ by at most one."""
    return list(itertools.pairwise(n * i // parts for i in range(parts + 1)))
