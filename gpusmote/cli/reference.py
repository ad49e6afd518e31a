"""docs/cli.md, made from the commands themselves: ``python -m gpusmote.cli.reference > docs/cli.md``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer
from rich.text import Text

from gpusmote.cli.app import app
from gpusmote.cli.ending import STATUS
from gpusmote.cli.parameters import parameters, samplers
from gpusmote.cli.plain import BENCH_OPTIONS

__all__ = ["page"]

_OPENING = """\
# The command line

Made by `python -m gpusmote.cli.reference > docs/cli.md`; a test holds it to the code.

    pip install "gpusmote[cli]"
    gpusmote plan in.parquet --target late
    gpusmote resample in.parquet --target late -o out.parquet --random-state 0

`python -m gpusmote` is the same. Without the extra there are `info`, `bench` and `--version`; anything else says what
to install. `gpusmote --install-completion` sets up completion for bash, zsh, fish and PowerShell, `--show-completion`
prints it.

Results go to standard output; progress, warnings and errors to standard error. An error is a line `error: ...`, what to
do about it a second line `hint: ...`; `--debug` shows the traceback before them. A progress bar is drawn only where
standard error is a terminal.

## More examples

    gpusmote resample in.csv.gz --target late -o out.parquet --sampler BorderlineSMOTE --m-neighbors 15
    gpusmote resample in.parquet --target kind -o out.parquet --sampling-strategy '{"rare": 5000, "rarer": 2000}'
    gpusmote resample in.parquet --target late -o new.csv --only-synthetic --percentage 250 --origins origins.parquet
    gpusmote plan in.parquet --target late --report - | jq .bytes

Labels in `--sampling-strategy` are written as text and matched to the target's type: `{"1": 500}` for whole numbers,
`{"true": 500}` for booleans.
"""


def page() -> str:
    """The page, in Markdown.

    Returns
    -------
    str
    """
    return "\n".join([_OPENING, *_statuses(), *_commands()]).rstrip() + "\n"


def _statuses() -> Iterator[str]:
    yield from ("## Exit status", "", "| status | meaning |", "| ---: | --- |")
    yield from (f"| {status} | {meaning} |" for status, meaning in STATUS.items())
    yield from (
        "",
        "With any other than 0, OUT is as it was, unless it was only the report or the printing that failed.",
        "",
    )


def _commands() -> Iterator[str]:
    group: Any = typer.main.get_command(app)
    generated = {parameter.flag for parameter in parameters()}
    for name, command in group.commands.items():
        needed = [_typer(option)[:2] for option in command.params if option.required]
        usage = " ".join([name, *(f"{flag.strip('`').split(', ')[-1]} {value}".strip() for flag, value in needed)])
        yield from (
            f"## gpusmote {name}",
            "",
            inspect.cleandoc(command.help),
            "",
            f"    gpusmote {usage} [OPTIONS]",
            "",
        )
        if name == "bench":
            yield from _table((flag, *_argparse(option)) for flag, option in BENCH_OPTIONS.items())
            continue
        own = [option for option in command.params if not generated & set(option.opts)]
        yield from _table(_typer(option) for option in own)
        if len(own) < len(command.params):
            yield from ("and the [parameters of the samplers](#parameters-of-the-samplers).", "")
    yield from ("## Parameters of the samplers", "")
    yield f"Of `resample` and `plan`, whose `--sampler` is one of {', '.join(samplers())}."
    yield "A parameter that the sampler does not have is an error."
    yield ""
    yield from _table(
        (_flags(p.flag, p.kind is bool), _values(p), p.default, p.meaning + _owners(p)) for p in parameters()
    )


def _table(rows: Any) -> Iterator[str]:
    found = list(rows)
    if found:
        yield from ("| option | value | default | meaning |", "| --- | --- | --- | --- |")
        yield from ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in found)
        yield ""


def _typer(option: Any) -> tuple[str, str, str, str]:
    """A row for an option that a command has by itself."""
    flags = f"`{', '.join(option.opts)}`" if option.param_type_name == "option" else f"`{option.metavar}`"
    value = "" if option.param_type_name == "argument" else (option.metavar or "").replace("|", ", ")
    default = "required" if option.required else str(option.default) if isinstance(option.default, str) else ""
    return flags, value, default, Text.from_markup(option.help or "").plain


def _argparse(option: dict[str, Any]) -> tuple[str, str, str]:
    return option.get("metavar", ""), str(option.get("default", "")), option["help"]


def _flags(flag: str, boolean: bool) -> str:
    return f"`{flag}`, `{flag.replace('--', '--no-', 1)}`" if boolean else f"`{flag}`"


def _values(parameter: Any) -> str:
    kind = {
        int: "whole number",
        float: "number",
        bool: "",
        list: "NAME,...",
        object: "text, number or JSON",
        str: "text",
    }
    return ", ".join(parameter.choices) if parameter.kind is str and parameter.choices else kind[parameter.kind]


def _owners(parameter: Any) -> str:
    if len(parameter.defaults) == len(samplers()):
        return ""
    return f" Only {', '.join(parameter.defaults)}."


if __name__ == "__main__":
    print(page(), end="")
