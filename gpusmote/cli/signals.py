"""Signals end a command with exit status 128 + the number of the signal.

This module imports only the standard library, so that the handlers are set before larger packages are imported.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Stopped", "end_process", "handled", "raise_stopped"]

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(BaseException):
    """The command was stopped by a signal. Not an Exception, so that ``except Exception`` does not catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.status = 128 + number


@contextlib.contextmanager
def handled(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Handle the signals in the block; a signal that is ignored, as under ``nohup``, stays ignored."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: old for number, old in before.items() if old != signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def end_process(number: int, _: Any) -> None:
    """End the process at once. For the time of imports: some packages catch every exception while they are imported."""
    stopped = Stopped(number)
    try:
        os.write(2, f"error: {stopped}\n".encode())
    finally:  # standard error may be closed
        os._exit(stopped.status)


def raise_stopped() -> Callable[[int, Any], None]:
    """A handler that raises :class:`Stopped`, so that unfinished files are removed.

    Signals within a second after the first are ignored: ``timeout`` sends its signal twice, and the second must not
    interrupt the removal.
    """
    last = -1.0

    def handler(number: int, _: Any) -> None:
        nonlocal last
        if last < 0 or time.monotonic() > last + 1:
            last = time.monotonic()
            raise Stopped(number)

    return handler
