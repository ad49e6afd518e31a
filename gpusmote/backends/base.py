"""The few operations that a device must offer, in NumPy: the CPU path, and the reference for every other.

Arithmetic is the same everywhere: float64, each operation rounded on its own, one rounding to X's dtype at the end.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from gpusmote import draws
from gpusmote._threads import run_blocks

__all__ = ["Array", "Backend"]

Array = Any
"""A NumPy array, or what takes its place on the backend's device."""


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
    """

    name = "cpu"
    xp: Any = np
    packages: tuple[str, ...] = ()

    def active(self) -> AbstractContextManager[Any]:
        """A context in which ``xp`` works on this device; whatever calls ``xp`` does so within it."""
        return nullcontext()

    def asarray(self, a: Array, dtype: Any = None) -> Array:
        """``a`` on the device, copied only where it must be."""
        return np.asarray(a, dtype=dtype)

    def to_host(self, a: Array) -> np.ndarray:
        """``a`` as a NumPy array, copied only where it must be."""
        return np.asarray(a)

    def synchronize(self) -> None:
        """Wait until all that was asked of the device is done; seconds can then be told."""

    def free_memory(self) -> int | None:
        """Bytes that can still be allocated on the device, or None where nobody knows."""
        from gpusmote.backends import memory

        return memory.available()

    def draw(self, key: np.ndarray, start: int, stop: int, n: int) -> tuple[Array, Array]:
        """:func:`gpusmote.draws.draw` on the device."""
        return draws.draw(key, start, stop, n)

    def draw_at(self, key: np.ndarray, samples: Array, n: int) -> tuple[Array, Array]:
        """:func:`gpusmote.draws.draw_at` on the device."""
        return draws.draw_at(key, samples, n)

    def interpolate(self, values: Array, base: Array, neighbour: Array, gap: Array, out: Array) -> None:
        """Write the synthetic rows ``base + gap * (neighbour - base)``.

        Difference, product and sum in float64, each rounded on its own; one rounding to ``out``'s dtype.

        Parameters
        ----------
        values : array of shape (v, d), float32 or float64
        base, neighbour : array of shape (m,), int64
            Rows of ``values``.
        gap : array of shape (m,), float64
        out : array of shape (m, d), ``values``' dtype
            Where the rows are written, C-contiguous.
        """
        block = max(1, 131_072 // max(1, values.shape[1]))  # 1 MiB of float64: the block stays in a core's cache

        def rows(start: int, stop: int) -> None:
            low = np.take(values, base[start:stop], axis=0).astype(np.float64, copy=False)
            step = np.take(values, neighbour[start:stop], axis=0).astype(np.float64, copy=False)
            step -= low
            step *= gap[start:stop, None]
            step += low
            out[start:stop] = step

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
        block = max(1, 262_144 // max(1, candidates.shape[1] * d))  # 2 MiB of float64

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

    def count_foreign(self, codes: Array, neighbours: Array, own: int) -> Array:
        """How many of each row's neighbours are of another class.

        Parameters
        ----------
        codes : array of shape (n,), int64
            Class of each row.
        neighbours : array of shape (m, k), int64
            Rows that ``codes`` speaks of.
        own : int
            The class that is not foreign.

        Returns
        -------
        array of shape (m,), int64
        """
        return (codes[neighbours] != own).sum(axis=1, dtype=np.int64)
