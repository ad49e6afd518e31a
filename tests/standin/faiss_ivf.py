"""FAISS's GpuIndexIVFFlat on the host: its namesake for the CPU, called with the very pointers of the caller.

The calls go on to the real wheel's wrappers, which check the pointers' types; the configuration is the real one, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tests.standin.machine import machine
from tests.standin.streams import current_queue

__all__ = ["LARGEST", "IvfFlat"]

LARGEST = 2048
"""Neighbors that FAISS selects, and lists that it looks into, at most."""


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """No pool of OpenMP threads is left behind, which tests that fork would wait for."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class IvfFlat:
    """As faiss.GpuIndexIVFFlat(provider, dims, nlist, metric, config)."""

    def __init__(self, resources: Any, dims: int, nlist: int, metric: int, config: Any) -> None:
        import faiss

        assert isinstance(config, faiss.GpuIndexIVFFlatConfig)
        assert metric == faiss.METRIC_L2
        assert not config.use_cuvs
        self._resources, self._device = resources, config.device
        self._index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dims), dims, nlist)
        self.cp = self._index.cp
        self._reserved = 0
        self._enter()

    def train_c(self, n: int, x: Any) -> None:
        self._enter()
        with one_thread():
            self._index.train_c(n, x)

    def reserveMemory(self, n: int) -> None:  # noqa: N802
        self._enter()
        self._reserved = n

    def add_c(self, n: int, x: Any) -> None:
        self._enter()
        assert self._index.ntotal + n <= self._reserved
        with one_thread():
            self._index.add_c(n, x)

    def search_c(self, n: int, x: Any, k: int, distances: Any, labels: Any, params: Any = None) -> None:
        import faiss

        self._enter()
        assert isinstance(params, faiss.SearchParametersIVF)
        assert 1 <= params.nprobe <= min(LARGEST, self._index.nlist)
        assert 1 <= k <= LARGEST
        machine.searches.append(
            {"k": k, "m": n, "nprobe": params.nprobe, "stream": self._resources.stream, "device": self._device}
        )
        with one_thread():
            self._index.search_c(n, x, k, distances, labels, params)

    def _enter(self) -> None:
        """What each call on a device must find: its device current, the resources on the caller's stream."""
        self._resources.use()
        machine.operate(self._device)
        current_queue().enter()
        assert self._device == machine.device
        assert (self._resources.stream or 0) == machine.stream
