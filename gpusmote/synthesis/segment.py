"""The generator "segment": rows on the segment from a seed to one of its targets, or on the line beyond it."""

from __future__ import annotations

from gpusmote.backends import Array, Backend
from gpusmote.synthesis.class_plan import ClassPlan

__all__ = ["origins", "write"]


def write(part: ClassPlan, samples: range | Array, out: Array, backend: Backend) -> None:
    """Write the rows ``base + share * (target - base)``; see :class:`~gpusmote.synthesis.generators.Generator`."""

    def make(start: int, stop: int, target: Array) -> None:
        base, neighbor, share = part.draw(samples[start:stop], backend)
        backend.interpolate(part.values, base, neighbor, share, target)

    backend.fill(out, make)


def origins(part: ClassPlan, samples: range | Array, backend: Backend) -> tuple[Array, Array, Array]:
    """Base, neighbor and share of each row; the neighbor is -1 where the target is no row of X."""
    base, neighbor, share = part.draw(samples, backend)
    return part.rows[base], part.rows[neighbor], share
