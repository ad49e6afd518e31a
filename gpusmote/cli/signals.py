"""Signals: the first one ends the command, with 128 + its number, whatever the command is at.

This module loads nothing but the standard library, so that it is in force before what takes its time to load is loaded.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # what type checkers take for true
if TYPE_CHECKING:
    from types import FrameType
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


class _Handled:
    """Signals go to :meth:`stop` within the block; one that the caller ignores, as ``nohup`` does, stays ignored."""

    def __enter__(self) -> None:
        self._before: dict[int, Any] = {}
        try:
            for number in _SIGNALS:
                if (old := signal.getsignal(number)) != signal.SIG_IGN:
                    self._before[number] = old
                    signal.signal(number, self.stop)
        except ValueError:  # not the main thread, the only one that signals reach
            self._before = {}

    def __exit__(self, *_: object) -> None:
        for number, old in self._before.items():
            signal.signal(number, old)

    def stop(self, number: int, _: FrameType | None) -> None:
        """What a signal does."""
        raise NotImplementedError


class at_once(_Handled):  # noqa: N801 - a context like contextlib's
    """A signal in the block ends the process on the spot: for as long as there is nothing to put in order.

    An exception would not do while packages are loaded: some of them catch all there are.
    """

    def stop(self, number: int, _: FrameType | None) -> None:
        """Say it and leave."""
        try:
            os.write(2, f"error: {Stopped(number)}\n".encode())
        finally:  # whatever became of standard error
            os._exit(Stopped(number).status)


class as_exception(_Handled):  # noqa: N801
    """The first signal in the block is raised as :class:`Stopped`, so that files are put in order; more are ignored.

    ``timeout`` sends its signal twice, and a second one must not disturb the tidying. Where an exception cannot leave,
    as in a destructor, the signal is sent once more a moment later.
    """

    def __enter__(self) -> None:
        self._silenced: list[int] = []
        self._hook, sys.unraisablehook = sys.unraisablehook, self._swallowed
        super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        sys.unraisablehook = self._hook

    def stop(self, number: int, _: FrameType | None) -> None:
        """Raise it, once."""
        self._silenced = [other for other in self._before if signal.getsignal(other) == self.stop]
        for other in self._silenced:
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    def _swallowed(self, what: Any) -> None:
        if not isinstance(what.exc_value, Stopped):
            self._hook(what)
            return
        from threading import Timer

        for number in self._silenced:
            signal.signal(number, self.stop)
        again = Timer(_ONCE_MORE, os.kill, (os.getpid(), what.exc_value.number))
        again.daemon = True
        again.start()
