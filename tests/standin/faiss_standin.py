"""FAISS's GPU search on the host: the real wheel, with the four names replaced that would touch a device.

Its ``GpuDistanceParams`` and pointer casts stay the real ones, so that types of pointers are checked for real.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.standin.array import to_tf32
from tests.standin.faiss_ivf import IvfFlat
from tests.standin.machine import machine
from tests.standin.streams import current_queue

__all__ = ["MISSING", "available", "replace"]

MISSING = "the GPU build of FAISS is not installed"
_LARGEST_K = 2048


@functools.cache
def available() -> bool:
    """Whether the GPU build of FAISS can be imported."""
    if importlib.util.find_spec("faiss") is None:
        return False
    import faiss

    return hasattr(faiss, "StandardGpuResources") and hasattr(faiss, "bfKnn")


def replace(monkeypatch: pytest.MonkeyPatch) -> None:
    import faiss

    from gpusmote.neighbors.gpu import faiss_gpu

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: machine.devices)
    monkeypatch.setattr(faiss, "StandardGpuResources", Resources)
    monkeypatch.setattr(Resources, "failing", {})
    monkeypatch.setattr(faiss, "bfKnn", bf_knn)
    monkeypatch.setattr(faiss, "GpuIndexIVFFlat", IvfFlat)
    monkeypatch.setattr(faiss_gpu, "_of_thread", type(faiss_gpu._of_thread)())


class Resources:
    """As faiss.StandardGpuResources, which opens a device when it is first used.

    As there, a device counts as opened before its temporary memory is allocated, and a change of its size frees the old
    memory before the new is allocated: where that fails, the next use reads a null pointer.

    Attributes
    ----------
    failing : dict of str to BaseException
        What ``"open"`` (the first allocation), ``"setTempMemory"`` and ``"setDefaultStream"`` raise, each once.
    thisown : bool
        SWIG's: whether Python destroys what it wraps.
    """

    made = 0
    failing: ClassVar[dict[str, BaseException]] = {}

    def __init__(self) -> None:
        Resources.made += 1
        self.temporary: int | None = None
        self.pinned = 256 << 20
        self.stream: int | None = None
        self.thisown = True
        self._opened = self._null = False

    def setTempMemory(self, size: int) -> None:  # noqa: N802
        self.temporary = size
        if self._opened:
            self._allocate("setTempMemory")

    def setPinnedMemory(self, size: int) -> None:  # noqa: N802
        assert not self._opened, "FAISS would end the process"
        self.pinned = size

    def setDefaultStream(self, device: int, stream: Any) -> None:  # noqa: N802
        self._fail("setDefaultStream")
        self.stream = int(stream) if stream is not None else 0

    def revertDefaultStream(self, device: int) -> None:  # noqa: N802
        self.stream = None

    def use(self) -> None:
        """What each search does first."""
        assert not self._null, "FAISS would read a null pointer"
        if not self._opened:
            self._opened = True
            self._allocate("open")

    def _allocate(self, step: str) -> None:
        self._null = True
        self._fail(step)
        self._null = False

    def _fail(self, step: str) -> None:
        if step in self.failing:
            raise self.failing.pop(step)


def bf_knn(resources: Resources, args: Any) -> None:
    """The k nearest by |x|**2 + |y|**2 - 2 x.y in float32, nearest first, in the memory behind the pointers."""
    import faiss

    resources.use()
    machine.operate(args.device)
    current_queue().enter()
    assert (resources.stream or 0) == machine.stream
    assert args.metric == faiss.METRIC_L2
    assert args.vectorType == args.queryType
    assert args.outIndicesType == faiss.IndicesDataType_I64
    assert args.vectorsRowMajor
    assert args.queriesRowMajor
    assert not args.use_cuvs
    assert 1 <= args.k <= _LARGEST_K
    assert args.device == machine.device
    n, m, d, k = args.numVectors, args.numQueries, args.dims, args.k
    rows, queries = _vectors(args.vectors, args.vectorType, n, d), _vectors(args.queries, args.queryType, m, d)
    distances = _memory(args.outDistances, ctypes.c_float, m, k)
    indices = _memory(args.outIndices, ctypes.c_int64, m, k)
    machine.searches.append(
        {"k": k, "n": n, "m": m, "stream": resources.stream, "temporary": resources.temporary, "device": args.device}
    )
    product = to_tf32(queries) @ to_tf32(rows).T if "faiss" in machine.tf32 else queries @ rows.T
    approximate = (rows * rows).sum(axis=1) - 2 * product
    approximate += (queries * queries).sum(axis=1)[:, None]
    order = np.argsort(approximate, axis=1, kind="stable")[:, :k]
    found = order.shape[1]
    indices[:, :found], indices[:, found:] = order, -1
    distances[:, :found] = np.maximum(np.take_along_axis(approximate, order, axis=1), 0)
    distances[:, found:] = np.inf


def _vectors(pointer: Any, kind: int, rows: int, columns: int) -> np.ndarray:
    """In float32, whatever FAISS was told that they are."""
    import faiss

    if kind == faiss.DistanceDataType_F32:
        return _memory(pointer, ctypes.c_float, rows, columns)
    bits = _memory(pointer, ctypes.c_uint16, rows, columns)
    if kind == faiss.DistanceDataType_F16:
        return bits.view(np.float16).astype(np.float32)
    assert kind == faiss.DistanceDataType_BF16
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _memory(pointer: Any, kind: Any, rows: int, columns: int) -> np.ndarray:
    assert pointer is not None
    return np.ctypeslib.as_array((kind * (rows * columns)).from_address(int(pointer))).reshape(rows, columns)
