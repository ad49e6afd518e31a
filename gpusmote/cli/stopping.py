"""Signals: the first one ends the command, with 128 + its number, whatever the command is at.

This module loads nothing but the standard library, so that it is in force before what takes its time to load is loaded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Stopped", "as_exception", "at_once"]

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_ONCE_MORE = 0.05
"""Seconds until a signal whose exception was swallowed is sent again."""


class Stopped(BaseException):
    """A signal arrived. No Exception: nothing but the end of the command may catch it.

    Parameters
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number, self.status = number, 128 + number

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}"


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """A signal in the block ends the process on the spot: for as long as there is nothing to put in order.

    An exception would not do while packages are loaded: some of them catch all there are.
    """

    def stop(number: int, _: Any) -> None:
        with contextlib.suppress(OSError):
            os.write(2, f"error: {Stopped(number)}\n".encode())
        os._exit(Stopped(number).status)

    with _handled_by(stop):
        yield


@contextlib.contextmanager
def as_exception() -> Iterator[None]:
    """The first signal in the block is raised as :class:`Stopped`, so that files are put in order; more are ignored.

    ``timeout`` sends its signal twice, and a second one must not disturb the tidying. Where an exception cannot leave,
    as in a destructor, the signal is sent once more a moment later.
    """

    silenced: list[int] = []

    def stop(number: int, _: Any) -> None:
        silenced[:] = [other for other in _SIGNALS if signal.getsignal(other) is stop]
        for other in silenced:
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    def swallowed(what: Any) -> None:
        if not isinstance(what.exc_value, Stopped):
            before(what)
            return
        for number in silenced:
            signal.signal(number, stop)
        again = threading.Timer(_ONCE_MORE, os.kill, (os.getpid(), what.exc_value.number))
        again.daemon = True
        again.start()

    before, sys.unraisablehook = sys.unraisablehook, swallowed
    try:
        with _handled_by(stop):
            yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Signals go to the handler within the block; one that the caller ignores, as ``nohup`` does, stays ignored."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: old for number in _SIGNALS if (old := signal.getsignal(number)) != signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
