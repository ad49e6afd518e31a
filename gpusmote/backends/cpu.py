"""The operations that a device must provide, in NumPy: the CPU path, and the reference for all other devices.

Arithmetic is the same everywhere: float64, each operation rounded on its own, one rounding to X's dtype at the end.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import numpy as np
from scipy.sparse import issparse, vstack

from gpusmote import random_stream
from gpusmote.backends import translate_errors
from gpusmote.backends.threads import n_threads, run_blocks

__all__ = ["Array", "Backend", "Make", "Read", "WorkingMemory", "add_in_order"]

Array = Any
"""A NumPy array, or the array type of the backend's device."""

Read = Callable[[int, int, np.ndarray], None]
"""``read(start, stop, buffer)`` writes rows to an array on the host."""

Make = Callable[[int, int, Array], None]
"""``make(start, stop, target)`` writes rows to a C-contiguous array on the backend's device."""

_WORKING_BYTES = 256 << 20
_THREAD_BYTES = 16 << 20
_CONVERTED = 48  # bytes of a value of a tile's rows, with what else a thread holds
_COMPARED = 1 << 18  # 2 MiB of float64
_PAIRS = 2048  # pairs of rows that are compared at a time, if they have many columns


@dataclasses.dataclass(frozen=True)
class WorkingMemory:
    """How much memory the blocks of a call may use. It decides their sizes; the resulting rows do not depend on it.

    Attributes
    ----------
    bytes : int
        Bytes of all blocks that exist at the same time. With :meth:`usual` bytes, blocks have their usual sizes.
    copies : {2, 1, 0}
        Which copies of its rows a search may keep: one in float32 for the first pass and one in float64 for the second
        (2), only the first (1), or none, so that rows are converted again for each tile (0). Equal rows are grouped
        only if it is 2; otherwise they are ties like any others.
    pool_rows : int or None
        Rows to search, and also queries, that the device holds at a time; None means all.
    faiss : int or None
        Bytes of temporary memory for FAISS; None means its default.
    """

    bytes: int
    copies: int = 2
    pool_rows: int | None = None
    faiss: int | None = None
    scale: float = dataclasses.field(init=False)  # size of blocks relative to their usual size

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", min(1.0, self.bytes / self.usual()))

    @staticmethod
    def usual() -> int:
        """256 MiB, or 16 MiB for each thread if that is more."""
        return max(_WORKING_BYTES, n_threads() * _THREAD_BYTES)

    def size(self, usual: int, least: int = 1) -> int:
        """The size of a block that usually has ``usual`` rows or values."""
        return max(least, int(usual * self.scale))

    def tile_shape(self, rows: int, columns: int, n_features: int) -> tuple[int, int]:
        """The shape of a tile that usually has this shape: fewer rows, then fewer columns, in multiples of 32.

        Each thread has the ``n_features`` values of all rows that a tile compares in several precisions at once.
        """
        columns = min(columns, max(64, self.bytes // (_CONVERTED * n_features * n_threads()) // 32 * 32))
        if self.scale == 1.0:
            return rows, columns
        fewer = max(16, int(rows * self.scale))
        return fewer, max(64, min(columns, int(columns * self.scale * rows / fewer)) // 32 * 32)

    def quarter(self) -> WorkingMemory:
        """A quarter of this memory and no copies, for a second attempt after memory ran out."""
        rows = None if self.pool_rows is None else max(64, self.pool_rows // 4)
        return WorkingMemory(self.bytes // 4, 0, rows, None if self.faiss is None else self.faiss // 4)


class Backend:
    """The operations on the host.

    Work arrays (``values``) are C-contiguous, two-dimensional, float32 or float64; positions are int64.

    Attributes
    ----------
    name : str
        "cpu" or "cuda:N".
    xp : module
        numpy or cupy, for everything that needs none of the operations below.
    packages : tuple of str
        Distributions that the device uses besides NumPy, for reports.
    memory : WorkingMemory
        Limits the sizes of blocks.
    search_device : Backend or None
        The device that searches for neighbors if the rows themselves stay on the host; else None.
    """

    name = "cpu"
    xp: Any = np
    packages: tuple[str, ...] = ()
    memory: WorkingMemory = WorkingMemory(1 << 40)
    search_device: Backend | None = None
    _block_bytes = 32 << 20  # of a block of synthetic rows, with their random numbers

    def within(self, memory: WorkingMemory) -> Self:
        """A copy of this backend with another working memory."""
        found = copy.copy(self)
        found.memory = memory
        return found

    def active(self) -> AbstractContextManager[Any]:
        """A context in which ``xp`` uses this device. All calls of ``xp`` must be made inside it."""
        return translate_errors.ErrorTranslator(nullcontext, self.name)

    def asarray(self, a: Array, dtype: Any = None) -> Array:
        """``a`` as an array on the device, copied only if needed. A sparse array stays as it is."""
        return a if issparse(a) else np.asarray(a, dtype=dtype)

    def to_host(self, a: Array) -> np.ndarray:
        """``a`` as a NumPy array, copied only if needed. A sparse array stays as it is."""
        return a if issparse(a) else np.asarray(a)

    def integers(self, a: Array) -> Array:
        """An integer array, from the host or the device, as int64 on the device."""
        return np.asarray(a, np.int64)

    def stack(self, values: Array, points: Array) -> Array:
        """``values``, an array or a csr_array, with the rows of an array appended."""
        return vstack([values, points], format="csr") if issparse(values) else self.xp.concatenate([values, points])

    def upload(self, read: Read, shape: tuple[int, int], dtype: np.dtype) -> Array:
        """Read rows block by block on the host and return them as an array on the device.

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
        """Fill an array with rows that are made on the device, block by block.

        Parameters
        ----------
        out : array of shape (n, d)
            On the device or on the host.
        make : callable
            ``make(start, stop, target)`` writes rows to a C-contiguous array of shape (stop - start, d) on the device.
        """
        row_bytes = out.nbytes // max(1, len(out)) + 64  # with the random numbers of the row
        step = self.memory.size(max(1, self._block_bytes // row_bytes))
        for start in range(0, len(out), step):
            make(start, min(len(out), start + step), out[start : start + step])

    def synchronize(self) -> None:
        """Wait until the device has finished all queued work, for example before measuring time."""

    def release(self) -> None:
        """Free memory that is kept for later allocations, after memory ran out."""

    def free_memory(self) -> int | None:
        """Bytes that can still be allocated on the device, or None if unknown."""
        from gpusmote.backends import memory

        return memory.available()

    def draw(self, key: np.ndarray, start: int, stop: int, n: int) -> tuple[Array, Array]:
        """:func:`gpusmote.random_stream.draw` on the device."""
        return random_stream.draw(key, start, stop, n)

    def draw_at(self, key: np.ndarray, samples: Array, n: int) -> tuple[Array, Array]:
        """:func:`gpusmote.random_stream.draw_at` on the device."""
        return random_stream.draw_at(key, samples, n)

    def to_float64(self, a: Array) -> Array:
        """Copy an array to float64; subnormal numbers keep their values.

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
        values : array or scipy.sparse.csr_array of shape (n, d), float32 or float64
            Finite values; n is at least 1.

        Returns
        -------
        low, high : array of shape (d,), float64
        """
        if issparse(values):
            return tuple(found.toarray().astype(np.float64) for found in (values.min(axis=0), values.max(axis=0)))
        return values.min(axis=0).astype(np.float64), values.max(axis=0).astype(np.float64)

    def interpolate(self, values: Array, base: Array, neighbor: Array, gap: Array, out: Array) -> None:
        """Write the synthetic rows ``base + gap * (neighbor - base)``.

        Computed as ``base - gap * (base - neighbor)``: the same values, but -0.0 stays -0.0 between two values of -0.0.
        Difference, product and sum in float64, each rounded on its own; one rounding to ``out``'s dtype.

        Parameters
        ----------
        values : array of shape (v, d), float32 or float64
        base, neighbor : array of shape (m,), int64
            Row numbers of ``values``.
        gap : array of shape (m,), float64
        out : array of shape (m, d), ``values``' dtype
            Output, C-contiguous.
        """
        # 1 MiB of float64, so that the block stays in a core's cache.
        block = max(1, self.memory.size(131_072) // max(1, values.shape[1]))

        def rows(start: int, stop: int) -> None:
            low = np.take(values, base[start:stop], axis=0).astype(np.float64, copy=False)
            step = np.take(values, neighbor[start:stop], axis=0).astype(np.float64, copy=False)
            np.subtract(low, step, out=step)
            step *= gap[start:stop, None]
            out[start:stop] = np.subtract(low, step, out=step)

        run_blocks(rows, len(base), block)

    def rerank(self, values: Array, queries: Array, candidates: Array) -> Array:
        """Squared Euclidean distances between queries and their candidates: the deciding distances.

        Computed in float64 by direct differences, added in column order, without fused operations:
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
        distance = np.zeros(candidates.shape, np.float64)
        d, c = values.shape[1], max(1, candidates.shape[1])
        size = self.memory.size(_COMPARED)
        block = max(1, max(size // max(1, d), min(size, _PAIRS)) // c)
        if len(queries) * c * d > size:  # enough work for all threads
            block = min(block, -(-len(queries) // n_threads()))

        def rows(start: int, stop: int) -> None:
            total, near = distance[start:stop].reshape(-1), candidates[start:stop].ravel()
            width = min(max(1, d), max(1, size // max(1, len(near))))
            # Row 0 is the sum so far, the other rows are columns of the differences.
            steps = np.zeros((width + 1, stop - start, candidates.shape[1]))
            for first in range(0, d, width):
                # np.take is several times faster than indexing, but of a part of the columns it would copy all rows.
                part = values[:, first : first + width]
                pick = functools.partial(np.take, values, axis=0) if width == d else part.__getitem__
                own = pick(queries[start:stop])
                sums = steps[: own.shape[1] + 1]
                step = sums[1:]
                np.copyto(step.reshape(len(step), -1), pick(near).T)
                step -= own.T[:, :, None]
                step *= step
                total[:] = add_in_order(sums.reshape(len(sums), -1))
                sums[0] = total.reshape(sums[0].shape)

        run_blocks(rows, len(queries), block)
        return distance

    def count_foreign(self, codes: Array, neighbors: Array, own: int) -> Array:
        """Count the neighbors of each row that belong to another class.

        Parameters
        ----------
        codes : array of shape (n,), int64
            Class of each row.
        neighbors : array of shape (m, k), int64
            Row numbers, as positions in ``codes``.
        own : int
            The code of the class whose members are not counted.

        Returns
        -------
        array of shape (m,), int64
        """
        return (codes[neighbors] != own).sum(axis=1, dtype=np.int64)


def add_in_order(rows: np.ndarray) -> np.ndarray:
    """The sum of the rows of a C-contiguous array, added one by one from the first to the last.

    NumPy adds in pairs only along the axis that is contiguous in memory; a test checks this.
    """
    if rows.shape[1] == 1:
        return np.cumsum(rows[:, 0])[-1:]
    return np.asarray(np.add.reduce(rows, axis=0))
