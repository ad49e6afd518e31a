"""The commands that do without typer: what this machine offers, and how fast it is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import gpusmote
from gpusmote.cli.output import Output
from gpusmote.errors import MissingPackageError, ParameterError

__all__ = ["BENCH_OPTIONS", "bench", "run"]


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of runs")
    return int(text)


BENCH_OPTIONS: dict[str, dict[str, Any]] = {
    "--quick": {"action": "store_true", "help": "the small shapes only"},
    "--repeat": {"type": _at_least_one, "default": 5, "metavar": "N", "help": "runs of each, at least"},
    "--memory": {"action": "store_true", "help": "peak memory instead of time; needs no other package"},
    "--json": {"type": Path, "metavar": "OUT", "help": "also write the figures to a file"},
}
"""What ``gpusmote bench`` takes, with and without typer."""


class _Parser(argparse.ArgumentParser):
    """Its errors are gpusmote's."""

    def error(self, message: str) -> NoReturn:
        raise ParameterError(f"{message[:1].upper()}{message[1:]}.", f"{self.prog} --help lists what there is.")


def bench(arguments: Sequence[str]) -> int:
    """Compare SMOTE with imbalanced-learn's.

    Parameters
    ----------
    arguments : sequence of str
        What follows ``gpusmote bench``.

    Returns
    -------
    int
        Exit status.
    """
    from gpusmote import bench

    parser = _Parser(
        prog="gpusmote bench",
        description="SMOTE end to end, by turns with imbalanced-learn's in one process; k = 5, majority 5x.",
    )
    for flag, option in BENCH_OPTIONS.items():
        default = f" (default: {option['default']})" if "default" in option else ""
        parser.add_argument(flag, **{**option, "help": option["help"] + default})
    given = parser.parse_args(arguments)
    return bench.run(quick=given.quick, repeat=given.repeat, memory=given.memory, path=given.json)


def run(arguments: Sequence[str], output: Output) -> int:
    """One command, in a process without typer.

    Parameters
    ----------
    arguments : sequence of str
    output : Output

    Returns
    -------
    int
        Exit status.

    Raises
    ------
    MissingPackageError
        If the command is none of those that need no typer.
    """
    if "--debug" in arguments:
        output.debug = True
    if arguments and arguments[0] == "bench":
        return bench(arguments[1:])
    if list(arguments) == ["info"]:
        output.result(gpusmote.info())
    else:
        raise MissingPackageError(
            'The command line needs typer and rich: pip install "gpusmote[cli]".',
            "Without them there are info, bench and --version.",
        )
    return 0
