"""Parameters of the samplers, read from their signatures, constraints and docstrings, for the command line."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

import gpusmote
from gpusmote.errors import ParameterError

__all__ = [
    "RowsByLabel",
    "build",
    "choices",
    "in_options",
    "meaning",
    "option_name",
    "parameters",
    "plain",
    "read_value",
    "samplers",
    "takes_number",
]


@functools.cache
def samplers() -> dict[str, Any]:
    """The name and class of each sampler that gpusmote exports."""
    exported = {name: getattr(gpusmote, name) for name in gpusmote.__all__}
    return {name: cls for name, cls in exported.items() if inspect.isclass(cls) and hasattr(cls, "fit_resample")}


@functools.cache
def parameters() -> dict[str, dict[str, Any]]:
    """The samplers that have a parameter, and their defaults; the parameters of most samplers come first."""
    found: dict[str, dict[str, Any]] = {}
    for sampler, cls in samplers().items():
        for name, parameter in inspect.signature(cls).parameters.items():
            if name != "memory_limit":  # the commands have it themselves: it limits reading and writing too
                found.setdefault(name, {})[sampler] = parameter.default
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _constraints(name: str) -> list[Any]:
    """scikit-learn's constraints of a parameter."""
    constraints: list[Any] = samplers()[next(iter(parameters()[name]))]._parameter_constraints[name]
    return constraints


def choices(name: str) -> list[str]:
    """The words that a parameter allows."""
    return sorted(word for c in _constraints(name) if isinstance(c, StrOptions) for word in c.options)


def takes_number(name: str) -> bool:
    """Whether a parameter allows numbers."""
    return any(isinstance(constraint, Interval) for constraint in _constraints(name))


def option_name(parameter: str) -> str:
    """The option for a parameter."""
    return "--" + parameter.replace("_", "-")


def read_value(name: str, text: str) -> Any:
    """The number or the JSON object that a text stands for, else the text.

    Examples
    --------
    >>> read_value("x", ".5"), read_value("x", "auto"), read_value("x", '{"rare": 5000}')
    (0.5, 'auto', {'rare': 5000})
    """
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    if not text.startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        example = """'{"cpu": "8GB", "cuda": "50%"}'""" if name == "memory_limit" else """'{"rare": 5000}'"""
        raise ParameterError(f"{option_name(name)} {text} is not JSON: {error}.", f"For example: {example}") from None


def build(sampler: str, given: Mapping[str, str | bool | None]) -> Any:
    """A sampler with the given parameters.

    Parameters
    ----------
    sampler : str
        Name of a sampler; upper or lower case does not matter.
    given : dict
        Texts of the parameters, True for a flag; None if it was not given.

    Raises
    ------
    ParameterError
        If there is no such sampler, or it does not have one of the parameters. Values are checked when it is used.

    Examples
    --------
    >>> build("smote", {"k_neighbors": "3", "m_neighbors": None})
    SMOTE(k_neighbors=3)
    """
    name = {known.lower(): known for known in samplers()}.get(sampler.lower())
    if name is None:
        raise ParameterError(f"--sampler is {sampler!r}.", f"The samplers are {', '.join(samplers())}.")
    values: dict[str, Any] = {}
    for parameter, value in given.items():
        if value is not None:
            values[parameter] = read_value(parameter, value) if isinstance(value, str) else value
            if name not in parameters()[parameter]:
                owners = " and ".join(parameters()[parameter])
                raise ParameterError(f"{name} has no {option_name(parameter)}.", f"It is an option of {owners}.")
    if isinstance(values.get("sampling_strategy"), Mapping):
        values["sampling_strategy"] = RowsByLabel(values["sampling_strategy"])
    return samplers()[name](**values)


class RowsByLabel:
    """A ``sampling_strategy`` whose labels are text, whatever the type of y's labels.

    Parameters
    ----------
    rows : dict of str to int
        The label as text, and the number of rows of the class after resampling.

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
    """A message of the library with the names of options in place of parameters.

    Examples
    --------
    >>> in_options('sampling_strategy is 2.0; device="cpu" or shrink_k=True helps.')
    '--sampling-strategy is 2.0; --device cpu or --shrink-k helps.'
    >>> in_options("The 'search' parameter of SMOTE must be a str.")
    'The --search parameter of SMOTE must be a str.'
    """
    functions = gpusmote.resample_file, gpusmote.info
    known = {*parameters(), *(name for function in functions for name in inspect.signature(function).parameters)}

    def option(found: re.Match[str]) -> str:
        name, value = found[1], found[3]
        # "device" and "search" are also words: alone they are parameters only at the beginning of a message.
        begins = not found.start() and text[found.end() :].startswith(" is ")
        if name not in known or not (value or begins or "_" in name or name == "percentage"):
            return found[0]
        return option_name(name) + (f" {value}" if value and value != "True" else "")

    text = re.sub(r"'(\w+)' parameter of", lambda found: f"{option_name(found[1])} parameter of", text)
    text = re.sub(r"""(?<![\w'"-])([a-z]\w*)(?:=("?)([\w.:-]*\w)\2)?(?![\w'])""", option, text)
    return text.replace("with force", "with --force")


def meaning(name: str) -> str:
    """The description of a parameter in the first docstring that does not refer to another one."""
    texts = [_descriptions(samplers()[sampler]).get(name, "") for sampler in parameters()[name]]
    return next((text for text in texts if text and not text.startswith("See ")), "")


@functools.cache
def _descriptions(cls: Any) -> dict[str, str]:
    """The first paragraph about each parameter in a numpydoc docstring."""
    section = (inspect.getdoc(cls) or "").partition("Parameters\n----------\n")[2]
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", section):
        names, _, text = entry.partition("\n")
        for name in names.partition(":")[0].split(","):
            found.setdefault(name.strip(), plain(re.split(r"\n\s*\n", text)[0]))
    return found


def plain(text: str) -> str:
    """A docstring's text without reStructuredText and on one line.

    Examples
    --------
    >>> plain("See :class:`~gpusmote.SMOTE`,\\n    ``k`` rows.")
    'See SMOTE, k rows.'
    """
    text = re.sub(r":\w+:`~[\w.]*?(\w+)`", r"\1", text)
    text = re.sub(r":\w+:`([^`]*)`", r"\1", text)
    return " ".join(text.replace("``", "").split())
