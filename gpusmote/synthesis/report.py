"""The report of a call: device, seconds, bytes, certified queries, seed."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator

from gpusmote.backends import Backend
from gpusmote.backends.versions import version
from gpusmote.neighbors import SearchReport

__all__ = ["Report"]


@dataclasses.dataclass
class Report:
    """The report of a call: ``sampler.report_`` and ``plan.report``.

    Attributes
    ----------
    device : str
        "cpu" or "cuda:N".
    reason : str
        Why this device was chosen.
    seed : int or None
        ``random_state=report.seed`` makes the same rows again, even if ``random_state`` was None or a generator. It is
        None if ``bit_generator="mt19937"`` drew from a generator, whose state no int describes.
    search : SearchReport
        Number of queries, and how many were certified by each pass.
    seconds : dict of str to float
        Wall time of each stage.
    bytes : dict of str to int
        The memory estimate of the call (:class:`~gpusmote.backends.budget.Estimate`); ``plan`` is the actual size of
        the plan's arrays.
    notes : list of str
        What was done in another way than requested.
    versions : dict of str to str
        Versions of the packages that were used.
    """

    device: str = "cpu"
    reason: str = ""
    seed: int | None = None
    search: SearchReport = dataclasses.field(default_factory=SearchReport)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    bytes: dict[str, int] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str, backend: Backend | None = None) -> Iterator[None]:
        """Add the wall time of a ``with`` block to a stage, after waiting for the caller's current stream."""
        start = time.perf_counter()
        try:
            yield
            if backend is not None:
                backend.synchronize()
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def add_versions(self, *packages: str) -> None:
        """Record the installed versions of these packages."""
        for package in packages:
            if package not in self.versions:
                self.versions[package] = version(package)
