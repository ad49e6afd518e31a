"""Options that commands share, and the decorator that adds those of the samplers."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from gpusmote.cli.parameters import (
    build,
    choices,
    in_options,
    meaning,
    option_name,
    parameters,
    read_value,
    samplers,
    takes_number,
)

__all__ = ["Debug", "command"]

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


# All values are text for typer: the library checks them, and its errors say more.
def _shared(
    *,
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN", help="CSV (also .gz, .zst), Parquet, Arrow, Feather, or a folder of Parquet files."
        ),
    ],
    target: Annotated[str, typer.Option(metavar="COLUMN", help="The column with the classes.")],
    sampler: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"The method: {', '.join(samplers())}.",
            autocompletion=lambda: list(samplers()),
        ),
    ] = "SMOTE",
    percentage: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER",
            help="New rows per hundred rows of the smaller of two classes, instead of --sampling-strategy.",
        ),
    ] = None,
    dup_size: Annotated[
        str | None,
        typer.Option(metavar="N", help="New rows per row of the smaller of two classes, instead of the two others."),
    ] = None,
    memory_limit: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="The most memory to use: bytes, 200MB, 2GiB, or 50% of what is free."),
    ] = None,
    report: Annotated[
        str | None, typer.Option(metavar="FILE.json", help="Write all figures as JSON; - is standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")] = False,
    debug: Debug = False,
) -> None:
    """The options of all commands that read a table."""


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that commands share and the parameters of all samplers to a command.

    Parameters
    ----------
    function : callable
        Takes ``output`` (:class:`~gpusmote.cli.output.Output`), ``sampler`` (an instance), the other shared options
        and, as parameters that are only keywords, its own options.
    """

    @functools.wraps(function)
    def run(context: typer.Context, **options: Any) -> None:
        output = context.obj
        output.quiet = options.pop("quiet")
        output.debug |= options.pop("debug")
        sampler = build(options.pop("sampler"), {name: options.pop(name) for name in parameters()})
        for name in ("percentage", "dup_size", "memory_limit"):
            if options[name] is not None:
                options[name] = read_value(name, options[name])
        function(output, sampler, **options)

    own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.kind is _KEYWORD]
    shared = inspect.signature(_shared, eval_str=True).parameters.values()
    shown = [
        inspect.Parameter("context", _KEYWORD, annotation=typer.Context),
        *sorted([*shared, *own], key=lambda parameter: parameter.default is not parameter.empty),  # required ones first
        *(inspect.Parameter(name, _KEYWORD, annotation=_annotation(name), default=None) for name in parameters()),
    ]
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return run


def _annotation(name: str) -> Any:
    """The option for a parameter of samplers; None means that it was not given."""
    owners, words = parameters()[name], choices(name)
    default = next(iter(owners.values()))
    notes = [] if len(owners) == len(samplers()) else [f"{' and '.join(owners)} only"]
    notes += [] if default is None or default is False else [f"default: {default}"]
    text = in_options(meaning(name)) + (f" [{'; '.join(notes)}]" if notes else "")
    if isinstance(default, bool):
        return Annotated[bool | None, typer.Option(option_name(name), help=text)]
    metavar = "|".join(words) or "VALUE"
    if takes_number(name):
        metavar = "VALUE|JSON" if words else "NUMBER"
    option = typer.Option(option_name(name), metavar=metavar, help=text, autocompletion=lambda: words)
    return Annotated[str | None, option]
