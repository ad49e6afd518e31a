"""Copy rows between the host and a device in blocks, while the host and the device work on other blocks.

There are two pinned buffers on the host and a second stream. While the copy engine moves one block, the host fills or
empties the other buffer, and the device works on its current stream. Only events order the work; nothing waits for the
whole device. The second stream is non-blocking, because CUDA orders other streams after the null stream.

Which copies overlap with which work
    Rows of a class that does not fit on the device are copied to it while the span before them is searched
    (:meth:`gpusmote.neighbors.search_set.DeviceWindow.each_span`), and synthetic rows are copied to the host while the
    next are made. Rows that fit on the device are copied before their search. By the vendors' figures (25e9 bytes a
    second over the link, 30e12 float32 operations a second, 2e12 bytes a second of device memory, of which selection
    uses 8 bytes for each pair), n rows of 32 float32 columns take 5e-9 n seconds to copy and 6e-12 n**2 seconds to
    search: a ratio of 840 to n. That is 8 % for 10,000 rows (50 microseconds, as long as starting the kernels of a
    search) and 0.8 % for 100,000; a faster link halves it. This is the most that could be saved by copying the rows of
    the next class during the search of the last, which would need memory for both, or by searching among the rows that
    have arrived, whose center is not known yet. If all rows are searched for the neighbors of only m queries, the ratio
    is 840 to m: larger for fewer than some thousand queries, but then reading the rows of X on the host and copying
    them to the result takes longer than either.

Memory and streams
    CuPy returns freed memory to the stream on which it was allocated, without waiting: later work on that stream may
    overwrite it. All arrays here are allocated on the caller's stream and also used on the second one. So each is kept
    until the caller's stream, or the host, has waited for its last use on the second stream. Pinned memory returns to a
    pool from which any thread may take it, so it is kept until the host has waited.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpusmote.backends.cpu import Array
from gpusmote.backends.threads import run_blocks

__all__ = ["BLOCK_BYTES", "bring", "copy_rows", "download", "record_event", "upload"]

BLOCK_BYTES = 8 << 20
"""Bytes of one buffer: about 0.3 ms on a PCIe 4 link, while starting a copy takes about 0.01 ms."""

_AT_ONCE = 1 << 20  # bytes that a host thread copies in one block


def upload(
    cupy: Any, out: Array, read: Callable[[int, int, np.ndarray], None], block_bytes: int = 0, writable: Any = None
) -> None:
    """Copy rows to the device. Later work on the current stream waits until they have arrived.

    Earlier work on the current stream runs at the same time, if ``writable`` is given. The host waits at most once for
    each block, and once at the end, only for the copies.

    Parameters
    ----------
    cupy : module
    out : array of shape (n, ...)
        C-contiguous, on the current device, allocated on its current stream.
    read : callable
        ``read(start, stop, buffer)`` writes rows to a host array of shape (stop - start, ...) and ``out``'s dtype.
    block_bytes : int, optional
        Replaces :data:`BLOCK_BYTES`.
    writable : event, optional
        Event after which ``out`` may be written. Default: the end of all work queued on the current stream so far.
    """
    if not out.size:
        return
    blocks = _blocks(out, block_bytes or BLOCK_BYTES)
    pinned = _pinned_pair(cupy, out, blocks)
    stream, side = cupy.cuda.get_current_stream(), cupy.cuda.Stream(non_blocking=True)
    # Earlier work on the caller's stream may still use the memory of ``out``.
    side.wait_event(record_event(cupy, stream) if writable is None else writable)
    sent: list[Any] = []
    try:
        for number, (start, stop) in enumerate(blocks):
            if number >= 2:
                sent[number - 2].synchronize()
            buffer = pinned[number % 2][: stop - start]
            read(start, stop, buffer)
            out[start:stop].set(buffer, stream=side)
            sent.append(record_event(cupy, side))
        stream.wait_event(sent[-1])
    finally:
        side.synchronize()  # before the buffers, and after an error also ``out``, are freed


def download(cupy: Any, out: np.ndarray, make: Callable[[int, int, Array], None], block_bytes: int = 0) -> None:
    """Make rows on the device block by block, and copy each block to the host while the next is made.

    The host waits once for each block, for its copy.

    Parameters
    ----------
    cupy : module
    out : ndarray of shape (n, d)
        On the host, in pageable or pinned memory, with any memory order.
    make : callable
        ``make(start, stop, target)`` queues work on the current stream that writes rows to ``target``, a C-contiguous
        array of shape (stop - start, d) on the current device.
    block_bytes : int, optional
        Replaces :data:`BLOCK_BYTES`.
    """
    if not out.size:
        return
    blocks = _blocks(out, block_bytes or BLOCK_BYTES)
    pinned = _pinned_pair(cupy, out, blocks)
    stream, side = cupy.cuda.get_current_stream(), cupy.cuda.Stream(non_blocking=True)
    made = [cupy.empty(buffer.shape, buffer.dtype) for buffer in pinned]

    def empty(number: int, copied: Any) -> None:
        copied.synchronize()
        start, stop = blocks[number]
        copy_rows(pinned[number % 2][: stop - start], out[start:stop])

    try:
        before = None
        for number, (start, stop) in enumerate(blocks):
            # The host has waited for the copy of the block before the last, so both of its buffers are free.
            target = made[number % 2][: stop - start]
            make(start, stop, target)
            side.wait_event(record_event(cupy, stream))
            target.get(stream=side, out=pinned[number % 2][: stop - start], blocking=False)
            copied = record_event(cupy, side)
            if before is not None:
                empty(number - 1, before)
            before = copied
        empty(len(blocks) - 1, before)
    except BaseException:
        side.synchronize()  # before the buffers are freed
        raise


def bring(cupy: Any, array: Array) -> Array:
    """Copy an array from another device to the current one, ordered with the current streams of both.

    CuPy itself queues such a copy on the stream of the current device, without waiting for the stream of the source.

    Parameters
    ----------
    cupy : module
    array : cupy.ndarray
        C-contiguous. It is returned as it is if it is already on the current device.
    """
    if array.device.id == int(cupy.cuda.Device().id):
        return array
    here = cupy.cuda.get_current_stream()
    with array.device:
        there = cupy.cuda.get_current_stream()
        ready = record_event(cupy, there)
    here.wait_event(ready)
    copy = cupy.asarray(array)
    done = record_event(cupy, here)
    with array.device:
        there.wait_event(done)  # else its memory could be freed and overwritten before it is read
    return copy


def _blocks(out: Array, block_bytes: int) -> list[tuple[int, int]]:
    n = len(out)
    step = max(1, block_bytes // max(1, out.nbytes // n))
    return [(start, min(n, start + step)) for start in range(0, n, step)]


def _pinned_pair(cupy: Any, out: Array, blocks: list[tuple[int, int]]) -> list[np.ndarray]:
    """One or two pinned host buffers, each large enough for a block of ``out``."""
    shape = (blocks[0][1], *out.shape[1:])
    count = int(np.prod(shape))
    buffers = []
    for _ in blocks[:2]:
        memory = cupy.cuda.alloc_pinned_memory(count * out.dtype.itemsize)
        buffers.append(np.frombuffer(memory, out.dtype, count).reshape(shape))
    return buffers


def record_event(cupy: Any, stream: Any) -> Any:
    """Record an event after all work queued on the stream so far."""
    event = cupy.cuda.Event(disable_timing=True)
    event.record(stream)
    return event


def copy_rows(source: np.ndarray, out: np.ndarray) -> None:
    """Copy ``source`` to ``out`` with all cores, because one core is slower than the link."""

    def rows(start: int, stop: int) -> None:
        out[start:stop] = source[start:stop]

    run_blocks(rows, len(source), max(1, _AT_ONCE // max(1, source.nbytes // len(source))))
