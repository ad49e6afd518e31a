"""What the stand-in counts, and the state that a driver would hold: devices, streams, memory."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import weakref

import numpy as np

__all__ = ["Launch", "Machine", "OutOfMemoryError", "machine"]


class OutOfMemoryError(MemoryError):
    """As cupy.cuda.memory.OutOfMemoryError."""


@dataclasses.dataclass(frozen=True)
class Launch:
    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    device: int
    stream: int


@dataclasses.dataclass
class Machine:
    """A computer with devices that it does not have.

    Attributes
    ----------
    devices : int
    memory : int
        Bytes of each device.
    limit : int
        Of CuPy's memory pool; 0 is none.
    to_device, to_host : int
        Transfers.
    to_device_bytes, to_host_bytes : int
    waits : int
        How often the host waited for a device: explicit synchronisation, transfers to the host, and the operations
        whose result's size depends on data.
    launches : list of Launch
    searches : list of dict
        What FAISS was asked.
    used, peak : int
        Bytes of live arrays, and the most that there ever were, on all devices together.
    """

    devices: int = 1
    memory: int = 8 << 30
    limit: int = 0
    to_device: int = 0
    to_host: int = 0
    to_device_bytes: int = 0
    to_host_bytes: int = 0
    waits: int = 0
    used: int = 0
    peak: int = 0
    launches: list[Launch] = dataclasses.field(default_factory=list)
    searches: list[dict[str, object]] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.local = threading.local()
        self._owned: set[int] = set()
        self.lock = threading.Lock()
        self._stream_numbers = itertools.count(0x5000, 0x10)

    def reset(self, devices: int = 1, memory: int = 8 << 30) -> None:
        """A new machine under the same name, which everything refers to."""
        self.__init__(devices=devices, memory=memory)  # type: ignore[misc]

    @property
    def device(self) -> int:
        """The device that is current in this thread."""
        return getattr(self.local, "device", 0)

    @property
    def stream(self) -> int:
        """The stream that is current in this thread, on its current device; 0 is the default one."""
        return getattr(self.local, "streams", {}).get(self.device, 0)

    def use_stream(self, stream: int) -> None:
        self.local.streams = {**getattr(self.local, "streams", {}), self.device: stream}

    def new_stream(self) -> int:
        return next(self._stream_numbers)

    def count(self, **amounts: int) -> None:
        with self.lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)

    def own(self, host: np.ndarray) -> None:
        """Account for an array that holds memory of its own, until it is gone."""
        size = host.nbytes
        if id(host) in self._owned:  # as where a result is written to ``out=``
            return
        if self.used + size > (self.limit or self.memory * self.devices):
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {self.used:,} bytes)")
        self.count(used=size)
        self.peak = max(self.peak, self.used)
        self._owned.add(id(host))
        weakref.finalize(host, self._release, self._owned, id(host), size).atexit = False

    def _release(self, owned: set[int], number: int, size: int) -> None:
        owned.discard(number)
        if owned is self._owned:  # else the array is of a machine before reset()
            self.count(used=-size)


machine = Machine()
"""The one that the stand-in's modules refer to."""
