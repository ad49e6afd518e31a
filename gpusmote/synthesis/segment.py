"""The generator "segment": rows on the segment between a seed and a neighbor or target, or on its extension."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpusmote.backends import Array, Backend
from gpusmote.synthesis.class_plan import ClassPlan

__all__ = ["origins", "sparse_rows", "write"]


def write(part: ClassPlan, samples: range | Array, out: Array, backend: Backend) -> None:
    """Write the rows ``base + gap * (neighbor - base)``; see :class:`~gpusmote.synthesis.generators.Generator`."""

    def make(start: int, stop: int, target: Array) -> None:
        base, neighbor, gap = part.draw(samples[start:stop], backend)
        backend.interpolate(part.values, base, neighbor, gap, target)

    backend.fill(out, make)


def sparse_rows(part: ClassPlan, samples: range | Array) -> Any:
    """The same rows as :func:`write`, of sparse values; see :class:`~gpusmote.synthesis.generators.Generator`."""
    base, neighbor, gap = part.draw(samples, Backend())
    start = part.values[base].astype(np.float64)
    step = start - part.values[neighbor].astype(np.float64)
    step.data *= np.repeat(gap, np.diff(step.indptr))
    return (start - step).astype(part.values.dtype)


def origins(part: ClassPlan, samples: range | Array, backend: Backend) -> tuple[Array, Array, Array]:
    """Base, neighbor and gap of each row; the neighbor is -1 if it is a point that is not a row of X."""
    base, neighbor, gap = part.draw(samples, backend)
    return part.rows[base], part.rows[neighbor], gap
