"""The generators of synthetic rows, by the names that a ClassPlan and a saved plan call them."""

from __future__ import annotations

from typing import Protocol

from gpusmote.backends import Array, Backend
from gpusmote.synthesis import copy, segment
from gpusmote.synthesis.class_plan import ClassPlan

__all__ = ["GENERATORS", "Generator", "generator_of"]


class Generator(Protocol):
    """What turns a ClassPlan and sample numbers into rows, and into where these come from."""

    def write(self, part: ClassPlan, samples: range | Array, out: Array, backend: Backend) -> None:
        """Make rows in blocks.

        Parameters
        ----------
        part : ClassPlan
        samples : range of step 1, or array of int64 in any order
        out : array of shape (len(samples), d), the dtype of ``part.values``
            On the host or on the device.
        backend : Backend
        """

    def origins(self, part: ClassPlan, samples: range | Array, backend: Backend) -> tuple[Array, Array, Array]:
        """Where rows come from, without making them; ``part.values`` may be absent.

        Parameters
        ----------
        part : ClassPlan
        samples : range of step 1, or array of int64 in any order
        backend : Backend

        Returns
        -------
        base, neighbor : array of shape (len(samples),), int64
            Positions in X; -1 where there is no such row.
        share : array of shape (len(samples),), float64
            Of the way from base to neighbor.
        """


GENERATORS: dict[str, Generator] = {"copy": copy, "segment": segment}


def generator_of(part: ClassPlan) -> Generator:
    """The generator that a ClassPlan names."""
    return GENERATORS[part.generator]
