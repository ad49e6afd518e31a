"""The generators of synthetic rows, by name."""

from __future__ import annotations

from typing import Any, Protocol

from gpusmote.backends import Array, Backend
from gpusmote.synthesis import copy, segment
from gpusmote.synthesis.class_plan import ClassPlan

__all__ = ["GENERATORS", "Generator", "generator_of"]


class Generator(Protocol):
    """Makes rows, and their origins, from a ClassPlan and sample numbers."""

    def write(self, part: ClassPlan, samples: range | Array, out: Array, backend: Backend) -> None:
        """Write rows, block by block.

        Parameters
        ----------
        part : ClassPlan
        samples : range of step 1, or array of int64 in any order
        out : array of shape (len(samples), d), the dtype of ``part.values``
            On the host or on the device.
        backend : Backend
        """

    def sparse_rows(self, part: ClassPlan, samples: range | Array) -> Any:
        """Make rows from a part whose ``values`` are a csr_array, on the CPU.

        Parameters
        ----------
        part : ClassPlan
        samples : range of step 1, or array of int64 in any order

        Returns
        -------
        scipy.sparse.csr_array of shape (len(samples), d), the dtype of ``part.values``
        """

    def origins(self, part: ClassPlan, samples: range | Array, backend: Backend) -> tuple[Array, Array, Array]:
        """The origins of rows, without making the rows. ``part.values`` is not used.

        Parameters
        ----------
        part : ClassPlan
        samples : range of step 1, or array of int64 in any order
        backend : Backend

        Returns
        -------
        base, neighbor : array of shape (len(samples),), int64
            Positions in X; -1 if there is no such row.
        gap : array of shape (len(samples),), float64
            Position between base (0) and neighbor (1).
        """


GENERATORS: dict[str, Generator] = {"copy": copy, "segment": segment}


def generator_of(part: ClassPlan) -> Generator:
    """The generator of a ClassPlan."""
    return GENERATORS[part.generator]
