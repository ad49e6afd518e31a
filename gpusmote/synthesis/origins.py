"""The origins of synthetic rows: the class, the two rows of X, and the gap."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from gpusmote.backends import Backend
from gpusmote.synthesis.class_plan import ClassPlan, spans
from gpusmote.synthesis.generators import generator_of

__all__ = ["Origins"]


class Origins:
    """The origins of a plan's synthetic rows, computed for any slice of them.

    It holds row numbers, neighbors and keys, but no rows of X.

    Parameters
    ----------
    backend : Backend
    parts : list of ClassPlan
    classes : ndarray of shape (c,)
        Labels, sorted.
    """

    def __init__(self, backend: Backend, parts: list[ClassPlan], classes: np.ndarray) -> None:
        self._backend, self._classes = backend, classes
        with backend.active():
            nothing = backend.xp.empty((0, 0))
            self._parts = [dataclasses.replace(part, values=nothing) for part in parts]

    def __len__(self) -> int:
        return sum(part.n_new for part in self._parts)

    def __getstate__(self) -> dict[str, Any]:
        # On the host, where every process can use them; the random numbers are the same there.
        with self._backend.active():
            parts = [part.moved(self._backend.to_host) for part in self._parts]
        return {"_backend": Backend(), "_classes": self._classes, "_parts": parts}

    def read(self, start: int, stop: int) -> np.ndarray:
        """The origins of the synthetic rows ``start`` to ``stop``.

        Returns
        -------
        structured ndarray of shape (stop - start,), on the host
            Fields ``class`` (label), ``base`` and ``neighbor`` (int64, positions of rows in X, or -1 if there is no
            such row), ``gap`` (float64).
        """
        label = self._classes.dtype
        label = np.dtype(object) if label.kind == "T" else label  # StringDType cannot be a field
        origins = np.empty(stop - start, [("class", label), ("base", "i8"), ("neighbor", "i8"), ("gap", "f8")])
        backend = self._backend
        for part, samples, at in spans(self._parts, start, stop):
            found = origins[at : at + len(samples)]
            found["class"] = self._classes[part.position]
            with backend.active():
                for field, values in zip(
                    ("base", "neighbor", "gap"), generator_of(part).origins(part, samples, backend), strict=True
                ):
                    found[field] = backend.to_host(values)
        return origins
