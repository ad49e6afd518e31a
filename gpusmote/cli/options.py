"""Options that commands share, and the decorator that gives a command those of all samplers."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from gpusmote.cli.parameters import Parameter, build, in_options, parameters, samplers
from gpusmote.cli.values import number_or_text, one_of
from gpusmote.errors import ParameterError
from gpusmote.files.formats import file_path

__all__ = [
    "Debug",
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

Source = Annotated[Path, typer.Argument(metavar="IN", help="CSV (also .gz, .zst), Parquet, Arrow or Feather.")]
TargetColumn = Annotated[str, typer.Option("--target", metavar="COLUMN", help="The column that holds the classes.")]
Sampler = Annotated[
    str,
    typer.Option(
        "--sampler",
        metavar="NAME",
        help=f"What makes the rows: {one_of(samplers())}.",
        autocompletion=lambda: list(samplers()),
        rich_help_panel="Sampler",
    ),
]
Destination = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="File to write: the originals in order, then the new rows.",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE.json", help="Write all figures as JSON; - is standard output."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
Percentage = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER",
        help="New rows for every hundred rows of the smaller of two classes, instead of --sampling-strategy.",
    ),
]
DupSize = Annotated[
    int | None,
    typer.Option(metavar="N", help="New rows for every row of the smaller of two classes, instead of the two others."),
]
MemoryLimit = Annotated[
    int | float | str | None,
    typer.Option(metavar="SIZE", help="What may be held at most: bytes, 200MB, 2GiB, or 50% of what is free."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, notes, results; warnings and errors remain.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error came from.")]

_METAVARS: dict[Any, str] = {int: "N", float: "NUMBER", object: "VALUE|JSON", list: "NAME,..."}
_FLAGS = {"source": "IN", "destination": "--output"}
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def _file(text: str, flag: str) -> Path:
    """A file's name."""
    if text in ("", "-"):
        raise ParameterError(
            f"{flag} is {text!r}.", "Name a file: tables are read more than once, and written whole or not at all."
        )
    return file_path(text)


def _report(text: str, flag: str) -> Path:
    return Path(text) if text == "-" else _file(text, flag)


# What is typed is text to typer: what is wrong with it is told here or by the library, with what to do about it.
_READ: dict[str, Callable[[str, str], Any]] = {
    "source": _file,
    "destination": _file,
    "origins": _file,
    "report": _report,
    "percentage": number_or_text,
    "dup_size": number_or_text,
    "memory_limit": functools.partial(number_or_text, example="""'{"cpu": "8GB", "cuda": "50%"}'"""),
}


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
        sampler = build(options.pop("sampler"), given)
        for name, read in _READ.items():
            if options.get(name) is not None:
                options[name] = read(options[name], _FLAGS.get(name, "--" + name.replace("_", "-")))
        function(output, sampler, **options)

    hints = typing.get_type_hints(function, include_extras=True)
    for name in _READ.keys() & hints.keys():
        optional = type(None) in typing.get_args(typing.get_args(hints[name])[0])
        hints[name] = Annotated[str | None if optional else str, *hints[name].__metadata__]
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
    flags = parameter.flag
    if parameter.kind is bool and any(parameter.defaults.values()):
        flags += f"/{flags.replace('--', '--no-', 1)}"
    shared = len(parameter.defaults) == len(samplers())
    option = typer.Option(
        flags,
        metavar=_metavar(parameter),
        help=in_options(parameter.meaning),
        show_default=parameter.default if parameter.default != "false" else False,
        autocompletion=(lambda: list(parameter.choices)) if parameter.choices else None,
        rich_help_panel="Sampler" if shared else f"{' and '.join(parameter.defaults)} only",
    )
    kind = bool if parameter.kind is bool else str
    return inspect.Parameter(parameter.name, _KEYWORD, annotation=Annotated[kind | None, option], default=None)


def _metavar(parameter: Parameter) -> str | None:
    """What stands for the value of a parameter in help; None where it has none."""
    if parameter.kind is bool:
        return None
    if parameter.kind is str:
        return "|".join(parameter.choices) or parameter.name.replace("_", "-").upper()
    return _METAVARS[parameter.kind]
