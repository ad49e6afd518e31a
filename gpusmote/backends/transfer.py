"""Rows between the host and a device, block by block, so that neither waits for the other longer than it must.

Two pinned buffers on the host and a second stream: while the copying engine moves one block, the host fills or empties
the other buffer, and the device works on its current stream. Order is kept by events alone; nothing waits for the whole
device, and the second stream is a non-blocking one, which CUDA does not order after the null stream by itself.

What goes up during what
    Rows of a class that is larger than the device go up while the block before them is searched
    (:meth:`gpusmote.neighbors.search_set.DeviceWindow.over`), and rows come down while the next are made. Rows that are
    searched all at once go up before their search. By the makers' figures (25e9 bytes a second up, 30e12 float32
    operations,
    2e12 bytes of the device's memory, of which selection moves 8 for each pair), n rows of 32 float32 columns take
    5e-9 n seconds to go up and 6e-12 n**2 to be searched: as 840 to n. That is 8 % for 10,000 rows, 50 microseconds,
    which starting the kernels of a search takes too, and 0.8 % for 100,000; a faster link halves it. More than that
    cannot be won by sending the rows of the next class during the search of the last, which would need room for both,
    nor by searching among the rows that have arrived, whose centre nobody knows yet. Where all rows are searched for
    the neighbors of few, m, it is as 840 to m: more for fewer than some thousand, but then reading the rows of X on
    the host, and copying them to the result, takes longer than either.

Memory and streams
    CuPy gives freed memory back to the stream that it was allocated on, without waiting: whatever that stream does next
    may overwrite it. All arrays here are allocated on the caller's stream and used on the second one as well, so each
    is kept until the caller's stream, or the host, has waited for the second one's last use of it. Pinned memory goes
    back to a pool from which any thread may take it, so it is kept until the host has waited.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpusmote.backends.cpu import Array
from gpusmote.backends.threads import run_blocks

__all__ = ["BLOCK_BYTES", "bring", "copy_rows", "download", "mark", "send"]

BLOCK_BYTES = 8 << 20
"""Of one buffer: some 0.3 ms of a PCIe 4 link, against some 0.01 ms that starting a copy costs."""

_AT_ONCE = 1 << 20  # bytes that one thread of the host copies at once


def send(
    cupy: Any, out: Array, read: Callable[[int, int, np.ndarray], None], block_bytes: int = 0, after: Any = None
) -> None:
    """Send rows to the device; what the current stream is asked from now on comes after their arrival.

    What it was asked before runs meanwhile, where ``after`` says that it has nothing to do with these rows. The host
    waits once a block at most, and once at the end, for the copies alone.

    Parameters
    ----------
    cupy : module
    out : array of shape (n, ...)
        C-contiguous, on the current device, allocated on its current stream.
    read : callable
        ``read(start, stop, buffer)`` writes rows to a host array of shape (stop - start, ...) and ``out``'s dtype.
    block_bytes : int, optional
        Other than :data:`BLOCK_BYTES`.
    after : event, optional
        From when on ``out`` may be written; default: once all is done that the current stream has been asked so far.
    """
    if not out.size:
        return
    blocks = _blocks(out, block_bytes or BLOCK_BYTES)
    pinned = _pinned_pair(cupy, out, blocks)
    stream, side = cupy.cuda.get_current_stream(), cupy.cuda.Stream(non_blocking=True)
    # What had the memory of ``out`` before may still be at work on the caller's stream.
    side.wait_event(mark(cupy, stream) if after is None else after)
    sent: list[Any] = []
    try:
        for number, (start, stop) in enumerate(blocks):
            if number >= 2:
                sent[number - 2].synchronize()
            buffer = pinned[number % 2][: stop - start]
            read(start, stop, buffer)
            out[start:stop].set(buffer, stream=side)
            sent.append(mark(cupy, side))
        stream.wait_event(sent[-1])
    finally:
        side.synchronize()  # the buffers, and after an error ``out`` too, are about to be given back


def download(cupy: Any, out: np.ndarray, make: Callable[[int, int, Array], None], block_bytes: int = 0) -> None:
    """Let the device make rows block by block, and bring each block down while the next is made.

    The host waits once a block, for its copy.

    Parameters
    ----------
    cupy : module
    out : ndarray of shape (n, d)
        On the host, pageable as it may be, of any memory order.
    make : callable
        ``make(start, stop, target)`` starts the work on the current stream that writes rows to ``target``, a
        C-contiguous array of shape (stop - start, d) on the current device.
    block_bytes : int, optional
        Other than :data:`BLOCK_BYTES`.
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
            # The host has waited for the copy of the last block but one: both of its buffers are free.
            target = made[number % 2][: stop - start]
            make(start, stop, target)
            side.wait_event(mark(cupy, stream))
            target.get(stream=side, out=pinned[number % 2][: stop - start], blocking=False)
            copied = mark(cupy, side)
            if before is not None:
                empty(number - 1, before)
            before = copied
        empty(len(blocks) - 1, before)
    except BaseException:
        side.synchronize()  # the buffers are about to be given back
        raise


def bring(cupy: Any, array: Array) -> Array:
    """An array of another device, on the current one, in the order of both current streams.

    CuPy starts such a copy on the current device's stream and does not order it after the stream that made the array.

    Parameters
    ----------
    cupy : module
    array : cupy.ndarray
        C-contiguous; where it lies on the current device, it is returned itself.
    """
    if array.device.id == int(cupy.cuda.Device().id):
        return array
    here = cupy.cuda.get_current_stream()
    with array.device:
        there = cupy.cuda.get_current_stream()
        ready = mark(cupy, there)
    here.wait_event(ready)
    copy = cupy.asarray(array)
    done = mark(cupy, here)
    with array.device:
        there.wait_event(done)  # or its memory, once freed, could be written before it has been read
    return copy


def _blocks(out: Array, block_bytes: int) -> list[tuple[int, int]]:
    n = len(out)
    step = max(1, block_bytes // max(1, out.nbytes // n))
    return [(start, min(n, start + step)) for start in range(0, n, step)]


def _pinned_pair(cupy: Any, out: Array, blocks: list[tuple[int, int]]) -> list[np.ndarray]:
    """One or two pinned host buffers for a block of ``out``; each keeps its memory alive."""
    shape = (blocks[0][1], *out.shape[1:])
    count = int(np.prod(shape))
    buffers = []
    for _ in blocks[:2]:
        memory = cupy.cuda.alloc_pinned_memory(count * out.dtype.itemsize)
        buffers.append(np.frombuffer(memory, out.dtype, count).reshape(shape))
    return buffers


def mark(cupy: Any, stream: Any) -> Any:
    """An event at the end of what the stream has been asked so far."""
    event = cupy.cuda.Event(disable_timing=True)
    event.record(stream)
    return event


def copy_rows(source: np.ndarray, out: np.ndarray) -> None:
    """``out[...] = source`` by all cores: one alone would be slower than the link."""

    def rows(start: int, stop: int) -> None:
        out[start:stop] = source[start:stop]

    run_blocks(rows, len(source), max(1, _AT_ONCE // max(1, source.nbytes // len(source))))
