"""The generator "copy": repeats rows of X, with columns of any type."""

from __future__ import annotations

from typing import Any

from gpusmote.backends import Array, Backend
from gpusmote.synthesis.class_plan import ClassPlan

__all__ = ["origins", "sparse_rows", "write"]


def write(part: ClassPlan, samples: range | Array, out: Array, backend: Backend) -> None:
    """Write copies of rows of ``part.values``. X must be numeric; a plan copies the rows of any other X itself."""

    def make(start: int, stop: int, target: Array) -> None:
        target[...] = part.values.take(part.draw(samples[start:stop], backend)[0], axis=0)

    backend.fill(out, make)


def sparse_rows(part: ClassPlan, samples: range | Array) -> Any:
    """Copies of rows of sparse ``part.values``."""
    return part.values[part.draw(samples, Backend())[0]]


def origins(part: ClassPlan, samples: range | Array, backend: Backend) -> tuple[Array, Array, Array]:
    """The copied row, no neighbor (-1), and a gap of 0."""
    base = part.rows[part.draw(samples, backend)[0]]
    return base, backend.xp.full_like(base, -1), backend.xp.zeros(base.shape)
