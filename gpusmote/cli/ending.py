"""How a command ends: exit status, one line of error, nothing left behind when it is stopped.

====  ==========================================================================
0     done
1     the data, the files, the device or the memory do not allow it
2     the command line asks for what does not exist or is not allowed
129   stopped by SIGHUP, 130 by SIGINT (Ctrl-C), 143 by SIGTERM: 128 + its number
====  ==========================================================================
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from gpusmote.cli.output import Output
from gpusmote.cli.parameters import in_options
from gpusmote.errors import GpusmoteError, ParameterError

__all__ = ["STATUS", "finish"]

STATUS = {
    0: "done",
    1: "the data, the files, the device or the memory do not allow it",
    2: "the command line asks for what does not exist or is not allowed",
    129: "stopped by SIGHUP: the terminal or the connection was closed",
    130: "stopped by SIGINT: Ctrl-C",
    143: "stopped by SIGTERM: the system, a container or a batch queue ended it",
}
"""Exit statuses and what they mean."""

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class _Stopped(BaseException):
    """A signal arrived. No Exception: nothing but the end of the command may catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name, self.status = signal.Signals(number).name, 128 + number


def finish(work: Callable[[], Any], output: Output) -> int:
    """Run a command to its end, whichever it is.

    Parameters
    ----------
    work : callable
        The command; returns an exit status, or None for 0.
    output : Output

    Returns
    -------
    int
        Exit status.
    """
    try:
        with _signals(), output.warnings():
            status = work()
            sys.stdout.flush()
            return int(status or 0)
    except _Stopped as stopped:
        output.error(f"stopped by {stopped.name}")
        return stopped.status
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BrokenPipeError:  # whoever read the results has gone, as `head` does
        _drop_output()
        return 1
    except Exception as error:
        status, message, hint = _explained(error)
        output.error(message, hint)
        if isinstance(error, OSError):
            _drop_output()
        return status


def _explained(error: Exception) -> tuple[int, str, str]:
    """Exit status, message and hint."""
    if isinstance(error, GpusmoteError):
        return (2 if isinstance(error, ParameterError) else 1), in_options(error.message), in_options(error.hint)
    if hasattr(error, "format_message"):  # typer's own, whose classes have moved from one version to the next
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path} --help lists what there is." if context else ""
        return int(getattr(error, "exit_code", 2)), error.format_message(), hint
    if isinstance(error, OSError):
        return 1, ": ".join(str(part) for part in (error.filename, error.strerror or error) if part), ""
    if isinstance(error, MemoryError):
        return 1, "There is not enough memory.", "--memory-limit makes it work in smaller pieces."
    return 1, f"{type(error).__name__}: {error}", "This should not happen; gpusmote --debug ... shows where it did."


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """The first signal ends the command as an exception does, so that files are put in order; more are ignored.

    ``timeout`` sends its signal twice, and a second one must not disturb the tidying. A signal that the caller ignores,
    as ``nohup`` does, stays ignored.
    """

    def stop(number: int, _: Any) -> None:
        for other in caught:
            signal.signal(other, signal.SIG_IGN)
        raise _Stopped(number)

    caught: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        caught = {number: handler for number in _SIGNALS if (handler := signal.getsignal(number)) != signal.SIG_IGN}
    for number in caught:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)


def _drop_output() -> None:
    """Let the interpreter's last flush go nowhere, where standard output takes no more."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
