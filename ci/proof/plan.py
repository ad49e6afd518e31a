"""The steps, those of most value first, with the seconds that each may take."""

from __future__ import annotations

import dataclasses

__all__ = ["BUDGET", "STEPS", "Step"]

BUDGET = 470.0
"""Seconds for everything: eight minutes, less what starting and ending takes."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One step, run in a process of its own.

    Attributes
    ----------
    name : str
        Also of the function that does it.
    module : str
        Where that function is.
    title : str
        Heading of its results.
    least, most : float
        Seconds that must be left for it to start, and seconds after which it is ended.
    """

    name: str
    module: str
    title: str
    least: float
    most: float


STEPS = (
    Step("machine", "proof.machine", "Machine", 5, 40),
    Step("equality", "proof.equality", "Equal to the NumPy path, to the bit", 15, 75),
    Step("limits", "proof.limits", "Limits of the device", 10, 40),
    Step("generation", "proof.generation", "Generation kernel", 15, 60),
    Step("search", "proof.search", "Search", 20, 70),
    Step("smote", "proof.samplers", "SMOTE end to end", 20, 80),
    Step("suite", "proof.suite", "Test suite with the device joined in", 40, 170),
    Step("memory", "proof.memory", "Peak device memory", 15, 40),
    Step("through", "proof.through", "A class larger than the device", 15, 40),
    Step("certificate", "proof.search", "Queries certified by each pass", 15, 40),
    Step("precision", "proof.search", "FAISS in fewer bits, and from several threads", 15, 45),
    Step("growth", "proof.samplers", "Growth of the cost", 15, 60),
    Step("large", "proof.memory", "Tables of more than 2^31 values", 10, 40),
    Step("memcheck", "proof.suite", "compute-sanitizer memcheck", 15, 60),
    Step("racecheck", "proof.suite", "compute-sanitizer racecheck", 15, 60),
)
