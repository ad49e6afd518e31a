"""FAISS's inverted lists: rows kept by the nearest of many centres; a query looks into the lists of a few centres.

Both forms take and give the same. On the host FAISS runs in gpusmote's own threads, one OpenMP thread in each: no pool
of OpenMP threads comes into being, which a process forked later would wait for, none is asked of a pool that the parent
of a forked process left behind, and no result depends on the number of threads.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from gpusmote import random_stream
from gpusmote.backends import detect
from gpusmote.backends.cpu import Array, Backend
from gpusmote.backends.threads import run_blocks
from gpusmote.errors import MissingPackageError
from gpusmote.messages import counted
from gpusmote.neighbors.gpu import faiss_gpu
from gpusmote.neighbors.gpu.tiles import reduced32
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["DeviceLists", "HostLists", "InvertedLists", "drawn", "inverted_lists", "require"]

_MOST_LISTS = 2048  # what FAISS looks into at most on a device, so that all lists can be probed
_ROUNDS, _ROWS_A_LIST = 6, 32  # of k-means; more of either hardly changes the recall
_SEED = 1234
_BLOCK = 256
_ADDED_AT_ONCE = 65_536
_KEY = np.zeros(2, np.uint64)


class InvertedLists(Protocol):
    """TopK over the rows of a pool.

    Attributes
    ----------
    name : str
        For the report.
    number : int
        How many lists.
    most_found : int
        How many rows a search can return for each query.
    """

    name: str
    number: int
    most_found: int

    def search(self, asked: Array, count: int, probes: int) -> Array:
        """Rows of the ``probes`` nearest lists.

        Parameters
        ----------
        asked : array of shape (m,), int64
            Rows of the pool.
        count : int
        probes : int
            At most ``number``.

        Returns
        -------
        array of shape (m, count), int64
            The nearest of those rows by FAISS's float32 distance, the query perhaps among them; -1 where there are
            fewer.
        """
        ...


def inverted_lists(pool: SearchSet) -> InvertedLists:
    """The form that fits the pool's device.

    Raises
    ------
    MissingPackageError
        See :func:`require`.
    """
    faiss = require(pool.backend)
    return HostLists(pool, faiss) if pool.backend.name == "cpu" else DeviceLists(pool, faiss)


def require(backend: Backend) -> Any:
    """The module ``faiss``, of whichever package it is.

    Raises
    ------
    MissingPackageError
        If it is missing or does not have what the device needs.
    """
    faiss, why = _faiss_cpu() if backend.name == "cpu" else _faiss_gpu(backend)
    if faiss is None:
        package = "pip install faiss-cpu" if backend.name == "cpu" else detect.INSTALL
        raise MissingPackageError(
            f'search="approximate" needs FAISS on {backend.name} (FAISS: {why}).',
            f'{package} brings it; search="exact" needs nothing.',
        )
    return faiss


def _faiss_cpu() -> tuple[Any, str]:
    if importlib.util.find_spec("faiss") is None:
        return None, "not installed"
    try:
        import faiss
    except Exception as error:  # a broken installation raises anything
        return None, f"cannot be imported ({type(error).__name__}: {error})"
    return (faiss, "") if hasattr(faiss, "IndexIVFFlat") else (None, "installed without IndexIVFFlat")


def _faiss_gpu(backend: Backend) -> tuple[Any, str]:
    faiss, why = detect.faiss_gpu()
    if faiss is not None and faiss.get_num_gpus() <= _ordinal(backend):
        return None, f"{faiss.__version__}, which does not see {backend.name}"
    return faiss, why


def drawn(count: int, n: int) -> np.ndarray:
    """``count`` different numbers of ``range(n)``, pseudo-random and always the same.

    Returns
    -------
    ndarray of shape (min(count, n),), int64
    """
    return random_stream.permute(_KEY, np.arange(min(count, n)), n)


def _number(n: int) -> int:
    """TopK for n rows: comparing a query with all centres then costs about what looking into a few lists does."""
    return max(1, min(_MOST_LISTS, round(4 * math.sqrt(n))))


def _set_up(clustering: Any) -> None:
    clustering.seed, clustering.niter = _SEED, _ROUNDS
    clustering.min_points_per_centroid = 1  # FAISS would warn of a sample smaller than it likes


class HostLists:
    """IndexIVFFlat: of faiss-cpu, or of a GPU build, which holds it too.

    Parameters
    ----------
    pool : SearchSet
        On the host.
    faiss : module
    """

    name = "faiss-ivf-cpu"

    def __init__(self, pool: SearchSet, faiss: Any) -> None:
        self._pool, self._faiss = pool, faiss
        self.number, self.most_found = _number(pool.n), pool.n
        with _one_thread(faiss):
            self._index = faiss.IndexIVFFlat(faiss.IndexFlatL2(pool.d), pool.d, self.number)
            _set_up(self._index.cp)
            self._index.train(self._rows(drawn(_ROWS_A_LIST * self.number, pool.n)))
            for start in range(0, pool.n, _ADDED_AT_ONCE):
                self._index.add(self._rows(slice(start, start + _ADDED_AT_ONCE)))
        self._place = np.empty(pool.n, np.int64)
        self._place[self._in_lists()] = np.arange(pool.n)

    def search(self, asked: np.ndarray, count: int, probes: int) -> np.ndarray:
        """See :class:`InvertedLists`."""
        # Queries of one list look into much the same lists, which stay in the cache: twice as fast at 300,000 rows.
        order = np.argsort(self._place[asked])
        rows = np.empty((len(asked), count), np.int64)
        parameters = self._faiss.SearchParametersIVF(nprobe=probes)

        def work(start: int, stop: int) -> None:
            part = order[start:stop]
            with _one_thread(self._faiss):
                rows[part] = self._index.search(self._rows(asked[part]), count, params=parameters)[1]

        run_blocks(work, len(asked), _BLOCK)
        return rows

    def _rows(self, chosen: slice | np.ndarray) -> np.ndarray:
        rows: np.ndarray = self._pool.reduced(chosen).astype(np.float32)
        return rows

    def _in_lists(self) -> np.ndarray:
        """All rows, list by list."""
        lists = self._index.invlists
        sizes = [(i, lists.list_size(i)) for i in range(self.number)]
        return np.concatenate([self._faiss.rev_swig_ptr(lists.get_ids(i), size) for i, size in sizes if size])


@contextlib.contextmanager
def _one_thread(faiss: Any) -> Iterator[None]:
    """One OpenMP thread for what this thread calls; OpenMP keeps that number for each thread."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class DeviceLists:
    """GpuIndexIVFFlat over device pointers, on CuPy's current stream.

    The sample that the centres are made from goes to the host, where FAISS takes the means; nothing else does.

    Parameters
    ----------
    pool : SearchSet
        On a CUDA device.
    faiss : module
        As :func:`gpusmote.backends.detect.faiss_gpu` gives it.

    Raises
    ------
    MemoryShortageError
        If memory runs out, here or in a search.
    DeviceError
        If FAISS fails otherwise.
    """

    name = "faiss-ivf-gpu"
    most_found = faiss_gpu.LARGEST_K

    def __init__(self, pool: SearchSet, faiss: Any) -> None:
        self._pool, self._faiss, self._ordinal = pool, faiss, _ordinal(pool.backend)
        self._resources: Any = None
        self.number = _number(pool.n)
        rows = reduced32(pool)
        sample = rows[pool.backend.asarray(drawn(_ROWS_A_LIST * self.number, pool.n))]
        config = faiss.GpuIndexIVFFlatConfig()
        config.device = self._ordinal
        config.use_cuvs = False  # its k-means has no seed
        with self._on_stream("lists of") as self._resources:
            self._index = faiss.GpuIndexIVFFlat(self._resources, pool.d, self.number, faiss.METRIC_L2, config)
            _set_up(self._index.cp)
            self._index.train_c(len(sample), faiss.cast_integer_to_float_ptr(sample.data.ptr))
            self._index.reserveMemory(pool.n)
            self._index.add_c(pool.n, faiss.cast_integer_to_float_ptr(rows.data.ptr))

    def search(self, asked: Array, count: int, probes: int) -> Array:
        """See :class:`InvertedLists`; ``count`` is at most ``most_found``."""
        pool, faiss = self._pool, self._faiss
        rows = pool.xp.empty((len(asked), count), "i8")
        parameters = faiss.SearchParametersIVF(nprobe=probes)

        def work(start: int, stop: int) -> None:
            queries = pool.reduced(asked[start:stop]).astype("f4")
            out = rows[start:stop]
            distances = pool.xp.empty(out.shape, "f4")
            with self._on_stream(f"{counted(len(queries), 'query')} among lists of"):
                self._index.search_c(
                    len(queries),
                    faiss.cast_integer_to_float_ptr(queries.data.ptr),
                    count,
                    faiss.cast_integer_to_float_ptr(distances.data.ptr),
                    faiss.cast_integer_to_idx_t_ptr(out.data.ptr),
                    parameters,
                )

        pool.each_block(work, len(asked), pool.block(pool.d + 2 * count))
        return rows

    def _on_stream(self, what: str) -> AbstractContextManager[Any]:
        """See :func:`~gpusmote.neighbors.gpu.faiss_gpu.on_stream`; an index keeps its resources."""
        pool = self._pool
        what = f"{what} {counted(pool.n, 'row')} x {counted(pool.d, 'column')}"
        workspace = pool.backend.memory.faiss
        return faiss_gpu.on_stream(self._faiss, pool.xp, self._ordinal, what, workspace, self._resources)


def _ordinal(backend: Backend) -> int:
    return int(backend.name.partition(":")[2])
