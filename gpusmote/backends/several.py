"""Several CUDA devices of one machine: the rows are copied to each, and the work on them is cut among them.

What a block of queries or of synthetic rows becomes does not depend on which device works on it, nor on how the work
was cut: the blocks are put side by side, and nothing is merged.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import os
import threading
from collections import deque
from typing import Any

from gpusmote.backends import failures
from gpusmote.backends.base import Array, Backend, Piece, Prepare
from gpusmote.backends.cuda import CudaBackend
from gpusmote.backends.transfer import mark
from gpusmote.errors import DeviceError, DeviceLostError, GpusmoteError, MemoryShortageError

__all__ = ["CudaDevices"]


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

    def __reduce__(self) -> tuple[Any, ...]:
        return CudaDevices, (tuple(member.ordinal for member in self.members),)

    @property
    def label(self) -> str:
        return ", ".join(member.name for member in self.members)

    def free_memory(self) -> int | None:
        """Bytes that the fullest of the devices has left: the rows lie on each."""
        return min(member.free_memory() or 0 for member in self._working())

    def share(self, n: int, block: int, prepare: Prepare) -> list[Piece]:
        with self.active():
            ready = mark(self.xp, self.xp.cuda.get_current_stream())
        turn = _Turn(n, block)
        while turn.todo:  # again where a device gave back what it had begun, after the others had finished
            members = self._working()
            if not members:
                raise self._all_failed()
            # A thread of its own for each: CuPy's streams and FAISS's resources belong to threads.
            futures = {
                _worker(member).run(contextvars.copy_context().run, _work, member, turn, prepare, ready): member
                for member in members
            }
            try:
                concurrent.futures.wait(futures)
            except BaseException:
                turn.todo.clear()
                concurrent.futures.wait(futures)  # nobody writes to the caller's arrays any more
                raise
            for future, member in futures.items():
                self._note(member, future.exception())
        return sorted(turn.done, key=lambda piece: piece[0])

    def fetch(self, arrays: list[Array]) -> list[Array]:
        """Arrays that :meth:`share` left on any of the devices, on the first one."""
        with self.active():
            here = [self.xp.asarray(array) for array in arrays]  # the host has waited: they are complete
            copied = mark(self.xp, self.xp.cuda.get_current_stream())
        for member in self._working():
            with member.active():
                # Their memory goes back to the streams that they were made on, which must not write to it too early.
                _worker(member).stream(member).wait_event(copied)
        return here

    def _working(self) -> list[CudaBackend]:
        for member in self.members:
            member.cut = self.cut
        return [member for member in self.members if member.name not in self._failed]

    def _note(self, member: CudaBackend, error: BaseException | None) -> None:
        if error is None:
            return
        if not isinstance(error, (DeviceError, MemoryShortageError)):
            raise error  # no matter of this device: the others would meet it, too
        self._failed[member.name] = error
        if isinstance(error, DeviceLostError):
            failures.remember(member.name, str(error))
        if self._working():
            from gpusmote.backends.select import warn_once

            note = f"{member.name} failed, and its share is done by the other devices: {error}"
            self.notes += (note,)
            warn_once(note)

    def _all_failed(self) -> GpusmoteError:
        errors = list(self._failed.values())
        if all(isinstance(error, MemoryShortageError) for error in errors):
            return errors[-1]
        told = "; ".join(f"{name}: {error.message}" for name, error in self._failed.items())
        kind = DeviceLostError if all(isinstance(error, DeviceLostError) for error in errors) else DeviceError
        return kind(f"All of {self.label} failed. {told}", errors[-1].hint)


class _Turn:
    """Blocks that are still to be done, and those that are."""

    def __init__(self, n: int, block: int) -> None:
        self.todo = deque((start, min(n, start + block)) for start in range(0, n, block))
        self.done: list[Piece] = []

    def take(self) -> tuple[int, int] | None:
        try:
            return self.todo.popleft()
        except IndexError:
            return None


def _work(member: CudaBackend, turn: _Turn, prepare: Prepare, ready: Any) -> None:
    """What a device's thread does: block after block, until none is left."""
    with member.active(), _worker(member).stream(member) as stream:
        stream.wait_event(ready)
        try:
            work = prepare(member)
            while (span := turn.take()) is not None:
                try:
                    result = work(*span)
                    stream.synchronize()  # an error of the device is then one of this block, not of a later one
                except BaseException:
                    turn.todo.append(span)
                    raise
                turn.done.append((*span, result))
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
