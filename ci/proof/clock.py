"""How seconds are told: by the device's own events, after a warm-up, as the median of several turns."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Clock", "DeviceClock", "HostClock", "Taken"]


@dataclasses.dataclass(frozen=True)
class Taken:
    """Seconds of the turns of one piece of work."""

    turns: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.turns)

    @property
    def spread(self) -> str:
        """The fastest and the slowest, over the median."""
        return f"{min(self.turns) / self.median:.2f} - {max(self.turns) / self.median:.2f}"


class Clock(Protocol):
    """Tells what work takes on the device, and what a caller waits for."""

    def device(self, work: Callable[[], Any], turns: int = 9, longest: float = 3.0) -> Taken:
        """Between two events of the current stream: what the device was asked to do, and nothing else.

        Parameters
        ----------
        work : callable
        turns : int
            At most, after one that warms up.
        longest : float
            Seconds after which no further turn starts.
        """
        ...

    def wall(self, work: Callable[[], Any], turns: int = 5, longest: float = 6.0, warm: bool = True) -> Taken:
        """On the host, the device idle before and after."""
        ...


class DeviceClock:
    """See :class:`Clock`."""

    def __init__(self, cupy: Any) -> None:
        self._cuda = cupy.cuda

    def device(self, work: Callable[[], Any], turns: int = 9, longest: float = 3.0) -> Taken:
        work()
        stream = self._cuda.get_current_stream()
        stream.synchronize()
        found: list[float] = []
        end = time.perf_counter() + longest
        while not found or (len(found) < turns and time.perf_counter() < end):
            first, last = self._cuda.Event(), self._cuda.Event()
            first.record(stream)
            work()
            last.record(stream)
            last.synchronize()
            found.append(self._cuda.get_elapsed_time(first, last) / 1000)
        return Taken(tuple(found))

    def wall(self, work: Callable[[], Any], turns: int = 5, longest: float = 6.0, warm: bool = True) -> Taken:
        return _wall(work, turns, longest, warm, self._cuda.Device().synchronize)


class HostClock:
    """The same over the stand-in, where everything is done by the host; its figures mean nothing."""

    def device(self, work: Callable[[], Any], turns: int = 9, longest: float = 3.0) -> Taken:
        return _wall(work, min(turns, 2), longest, True, lambda: None)

    def wall(self, work: Callable[[], Any], turns: int = 5, longest: float = 6.0, warm: bool = True) -> Taken:
        return _wall(work, min(turns, 2), longest, warm, lambda: None)


def _wall(work: Callable[[], Any], turns: int, longest: float, warm: bool, wait: Callable[[], Any]) -> Taken:
    if warm:
        work()
    found: list[float] = []
    end = time.perf_counter() + longest
    while not found or (len(found) < turns and time.perf_counter() < end):
        wait()
        start = time.perf_counter()
        work()
        wait()
        found.append(time.perf_counter() - start)
    return Taken(tuple(found))
