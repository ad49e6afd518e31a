"""The few operations that a device must offer, in NumPy: the CPU path, and the reference for every other.

Arithmetic is the same everywhere: float64, each operation rounded on its own, one rounding to X's dtype at the end.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import numpy as np

from gpusmote import random_stream
from gpusmote.backends import translate_errors
from gpusmote.backends.threads import n_threads, run_blocks

__all__ = ["Array", "Backend", "Make", "Read", "WorkingMemory"]

Array = Any
"""A NumPy array, or what takes its place on the backend's device."""

Read = Callable[[int, int, np.ndarray], None]
"""``read(start, stop, buffer)`` writes rows to an array on the host."""

Make = Callable[[int, int, Array], None]
"""``make(start, stop, target)`` writes rows to a C-contiguous array on the backend's device."""

_WORKING_BYTES = 256 << 20
_THREAD_BYTES = 16 << 20
_COMPARED = 1 << 18  # 2 MiB of float64
_LEAST_PAIRS = 64


@dataclasses.dataclass(frozen=True)
class WorkingMemory:
    """How much memory the blocks of a call may take, which decides their sizes; the rows do not depend on it.

    Attributes
    ----------
    bytes : int
        Of all blocks that are held at a time. Blocks have their usual sizes where it is :meth:`usual`.
    copies : {2, 1, 0}
        Whether a search may keep copies of its rows: in float32 for the first pass and in float64 for the second (2),
        for the first only (1), or none, but convert them tile by tile each time (0). Rows that are equal are put
        together only where it is 2; else they are ties like others.
    pool_rows : int or None
        So many rows of a pool lie on the device at once, and as many queries; None is all.
    faiss : int or None
        Bytes that FAISS may take for itself; None is what it takes unasked.
    """

    bytes: int
    copies: int = 2
    pool_rows: int | None = None
    faiss: int | None = None
    scale: float = dataclasses.field(init=False)  # share of their usual sizes that blocks have

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", min(1.0, self.bytes / self.usual()))

    @staticmethod
    def usual() -> int:
        """256 MiB, or more where many threads have a block each."""
        return max(_WORKING_BYTES, n_threads() * _THREAD_BYTES)

    def size(self, usual: int, least: int = 1) -> int:
        """What remains of a block of so many rows or values."""
        return max(least, int(usual * self.scale))

    def compared(self, columns: int) -> int:
        """Values of rows that are compared at once: of 64 pairs at least, where whole blocks hold as many.

        Each column of a block is a call of NumPy's or two, which cost more than a handful of pairs.
        """
        return self.size(_COMPARED, min(_COMPARED, _LEAST_PAIRS * columns))

    def tile_shape(self, rows: int, columns: int) -> tuple[int, int]:
        """What remains of a tile: fewer rows, then fewer columns, in whole groups of 32."""
        if self.scale == 1.0:
            return rows, columns
        fewer = max(16, int(rows * self.scale))
        return fewer, max(64, min(columns, int(columns * self.scale * rows / fewer)) // 32 * 32)

    def quarter(self) -> WorkingMemory:
        """A quarter of it, with no copies, for another attempt after memory has run out."""
        rows = None if self.pool_rows is None else max(64, self.pool_rows // 4)
        return WorkingMemory(self.bytes // 4, 0, rows, None if self.faiss is None else self.faiss // 4)


class Backend:
    """Operations on the host.

    Work arrays (``values``) are C-contiguous, two-dimensional, float32 or float64; positions are int64.

    Attributes
    ----------
    name : str
        "cpu" or "cuda:N".
    xp : module
        numpy or cupy: what the arrays are made and combined with where no operation below is needed.
    packages : tuple of str
        Distributions that the device needs besides NumPy, for reports.
    memory : WorkingMemory
        How large blocks may be.
    search_device : Backend or None
        The device that seeks neighbors where the rows themselves lie on the host.
    """

    name = "cpu"
    xp: Any = np
    packages: tuple[str, ...] = ()
    memory: WorkingMemory = WorkingMemory(1 << 40)
    search_device: Backend | None = None
    _block_bytes = 32 << 20  # of rows that are made at once, with their draws

    def within(self, memory: WorkingMemory) -> Self:
        """The same backend with its work cut in another way."""
        found = copy.copy(self)
        found.memory = memory
        return found

    def active(self) -> AbstractContextManager[Any]:
        """A context in which ``xp`` works on this device; whatever calls ``xp`` does so within it."""
        return translate_errors.ErrorTranslator(nullcontext, self.name)

    def asarray(self, a: Array, dtype: Any = None) -> Array:
        """``a`` on the device, copied only where it must be."""
        return np.asarray(a, dtype=dtype)

    def to_host(self, a: Array) -> np.ndarray:
        """``a`` as a NumPy array, copied only where it must be."""
        return np.asarray(a)

    def integers(self, a: Array) -> Array:
        """Whole numbers, on the host or on the device, as int64 on the device."""
        return np.asarray(a, np.int64)

    def upload(self, read: Read, shape: tuple[int, int], dtype: np.dtype) -> Array:
        """Rows that the host reads piece by piece, as an array on the device.

        Parameters
        ----------
        read : callable
            ``read(start, stop, buffer)`` writes rows to a host array of shape (stop - start, d).
        shape : (n, d)
        dtype : numpy.dtype
        """
        out = np.empty(shape, dtype)
        read(0, shape[0], out)
        return out

    def fill(self, out: Array, make: Make) -> None:
        """Rows made block by block, on the device, or on the host once they are made.

        Parameters
        ----------
        out : array of shape (n, d)
            On the device or the host.
        make : callable
            ``make(start, stop, target)`` writes rows to a C-contiguous array of shape (stop - start, d) on the device.
        """
        row_bytes = out.nbytes // max(1, len(out)) + 64  # with the row's draw
        step = self.memory.size(max(1, self._block_bytes // row_bytes))
        for start in range(0, len(out), step):
            make(start, min(len(out), start + step), out[start : start + step])

    def synchronize(self) -> None:
        """Wait until all that was asked of the device is done; seconds can then be told."""

    def release(self) -> None:
        """Give back what is kept for later allocations, after memory has run out."""

    def free_memory(self) -> int | None:
        """Bytes that can still be allocated on the device, or None where nobody knows."""
        from gpusmote.backends import memory

        return memory.available()

    def draw(self, key: np.ndarray, start: int, stop: int, n: int) -> tuple[Array, Array]:
        """:func:`gpusmote.random_stream.draw` on the device."""
        return random_stream.draw(key, start, stop, n)

    def draw_at(self, key: np.ndarray, samples: Array, n: int) -> tuple[Array, Array]:
        """:func:`gpusmote.random_stream.draw_at` on the device."""
        return random_stream.draw_at(key, samples, n)

    def to_float64(self, a: Array) -> Array:
        """A new array of ``a``'s values in float64, subnormal numbers too.

        Parameters
        ----------
        a : array, float32 or float64

        Returns
        -------
        array of the same shape, float64
        """
        return a.astype(np.float64)

    def column_range(self, values: Array) -> tuple[Array, Array]:
        """Minimum and maximum of each column.

        Parameters
        ----------
        values : array of shape (n, d), float32 or float64
            Finite; n is at least 1.

        Returns
        -------
        low, high : array of shape (d,), float64
        """
        return values.min(axis=0).astype(np.float64), values.max(axis=0).astype(np.float64)

    def interpolate(self, values: Array, base: Array, neighbor: Array, gap: Array, out: Array) -> None:
        """Write the synthetic rows ``base + gap * (neighbor - base)``.

        Computed as ``base - gap * (base - neighbor)``: the same numbers, but -0.0 stays between two that are -0.0.
        Difference, product and sum in float64, each rounded on its own; one rounding to ``out``'s dtype.

        Parameters
        ----------
        values : array of shape (v, d), float32 or float64
        base, neighbor : array of shape (m,), int64
            Rows of ``values``.
        gap : array of shape (m,), float64
        out : array of shape (m, d), ``values``' dtype
            Where the rows are written, C-contiguous.
        """
        block = max(
            1, self.memory.size(131_072) // max(1, values.shape[1])
        )  # 1 MiB of float64: the block stays in a core's cache

        def rows(start: int, stop: int) -> None:
            low = np.take(values, base[start:stop], axis=0).astype(np.float64, copy=False)
            step = np.take(values, neighbor[start:stop], axis=0).astype(np.float64, copy=False)
            np.subtract(low, step, out=step)
            step *= gap[start:stop, None]
            out[start:stop] = np.subtract(low, step, out=step)

        run_blocks(rows, len(base), block)

    def rerank(self, values: Array, queries: Array, candidates: Array) -> Array:
        """Squared Euclidean distances from rows to their candidates: the ones that decide.

        In float64 by direct differences, the features added one after another in column order, no fused operations:
        ``((q0 - c0)**2 + (q1 - c1)**2) + ...``.

        Parameters
        ----------
        values : array of shape (v, d), float32 or float64
        queries : array of shape (m,), int64
        candidates : array of shape (m, c), int64

        Returns
        -------
        array of shape (m, c), float64
        """
        distance = np.empty(candidates.shape, np.float64)
        d = values.shape[1]
        block = max(1, self.memory.compared(d) // max(1, candidates.shape[1] * d))

        def rows(start: int, stop: int) -> None:
            # Columns outermost: each addition below then runs over contiguous memory.
            step = np.empty((d, stop - start, candidates.shape[1]))
            np.copyto(step.reshape(d, -1), np.take(values, candidates[start:stop].ravel(), axis=0).T)
            step -= np.take(values, queries[start:stop], axis=0).T[:, :, None]
            step *= step
            total = distance[start:stop]
            total[...] = 0.0
            for column in step:  # np.sum would be free to add in another order
                total += column

        run_blocks(rows, len(queries), block)
        return distance

    def count_foreign(self, codes: Array, neighbors: Array, own: int) -> Array:
        """How many of each row's neighbors are of another class.

        Parameters
        ----------
        codes : array of shape (n,), int64
            Class of each row.
        neighbors : array of shape (m, k), int64
            Rows that ``codes`` speaks of.
        own : int
            The class that is not foreign.

        Returns
        -------
        array of shape (m,), int64
        """
        return (codes[neighbors] != own).sum(axis=1, dtype=np.int64)
