"""Streams, events and pinned memory of the stand-in; names and signatures are CuPy's.

Kernels and array operations run when they are called. Copies between pinned memory and a device do not: each waits in
the queue of its stream until something makes it necessary (an operation of that stream, an event that another stream
or the host waits for), so that whoever forgets to wait reads memory that was never written, whoever overwrites a buffer
too early sends the wrong bytes, and whoever drops it too early is told. An array may be used on another stream than
the one that made it only after that stream, or the host, has waited for it.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.standin.machine import Key, Sync, machine

__all__ = ["Event", "PinnedMemoryPointer", "Queue", "Stream", "alloc_pinned_memory", "copy_later", "get_current_stream"]

_lock = threading.RLock()


class Queue:
    """What was asked of one stream: how much, what of it is still to be done, and what it has waited for.

    Attributes
    ----------
    number : int
        Operations asked for so far.
    done : int
        Those of them that the host knows to be done.
    seen : dict
        For other streams: up to which of their operations this one has waited.
    """

    def __init__(self, key: Key) -> None:
        self.key, self.number, self.done = key, 0, 0
        self.seen: dict[Key, int] = {}
        self._pending: deque[tuple[int, Callable[[], None]]] = deque()

    def later(self, operation: Callable[[], None]) -> None:
        with _lock:
            self.number += 1
            self._pending.append((self.number, operation))

    def flush(self, number: int | None = None) -> None:
        """Do what is pending, up to an operation's number."""
        with _lock:
            while self._pending and (number is None or self._pending[0][0] <= number):
                self._pending.popleft()[1]()

    def enter(self) -> int:
        """An operation that is done at once."""
        self.flush()
        with _lock:
            self.number += 1
            return self.number

    def host_knows(self, number: int, seen: dict[Key, int]) -> None:
        with _lock:
            self.done = max(self.done, number)
            for key, other in seen.items():
                queue = queue_of(key)
                queue.done = max(queue.done, other)

    def sees(self, key: Key, number: int) -> bool:
        """Whether an operation of another stream is certain to be done before the next one of this."""
        if key == self.key or queue_of(key).done >= number or self.seen.get(key, 0) >= number:
            return True
        if key[0] != self.key[0] or 0 not in (key[1], self.key[1]):
            return False
        return not machine.non_blocking & {key[1], self.key[1]}  # CUDA orders these two by itself


def queue_of(key: Key) -> Queue:
    with _lock:
        if key not in machine.queues:
            machine.queues[key] = Queue(key)
        found: Queue = machine.queues[key]
        return found


def current_queue() -> Queue:
    return queue_of((machine.device, machine.stream))


class Event:
    """As cupy.cuda.Event."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self._key: Key | None = None
        self._number = 0
        self._seen: dict[Key, int] = {}
        self._device = machine.device

    def record(self, stream: Stream | None = None) -> None:
        queue = current_queue() if stream is None else stream._queue()
        if queue.key[0] != self._device:
            raise ValueError(f"an event of cuda:{self._device} is recorded on a stream of cuda:{queue.key[0]}")
        self._key, self._number, self._seen = queue.key, queue.number, dict(queue.seen)

    def synchronize(self) -> None:
        if self._key is None:
            return
        machine.operate(self._key[0])
        machine.wait(Sync("event", *self._key))
        queue = queue_of(self._key)
        queue.flush(self._number)
        queue.host_knows(self._number, self._seen)

    @property
    def done(self) -> bool:
        return self._key is None or queue_of(self._key).done >= self._number


class Stream:
    """As cupy.cuda.Stream."""

    null: Stream

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int | None = None
    ) -> None:
        self.ptr = 0 if null else machine.new_stream(non_blocking)
        self.device_id = -1 if null else machine.device
        self._before: list[int] = []

    def _queue(self) -> Queue:
        return queue_of((machine.device if self.device_id < 0 else self.device_id, self.ptr))

    def __enter__(self) -> Stream:
        self._before.append(machine.stream)
        return self.use()

    def __exit__(self, *exception: object) -> None:
        machine.use_stream(self._before.pop())

    def use(self) -> Stream:
        if self.device_id not in (-1, machine.device):
            raise RuntimeError(f"This stream belongs to cuda:{self.device_id}, and cuda:{machine.device} is current")
        machine.use_stream(self.ptr)
        return self

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        queue, key, number = self._queue(), event._key, event._number
        if key is None or key == queue.key:
            return
        machine.operate(queue.key[0])
        queue.later(lambda: queue_of(key).flush(number))
        for other, seen in {**event._seen, key: number}.items():
            queue.seen[other] = max(queue.seen.get(other, 0), seen)

    def synchronize(self) -> None:
        queue = self._queue()
        machine.operate(queue.key[0])
        machine.wait(Sync("stream", *queue.key))
        queue.flush()
        queue.host_knows(queue.number, queue.seen)


Stream.null = Stream(null=True)


def get_current_stream(device_id: int | None = None) -> Stream:
    stream = Stream(null=True)
    stream.ptr, stream.device_id = machine.stream, machine.device
    return stream


class PinnedMemoryPointer(bytearray):
    """As cupy.cuda.PinnedMemoryPointer: host memory that a device can read by itself."""

    ptr = property(lambda self: np.frombuffer(self, np.uint8).ctypes.data)


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    machine.operate(machine.device)
    memory = PinnedMemoryPointer(b"\xff" * max(1, size))
    machine.count(pinned=len(memory))
    machine.pinned_peak = max(machine.pinned_peak, machine.pinned)
    start = memory.ptr
    machine.page_locked[start] = (start + len(memory), weakref.ref(memory))
    machine.after(memory, lambda: (machine.page_locked.pop(start), machine.count(pinned=-size)))
    return memory


def pinned_owner(host: np.ndarray) -> Any:
    """What must stay alive for this pinned array, or None where its memory is pageable."""
    first = host.ctypes.data
    for start, (end, owner) in list(machine.page_locked.items()):
        if start <= first and first + host.nbytes <= end:
            return owner
    return None


def copy_later(queue: Queue, out: np.ndarray, source: np.ndarray, pinned: Any) -> None:
    """A copy between contiguous pinned and device memory, when the stream gets to it. It keeps neither alive."""
    device_side = out if pinned_owner(out) is None else source
    while isinstance(device_side.base, np.ndarray):
        device_side = device_side.base
    owners = (pinned, weakref.ref(device_side))
    to, of, size = out.ctypes.data, source.ctypes.data, source.nbytes

    def copy() -> None:
        if any(owner() is None for owner in owners):
            raise AssertionError("memory was given back before the copy from or to it was done")
        ctypes.memmove(to, of, size)

    queue.later(copy)
