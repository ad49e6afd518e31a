"""Candidates from FAISS on the GPU, or from matrix products in CuPy if FAISS is not available."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from gpusmote.backends import detect, translate_errors
from gpusmote.backends.budget import FAISS_WORKSPACE
from gpusmote.backends.cpu import Array, Backend
from gpusmote.errors import DeviceLostError
from gpusmote.messages import counted
from gpusmote.neighbors.candidates import CandidateSource, drop_self
from gpusmote.neighbors.certificate import FLOAT32, FLOAT64
from gpusmote.neighbors.precision import cupy_keeps_float32, keeps_float32
from gpusmote.neighbors.product import Product
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["FaissGpu", "bf_knn", "device_source", "on_stream", "ordinal_of"]

_LEAST_QUERIES = 16
_SHARE_OF_FREE = 8


def device_source(search_set: SearchSet) -> CandidateSource:
    """The fastest candidate source on this device: FAISS, or else products in CuPy.

    FAISS is used only if it computes float32 products in float32, as the certificate assumes.
    """
    faiss, _ = detect.faiss_gpu()
    ordinal = ordinal_of(search_set.backend)
    if faiss is not None and faiss.get_num_gpus() > ordinal and _faiss_keeps_float32(search_set, faiss, ordinal):
        return FaissGpu(search_set, faiss)
    return Product(search_set, FLOAT32 if cupy_keeps_float32(search_set.xp) else FLOAT64)


def _faiss_keeps_float32(search_set: SearchSet, faiss: Any, ordinal: int) -> bool:
    xp = search_set.xp

    def distances(rows: Array) -> Array:
        found, indices = xp.empty((len(rows), 32), "f4"), xp.empty((len(rows), 32), "i8")
        bf_knn(faiss, xp, ordinal, rows, rows, found, indices, search_set.backend.memory.faiss)
        return found

    return keeps_float32(xp, ("faiss", ordinal), distances)


class FaissGpu:
    """FAISS's brute-force search (``bfKnn``) over device pointers, on CuPy's current stream.

    Its distances are ``|x|**2 + |y|**2 - 2 x.y`` in float32, of centered rows. It selects up to 32 rows, the query
    included, with the same kernel: 31 candidates take the same time as 6.

    Parameters
    ----------
    search_set : SearchSet
        On a CUDA device.
    faiss : module
        From :func:`gpusmote.backends.detect.faiss_gpu`.
    """

    name = "faiss-gpu"
    arithmetic = FLOAT32

    def __init__(self, search_set: SearchSet, faiss: Any) -> None:
        self._search_set, self._faiss, self._rows = search_set, faiss, search_set.reduced32()

    def candidates(self, queries: Array, count: int) -> tuple[Array, Array]:
        """See :class:`~gpusmote.neighbors.candidates.CandidateSource`; ``count`` is less than ``LARGEST_K``."""
        search_set, xp = self._search_set, self._search_set.xp
        workspace, ordinal = search_set.backend.memory.faiss, ordinal_of(search_set.backend)
        rows, edge = xp.empty((len(queries), count), "i8"), xp.empty(len(queries), "f8")

        def work(start: int, stop: int) -> None:
            block = queries[start:stop]
            found, distance = xp.empty((len(block), count + 1), "i8"), xp.empty((len(block), count + 1), "f4")
            reduced = search_set.reduced(block).astype("f4")
            bf_knn(self._faiss, xp, ordinal, self._rows, reduced, distance, found, workspace)
            rows[start:stop], edge[start:stop] = drop_self(xp, search_set.own_rows(block), found, distance)

        at_once = search_set.block(search_set.d + 2 * (count + 1))
        if workspace is not None:
            at_once = min(at_once, faiss_queries(workspace, search_set.n, search_set.d, count + 1))
        search_set.each_block(work, len(queries), at_once)
        return rows, edge


def bf_knn(
    faiss: Any,
    cupy: Any,
    ordinal: int,
    rows: Array,
    queries: Array,
    distances: Array,
    indices: Array,
    workspace: int | None = None,
) -> None:
    """Start a FAISS search that writes the nearest rows of each query to ``distances`` and ``indices``.

    Parameters
    ----------
    faiss, cupy : module
    ordinal : int
        The device on which all the arrays lie; it must be current.
    rows : array of shape (n, d), float32, C-contiguous
    queries : array of shape (m, d), float32, C-contiguous
    distances : array of shape (m, k), float32
        Squared distances, ascending.
    indices : array of shape (m, k), int64
    workspace : int, optional
        Bytes of temporary memory for FAISS. Default: an eighth of the free memory, at most
        :data:`~gpusmote.backends.budget.FAISS_WORKSPACE`.

    Raises
    ------
    MemoryShortageError
        If memory runs out.
    DeviceError
        If FAISS fails otherwise.
    """
    arguments = faiss.GpuDistanceParams()
    arguments.metric = faiss.METRIC_L2
    arguments.k, arguments.dims = indices.shape[1], rows.shape[1]
    arguments.vectors = faiss.cast_integer_to_void_ptr(rows.data.ptr)
    arguments.queries = faiss.cast_integer_to_void_ptr(queries.data.ptr)
    arguments.vectorType = arguments.queryType = faiss.DistanceDataType_F32
    arguments.vectorsRowMajor = arguments.queriesRowMajor = True
    arguments.numVectors, arguments.numQueries = len(rows), len(queries)
    arguments.outDistances = faiss.cast_integer_to_float_ptr(distances.data.ptr)
    arguments.outIndices = faiss.cast_integer_to_void_ptr(indices.data.ptr)
    arguments.outIndicesType = faiss.IndicesDataType_I64
    arguments.device = ordinal
    arguments.use_cuvs = False  # its search orders equal distances differently
    what = f"{counted(len(queries), 'query')}, {counted(len(rows), 'row')} x {counted(rows.shape[1], 'column')}"
    with on_stream(faiss, cupy, ordinal, what, workspace) as resources:
        faiss.bfKnn(resources, arguments)


@contextlib.contextmanager
def on_stream(
    faiss: Any, cupy: Any, ordinal: int, what: str, workspace: int | None = None, resources: Any = None
) -> Iterator[Any]:
    """Context with FAISS's resources on CuPy's current stream; errors in it are translated to gpusmote's.

    After any error the thread's resources are dropped. FAISS counts a device as initialized before its temporary memory
    is allocated, and ``setTempMemory`` frees the old memory before it allocates the new: after a failed allocation the
    next call would read a null pointer, which ends the process.

    Parameters
    ----------
    faiss, cupy : module
    ordinal : int
        The device; it must be current.
    what : str
        The operation, for error messages.
    workspace : int, optional
        See :func:`bf_knn`.
    resources : StandardGpuResources, optional
        The resources that an index was made with. Default: those of the thread.

    Raises
    ------
    MemoryShortageError
        If memory runs out.
    DeviceError
        If FAISS fails otherwise.
    """
    try:
        if resources is None:
            resources = _resources(faiss, cupy, ordinal, workspace)
        stream = cupy.cuda.get_current_stream().ptr
        resources.setDefaultStream(ordinal, faiss.cast_integer_to_cudastream_t(stream))
        yield resources
        # Otherwise FAISS would wait for this stream at the next call, when it may already be destroyed.
        resources.revertDefaultStream(ordinal)
    except BaseException as error:
        found = translate_errors.translate_faiss(error, ordinal, what)
        dropped = _held().pop(ordinal, None)
        if dropped is not None and isinstance(found, DeviceLostError):
            dropped.thisown = False  # its destructor would call CUDA, which fails and ends the process
        if found is None:
            raise
        raise found from error


_of_thread = threading.local()


def _held() -> dict[int, Any]:
    """The FAISS resources of this thread, by device."""
    held: dict[int, Any] = _of_thread.__dict__.setdefault("held", {})
    return held


def _resources(faiss: Any, cupy: Any, ordinal: int, workspace: int | None = None) -> Any:
    """FAISS's handles and temporary memory: one set for each thread and device, because FAISS does not lock them.

    They are kept between calls. If a call allows less temporary memory than they hold, they are made smaller; if it
    allows more than twice as much, larger. They have no pinned memory, of which FAISS allocates 256 MiB by default: it
    is used only for queries on the host.
    """
    held = _held()
    sizes: dict[int, int] = _of_thread.__dict__.setdefault("sizes", {})
    if ordinal not in held:
        resources = faiss.StandardGpuResources()
        resources.setPinnedMemory(0)  # only before a device is initialized: later it would end the process
        held[ordinal], sizes[ordinal] = resources, -1
    if workspace is None and sizes[ordinal] < 0:
        free, _ = cupy.cuda.Device(ordinal).mem_info
        workspace = min(FAISS_WORKSPACE, int(free) // _SHARE_OF_FREE)
    if workspace is not None and not workspace // 2 <= sizes[ordinal] <= workspace:
        held[ordinal].setTempMemory(workspace)
        sizes[ordinal] = workspace
    return held[ordinal]


def faiss_queries(workspace: int, n: int, d: int, k: int) -> int:
    """How many queries FAISS can search in one call within its workspace."""
    rows = 1024 if d <= 32 else 512  # queries of one of its tiles
    columns = min(n, (1 << 27) // rows)
    each = 2 * (4 * columns + -(-n // columns) * k * 12) + 8  # two tiles of distances and their lists
    left = workspace - 4 * n - (1 << 16)  # without the norms of the rows
    return max(_LEAST_QUERIES, 1 << 62 if rows * each <= left else left // each)


def ordinal_of(backend: Backend) -> int:
    """The number of a CUDA device."""
    return int(backend.name.partition(":")[2])
