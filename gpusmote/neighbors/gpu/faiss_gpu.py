"""Candidates from FAISS on the GPU, and what takes its place where it is missing."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from gpusmote.backends import detect, translate_errors
from gpusmote.backends.cpu import Array
from gpusmote.errors import DeviceLostError
from gpusmote.messages import counted
from gpusmote.neighbors.candidates import CandidateSource, drop_self
from gpusmote.neighbors.certificate import FLOAT32, FLOAT64
from gpusmote.neighbors.gpu.tiles import DeviceTiles, reduced32
from gpusmote.neighbors.precision import cupy_keeps_float32, keeps_float32
from gpusmote.neighbors.product import Product
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["FaissGpu", "device_source"]

LARGEST_K = 2048
"""What FAISS's selection goes up to."""

MOST_WORKSPACE = 1536 << 20
"""What FAISS takes by itself, of which it never takes more."""

_LEAST_QUERIES = 16
_SHARE_OF_FREE = 8


def device_source(pool: SearchSet) -> CandidateSource:
    """The best source of candidates that this device has: FAISS, else products in CuPy.

    FAISS serves only where its float32 is float32: the certificate assumes so.
    """
    faiss, _ = detect.faiss_gpu()
    if faiss is not None and faiss.get_num_gpus() > _ordinal(pool) and _faiss_keeps_float32(pool, faiss):
        return FaissGpu(pool, faiss)
    return _products(pool)


def _products(pool: SearchSet) -> CandidateSource:
    """Tiles in float32; where CuPy computes those in fewer bits, products in float64."""
    return DeviceTiles(pool) if cupy_keeps_float32(pool.xp) else Product(pool, FLOAT64)


def _faiss_keeps_float32(pool: SearchSet, faiss: Any) -> bool:
    xp, ordinal = pool.xp, _ordinal(pool)

    def distances(rows: Array) -> Array:
        found, indices = xp.empty((len(rows), 32), "f4"), xp.empty((len(rows), 32), "i8")
        bf_knn(faiss, xp, ordinal, rows, rows, found, indices, pool.backend.memory.faiss)
        return found

    return keeps_float32(xp, ("faiss", ordinal), distances)


class FaissGpu:
    """FAISS's brute-force search (``bfKnn``) over device pointers, on CuPy's current stream.

    Its distances are ``|x|**2 + |y|**2 - 2 x.y`` in float32, of rows that the pool has centred. It selects up to 32
    rows with one and the same kernel, the query among them: 31 candidates cost what 6 do.

    Parameters
    ----------
    pool : SearchSet
        On a CUDA device.
    faiss : module
        As :func:`gpusmote.backends.detect.faiss_gpu` gives it.
    """

    name = "faiss-gpu"
    arithmetic = FLOAT32

    def __init__(self, pool: SearchSet, faiss: Any) -> None:
        self._pool, self._faiss = pool, faiss
        self._rows = reduced32(pool)
        self._long: CandidateSource | None = None

    def candidates(self, queries: Array, count: int) -> tuple[Array, Array]:
        """See :class:`~gpusmote.neighbors.candidates.CandidateSource`."""
        if count + 1 > LARGEST_K:
            self._long = self._long or _products(self._pool)  # in float64 its edge is as good as in float32, or better
            return self._long.candidates(queries, count)
        pool, xp = self._pool, self._pool.xp
        rows = xp.empty((len(queries), count), "i8")
        edge = xp.empty(len(queries), "f8")

        def work(start: int, stop: int) -> None:
            asked = queries[start:stop]
            found, distance = self._search(pool.reduced(asked).astype("f4"), count + 1)
            rows[start:stop], edge[start:stop] = drop_self(xp, pool.own(asked), found, distance)

        pool.each_block(work, len(queries), self._at_once(count + 1))
        return rows, edge

    def _at_once(self, k: int) -> int:
        """Queries that FAISS is given at once: what keeps its tiles within its workspace."""
        pool, limit = self._pool, self._pool.backend.memory.faiss
        block = pool.block(pool.d + 2 * k)
        return block if limit is None else min(block, faiss_queries(limit, pool.n, pool.d, k))

    def _search(self, asked: Array, k: int) -> tuple[Array, Array]:
        """The k rows of least approximate distance for each of these reduced rows, ascending."""
        xp = self._pool.xp
        indices = xp.empty((len(asked), k), "i8")
        distances = xp.empty((len(asked), k), "f4")
        ordinal, workspace = _ordinal(self._pool), self._pool.backend.memory.faiss
        bf_knn(self._faiss, xp, ordinal, self._rows, asked, distances, indices, workspace)
        return indices, distances


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
    """Let FAISS write the nearest rows of each query to ``distances`` and ``indices``; it works asynchronously.

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
        Bytes that FAISS may keep for itself; default: an eighth of what is free, at most what it takes unasked.

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
    arguments.use_cuvs = False  # its search answers in another order where distances tie
    what = f"{counted(len(queries), 'query')}, {counted(len(rows), 'row')} x {counted(rows.shape[1], 'column')}"
    with on_stream(faiss, cupy, ordinal, what, workspace) as resources:
        faiss.bfKnn(resources, arguments)


@contextlib.contextmanager
def on_stream(
    faiss: Any, cupy: Any, ordinal: int, what: str, workspace: int | None = None, resources: Any = None
) -> Iterator[Any]:
    """FAISS's resources, on CuPy's current stream within the block, where its errors become gpusmote's.

    Any error drops the thread's resources. FAISS counts a device as initialized before its temporary memory is
    allocated, and ``setTempMemory`` frees the old memory before it allocates the new: after a failed allocation the
    next call would read a null pointer, which ends the process.

    Parameters
    ----------
    faiss, cupy : module
    ordinal : int
        The device; it must be current.
    what : str
        What FAISS is asked, for the message of an error.
    workspace : int, optional
        See :func:`bf_knn`.
    resources : StandardGpuResources, optional
        Those that an index was made with; default: the thread's.

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
        # FAISS would otherwise wait for this stream at the next call, when its owner may have destroyed it.
        resources.revertDefaultStream(ordinal)
    except BaseException as error:
        found = translate_errors.of_faiss(error, ordinal, what)
        dropped = _held().pop(ordinal, None)
        if dropped is not None and isinstance(found, DeviceLostError):
            dropped.thisown = False  # its destructor calls CUDA, which would fail and end the process
        if found is None:
            raise
        raise found from error


_of_thread = threading.local()


def _held() -> dict[int, Any]:
    """This thread's resources by device."""
    held: dict[int, Any] = _of_thread.__dict__.setdefault("held", {})
    return held


def _resources(faiss: Any, cupy: Any, ordinal: int, workspace: int | None = None) -> Any:
    """FAISS's handles and temporary memory: one set for each thread and device, because it does not lock them.

    They stay from call to call. Where a call allows less memory than they hold they are made smaller, where it could
    use more than twice of it they are made larger. They have no pinned memory, of which FAISS takes 256 MiB unasked: it
    is for queries on the host only.
    """
    held = _held()
    sizes: dict[int, int] = _of_thread.__dict__.setdefault("sizes", {})
    if ordinal not in held:
        resources = faiss.StandardGpuResources()
        resources.setPinnedMemory(0)  # once a device is initialized, this would end the process
        held[ordinal], sizes[ordinal] = resources, -1
    if workspace is None and sizes[ordinal] < 0:
        free, _ = cupy.cuda.Device(ordinal).mem_info
        workspace = min(MOST_WORKSPACE, int(free) // _SHARE_OF_FREE)
    if workspace is not None and not workspace // 2 <= sizes[ordinal] <= workspace:
        held[ordinal].setTempMemory(workspace)
        sizes[ordinal] = workspace
    return held[ordinal]


def faiss_queries(workspace: int, n: int, d: int, k: int) -> int:
    """How many queries at once FAISS serves within its workspace."""
    rows = 1024 if d <= 32 else 512  # of its tiles
    fixed, each = _faiss_bytes(n, d, k)
    return max(_LEAST_QUERIES, 1 << 62 if rows * each <= workspace - fixed else int((workspace - fixed) // each))


def faiss_workspace(m: int, n: int, d: int, k: int) -> int:
    """Bytes that FAISS takes for itself to serve m queries: as its ``chooseTileSize`` and ``runDistance`` have it."""
    fixed, each = _faiss_bytes(n, d, k)
    return fixed + min(m, 1024 if d <= 32 else 512) * each


def _faiss_bytes(n: int, d: int, k: int) -> tuple[int, int]:
    """For its rows' norms; for each query of a tile: two tiles of distances, two lists from each tile."""
    columns = min(n, (1 << 27) // (1024 if d <= 32 else 512))
    lists = -(-n // columns) * k * 12
    return 4 * n + (1 << 16), 2 * (4 * columns + lists) + 8


def _ordinal(pool: SearchSet) -> int:
    return int(pool.backend.name.partition(":")[2])
