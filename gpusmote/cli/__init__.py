"""The command line. It reads arguments, calls the library once and prints; it needs typer (extra ``cli``)."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpusmote.cli.signals import end_process, handled

if TYPE_CHECKING:
    from gpusmote.cli.output import Output

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process, which then ends here: the interpreter takes long to shut down.

    Returns
    -------
    int
        Exit status, see :mod:`gpusmote.cli.exit_status`.
    """
    with handled(end_process):
        with contextlib.suppress(ImportError):  # imported here, while signals end the process; raised again below
            import gpusmote.cli.app  # noqa: F401
        from gpusmote.cli.exit_status import finish
        from gpusmote.cli.output import Output

        output = Output()
        words = list(sys.argv[1:] if arguments is None else arguments)
        status = finish(lambda: _command(words, output), output)
        if arguments is None:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or None
                    stream.flush()
            os._exit(status)
    return status


def _command(arguments: list[str], output: Output) -> Any:
    from gpusmote.errors import MissingPackageError

    try:
        import typer  # noqa: F401
    except ImportError as error:
        raise MissingPackageError('The command line needs typer: pip install "gpusmote[cli]".') from error
    from gpusmote.cli.app import run

    return run(arguments, output)
