"""The command line: arguments, one call of the library, a file.

It needs typer, which the extra ``cli`` brings; without it, it says so. No algorithm is here.
"""

from __future__ import annotations

import os
import sys

from gpusmote.cli.signals import at_once

TYPE_CHECKING = False  # what type checkers take for true
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from gpusmote.cli.output import Output

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process, which then ends here. What the interpreter does at its end, taking down every
        package that was loaded, would take as long as a small table, and a signal would disturb it.

    Returns
    -------
    int
        Exit status, see :mod:`gpusmote.cli.exit_status`.
    """
    with at_once():
        status = _run(list(sys.argv[1:] if arguments is None else arguments))
        if arguments is None:
            _end(status)
    return status


def _run(arguments: list[str]) -> int:
    from gpusmote import __version__
    from gpusmote.cli.exit_status import finish
    from gpusmote.cli.output import Output

    output = Output()
    if arguments == ["--version"]:
        return finish(lambda: print(__version__), output)
    return finish(lambda: _command(arguments, output), output)


def _command(arguments: list[str], output: Output) -> Any:
    import importlib.util

    from gpusmote.errors import MissingPackageError

    if importlib.util.find_spec("typer") is None:
        raise MissingPackageError('The command line needs typer: pip install "gpusmote[cli]".')
    from gpusmote.cli.app import run

    return run(arguments, output)


def _end(status: int) -> None:
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):  # a command that is done has flushed; one that failed has said so
            continue
    os._exit(status)
