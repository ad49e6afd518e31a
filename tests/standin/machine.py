"""What the stand-in counts, and the state that a driver would hold: devices, streams, memory."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Key", "Launch", "Machine", "OutOfMemoryError", "Sync", "Transfer", "machine"]

Key = tuple[int, int]
"""A device and one of its streams."""


class OutOfMemoryError(MemoryError):
    """As cupy.cuda.memory.OutOfMemoryError."""


@dataclasses.dataclass(frozen=True)
class Launch:
    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    device: int
    stream: int


@dataclasses.dataclass(frozen=True)
class Sync:
    """The host waited: for a "stream", an "event", a whole "device", a "copy" or the "size" of a result."""

    kind: str
    device: int
    stream: int


@dataclasses.dataclass(frozen=True)
class Transfer:
    to_host: bool
    nbytes: int
    pinned: bool
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
    syncs : list of Sync
        The same one by one.
    transfers : list of Transfer
        One by one; ``between`` counts copies from device to device, and their bytes.
    launches : list of Launch
    searches : list of dict
        What FAISS was asked.
    math_modes : dict of int to int
        Of cuBLAS handles; 3 is CUBLAS_TF32_TENSOR_OP_MATH.
    tf32 : set of str
        What else computes float32 products in TF32: "cupy" as with CUPY_TF32=1, "faiss"; both as with
        NVIDIA_TF32_OVERRIDE=1.
    used, peak : int
        Bytes of live arrays, and the most that there ever were, on all devices together.
    pinned, pinned_peak : int
        Bytes of pinned host memory.
    operations : dict of int to int
        How much each device was asked to do.
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
    between: int = 0
    between_bytes: int = 0
    pinned: int = 0
    pinned_peak: int = 0
    operations: dict[int, int] = dataclasses.field(default_factory=dict)
    syncs: list[Sync] = dataclasses.field(default_factory=list)
    transfers: list[Transfer] = dataclasses.field(default_factory=list)
    launches: list[Launch] = dataclasses.field(default_factory=list)
    searches: list[dict[str, object]] = dataclasses.field(default_factory=list)
    math_modes: dict[int, int] = dataclasses.field(default_factory=dict)
    tf32: set[str] = dataclasses.field(default_factory=set)

    def __post_init__(self) -> None:
        self.local = threading.local()
        self._owned: set[int] = set()
        self.lock = threading.Lock()
        self._stream_numbers = itertools.count(0x5000, 0x10)
        self.non_blocking: set[int] = set()
        self.hooks: list[Any] = []
        self.queues: dict[Key, Any] = {}
        self.page_locked: dict[int, tuple[int, Any]] = {}
        self._broken: dict[int, tuple[int, Callable[[], BaseException]]] = {}

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

    def new_stream(self, non_blocking: bool = False) -> int:
        number = next(self._stream_numbers)
        if non_blocking:
            self.non_blocking.add(number)
        return number

    def break_device(self, device: int, after: int, error: Callable[[], BaseException]) -> None:
        """From its n-th operation from now on, everything that is asked of the device raises."""
        self._broken[device] = (self.operations.get(device, 0) + after, error)

    def operate(self, device: int) -> None:
        """Something is asked of a device."""
        with self.lock:
            self.operations[device] = self.operations.get(device, 0) + 1
            last, error = self._broken.get(device, (0, None))
        if error is not None and self.operations[device] > last:
            raise error()

    def wait(self, sync: Sync) -> None:
        self.count(waits=1)
        self.syncs.append(sync)

    def transfer(self, transfer: Transfer) -> None:
        to = "to_host" if transfer.to_host else "to_device"
        self.count(**{to: 1, f"{to}_bytes": transfer.nbytes})
        self.transfers.append(transfer)

    def after(self, thing: Any, action: Callable[[], Any]) -> None:
        """Do something when a thing is gone, if this is still the same machine by then."""
        queues = self.queues  # anew in each machine
        weakref.finalize(thing, lambda: action() if queues is self.queues else None).atexit = False

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
        for hook in self.hooks:
            hook.malloc_postprocess(device_id=self.device, size=size, mem_size=size, mem_ptr=0, pmem_id=0)
        self._owned.add(id(host))
        weakref.finalize(host, self._release, self._owned, id(host), size).atexit = False

    def _release(self, owned: set[int], number: int, size: int) -> None:
        owned.discard(number)
        if owned is self._owned:  # else the array is of a machine before reset()
            self.count(used=-size)


machine = Machine()
"""The one that the stand-in's modules refer to."""
