"""How a command ends: exit status, one line of error, nothing left behind when it is stopped.

====  ==========================================================================
0     done
1     the data, the files, the device, the memory or the packages do not allow it
2     the command line asks for what does not exist or is not allowed
129   stopped by SIGHUP, 130 by SIGINT (Ctrl-C), 143 by SIGTERM: 128 + its number
====  ==========================================================================
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

from gpusmote.cli.output import Output
from gpusmote.cli.signals import Stopped, as_exception

__all__ = ["finish"]


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
        with as_exception(), output.warnings():
            status = _status(work)
            if sys.stdout is not None:  # a shell can close it
                sys.stdout.flush()
            return status
    except Stopped as stopped:
        output.error(str(stopped))
        return stopped.status
    except BrokenPipeError:  # whoever read the results has gone, as `head` does
        _drop_output()
        return 1
    except Exception as error:
        status, message, hint = _explained(error)
        output.error(message, hint)
        if isinstance(error, OSError):
            _drop_output()
        return status


def _status(work: Callable[[], Any]) -> int:
    try:
        return int(work() or 0)
    except SystemExit as end:  # how argparse and completion end
        return end.code if isinstance(end.code, int) else int(end.code is not None)


def _explained(error: Exception) -> tuple[int, str, str]:
    """Exit status, message and hint."""
    from gpusmote.cli.parameters import in_options  # which loads scikit-learn: not for the version alone
    from gpusmote.errors import GpusmoteError, ParameterError

    if isinstance(error, GpusmoteError):
        return (2 if isinstance(error, ParameterError) else 1), in_options(error.message), in_options(error.hint)
    if hasattr(error, "format_message"):  # typer's own, whose classes have moved from one version to the next
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "gpusmote COMMAND"
        return int(getattr(error, "exit_code", 2)), error.format_message(), f"{command} --help lists what there is."
    if isinstance(error, OSError):
        return 1, ": ".join(str(part) for part in (error.filename, error.strerror or error) if part), ""
    if isinstance(error, MemoryError):
        return 1, "There is not enough memory.", "--memory-limit makes it work in smaller pieces."
    return 1, f"{type(error).__name__}: {error}", "This should not happen; gpusmote --debug ... shows where it did."


def _drop_output() -> None:
    """Let the interpreter's last flush go nowhere, where standard output takes no more."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
