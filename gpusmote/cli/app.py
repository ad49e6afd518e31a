"""The commands: read what was asked for, call the library once, print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import gpusmote
from gpusmote.cli.help import Command, Group
from gpusmote.cli.options import (
    Debug,
    Destination,
    DupSize,
    Force,
    MemoryLimit,
    Percentage,
    Report,
    Source,
    TargetColumn,
    command,
)
from gpusmote.cli.output import Output
from gpusmote.cli.results import of_plan, of_resample, report_to
from gpusmote.errors import ParameterError
from gpusmote.files import resample_file

__all__ = ["app", "run"]

app = typer.Typer(
    name="gpusmote",
    help="Rows for rare classes, from file to file: SMOTE and its variants on the CPU or a CUDA GPU.",
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def run(arguments: Sequence[str], output: Output) -> Any:
    """One command; errors are the caller's.

    Parameters
    ----------
    arguments : sequence of str
    output : Output

    Returns
    -------
    int or None
        Exit status.
    """
    # prog_name is what completion scripts are made for, so it must not be "python -m gpusmote".
    return typer.main.get_command(app).main(list(arguments), prog_name="gpusmote", standalone_mode=False, obj=output)


def _version(wanted: bool) -> None:
    if wanted:
        print(gpusmote.__version__)
        raise typer.Exit


@app.callback()
def every(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
    debug: Debug = False,
) -> None:
    context.obj.debug = debug


@app.command(cls=Command)
@command
def resample(
    output: Output,
    sampler: Any,
    source: Source,
    *,
    target: TargetColumn,
    destination: Destination,
    percentage: Percentage = None,
    dup_size: DupSize = None,
    only_synthetic: Annotated[bool, typer.Option("--only-synthetic", help="Leave the originals out.")] = False,
    origins: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write where each new row comes from: class, base, neighbor (rows of IN, from 0), gap.",
        ),
    ] = None,
    memory_limit: MemoryLimit = None,
    report: Report = None,
    force: Force = False,
) -> None:
    """Add synthetic rows to a table in a file.

    The rows are those that the sampler gives in Python for the same --random-state. Columns, their order and types and
    Parquet's metadata are kept. OUT appears whole or not at all.
    """
    with report_to(report, output, force, source, destination, origins) as publish:
        with output.progress() as progress:
            done = resample_file(
                source,
                destination,
                target=target,
                sampler=sampler,
                percentage=percentage,
                dup_size=dup_size,
                memory_limit=memory_limit,
                origins=origins,
                only_synthetic=only_synthetic,
                force=force,
                progress=progress,
            )
        publish(of_resample(done), done.to_dict())
    output.notes(done.sampler["report"]["notes"])


@app.command(cls=Command)
@command
def plan(
    output: Output,
    sampler: Any,
    source: Source,
    *,
    target: TargetColumn,
    percentage: Percentage = None,
    dup_size: DupSize = None,
    memory_limit: MemoryLimit = None,
    report: Report = None,
    force: Force = False,
) -> None:
    """Say what resample would make, how much memory it would hold, and on which device.

    It reads the column of classes, not the features; a CSV file is read whole. Bytes are an upper bound.
    """
    from gpusmote.cli.dry_run import forecast

    with report_to(report, output, force, source) as publish:
        with output.progress() as progress:
            said = forecast(
                source,
                target=target,
                sampler=sampler,
                percentage=percentage,
                dup_size=dup_size,
                memory_limit=memory_limit,
                progress=progress,
            )
        publish(of_plan(said), said.to_dict())
    said.refuse_if_too_large()


@app.command(cls=Command)
def info(
    context: typer.Context,
    why: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="N D", help="How neighbors would be sought among N rows of D columns, and why, instead."),
    ] = None,
    queries: Annotated[
        int | None, typer.Option(metavar="N", help="With --why: for how many of them, if not for all.")
    ] = None,
    k: Annotated[
        int | None, typer.Option("--k", metavar="N", help="With --why: how many neighbors of each, if not 5.")
    ] = None,
) -> None:
    """Print versions, devices, memory, and what would be chosen."""
    if why is None and (queries, k) != (None, None):
        raise ParameterError(
            "--queries and --k go with --why only.",
            "For example: gpusmote info --why 100000 13 --queries 500 --k 7",
        )
    told = gpusmote.info(why=why, queries=queries, k=k)
    context.obj.result(told.get("search", told))


@app.command(
    cls=Command,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def bench(context: typer.Context) -> int:
    """Measure SMOTE beside imbalanced-learn's."""
    from gpusmote.evaluation.__main__ import main

    return main(context.args, "gpusmote bench")
