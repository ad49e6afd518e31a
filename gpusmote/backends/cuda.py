"""The CUDA backend: CuPy arrays, and our own kernels for operations that CuPy does not provide."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from gpusmote.backends import kernels, transfer, translate_errors
from gpusmote.backends.cpu import Array, Backend, Make, Read
from gpusmote.backends.versions import CUPY, FAISS, installed
from gpusmote.errors import InputError, InputTypeError

__all__ = ["CudaBackend"]

_THREADS = 256
_MOST_BLOCKS = 16_384
"""Kernels use grid-stride loops, so more blocks than fill a device several times gain nothing."""
_CONVERTED = 1 << 20  # values in one block of column_range: 8 MiB of float64
_SIDE_BY_SIDE = 8_192
_TILE = 32  # candidates of one warp of rerank_distances
_WARPS = 4  # warps of one of its blocks

# The dtypes that the kernels accept. Positions are 64-bit everywhere: a table may have more than 2**31 values.
_DTYPES = {
    "values": (np.dtype(np.float32), np.dtype(np.float64)),
    "positions": (np.dtype(np.int64),),
    "shares": (np.dtype(np.float64),),
}


class CudaBackend(Backend):
    """The operations on one CUDA device, on the caller's current stream.

    The host waits for the device only where this is necessary. Kernels are compiled for the device at their first use.

    Parameters
    ----------
    ordinal : int
        CUDA number of the device, among the visible devices.
    """

    _block_bytes = 256 << 20
    """A block takes about ten kernel launches. With 32 MiB, launching them would take longer than running them."""

    def __init__(self, ordinal: int) -> None:
        import cupy

        self.ordinal = ordinal
        self.name = f"cuda:{ordinal}"
        self.xp = cupy
        found = (installed(CUPY), installed(FAISS))
        self.packages = tuple(distribution[0] for distribution in found if distribution is not None)

    def __reduce__(self) -> tuple[Any, ...]:
        return CudaBackend, (self.ordinal,), {"memory": self.memory}  # self.xp is a module, which cannot be pickled

    def active(self) -> AbstractContextManager[Any]:
        return translate_errors.ErrorTranslator(lambda: self.xp.cuda.Device(self.ordinal), self.name)

    def asarray(self, a: Array, dtype: Any = None) -> Array:
        with self.active():
            if isinstance(a, self.xp.ndarray):
                a = transfer.bring(self.xp, a)
            return self.xp.asarray(a, dtype=dtype)

    def integers(self, a: Array) -> Array:
        if isinstance(a, self.xp.ndarray) or not len(a):
            return self.asarray(a, np.int64)
        narrow = np.min_scalar_type(a.max()) if a.min() >= 0 else np.int64
        with self.active():
            return self.xp.asarray(a.astype(narrow)).astype(np.int64)

    def upload(self, read: Read, shape: tuple[int, int], dtype: np.dtype) -> Array:
        with self.active():
            out = self.xp.empty(shape, dtype)
            transfer.upload(self.xp, out, read, self.memory.size(transfer.BLOCK_BYTES))
        return out

    def fill(self, out: Array, make: Make) -> None:
        with self.active():
            if isinstance(out, np.ndarray):
                transfer.download(self.xp, out, make, self.memory.size(transfer.BLOCK_BYTES))
            else:
                super().fill(out, make)

    def to_host(self, a: Array) -> np.ndarray:
        if not isinstance(a, self.xp.ndarray):
            return np.asarray(a)
        with self.active():
            host: np.ndarray = self.xp.asnumpy(a)
        return host

    def synchronize(self) -> None:
        with self.active():
            self.xp.cuda.get_current_stream().synchronize()

    def release(self) -> None:
        with self.active():
            self.xp.get_default_memory_pool().free_all_blocks()  # FAISS cannot use the memory of this pool

    def free_memory(self) -> int | None:
        """Free bytes of the device, including the unused memory of CuPy's pool."""
        with self.active():
            pool = self.xp.get_default_memory_pool()
            free, _ = self.xp.cuda.Device().mem_info
            left = int(free) + int(pool.free_bytes())
            limit = int(pool.get_limit())
            return min(left, max(0, limit - int(pool.used_bytes()))) if limit else left

    def draw(self, key: np.ndarray, start: int, stop: int, n: int) -> tuple[Array, Array]:
        with self.active():
            pick, gap = self.xp.empty(stop - start, np.int64), self.xp.empty(stop - start, np.float64)
            blocks = (stop + 1) // 2 - start // 2  # of the random stream; each holds two samples
            numbers = (np.uint64(number) for number in (*key.tolist(), start, stop, n))
            self._launch("draw_samples.cu", "draw_slice", blocks if pick.size else 0, *numbers, pick, gap)
        return pick, gap

    def draw_at(self, key: np.ndarray, samples: Array, n: int) -> tuple[Array, Array]:
        with self.active():
            samples = self._checked("positions", "samples", samples, (None,))
            count = len(samples)
            pick, gap = self.xp.empty(count, np.int64), self.xp.empty(count, np.float64)
            k0, k1 = key.tolist()
            numbers = (np.uint64(k0), np.uint64(k1), samples, np.int64(count), np.uint64(n))
            self._launch("draw_samples.cu", "draw_gathered", count, *numbers, pick, gap)
        return pick, gap

    def to_float64(self, a: Array) -> Array:
        with self.active():
            if a.dtype != np.float32:
                return a.astype(np.float64)
            a = self.xp.ascontiguousarray(a)
            out = self.xp.empty(a.shape, np.float64)
            self._launch("convert_values.cu", "float32_to_float64", a.size, a, np.int64(a.size), out)
        return out

    def column_range(self, values: Array) -> tuple[Array, Array]:
        n, d = values.shape
        # CuPy gives a block of threads at most 32 columns and all rows, so a narrow table would use few
        # multiprocessors. Therefore several rows are reduced side by side, as one wide row.
        group = max(1, min(n, _SIDE_BY_SIDE // d))
        step = max(1, self.memory.size(_CONVERTED) // (group * d)) * group
        whole = n // group * group
        blocks = [(start, min(whole, start + step)) for start in range(0, whole, step)]
        if whole < n:
            blocks.append((n - group, n))  # some rows are included twice
        with self.active():
            low, high = self.xp.full(d, np.inf), self.xp.full(d, -np.inf)
            for start, stop in blocks:
                wide = self.to_float64(values[start:stop]).reshape(-1, group * d)
                low = self.xp.minimum(low, wide.min(axis=0).reshape(group, d).min(axis=0))
                high = self.xp.maximum(high, wide.max(axis=0).reshape(group, d).max(axis=0))
        return low, high

    def interpolate(self, values: Array, base: Array, neighbor: Array, gap: Array, out: Array) -> None:
        with self.active():
            values = self._checked("values", "values", values, (None, None))
            m, d = len(base), values.shape[1]
            base = self._checked("positions", "base", base, (m,))
            neighbor = self._checked("positions", "neighbor", neighbor, (m,))
            gap = self._checked("shares", "gap", gap, (m,))
            self._checked("values", "out", out, (m, d), like=values)
            arguments = (values, base, neighbor, gap, np.int64(m), np.int64(d), out)
            self._launch("interpolate_rows.cu", f"interpolate_rows_{values.dtype.name}", m * d, *arguments)

    def rerank(self, values: Array, queries: Array, candidates: Array) -> Array:
        with self.active():
            values = self._checked("values", "values", values, (None, None))
            queries = self._checked("positions", "queries", queries, (None,))
            candidates = self._checked("positions", "candidates", candidates, (len(queries), None))
            m, width = candidates.shape
            distance = self.xp.empty((m, width), np.float64)
            tasks = m * -(-width // _TILE)
            if tasks:
                grid = (min(-(-tasks // _WARPS), _MOST_BLOCKS),)
                sizes = (np.int64(m), np.int64(width), np.int64(values.shape[1]))
                name = f"rerank_distances_{values.dtype.name}"
                arguments = (values, queries, candidates, *sizes, distance)
                kernels.launch(self.xp, "rerank_distances.cu", name, grid, (_TILE, _WARPS), arguments)
        return distance

    def count_foreign(self, codes: Array, neighbors: Array, own: int) -> Array:
        with self.active():
            codes = self._checked("positions", "codes", codes, (None,))
            neighbors = self._checked("positions", "neighbors", neighbors, (None, None))
            m, k = neighbors.shape
            count = self.xp.empty(m, np.int64)
            arguments = (codes, neighbors, np.int64(own), np.int64(m), np.int64(k), count)
            self._launch("count_foreign.cu", "count_foreign", m, *arguments)
        return count

    def _launch(self, file: str, name: str, threads: int, *arguments: Any) -> None:
        """Launch a grid-stride kernel over ``threads`` items; do nothing for 0 items."""
        if threads:
            grid = (min(-(-threads // _THREADS), _MOST_BLOCKS),)
            kernels.launch(self.xp, file, name, grid, (_THREADS,), arguments)

    def _checked(
        self, kind: str, name: str, array: Array, shape: tuple[int | None, ...], like: Array | None = None
    ) -> Array:
        """Check an argument of a kernel; positions and gaps are made contiguous."""
        if not isinstance(array, self.xp.ndarray):
            raise InputTypeError(
                f"{name} is of type {type(array).__module__}.{type(array).__qualname__}, not an array on {self.name}.",
                "backend.asarray(array) moves it there.",
            )
        if array.device.id != self.ordinal:
            raise InputError(f"{name} is on cuda:{array.device.id}, not on {self.name}.", "Move it there first.")
        dtypes = _DTYPES[kind] if like is None else (like.dtype,)
        if array.dtype not in dtypes:
            names = " or ".join(dtype.name for dtype in dtypes)
            raise InputTypeError(f"{name} is {array.dtype.name}; the kernels take {names}.", "Convert it with astype.")
        if len(array.shape) != len(shape) or any(s not in (None, a) for s, a in zip(shape, array.shape, strict=True)):
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise InputError(f"{name} has shape {array.shape}; it must be ({wanted}).")
        if array.flags.c_contiguous:
            return array
        if kind == "values":  # copying a table costs too much, and an output cannot be copied
            raise InputError(f"{name} is not C-contiguous.", "cupy.ascontiguousarray makes a contiguous copy.")
        return self.xp.ascontiguousarray(array)
