"""The command line: arguments, one call of the library, a file.

``resample``, ``plan``, ``info`` and ``bench`` by typer, which the extra ``cli`` brings; without it, ``info`` and
``bench``. No algorithm is here.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from gpusmote.cli.ending import finish
from gpusmote.cli.output import Output

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        Exit status, see :mod:`gpusmote.cli.ending`.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    output = Output()
    if importlib.util.find_spec("typer") is None:
        from gpusmote.cli import plain

        return finish(lambda: plain.run(given, output), output)
    from gpusmote.cli.app import run

    return finish(lambda: run(given, output), output)
