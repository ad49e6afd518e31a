"""What people see: results on standard output; progress, warnings and errors on standard error."""

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
    """How much is said.

    Attributes
    ----------
    quiet : bool
        Neither progress nor results; warnings and errors remain.
    debug : bool
        Errors with their traceback.
    """

    def __init__(self) -> None:
        self.quiet = self.debug = False
        self._warned: list[str] = []

    def result(self, facts: Mapping[str, Any]) -> None:
        """Print what was done."""
        if not self.quiet and sys.stdout is not None:  # a shell can close it
            text = "\n".join(lines(facts))
            encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
            print(text.encode(encoding, "backslashreplace").decode(encoding))

    def notes(self, notes: Iterable[str]) -> None:
        """Say what was done in another way than asked for, on a line each; not what a warning has said."""
        for note in map(_in_shell, notes):
            if not self.quiet and not any(warning.startswith(note.rstrip(".")) for warning in self._warned):
                _say(f"note: {note}")

    def error(self, message: str, hint: str = "") -> None:
        """Say on one line what is wrong, on another what to do; before both, if asked for, where it happened."""
        if self.debug and sys.exc_info()[1] is not None:
            _say(traceback.format_exc().rstrip("\n"))
        _say(f"error: {_one_line(message)}")
        if hint:
            _say(f"hint:  {_one_line(hint)}")

    @contextlib.contextmanager
    def warnings(self) -> Iterator[None]:
        """Print warnings as errors are printed, each once."""

        def show(message: Warning | str, *_: Any, **__: Any) -> None:
            self._warned.append(_in_shell(str(message)))
            _say(f"warning: {self._warned[-1]}")

        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)  # such as gpusmote's, whatever PYTHONWARNINGS says
            warnings.showwarning = show
            yield

    @contextlib.contextmanager
    def progress(self) -> Iterator[Progress | None]:
        """A bar on the terminal that standard error is; None where it is none."""
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
                    tasks[stage] = bars.add_task(stage, total=None)
                known = total if total > 1 else None  # of one thing nobody knows how far it is: the bar pulses
                bars.update(tasks[stage], completed=done, total=total if done >= total else known)

            yield advance


def _say(text: str) -> None:
    """Print on standard error, unless a shell has closed it, which ``print`` would take for standard output."""
    if sys.stderr is not None:
        print("\n".join(map(_printable, text.split("\n"))), file=sys.stderr)


def _printable(text: str) -> str:
    """``text`` with escapes for line breaks and for what a terminal would obey, such as a label that holds ESC."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def lines(facts: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """One line a fact, names aligned; facts within facts are indented.

    Examples
    --------
    >>> print("\\n".join(lines({"rows": 1000, "made": {"a": 5, "bb": 0}, "notes": []})))
    rows   1,000
    made
      a   5
      bb  0
    notes  none
    """
    named = [(_printable(name), value) for name, value in facts.items()]
    width = max((len(name) for name, value in named if not isinstance(value, Mapping)), default=0)
    for name, value in named:
        if isinstance(value, Mapping):
            yield f"{indent}{name}"
            yield from lines(value, indent + "  ")
        elif isinstance(value, Iterable) and not isinstance(value, str):
            yield from _items(name, list(value), indent, width)
        else:
            yield f"{indent}{name:<{width}}  {_text(value)}"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if type(value) is float:
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if type(value) is int else _printable(str(value))


def _items(name: str, values: list[Any], indent: str, width: int) -> Iterator[str]:
    if not any(isinstance(value, Mapping) for value in values):
        yield f"{indent}{name:<{width}}  {', '.join(_printable(str(value)) for value in values) or 'none'}"
        return
    for number, value in enumerate(values):
        yield f"{indent}{name} {number}"
        yield from lines(value if isinstance(value, Mapping) else {"": value}, indent + "  ")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _in_shell(text: str) -> str:
    from gpusmote.cli.parameters import in_options  # which loads scikit-learn

    return _one_line(in_options(text))
