"""Results on standard output; progress, warnings and errors on standard error."""

from __future__ import annotations

import contextlib
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

__all__ = ["Output", "lines"]

Progress = Callable[[str, int, int], None]


class Output:
    """The output of a command.

    Attributes
    ----------
    quiet : bool
        Whether progress, notes and results are omitted. Warnings and errors are printed.
    debug : bool
        Whether errors are printed with their traceback.
    """

    def __init__(self) -> None:
        self.quiet = self.debug = False
        self._warned: list[str] = []

    def result(self, facts: Mapping[str, Any]) -> None:
        """Print results."""
        if not self.quiet and sys.stdout is not None:  # None if it was closed by the shell
            encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
            print("\n".join(lines(facts)).encode(encoding, "backslashreplace").decode(encoding))

    def notes(self, notes: Iterable[str]) -> None:
        """Print notes, except those that were already printed as a warning."""
        for note in map(_as_typed, notes):
            if not self.quiet and not any(warning.startswith(note.rstrip(".")) for warning in self._warned):
                _print_error(f"note: {note}")

    def error(self, message: str, hint: str = "") -> None:
        """Print an error on one line and its hint on another, after the traceback if ``debug`` is set."""
        if self.debug and sys.exc_info()[1] is not None:
            _print_error(*traceback.format_exc().splitlines())
        _print_error(f"error: {_one_line(message)}")
        if hint:
            _print_error(f"hint:  {_one_line(hint)}")

    @contextlib.contextmanager
    def warnings(self) -> Iterator[None]:
        """Print each warning in the block once, on one line."""

        def show(message: Warning | str, *_: Any, **__: Any) -> None:
            self._warned.append(_as_typed(str(message)))
            _print_error(f"warning: {self._warned[-1]}")

        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)  # also if PYTHONWARNINGS hides them
            warnings.showwarning = show
            yield

    @contextlib.contextmanager
    def progress(self) -> Iterator[Progress | None]:
        """A progress bar if standard error is a terminal, else None."""
        if self.quiet or sys.stderr is None or not sys.stderr.isatty():
            yield None
            return
        from rich.console import Console
        from rich.progress import Progress, TimeElapsedColumn

        columns = (*Progress.get_default_columns(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bars:
            tasks: dict[str, Any] = {}

            def advance(stage: str, done: int, total: int) -> None:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(stage, total=None)  # the bar pulses
                if total > 1 or done == total:
                    bars.update(tasks[stage], completed=done, total=total)

            yield advance


def _print_error(*texts: str) -> None:
    if sys.stderr is not None:  # None if it was closed by the shell; print would then use standard output
        print(*map(_printable, texts), sep="\n", file=sys.stderr)


def _printable(text: str) -> str:
    """``text`` with escapes for line breaks and for control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def lines(facts: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """One line for each fact, values aligned; nested facts are indented.

    Examples
    --------
    >>> print("\\n".join(lines({"rows": 1000, "made": {"a": 5, "bb": 0}, "notes": []})))
    rows   1,000
    made
      a   5
      bb  0
    notes  none
    """
    width = max((len(_printable(name)) for name, value in facts.items() if not _nested(value)), default=0)
    for name, value in facts.items():
        for heading, inner in _nested(value):
            yield f"{indent}{_printable(name)}{heading}"
            yield from lines(inner, indent + "  ")
        if not _nested(value):
            yield f"{indent}{_printable(name):<{width}}  {_printable(_text(value))}"


def _nested(value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """The mappings that a fact consists of, with what is added to its name."""
    if isinstance(value, Mapping):
        return [("", value)]
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return [(f" {number}", item) for number, item in enumerate(value)]
    return []


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if type(value) is float:
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if type(value) is int else str(value)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _as_typed(text: str) -> str:
    """A message of the library on one line, with options in place of parameters."""
    from gpusmote.cli.parameters import in_options  # imports scikit-learn

    return _one_line(in_options(text))
