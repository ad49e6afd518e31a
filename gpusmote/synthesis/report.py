"""What a call did: where, how long, how much, how certainly."""

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
    """What a call did; ``sampler.report_`` and ``plan.report``.

    Attributes
    ----------
    device : str
        "cpu" or "cuda:N".
    reason : str
        Why that one.
    seed : int or None
        ``random_state=report.seed`` makes the same rows again, also where ``random_state`` was None or a generator;
        None where ``bit_generator="mt19937"`` drew from a generator.
    search : SearchReport
        ``queries``, and how many were certified by the first pass, the second and the last.
    seconds : dict of str to float
        Wall time of each stage.
    bytes : dict of str to int
        Estimated before the work: ``output`` (X_resampled), ``pool`` (what the search keeps of its rows), ``blocks``
        and ``total`` (the most at any one time) in the memory of what did the work, ``host`` where that was a device;
        and ``plan``, the size of the plan's arrays, as it came out.
    notes : list of str
        What was done in another way than asked for.
    versions : dict of str to str
        Of what had a part in it.
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
        """Add the block's wall time to a stage, once the backend's device has done its work.

        The host waits once, for the caller's current stream: other streams, and other threads', go on. Whoever uses
        the results on that stream need not wait.
        """
        start = time.perf_counter()
        try:
            yield
            if backend is not None:
                backend.synchronize()
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def add_versions(self, *packages: str) -> None:
        """Note the versions of these packages, as they are installed."""
        for package in packages:
            if package not in self.versions:
                self.versions[package] = version(package)
