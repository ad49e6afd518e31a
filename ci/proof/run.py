"""What a step is given: the device, a clock, and the ways to say what it found."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from proof.clock import Clock, DeviceClock, HostClock

__all__ = ["Run"]


class Run:
    """One step's run.

    Parameters
    ----------
    lines : Path
        Findings are appended to it, a line of JSON each, as soon as they are known.
    seconds : float
        Until the process is ended.
    stand_in, tiny : bool

    Attributes
    ----------
    xp : module
        cupy.
    backend : gpusmote.backends.cuda.CudaBackend
    rng : numpy.random.Generator
    """

    def __init__(self, lines: Path, seconds: float, *, stand_in: bool = False, tiny: bool = False) -> None:
        self._lines, self._end = lines, time.monotonic() + seconds
        self.stand_in, self.tiny = stand_in, tiny
        self.rng = np.random.default_rng(20261124)

    @property
    def backend(self) -> Any:
        from gpusmote.backends.cuda import CudaBackend

        return CudaBackend(0)

    @property
    def xp(self) -> Any:
        import cupy

        return cupy

    @property
    def clock(self) -> Clock:
        return HostClock() if self.stand_in else DeviceClock(self.xp)

    def left(self) -> float:
        """Seconds until the process is ended."""
        return self._end - time.monotonic()

    def size(self, full: int, tiny: int) -> int:
        """Of a table, or of anything that takes longer the larger it is."""
        return tiny if self.tiny else full

    def result(self, **figures: Any) -> None:
        """A row of the step's table."""
        self._say({"result": {name: _plain(value) for name, value in figures.items()}})

    def check(self, what: str, held: bool, detail: str = "") -> bool:
        """Something that must hold on every machine."""
        self._say({"check": {"what": what, "held": bool(held), "detail": detail, "goal": False}})
        return bool(held)

    def goal(self, what: str, value: float, bound: float, *, at_least: bool) -> None:
        """A figure that is aimed at; not judged where no device gave it, or a tiny table."""
        held = None if self.stand_in or self.tiny else bool(value >= bound if at_least else value <= bound)
        detail = f"{value:.3g}, aimed at {'at least' if at_least else 'at most'} {bound:g}"
        self._say({"check": {"what": what, "held": held, "detail": detail, "goal": True}})

    def note(self, words: str) -> None:
        """Something that a reader of the figures must know."""
        self._say({"note": words})

    def not_here(self, words: str) -> None:
        """The whole step could not be done, for want of something that is not part of gpusmote."""
        self._say({"not_here": words})

    def machine(self, **facts: Any) -> None:
        """Facts for the head of the record."""
        self._say({"machine": {name: _plain(value) for name, value in facts.items()}})

    def faiss(self) -> Any:
        """FAISS with GPU support, or None after a note that says why not."""
        from gpusmote.backends import detect

        faiss, why = detect.faiss_gpu()
        if faiss is None:
            self.note(f"FAISS cannot be used here ({why}): gpusmote seeks neighbours by tiles in CuPy.")
        return faiss

    def peak(self, work: Callable[[], Any]) -> dict[str, int]:
        """Bytes that a call takes at most beyond what was held before it.

        Returns
        -------
        dict
            ``arrays``: of CuPy's arrays; ``outside``: of what is not in CuPy's pool, FAISS's memory above all;
            ``device``: what the device had less, what the pool keeps included. The last two are sampled, and are 0
            and the first on the stand-in.
        """
        if not self.stand_in:
            from proof.peak import measured

            return measured(self.xp, work)
        from tests.standin.machine import machine

        before = machine.peak = machine.used
        work()
        taken = machine.peak - before
        return {"arrays": taken, "outside": 0, "device": taken}

    def _say(self, line: dict[str, Any]) -> None:
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    """What JSON has: NumPy's numbers as Python's, figures to four digits."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        return float(f"{value:.4g}") if np.isfinite(value) else None
    return value
