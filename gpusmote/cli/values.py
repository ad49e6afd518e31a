"""What is typed after an option: text to value, and in words what it may be."""

from __future__ import annotations

import difflib
import json
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions, make_constraint

from gpusmote.errors import ParameterError

__all__ = ["allowed", "checked", "nearest", "number_or_text", "one_of"]

_ROWS = """'{"rare": 5000}'"""
_WORDS: dict[Any, str] = {
    "array-like": "names with commas between",
    str: "text",
    Mapping: f"JSON such as {_ROWS}",
    dict: f"JSON such as {_ROWS}",
}


def number_or_text(text: str, flag: str, example: str = _ROWS) -> Any:
    """A number or an object of JSON such as the example, else the text.

    Raises
    ------
    ParameterError
        If it begins like an object in JSON and is none.

    Examples
    --------
    >>> number_or_text(".5", "--x"), number_or_text("auto", "--x"), number_or_text('{"rare": 5000}', "--x")
    (0.5, 'auto', {'rare': 5000})
    """
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ParameterError(f"{flag} {text} is not JSON: {error}.", f"Write it like {example}.") from None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def checked(flag: str, value: Any, constraints: Iterable[Any]) -> Any:
    """The value, if one of the constraints (scikit-learn's) allows it.

    Raises
    ------
    ParameterError
        If none does; it says what would be allowed, and which word is near.
    """
    constraints = list(constraints)
    if any(make_constraint(constraint).is_satisfied_by(value) for constraint in constraints):
        return value
    words = [word for constraint in constraints if isinstance(constraint, StrOptions) for word in constraint.options]
    raise ParameterError(f"{flag} is {value!r}.", nearest(value, words) + f"It must be {allowed(constraints)}.")


def nearest(value: Any, words: Iterable[str]) -> str:
    """A question whether one of the words was meant, or nothing.

    Examples
    --------
    >>> nearest("smot", ["SMOTE", "BorderlineSMOTE"]), nearest("cat", ["SMOTE"])
    ('Did you mean SMOTE? ', '')
    """
    known = {word.lower(): word for word in sorted(words)}
    found = difflib.get_close_matches(str(value).lower(), known, 1)
    return f"Did you mean {known[found[0]]}? " if found else ""


def one_of(words: Iterable[str]) -> str:
    """The words with commas between, and "or" before the last.

    Examples
    --------
    >>> one_of("a"), one_of("ab"), one_of("abc")
    ('a', 'a or b', 'a, b or c')
    """
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def allowed(constraints: Iterable[Any]) -> str:
    """In words what may be typed; of the constraints that no text can satisfy, nothing.

    Examples
    --------
    >>> allowed([Interval(numbers.Integral, 1, None, closed="left"), None])
    'a whole number of at least 1'
    >>> allowed([Interval(numbers.Real, 0, 1, closed="right"), StrOptions({"b", "a c"}), callable])
    'a number above 0 and at most 1, or "a c" or b'
    """
    said = (_said(constraint) for constraint in constraints)
    return ", or ".join(dict.fromkeys(words for words in said if words))


def _said(constraint: Any) -> str:
    if isinstance(constraint, StrOptions):
        return one_of(f'"{word}"' if " " in word else word for word in sorted(constraint.options))
    if isinstance(constraint, Interval):
        return _range(constraint)
    try:
        return _WORDS.get(constraint, "")
    except TypeError:  # what cannot be hashed is no word of ours
        return ""


def _range(interval: Any) -> str:
    number = "a whole number" if interval.type is numbers.Integral else "a number"
    low = "of at least" if interval.closed in ("left", "both") else "above"
    high = "at most" if interval.closed in ("right", "both") else "below"
    ends = [f"{word} {end}" for word, end in ((low, interval.left), (high, interval.right)) if end is not None]
    return " ".join([number, " and ".join(ends)]).rstrip()
