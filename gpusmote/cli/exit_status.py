"""The end of a command: exit status and error message.

====  ==========================================================================
0     success
1     the data, a file, the device, the memory or a missing package prevents it
2     the command line is wrong
129   stopped by SIGHUP, 130 by SIGINT (Ctrl-C), 143 by SIGTERM: 128 + its number
====  ==========================================================================
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from gpusmote.cli.output import Output
from gpusmote.cli.signals import Stopped, handled, raise_stopped

__all__ = ["finish"]


def finish(work: Callable[[], Any], output: Output) -> int:
    """Run a command, print its error if there is one, and return the exit status.

    Parameters
    ----------
    work : callable
        The command; returns an exit status, or None for 0.
    output : Output
    """
    with handled(raise_stopped()), output.warnings():
        try:
            status = int(work() or 0)
            if sys.stdout is not None:  # None if it was closed by the shell
                sys.stdout.flush()
            return status
        except Stopped as stopped:
            output.error(str(stopped))
            return stopped.status
        except SystemExit as end:  # raised by argparse and by the completion of typer
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        except BrokenPipeError:  # the reader of the output, such as `head`, has ended
            return 1
        except Exception as error:
            status, message, hint = _explained(error)
            output.error(message, hint)
            return status


def _explained(error: Exception) -> tuple[int, str, str]:
    """Exit status, message and hint."""
    from gpusmote.cli.parameters import in_options  # imports scikit-learn
    from gpusmote.errors import GpusmoteError, ParameterError

    if isinstance(error, GpusmoteError):
        return (2 if isinstance(error, ParameterError) else 1), in_options(error.message), in_options(error.hint)
    if hasattr(error, "format_message"):  # typer's exceptions, whose module differs between versions
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "gpusmote COMMAND"
        return getattr(error, "exit_code", 2), error.format_message(), f"See {command} --help."
    if isinstance(error, OSError):
        return 1, ": ".join(str(part) for part in (error.filename, error.strerror or error) if part), ""
    return 1, f"{type(error).__name__}: {error}", "This is a bug; gpusmote --debug ... shows the traceback."
