"""docs/cli.md, made from the commands themselves: ``python -m gpusmote.cli.reference > docs/cli.md``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from gpusmote.cli.app import app
from gpusmote.cli.exit_status import STATUS
from gpusmote.cli.help import described
from gpusmote.cli.parameters import parameters, samplers
from gpusmote.cli.plain import BENCH_OPTIONS

__all__ = ["page"]

_OPENING = """\
# The command line

Made by `python -m gpusmote.cli.reference > docs/cli.md`; a test holds it to the code.

    pip install "gpusmote[cli]"
    gpusmote plan in.parquet --target late
    gpusmote resample in.parquet --target late -o out.parquet --random-state 0

`python -m gpusmote` is the same. Without the extra there are `info`, `bench`, `--help` and `--version`; `resample` and
`plan` say what to install. `gpusmote --install-completion` sets up completion for bash, zsh, fish and PowerShell,
`--show-completion` prints it.

Results go to standard output; progress, notes, warnings and errors to standard error. An error is a line `error: ...`,
what to do about it a second line `hint: ...`; `--debug` shows the traceback before them. What was done in another way
than asked for, such as an exact search where an approximate one would not pay, is a line `note: ...`. A progress bar is
drawn only where standard error is a terminal.

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
        needed = [described(option) for option in command.params if option.required]
        usage = " ".join([name, *(" ".join(filter(None, (row.flags[-1], row.value))) for row in needed)])
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
        yield from _table(map(_row, own))
        if len(own) < len(command.params):
            yield from ("and the [parameters of the samplers](#parameters-of-the-samplers).", "")
    yield from ("## Parameters of the samplers", "")
    yield f"Of `resample` and `plan`, whose `--sampler` is one of {', '.join(samplers())}."
    yield "A parameter that the sampler does not have is an error."
    yield ""
    rows = {option.opts[0]: _row(option) for option in group.commands["resample"].params}
    yield from _table((*rows[p.flag][:3], rows[p.flag][3] + _owners(p)) for p in parameters())


def _table(rows: Any) -> Iterator[str]:
    found = list(rows)
    if found:
        yield from ("| option | value | default | meaning |", "| --- | --- | --- | --- |")
        yield from ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in found)
        yield ""


def _row(option: Any) -> tuple[str, str, str, str]:
    row = described(option)
    return f"`{', '.join(row.flags)}`", row.value.replace("|", ", "), row.default, row.meaning


def _argparse(option: dict[str, Any]) -> tuple[str, str, str]:
    return option.get("metavar", ""), str(option.get("default", "")), option["help"]


def _owners(parameter: Any) -> str:
    if len(parameter.defaults) == len(samplers()):
        return ""
    return f" Only {' and '.join(parameter.defaults)}."


if __name__ == "__main__":
    print(page(), end="")
