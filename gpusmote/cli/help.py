"""Help pages that read well at 80 columns, on a terminal and in a pipe: names of options whole, never broken."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import typer.core

__all__ = ["Command", "Group"]

_LEFT = 24
"""Columns of the names; longer ones have a line of their own."""
_WIDEST = 100
_NO_BREAK = "\xa0"


class Command(typer.core.TyperCommand):
    """A command with a page as this module writes it."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page to click's formatter."""
        formatter.write("\n".join(_page(self, ctx)))


class Group(typer.core.TyperGroup):
    """Commands with a page as this module writes it."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page to click's formatter."""
        commands = [(self.get_command(ctx, name), name) for name in self.list_commands(ctx)]
        rows = [(name, _paragraphs(command)[0]) for command, name in commands if command is not None]
        formatter.write("\n".join([*_page(self, ctx), "", *_section("Commands", rows)]))


def _page(command: Any, ctx: Any) -> Iterator[str]:
    parameters = [parameter for parameter in command.get_params(ctx) if not getattr(parameter, "hidden", False)]
    words = [_name(parameter, -1) for parameter in parameters if parameter.required]
    usage = [ctx.command_path, *(["COMMAND"] if hasattr(command, "list_commands") else words), "[OPTIONS]"]
    yield f"Usage: {' '.join(usage)}"
    for paragraph in _paragraphs(command):
        yield from ("", *_wrapped(paragraph, 0))
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in parameters:
        usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
        sections.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(_line(parameter))
    for title, rows in sections.items():
        yield from ("", *_section(title, rows))


def _paragraphs(command: Any) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in inspect.cleandoc(command.help or "").split("\n\n")]


def _name(parameter: Any, *which: int) -> str:
    """What is typed: the argument, or the flags of an option and what stands for its value."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    flags = [*sorted(parameter.opts, key=len), *parameter.secondary_opts]
    value = "" if parameter.is_flag else parameter.metavar or ""
    return " ".join(filter(None, (", ".join([flags[i] for i in which] or flags), value)))


def _line(parameter: Any) -> tuple[str, str]:
    shown = [text for text in (parameter.show_default, parameter.default) if isinstance(text, str)]
    default = "required" if parameter.required else f"default: {shown[0]}" if shown and shown[0] else ""
    note = f"[{default}]".replace(" ", _NO_BREAK) if default else ""
    return _name(parameter), " ".join(filter(None, (parameter.help, note)))


def _section(title: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f"{title}:"
    for left, text in rows:
        first, *others = _wrapped(text, _LEFT) or [""]
        if len(left) + 4 > _LEFT:
            yield f"  {left}"
            others = [first, *others]
        else:
            yield f"  {left:<{_LEFT - 2}}{first.strip()}"
        yield from others


def _wrapped(text: str, indent: int) -> list[str]:
    width = min(shutil.get_terminal_size((80, 24)).columns, _WIDEST)
    margin = " " * indent
    lines = textwrap.wrap(
        text,
        max(width, 2 * _LEFT),
        initial_indent=margin,
        subsequent_indent=margin,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines]
