"""Several CUDA devices of one machine: the rows are copied to each, and the work on them is cut among them.

What a block of queries or of synthetic rows becomes does not depend on which device works on it, nor on how the work
was cut: the blocks are put side by side, and nothing is merged. Each device has its first block to itself, so that all
of them take part however quick one is; who is done takes the next of those that are left.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import os
import threading
from collections import deque
from typing import Any

from gpusmote.backends import failures
from gpusmote.backends.base import Backend, Piece, Prepare
from gpusmote.backends.cuda import CudaBackend
from gpusmote.backends.transfer import mark
from gpusmote.errors import DeviceError, DeviceLostError, GpusmoteError, MemoryShortageError

__all__ = ["CudaDevices"]

_TURNS = 4
"""Blocks that each device takes on average: a slower one, or one that fails, then holds up the others less."""


class CudaDevices(CudaBackend):
    """The first device, which all arrays lie on, and others to share work with.

    A device that fails is left out from then on: what it had begun is done by the others, with a warning. Where none is
    left, the error names them.

    Parameters
    ----------
    ordinals : tuple of int
        At least two, all different.
    """

    members: tuple[CudaBackend, ...]

    def __init__(self, ordinals: tuple[int, ...]) -> None:
        super().__init__(ordinals[0])
        self.members = tuple(CudaBackend(ordinal) for ordinal in ordinals)
        self._failed: dict[str, GpusmoteError] = {}
        self._told: tuple[str, ...] = ()
        self._busy: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        return CudaDevices, (tuple(member.ordinal for member in self.members),), {"cut": self.cut}

    @property
    def label(self) -> str:
        return ", ".join(member.name for member in self.members)

    @property
    def notes(self) -> tuple[str, ...]:
        taken = {self.name, *self._busy, *self._failed}
        idle = ", ".join(member.name for member in self.members if member.name not in taken)
        return (*self._told, f"Left out where there was too little to share: {idle}.") if idle else self._told

    def free_memory(self) -> int | None:
        """Bytes that the fullest of the devices has left: the rows lie on each."""
        return min((member.free_memory() or 0 for member in self._working()), default=None)

    def release(self) -> None:
        """Give back what no array holds on any device; those that had run out of memory may work again."""
        for member in self.members:
            if not isinstance(self._failed.get(member.name), DeviceError):
                member.release()
        self._failed = {name: error for name, error in self._failed.items() if isinstance(error, DeviceError)}

    def share(self, n: int, prepare: Prepare, block: int = 0) -> list[Piece]:
        with self.active():
            ready = mark(self.xp, self.xp.cuda.get_current_stream())
        turn, pieces = _Turn(n, block or max(1, -(-n // (_TURNS * len(self.members))))), list[Piece]()
        while turn.todo:  # again where a device gave back what it had begun, after the others had finished
            members = self._working()[: len(turn.todo)]
            if not members:
                raise self._all_failed()
            turn.deal(members)
            self._busy.update(member.name for member in members)
            self._let_work(members, turn, prepare, ready)
            for member in members:
                pieces += self._home(member, turn)
        return sorted(pieces, key=lambda piece: piece[0])

    def _let_work(self, members: list[CudaBackend], turn: _Turn, prepare: Prepare, ready: Any) -> None:
        # A thread of its own for each: CuPy's streams and FAISS's resources belong to threads.
        futures = {
            _worker(member).run(contextvars.copy_context().run, _work, member, turn, prepare, ready): member
            for member in members
        }
        try:
            concurrent.futures.wait(futures)
        finally:
            turn.stopped = True
            concurrent.futures.wait(futures)  # whatever happened: nobody writes to the caller's arrays any more
            turn.stopped = False
        turn.gather()
        for future, member in futures.items():
            self._note(member, future.exception())

    def _home(self, member: CudaBackend, turn: _Turn) -> list[Piece]:
        """What a device has made, on the first device; what cannot be had any more is to be done again.

        The host waits for the copies: the memory of what they are copies of goes back to the streams of the devices'
        threads, which do not wait for the caller's.
        """
        made = turn.made.pop(member.name, [])
        if not any(result for _, _, result in made):
            return made
        with self.active():
            stream = self.xp.cuda.get_current_stream()
            try:
                pieces = [(start, stop, tuple(map(self.xp.array, result))) for start, stop, result in made]
                stream.synchronize()
            except MemoryError:  # of the first device: it has no room for what the others found
                raise
            except Exception as error:
                stream.synchronize()  # fails again where the first device itself is the one that is lost
                self._note(member, failures.told(error, member.name) or error)
                turn.todo.extend((start, stop) for start, stop, _ in made)
                return []
        return pieces

    def _working(self) -> list[CudaBackend]:
        for member in self.members:
            member.cut = self.cut
        return [member for member in self.members if member.name not in self._failed]

    def _note(self, member: CudaBackend, error: BaseException | None) -> None:
        if error is None or member.name in self._failed:
            return
        if not isinstance(error, (DeviceError, MemoryShortageError)):
            raise error  # no matter of this device: the others would meet it, too
        error.__traceback__ = error.__cause__ = error.__context__ = None  # their frames would keep arrays alive
        self._failed[member.name] = error
        if isinstance(error, DeviceLostError):
            failures.remember(member.name, str(error))
        if self._working():
            from gpusmote.backends.select import warn_once

            note = f"{member.name} failed, and its share is done by the other devices: {error}"
            self._told += (note,)
            warn_once(note)

    def _all_failed(self) -> GpusmoteError:
        errors = list(self._failed.values())
        if all(isinstance(error, MemoryShortageError) for error in errors):
            return errors[-1]
        told = "; ".join(f"{name}: {error.message}" for name, error in self._failed.items())
        kind = DeviceLostError if all(isinstance(error, DeviceLostError) for error in errors) else DeviceError
        return kind(f"All of {self.label} failed. {told}", errors[-1].hint)


class _Turn:
    """Blocks that are still to be done, and what each device has made of those that are."""

    def __init__(self, n: int, block: int) -> None:
        self.todo = deque((start, min(n, start + block)) for start in range(0, n, block))
        self.made: dict[str, list[Piece]] = {}
        self.stopped = False
        self._first: dict[str, tuple[int, int]] = {}

    def deal(self, members: list[CudaBackend]) -> None:
        """Set a first block apart for each of these, of whom there are not more than blocks."""
        self._first = {member.name: self.todo.popleft() for member in members}

    def gather(self) -> None:
        """Put back the first blocks of those who failed before they took them."""
        self.todo.extend(self._first.values())
        self._first = {}

    def take(self, member: CudaBackend) -> tuple[int, int] | None:
        if self.stopped:
            return None
        if (first := self._first.pop(member.name, None)) is not None:
            return first
        try:
            return self.todo.popleft()
        except IndexError:  # another device's thread was first
            return None


def _work(member: CudaBackend, turn: _Turn, prepare: Prepare, ready: Any) -> None:
    """What a device's thread does: block after block, until none is left."""
    with member.active(), _worker(member).stream(member) as stream:
        stream.wait_event(ready)
        try:
            work, made = prepare(member), turn.made.setdefault(member.name, [])
            while (span := turn.take(member)) is not None:
                try:
                    result = work(*span)
                    stream.synchronize()  # an error of the device is then one of this block, not of a later one
                except BaseException:
                    turn.todo.append(span)
                    raise
                made.append((*span, result))
        finally:
            stream.synchronize()  # what was copied from the first device may be freed as soon as share() is left


class _Worker:
    """The thread of one device, and the stream on which it works; they stay until the process ends.

    FAISS takes 0.1 seconds to set itself up for a thread. The stream is a non-blocking one: it has nothing to do with
    the null stream, on which the caller may be at work.
    """

    def __init__(self, ordinal: int) -> None:
        name = f"gpusmote-cuda-{ordinal}"
        self._threads = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._stream: Any = None

    def run(self, *call: Any) -> concurrent.futures.Future[None]:
        return self._threads.submit(*call)

    def stream(self, member: CudaBackend) -> Any:
        if self._stream is None:
            self._stream = member.xp.cuda.Stream(non_blocking=True)
        return self._stream


_workers: dict[int, _Worker] = {}
_lock = threading.Lock()


def _worker(member: Backend) -> _Worker:
    assert isinstance(member, CudaBackend)
    with _lock:
        if member.ordinal not in _workers:
            _workers[member.ordinal] = _Worker(member.ordinal)
        return _workers[member.ordinal]


def _reset_after_fork() -> None:
    """The threads do not exist in a child, and CUDA does not either."""
    global _lock
    _lock = threading.Lock()
    _workers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
