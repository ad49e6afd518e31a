"""What commands print and write about what they did."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpusmote.cli.output import Output
from gpusmote.errors import ParameterError
from gpusmote.files import FileReport
from gpusmote.messages import counted

if TYPE_CHECKING:
    from gpusmote.cli.dry_run import Forecast

__all__ = ["of_plan", "of_resample", "report_to"]

Facts = Mapping[str, Any]


def of_resample(done: FileReport) -> dict[str, Any]:
    """The few facts of a run that everybody wants to know."""
    return {
        done.destination: f"{counted(done.rows_after, 'row')}, {done.n_synthetic:,} of them synthetic",
        "classes": {
            str(label): f"{before:,} -> {done.classes_after[label]:,}" for label, before in done.classes_before.items()
        },
        "device": f"{done.device}: {done.reason}",
        "seconds": {stage: round(seconds, 3) for stage, seconds in done.seconds.items()},
    }


def of_plan(said: Forecast) -> dict[str, Any]:
    """What would be made, in few lines."""
    return {
        said.source: f"{counted(said.n_rows, 'row')} x {counted(said.n_features, 'feature')}, "
        f"{counted(said.n_synthetic, 'row')} would be made",
        "classes": {str(row["label"]): f"{row['before']:,} -> {row['after']:,}" for row in said.classes},
        "device": f"{said.device}: {said.reason}",
        "bytes": said.bytes,
    }


@contextlib.contextmanager
def report_to(
    path: Path | None, output: Output, force: bool, *others: Path | None
) -> Iterator[Callable[[Facts, Facts], None]]:
    """A place for the report, found before the work begins, and what puts it there afterwards.

    Parameters
    ----------
    path : Path or None
        None: the facts are only printed. "-": the report is printed in their stead.
    output : Output
    force : bool
        Whether an existing report is replaced.
    *others : Path or None
        Files that the command reads or writes; the report must not be one of them.

    Yields
    ------
    callable
        ``publish(facts, report)``.

    Raises
    ------
    FileError
        If it cannot be written, or is there and ``force`` is not set.
    ParameterError
        If the report would take another file's place.
    """
    if path is None or str(path) == "-":
        yield lambda facts, report: print(_json(report), end="") if path else output.result(facts)
        return
    if any(other is not None and os.path.realpath(path) == os.path.realpath(other) for other in others):
        raise ParameterError(f"--report {path} is another file of this command.", "Give it a name of its own.")
    # pyarrow, which these load, is not needed for --help.
    from gpusmote.atomic_write import whole_files
    from gpusmote.io_errors import writing

    with whole_files([path], force=force) as (file,):

        def publish(facts: Facts, report: Facts) -> None:
            with writing(path):
                file.write(_json(report).encode())
            output.result(facts)

        yield publish


def _json(report: Facts) -> str:
    return json.dumps(report, indent=2) + "\n"
