"""The part of a plan for one class, or for one recipe of a class: all that determines its synthetic rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from scipy.sparse import issparse

from gpusmote.backends import Array, Backend

__all__ = ["ClassPlan", "spans"]


@dataclasses.dataclass(frozen=True)
class ClassPlan:
    """Generator, seeds, neighbors and random key of one class, or of one recipe of a class.

    Each sample (synthetic row) draws a pick and a gap (:mod:`gpusmote.random_stream`). The pick determines a seed and
    one of its neighbors. With limits, the gap becomes ``low + width * gap``. The generator makes a row from these.

    Attributes
    ----------
    position : int
        Position of the class among the sorted classes.
    n_new : int
        Number of synthetic rows.
    values : array or scipy.sparse.csr_array of shape (v, d)
        The rows of X, and other points, that seeds and neighbors refer to. Empty if X is not numeric.
    rows : array of shape (v,), int64
        Their positions in X; -1 for points that are not rows of X, which come last.
    seeds : array of shape (s,), int64
        Row numbers of ``values``.
    neighbors : array of shape (s, k), int64
        Row numbers of ``values``.
    key : ndarray of shape (2,), uint64
        Key of the random stream.
    ends : array of shape (s,), int64, optional
        Cumulative sum of the number of samples of each seed; None if each sample draws its seed.
    low, width : array of shape (s, k), float64, optional
        Range of the gap for each neighbor; None is [0, 1). It may leave [0, 1].
    picks, gaps : array of shape (n_new,), optional
        Numbers drawn beforehand (``bit_generator="mt19937"``), used instead of the key.
    generator : str
        A name in :data:`gpusmote.synthesis.generators.GENERATORS`.
    """

    position: int
    n_new: int
    values: Array
    rows: Array
    seeds: Array
    neighbors: Array
    key: np.ndarray
    ends: Array | None = None
    low: Array | None = None
    width: Array | None = None
    picks: Array | None = None
    gaps: Array | None = None
    generator: str = "segment"

    def nbytes(self) -> int:
        """Bytes of all arrays."""
        values = self.values
        arrays = [getattr(self, field.name) for field in dataclasses.fields(self)]
        arrays += [values.data, values.indices, values.indptr] if issparse(values) else []
        return sum(int(array.nbytes) for array in arrays if hasattr(array, "nbytes"))

    def draw(self, samples: range | Array, backend: Backend) -> tuple[Array, Array, Array]:
        """Base row, neighbor (both row numbers of ``values``) and gap of each sample.

        Parameters
        ----------
        samples : range of step 1, or array of int64 in any order
        """
        k = self.neighbors.shape[1]
        pick, gap = self._draws(samples, backend, self.neighbors.size if self.ends is None else k)
        if self.ends is None:
            pair = pick
            seed = pick // k
        else:
            number = backend.xp.arange(samples.start, samples.stop) if isinstance(samples, range) else samples
            seed = backend.xp.searchsorted(self.ends, number, side="right")
            pair = seed * k + pick
        if self.low is not None and self.width is not None:
            gap = self.low.ravel()[pair] + self.width.ravel()[pair] * gap
        return self.seeds[seed], self.neighbors.ravel()[pair], gap

    def _draws(self, samples: range | Array, backend: Backend, n: int) -> tuple[Array, Array]:
        if self.picks is not None and self.gaps is not None:
            chosen = slice(samples.start, samples.stop) if isinstance(samples, range) else samples
            return self.picks[chosen], self.gaps[chosen]
        if isinstance(samples, range):
            return backend.draw(self.key, samples.start, samples.stop, n)
        return backend.draw_at(self.key, samples, n)

    def moved(self, move: Callable[[Array], Array]) -> ClassPlan:
        """The part with ``move`` applied to each array except the key, which is always on the host."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "key"}
        return dataclasses.replace(self, **{name: move(a) for name, a in fields.items() if getattr(a, "ndim", 0)})


def spans(parts: list[ClassPlan], start: int, stop: int) -> Iterator[tuple[ClassPlan, range, int]]:
    """Split the synthetic rows ``start`` to ``stop`` by part.

    Yields
    ------
    part : ClassPlan
    samples : range
        Sample numbers within the part.
    at : int
        Position of the first of them in the slice.
    """
    first = 0
    for part in parts:
        low, high = max(start, first), min(stop, first + part.n_new)
        if low < high:
            yield part, range(low - first, high - first), low - start
        first += part.n_new
