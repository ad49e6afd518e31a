"""The commands: each reads its arguments, calls the library once and prints the result."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

import gpusmote
from gpusmote.cli.options import Debug, command
from gpusmote.cli.output import Output
from gpusmote.errors import ParameterError
from gpusmote.messages import counted

__all__ = ["app", "run"]

app = typer.Typer(
    name="gpusmote",
    help="Oversample the rare classes of a table, from file to file: SMOTE and its variants on the CPU or a CUDA GPU.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def run(arguments: Sequence[str], output: Output) -> Any:
    """Run one command and return its exit status, None for 0; exceptions are left to the caller."""
    # Completion scripts are made for prog_name, so it must not be "python -m gpusmote".
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


@app.command()
@command
def resample(
    output: Output,
    sampler: Any,
    source: str,
    report: str | None,
    force: bool,
    *,
    destination: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="OUT", help="File to write: the original rows in order, then the new ones."
        ),
    ],
    only_synthetic: Annotated[bool, typer.Option("--only-synthetic", help="Write only the new rows.")] = False,
    origins: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write the origin of each new row: class, base and neighbor (rows of IN, from 0), gap."
        ),
    ] = None,
    **options: Any,
) -> None:
    """Add synthetic rows to a table in a file.

    The rows are the same as in Python for the same --random-state. Columns, their order and types and Parquet's
    metadata are kept. OUT is written completely or not at all.
    """
    options |= {"origins": origins, "only_synthetic": only_synthetic, "force": force}
    with _report_to(report, output, force, source, destination, origins) as publish:
        with output.progress() as progress:
            done = gpusmote.resample_file(source, destination, sampler=sampler, progress=progress, **options)
        full = done.to_dict()
        brief = {
            done.destination: f"{counted(done.rows_after, 'row')}, {done.n_synthetic:,} of them synthetic",
            "classes": _by_class(full),
            "device": f"{done.device}: {done.reason}",
            "seconds": {stage: round(seconds, 3) for stage, seconds in done.seconds.items()},
        }
        publish(brief, full)
    output.notes(done.sampler["report"]["notes"])


@app.command()
@command
def plan(output: Output, sampler: Any, source: str, report: str | None, force: bool, **options: Any) -> None:
    """Show what resample would do: rows, memory, device.

    It reads the column with the classes, not the features; a CSV file is read completely. Bytes are an upper bound.
    """
    from gpusmote.cli.dry_run import forecast

    with _report_to(report, output, force, source) as publish:
        with output.progress() as progress:
            found, refusal = forecast(source, sampler=sampler, progress=progress, **options)
        size = f"{counted(found['n_rows'], 'row')} x {counted(found['n_features'], 'feature')}"
        brief = {
            source: f"{size}, {counted(found['n_synthetic'], 'row')} would be made",
            "classes": _by_class(found),
            "device": f"{found['device']}: {found['reason']}",
            "bytes": found["bytes"],
        }
        publish(brief, found)
    if refusal is not None:
        raise refusal


def _by_class(report: Mapping[str, Any]) -> dict[str, str]:
    return {str(row["label"]): f"{row['before']:,} -> {row['after']:,}" for row in report["classes"]}


@contextlib.contextmanager
def _report_to(
    path: str | None, output: Output, force: bool, *others: str | None
) -> Iterator[Callable[[Mapping[str, Any], Mapping[str, Any]], None]]:
    """Open the file of a report before the work begins, and yield ``publish(brief, full)``.

    ``brief`` is printed, unless ``path`` is "-": then ``full``. The file must not be one of the others, which the
    command reads or writes.
    """
    if path is None or path == "-":
        yield lambda brief, full: print(json.dumps(full, indent=2)) if path else output.result(brief)
        return
    if any(other is not None and os.path.realpath(path) == os.path.realpath(other) for other in others):
        raise ParameterError(f"--report {path} is another file of this command.", "Choose another name.")
    from gpusmote.atomic_write import whole_files
    from gpusmote.files.formats import file_path
    from gpusmote.io_errors import writing

    with whole_files([file_path(path)], force=force) as (file,):

        def publish(brief: Mapping[str, Any], full: Mapping[str, Any]) -> None:
            with writing(path):
                file.write(f"{json.dumps(full, indent=2)}\n".encode())
            output.result(brief)

        yield publish


@app.command()
def info(
    context: typer.Context,
    why: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="N D", help="Show only how neighbors are searched among N rows of D columns, and why."),
    ] = None,
    queries: Annotated[
        int | None, typer.Option(metavar="N", help="With --why: the number of rows whose neighbors are searched.")
    ] = None,
    k: Annotated[
        int | None, typer.Option("--k", metavar="N", help="With --why: the number of neighbors of each, if not 5.")
    ] = None,
) -> None:
    """Show versions, devices, memory, and the choice of the device."""
    found = gpusmote.info(why=why, queries=queries, k=k)
    context.obj.result(found.get("search", found))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def bench(context: typer.Context) -> int:
    """Measure the speed of SMOTE, compared with imbalanced-learn."""
    from gpusmote.evaluation.__main__ import main

    return main(context.args, "gpusmote bench")
