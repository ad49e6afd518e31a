"""FAISS's inverted lists: each row is stored in the list of its nearest center; a query searches a few of the lists.

The host and the device version have the same interface. On the host, FAISS runs in gpusmote's own threads with one
OpenMP thread in each. So no pool of OpenMP threads is created, for which a process forked later would wait, and none is
used that the parent of a forked process created. No result depends on the number of threads.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gpusmote import random_stream
from gpusmote.backends import detect
from gpusmote.backends.cpu import Array, Backend
from gpusmote.backends.threads import run_blocks
from gpusmote.errors import MissingPackageError
from gpusmote.messages import counted
from gpusmote.neighbors.gpu.faiss_gpu import on_stream, ordinal_of
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["DeviceLists", "HostLists", "require", "sample_rows"]

_MOST_LISTS = 2048  # the most lists that FAISS can search on a device
_ROUNDS, _ROWS_A_LIST = 6, 32  # of k-means; larger values hardly change the recall
_SEED = 1234
_BLOCK = 256
_ADDED_AT_ONCE = 65_536
_KEY = np.zeros(2, np.uint64)


def require(backend: Backend) -> Any:
    """Import the module ``faiss``, from whichever package is installed.

    Raises
    ------
    MissingPackageError
        If it is missing or does not support the device.
    """
    faiss: Any
    faiss, why = _faiss_cpu() if backend.name == "cpu" else detect.faiss_gpu()
    if faiss is not None and backend.name != "cpu" and faiss.get_num_gpus() <= ordinal_of(backend):
        faiss, why = None, f"{faiss.__version__}, which does not see {backend.name}"
    if faiss is None:
        package = "pip install faiss-cpu" if backend.name == "cpu" else detect.INSTALL
        raise MissingPackageError(
            f'search="approximate" needs FAISS on {backend.name} (FAISS: {why}).',
            f'Install it: {package}. Or use search="exact".',
        )
    return faiss


def _faiss_cpu() -> tuple[Any, str]:
    try:
        import faiss
    except ModuleNotFoundError:
        return None, "not installed"
    except Exception as error:  # a broken installation raises anything
        return None, f"cannot be imported ({type(error).__name__}: {error})"
    return (faiss, "") if hasattr(faiss, "IndexIVFFlat") else (None, "installed without IndexIVFFlat")


def sample_rows(count: int, n: int) -> np.ndarray:
    """``count`` distinct pseudo-random numbers of ``range(n)``; the same in every call.

    Returns
    -------
    ndarray of shape (min(count, n),), int64
    """
    return random_stream.permute(_KEY, np.arange(min(count, n)), n)


def _n_lists(n: int) -> int:
    """Number of lists for n rows: comparing a query with all centers then costs about as much as a few lists."""
    return max(1, min(_MOST_LISTS, round(4 * math.sqrt(n))))


def _set_up(clustering: Any) -> None:
    clustering.seed, clustering.niter = _SEED, _ROUNDS
    clustering.min_points_per_centroid = 1  # else FAISS warns about a small sample


class HostLists:
    """Inverted lists on the host: IndexIVFFlat, from faiss-cpu or a GPU build.

    Parameters
    ----------
    search_set : SearchSet
        On the host.
    faiss : module

    Attributes
    ----------
    name : str
        Name in the report.
    number : int
        Number of lists.
    """

    name = "faiss-ivf-cpu"

    def __init__(self, search_set: SearchSet, faiss: Any) -> None:
        self.search_set, self._faiss, self.number = search_set, faiss, _n_lists(search_set.n)
        with _one_thread(faiss):
            self._index = faiss.IndexIVFFlat(faiss.IndexFlatL2(search_set.d), search_set.d, self.number)
            _set_up(self._index.cp)
            self._index.train(self._rows(sample_rows(_ROWS_A_LIST * self.number, search_set.n)))
            for start in range(0, search_set.n, _ADDED_AT_ONCE):
                self._index.add(self._rows(slice(start, start + _ADDED_AT_ONCE)))
        self._place = np.empty(search_set.n, np.int64)
        self._place[self._in_lists()] = np.arange(search_set.n)

    def search(self, queries: np.ndarray, count: int, probes: int) -> np.ndarray:
        """Find the nearest rows in the ``probes`` nearest lists.

        Parameters
        ----------
        queries : array of shape (m,), int64
            Row numbers of the search set.
        count : int
        probes : int
            At most ``number``.

        Returns
        -------
        array of shape (m, count), int64
            Nearest first by FAISS's float32 distance, possibly with the query; -1 if the lists hold fewer rows.
        """
        # Queries of one list search nearly the same lists, which stay in the cache: twice as fast at 300,000 rows.
        order = np.argsort(self._place[queries])
        rows = np.empty((len(queries), count), np.int64)
        parameters = self._faiss.SearchParametersIVF(nprobe=probes)

        def work(start: int, stop: int) -> None:
            part = order[start:stop]
            with _one_thread(self._faiss):
                rows[part] = self._index.search(self._rows(queries[part]), count, params=parameters)[1]

        run_blocks(work, len(queries), _BLOCK)
        return rows

    def _rows(self, chosen: slice | np.ndarray) -> np.ndarray:
        rows: np.ndarray = self.search_set.reduced(chosen).astype(np.float32)
        return rows

    def _in_lists(self) -> np.ndarray:
        """Row numbers, list by list."""
        lists = self._index.invlists
        sizes = [(i, lists.list_size(i)) for i in range(self.number)]
        return np.concatenate([self._faiss.rev_swig_ptr(lists.get_ids(i), size) for i, size in sizes if size])


@contextlib.contextmanager
def _one_thread(faiss: Any) -> Iterator[None]:
    """Limit OpenMP to one thread for calls from this thread; OpenMP stores the limit for each thread."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class DeviceLists:
    """Inverted lists on a device: GpuIndexIVFFlat over device pointers, on CuPy's current stream.

    Only the sample for the centers is copied to the host, where FAISS computes the means.

    Parameters
    ----------
    search_set : SearchSet
        On a CUDA device.
    faiss : module
        From :func:`gpusmote.backends.detect.faiss_gpu`.

    Raises
    ------
    MemoryShortageError
        If memory runs out, here or in a search.
    DeviceError
        If FAISS fails otherwise.
    """

    name = "faiss-ivf-gpu"

    def __init__(self, search_set: SearchSet, faiss: Any) -> None:
        self.search_set, self._faiss, self.number = search_set, faiss, _n_lists(search_set.n)
        self._ordinal, self._resources = ordinal_of(search_set.backend), None
        rows = search_set.reduced32()
        sample = rows[search_set.backend.asarray(sample_rows(_ROWS_A_LIST * self.number, search_set.n))]
        config = faiss.GpuIndexIVFFlatConfig()
        config.device = self._ordinal
        config.use_cuvs = False  # its k-means has no seed
        with self._on_stream("lists of") as self._resources:
            self._index = faiss.GpuIndexIVFFlat(self._resources, search_set.d, self.number, faiss.METRIC_L2, config)
            _set_up(self._index.cp)
            self._index.train_c(len(sample), faiss.cast_integer_to_float_ptr(sample.data.ptr))
            self._index.reserveMemory(search_set.n)
            self._index.add_c(search_set.n, faiss.cast_integer_to_float_ptr(rows.data.ptr))

    def search(self, queries: Array, count: int, probes: int) -> Array:
        """See :meth:`HostLists.search`; ``count`` is at most :data:`~gpusmote.neighbors.selection.LARGEST_K`."""
        search_set, faiss = self.search_set, self._faiss
        rows = search_set.xp.empty((len(queries), count), "i8")
        parameters = faiss.SearchParametersIVF(nprobe=probes)

        def work(start: int, stop: int) -> None:
            block = search_set.reduced(queries[start:stop]).astype("f4")
            out = rows[start:stop]
            distances = search_set.xp.empty(out.shape, "f4")
            with self._on_stream(f"{counted(len(block), 'query')} among lists of"):
                self._index.search_c(
                    len(block),
                    faiss.cast_integer_to_float_ptr(block.data.ptr),
                    count,
                    faiss.cast_integer_to_float_ptr(distances.data.ptr),
                    faiss.cast_integer_to_idx_t_ptr(out.data.ptr),
                    parameters,
                )

        search_set.each_block(work, len(queries), search_set.block(search_set.d + 2 * count))
        return rows

    def _on_stream(self, what: str) -> contextlib.AbstractContextManager[Any]:
        """See :func:`~gpusmote.neighbors.gpu.faiss_gpu.on_stream`. The index must always use the same resources."""
        search_set = self.search_set
        what = f"{what} {counted(search_set.n, 'row')} x {counted(search_set.d, 'column')}"
        workspace = search_set.backend.memory.faiss
        return on_stream(self._faiss, search_set.xp, self._ordinal, what, workspace, self._resources)
