"""Every sampler's parameters as options, read off the classes: signatures, constraints and docstrings.

Nothing about a sampler is written here a second time. One that gpusmote exports is offered as soon as it is there, with
what its ``__init__`` takes, as far as ``_parameter_constraints`` allows a value that can be typed in a shell.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import numbers
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

import gpusmote
from gpusmote.cli.values import checked, nearest, number_or_text, one_of
from gpusmote.errors import ParameterError
from gpusmote.files import resample_file

__all__ = [
    "Parameter",
    "RowsByLabel",
    "build",
    "in_options",
    "merged",
    "parameters",
    "plain",
    "samplers",
]

NOT_OFFERED = ("memory_limit",)
"""Parameters that the commands themselves have, since they concern reading and writing too."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter, of one sampler or of several.

    Attributes
    ----------
    name : str
        As in Python.
    kind : type
        What its text is read as: int, float, bool, str, list (of names, with commas between), or object (a number, an
        object in JSON, or text).
    choices : tuple of str
        The words allowed; where ``kind`` is str and there are some, nothing else is.
    defaults : dict of str to object
        Name of each sampler that has it to its default there.
    meaning : str
        The first paragraph of the docstring, without markup: what holds in a shell, too.
    """

    name: str
    kind: type
    choices: tuple[str, ...]
    defaults: Mapping[str, Any]
    meaning: str

    @property
    def flag(self) -> str:
        """The option."""
        return "--" + self.name.replace("_", "-")

    @property
    def default(self) -> str:
        """The default in words, sampler by sampler where they differ; empty if nothing is what it means."""
        values = set(map(str, self.defaults.values()))
        if values == {"None"}:
            return ""
        if len(values) == 1:
            return _written(next(iter(self.defaults.values())))
        return ", ".join(f"{sampler} {_written(value)}" for sampler, value in self.defaults.items())

    def read(self, text: str) -> Any:
        """The value that a text stands for; whether it is allowed is not asked here.

        Raises
        ------
        ParameterError
            If it begins like an object in JSON and is none.
        """
        if text in self.choices or self.kind is str:
            return text
        return [name.strip() for name in text.split(",")] if self.kind is list else number_or_text(text, self.flag)


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@functools.cache
def samplers() -> dict[str, Any]:
    """Name to class of all that gpusmote exports and that can resample, in alphabetical order."""
    exported = {name: getattr(gpusmote, name) for name in gpusmote.__all__}
    return {name: cls for name, cls in exported.items() if inspect.isclass(cls) and hasattr(cls, "fit_resample")}


@functools.cache
def parameters() -> tuple[Parameter, ...]:
    """The parameters of all samplers, those of most samplers first, each once."""
    return merged(samplers())


def merged(classes: Mapping[str, Any]) -> tuple[Parameter, ...]:
    """The parameters of some samplers, those of most of them first, each once.

    Parameters
    ----------
    classes : dict of str to class

    Returns
    -------
    tuple of Parameter
    """
    defaults: dict[str, dict[str, Any]] = {}
    allowed: dict[str, list[Any]] = {}
    for sampler, cls in classes.items():
        for name, parameter in inspect.signature(cls).parameters.items():
            if name not in NOT_OFFERED:
                defaults.setdefault(name, {})[sampler] = parameter.default
                allowed.setdefault(name, []).extend(cls._parameter_constraints.get(name, []))
    found = {name: (_kind(constraints), _choices(constraints)) for name, constraints in allowed.items()}
    order = sorted((name for name in defaults if found[name][0]), key=lambda name: -len(defaults[name]))
    return tuple(
        Parameter(name, *found[name], defaults[name], _meaning(name, [classes[s] for s in defaults[name]]))
        for name in order
    )


_KINDS = {"boolean": bool, "array-like": list, str: str, Mapping: object, dict: object}
"""Constraints that say by themselves what is typed."""


def _kind(constraints: list[Any]) -> Any:
    """The type of what is typed: object where there are several, None where nothing can be."""
    kinds = {_KINDS[c] for c in constraints if not isinstance(c, (Interval, StrOptions, HasMethods)) and c in _KINDS}
    kinds |= {int if c.type is numbers.Integral else float for c in constraints if isinstance(c, Interval)}
    if list in kinds:
        return list
    if _choices(constraints):
        kinds.add(str)
    return object if len(kinds) > 1 else next(iter(kinds), None)


def _choices(constraints: list[Any]) -> tuple[str, ...]:
    return tuple(sorted({option for c in constraints if isinstance(c, StrOptions) for option in c.options}))


def build(sampler: str, given: Mapping[str, Any]) -> Any:
    """A sampler with the parameters that were given.

    Parameters
    ----------
    sampler : str
        One of :func:`samplers`, in capitals or not.
    given : dict of str to object
        Parameters; those that are None were not given.

    Returns
    -------
    sampler

    Raises
    ------
    ParameterError
        If there is no such sampler, or it does not have one of them, or not with that value.

    Examples
    --------
    >>> build("smote", {"k_neighbors": "3", "m_neighbors": None})
    SMOTE(k_neighbors=3)
    """
    cls = _sampler(sampler)
    known = {parameter.name: parameter for parameter in parameters()}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        parameter = known[name]
        if cls.__name__ not in parameter.defaults:
            owners = " and ".join(parameter.defaults)
            verb = "has" if len(parameter.defaults) == 1 else "have"
            raise ParameterError(f"{cls.__name__} has no {parameter.flag}.", f"{owners} {verb} it; --sampler chooses.")
        value = parameter.read(value) if isinstance(value, str) else value
        values[name] = checked(parameter.flag, value, cls._parameter_constraints[name])
        if name == "sampling_strategy" and isinstance(value, Mapping):
            values[name] = RowsByLabel(value)
    return cls(**values)


def _sampler(name: str) -> Any:
    known = {own.lower(): cls for own, cls in samplers().items()}
    if name.lower() not in known:
        raise ParameterError(f"--sampler is {name!r}.", f"{nearest(name, samplers())}It must be {one_of(samplers())}.")
    return known[name.lower()]


class RowsByLabel:
    """A ``sampling_strategy`` whose labels are text, whatever the type of y's labels.

    Parameters
    ----------
    rows : dict of str to int
        Label, as it is written, to the rows that the class ends with.

    Examples
    --------
    >>> RowsByLabel({"1": 50, "2": 60})(np.array([1, 2, 2]))
    {1: 50, 2: 60}
    >>> RowsByLabel({"true": 50})(np.array([True, False]))
    {True: 50}
    """

    def __init__(self, rows: Mapping[str, Any]) -> None:
        self.rows = dict(rows)

    def __repr__(self) -> str:
        return json.dumps(self.rows)

    def __call__(self, y: np.ndarray) -> dict[Any, Any]:
        known = {text: label for label in dict.fromkeys(np.asarray(y).tolist()) for text in _spellings(label)}
        return {known.get(text, text): rows for text, rows in self.rows.items()}


def _spellings(label: Any) -> Iterator[str]:
    yield str(label)
    if isinstance(label, bool):
        yield str(label).lower()
    elif isinstance(label, float) and label.is_integer():
        yield str(int(label))


def in_options(text: str) -> str:
    """A message of the library with its parameters told as options.

    Examples
    --------
    >>> in_options('sampling_strategy is 2.0; device="cpu" or shrink_k=True helps.')
    '--sampling-strategy is 2.0; --device cpu or --shrink-k helps.'
    """
    known = {parameter.name for parameter in parameters()}
    known |= {name for function in (resample_file, gpusmote.info) for name in inspect.signature(function).parameters}

    def option(found: re.Match[str]) -> str:
        name, value = found[1], found[3]
        # "device" and "search" are words, too: alone they are options only where a message begins with them.
        begins = not found.start() and text[found.end() :].startswith(" is ")
        if name not in known or not (value or begins or "_" in name or name == "percentage"):
            return found[0]
        return "--" + name.replace("_", "-") + (f" {value}" if value and value != "True" else "")

    text = re.sub(r"""(?<![\w'"-])([a-z]\w*)(?:=("?)([\w.:-]*\w)\2)?(?![\w'])""", option, text)
    return text.replace("with force", "with --force")


def _meaning(name: str, classes: list[Any]) -> str:
    """What the docstrings say of a parameter: the first that says more than where else to look."""
    elsewhere = re.compile(r"See (\w+)\.")
    texts = [_described(cls).get(name, "") for cls in classes]
    named = [found[1] for text in texts if (found := elsewhere.fullmatch(text))]
    texts += [_described(samplers().get(other)).get(name, "") for other in named]
    return next((text for text in texts if text and not elsewhere.fullmatch(text)), "")


def _described(cls: Any) -> dict[str, str]:
    """Parameter to the first paragraph about it, from a numpydoc docstring."""
    doc = inspect.cleandoc(cls.__doc__ or "")
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-+$|\Z)", doc, re.MULTILINE | re.DOTALL)
    if section is None:
        return {}
    entries = re.findall(r"^(\w[^\n:]*)(?::[^\n]*)?\n((?:^[ ]+[^\n]*(?:\n|\Z)|^\n)*)", section[1], re.MULTILINE)
    first = {names: re.split(r"\n\s*\n", text.strip())[0] for names, text in entries}
    return {name: plain(text) for names, text in first.items() for name in re.split(r",\s*", names.strip())}


def plain(text: str) -> str:
    """A docstring's text without reStructuredText and on one line.

    Examples
    --------
    >>> plain("See :class:`~gpusmote.SMOTE`,\\n    ``k`` rows.")
    'See SMOTE, k rows.'
    """
    text = re.sub(r":\w+:`~[\w.]*?(\w+)`", r"\1", text)
    text = re.sub(r":\w+:`([^`]*)`", r"\1", text)
    return " ".join(re.sub(r"``([^`]*)``", r"\1", text).split())
