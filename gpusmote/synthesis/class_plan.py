"""The synthetic rows of one class, or of one of its recipes: everything that decides them, none of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from gpusmote.backends import Array, Backend

__all__ = ["ClassPlan", "spans"]


@dataclasses.dataclass(frozen=True)
class ClassPlan:
    """Generator, seeds, neighbors and stream key of one class, or of one recipe of a class that has several.

    Sample s draws a pick and a gap (:mod:`gpusmote.random_stream`). They decide a seed, one of its neighbors, and the
    share ``low + width * gap`` of the way to it. The generator makes a row of these.

    Attributes
    ----------
    position : int
        Of the class among the sorted classes.
    n_new : int
        Synthetic rows.
    values : array of shape (v, d)
        The points that seeds and neighbors name. Empty where the generator copies rows of an X that is not numeric.
    rows : array of shape (v,), int64
        Their positions in X; -1 for points that are no rows of X, which stand last.
    seeds : array of shape (s,), int64
    neighbors : array of shape (s, k), int64
        Numbers of ``values``.
    key : ndarray of shape (2,), uint64
    ends : array of shape (s,), int64, optional
        Running sum of the samples of each seed; None where every sample draws its seed too.
    low, width : array of shape (s, k), float64, optional
        Which shares of the way to each neighbor rows may have; None is all of [0, 1). They may leave it.
    picks, gaps : array of shape (n_new,), optional
        Draws that were made beforehand (``bit_generator="mt19937"``), in place of the key's.
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
        """Bytes of the arrays."""
        fields = (getattr(self, field.name) for field in dataclasses.fields(self))
        return sum(int(field.nbytes) for field in fields if hasattr(field, "nbytes"))

    def draw(self, samples: range | Array, backend: Backend) -> tuple[Array, Array, Array]:
        """Base and neighbor (numbers of ``values``) of each sample, and its share of the way between them.

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
        """The part with what ``move`` makes of its arrays; the key is always on the host."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "key"}
        return dataclasses.replace(self, **{name: move(a) for name, a in fields.items() if getattr(a, "ndim", 0)})


def spans(parts: list[ClassPlan], start: int, stop: int) -> Iterator[tuple[ClassPlan, range, int]]:
    """Cut the synthetic rows ``start`` to ``stop`` by class and recipe.

    Yields
    ------
    part : ClassPlan
    samples : range
        Of the part, numbered from 0.
    at : int
        Where they begin in the slice.
    """
    first = 0
    for part in parts:
        low, high = max(start, first), min(stop, first + part.n_new)
        if low < high:
            yield part, range(low - first, high - first), low - start
        first += part.n_new
