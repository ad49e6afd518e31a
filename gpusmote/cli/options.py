"""Options that commands share, and the decorator that gives a command those of all samplers."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from gpusmote.cli.parameters import Parameter, build, json_or_text, parameters, samplers

__all__ = [
    "Destination",
    "DupSize",
    "Force",
    "MemoryLimit",
    "Percentage",
    "Report",
    "Source",
    "TargetColumn",
    "command",
]

# readable=False: what is wrong with a file is told by the library, with what to do about it.
Source = Annotated[
    Path, typer.Argument(metavar="IN", readable=False, help="CSV (also .gz, .zst), Parquet, Arrow or Feather.")
]
TargetColumn = Annotated[str, typer.Option("--target", metavar="COLUMN", help="The column that holds the classes.")]
Sampler: Any = Annotated[
    Literal[tuple(samplers())],
    typer.Option("--sampler", metavar="|".join(samplers()), case_sensitive=False, help="What makes the rows."),
]
Destination = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        readable=False,
        help="File to write: the originals in order, then the new rows.",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE.json", readable=False, help="Write all figures as JSON; - is standard output."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
Percentage = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER",
        help="New rows for every hundred of the minority, of two classes; not with --sampling-strategy.",
    ),
]
DupSize = Annotated[
    int | None,
    typer.Option(metavar="N", help="New rows for every row of the minority, of two classes; not with the other two."),
]
MemoryLimit = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="What may be held at most: 200MB, 2GiB, or a share of what is free such as 0.5."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no results; warnings and errors remain.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error came from.")]

_METAVARS: dict[Any, str] = {object: "VALUE|JSON", list: "NAME,..."}
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a function with ``output`` and ``sampler`` a command with ``--sampler`` and every sampler's parameters.

    Parameters
    ----------
    function : callable
        Takes ``output`` (:class:`~gpusmote.cli.output.Output`) and ``sampler``, ready to use, and options as typer
        reads them from its signature.

    Returns
    -------
    callable
        What typer sees: neither of the two, but ``--sampler``, the parameters, ``--quiet`` and ``--debug``.
    """

    @functools.wraps(function)
    def run(context: typer.Context, **options: Any) -> None:
        output = context.obj
        output.quiet = options.pop("quiet")
        output.debug |= options.pop("debug")
        given = {parameter.name: options.pop(parameter.name) for parameter in parameters()}
        if isinstance(options.get("memory_limit"), str):
            options["memory_limit"] = json_or_text(options["memory_limit"], "--memory-limit")
        function(output, build(options.pop("sampler"), given), **options)

    hints = typing.get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name], kind=_KEYWORD)
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in ("output", "sampler")
    ]
    shown = [
        inspect.Parameter("context", _KEYWORD, annotation=typer.Context),
        *own,
        inspect.Parameter("quiet", _KEYWORD, annotation=Quiet, default=False),
        inspect.Parameter("debug", _KEYWORD, annotation=Debug, default=False),
        inspect.Parameter("sampler", _KEYWORD, annotation=Sampler, default="SMOTE"),
        *map(_option, parameters()),
    ]
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return run


def _option(parameter: Parameter) -> inspect.Parameter:
    """A sampler's parameter as typer's; None means that it was not given."""
    kind: Any = parameter.kind if parameter.kind in (int, float, bool) else str
    if parameter.kind is str and parameter.choices:
        kind = Literal[parameter.choices]
    flags = f"{parameter.flag}/{parameter.flag.replace('--', '--no-', 1)}" if kind is bool else parameter.flag
    shared = len(parameter.defaults) == len(samplers())
    option = typer.Option(
        flags,
        metavar=_METAVARS.get(parameter.kind),
        help=escape(parameter.meaning),
        show_default=parameter.default or False,
        rich_help_panel="Every sampler" if shared else f"Only {', '.join(parameter.defaults)}",
    )
    return inspect.Parameter(parameter.name, _KEYWORD, annotation=Annotated[kind | None, option], default=None)
