"""``python -m gpusmote``: what this machine offers, and how fast it is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gpusmote
from gpusmote.errors import GpusmoteError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the command line.

    Returns
    -------
    int
        Exit status: 0, or 1 where something is not as it should be.
    """
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.command(parsed))
    except GpusmoteError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint:  {error.hint}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gpusmote", description=gpusmote.__doc__)
    parser.add_argument("--version", action="version", version=gpusmote.__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    info = commands.add_parser("info", help="what this machine offers to gpusmote")
    info.set_defaults(command=_info)
    bench = commands.add_parser(
        "bench",
        help="SMOTE beside imbalanced-learn's",
        description="SMOTE end to end, by turns with imbalanced-learn's in one process; k = 5, majority 5x.",
    )
    bench.add_argument("--quick", action="store_true", help="the small shapes only")
    bench.add_argument(
        "--repeat", type=_at_least_one, default=5, metavar="N", help="runs of each, at least (default: 5)"
    )
    bench.add_argument("--memory", action="store_true", help="peak memory instead of time; needs no other package")
    bench.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to a file")
    bench.set_defaults(command=_bench)
    return parser


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of runs")
    return int(text)


def _info(parsed: argparse.Namespace) -> int:
    from gpusmote.backends.info import info

    print("\n".join(_lines(info())))
    return 0


def _bench(parsed: argparse.Namespace) -> int:
    from gpusmote import bench

    return bench.run(quick=parsed.quick, repeat=parsed.repeat, memory=parsed.memory, path=parsed.json)


def _lines(facts: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """One line a fact, names aligned; facts within facts are indented."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}"
            yield from _lines(value, indent + "  ")
        elif isinstance(value, Iterable) and not isinstance(value, str):
            yield from _items(name, list(value), indent, width)
        else:
            yield f"{indent}{name:<{width}}  {_text(value)}"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if type(value) is int else str(value)


def _items(name: str, values: list[Any], indent: str, width: int) -> Iterator[str]:
    if not any(isinstance(value, Mapping) for value in values):
        yield f"{indent}{name:<{width}}  {', '.join(map(str, values)) or 'none'}"
        return
    for number, value in enumerate(values):
        yield f"{indent}{name} {number}"
        yield from _lines(value if isinstance(value, Mapping) else {"": value}, indent + "  ")


if __name__ == "__main__":
    sys.exit(main())
