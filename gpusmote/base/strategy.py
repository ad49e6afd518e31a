"""The number of synthetic rows of each class, from ``sampling_strategy``."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from gpusmote.errors import StrategyError
from gpusmote.messages import counted

__all__ = ["STRINGS", "rows_to_make"]

STRINGS = ("auto", "minority", "not minority", "not majority", "all")

Strategy = float | str | Mapping[Any, float] | Callable[[np.ndarray], Mapping[Any, float]]


def rows_to_make(
    strategy: Strategy, classes: np.ndarray, counts: np.ndarray, labels: Callable[[], np.ndarray]
) -> dict[int, int]:
    """The number of synthetic rows of each class.

    Parameters
    ----------
    strategy : float, str, mapping or callable
        The forms that imbalanced-learn accepts, and also fractions of the largest class in a mapping:

        - float in (0, 1], for two classes only: the size of the minority class becomes ``floor(strategy * majority)``.
          The product is exact for the decimal number as written: 0.29 of 100 is 29, although ``0.29 * 100 < 29`` in
          floating point.
        - str: the classes to make as large as the largest. "minority" is the smallest class, "not minority" all but the
          smallest, "not majority" all but the largest, "all" all classes; "auto" is "not majority".
        - mapping from label to the size of the class after resampling: an int, a whole float above 1, or a float in
          (0, 1], which is a fraction of the largest class as above. So 1.0 is the size of the largest class, and 1 is
          one row.
        - callable: takes y and returns such a mapping.
    classes : ndarray of shape (c,)
        Labels, sorted.
    counts : ndarray of shape (c,), int
        Number of rows of each class.
    labels : callable
        Returns y; called only for a callable strategy.

    Returns
    -------
    dict of int to int
        Position in ``classes`` to number of rows to make, at least 0. Classes that the strategy does not name are
        absent.

    Raises
    ------
    StrategyError
        If the strategy has another form, names a class that y does not have, or asks for fewer rows than a class has.

    Examples
    --------
    >>> rows_to_make("auto", np.array(["a", "b", "c"]), np.array([10, 4, 7]), None)
    {1: 6, 2: 3}
    >>> rows_to_make({"b": 5, "c": 0.95}, np.array(["a", "b", "c"]), np.array([10, 4, 7]), None)
    {1: 1, 2: 2}
    """
    if isinstance(strategy, str):
        return _from_name(strategy, counts)
    if isinstance(strategy, Mapping):
        return _from_mapping(strategy, classes, counts)
    if isinstance(strategy, numbers.Real) and not isinstance(strategy, bool):
        return _from_ratio(strategy, classes, counts)
    if callable(strategy):
        answer = strategy(labels())
        if not isinstance(answer, Mapping):
            raise StrategyError(
                f"The sampling_strategy callable returned {type(answer).__name__}.",
                "It must return a mapping from label to number of rows.",
            )
        return _from_mapping(answer, classes, counts)
    raise StrategyError(
        f"sampling_strategy is of type {type(strategy).__name__}.",
        "It must be a float, a string, a dict or a callable.",
    )


def _from_name(strategy: str, counts: np.ndarray) -> dict[int, int]:
    if strategy not in STRINGS:
        raise StrategyError(
            f"sampling_strategy is {strategy!r}.", f"The strings allowed are {', '.join(map(repr, STRINGS))}."
        )
    smallest, largest = int(counts.argmin()), int(counts.argmax())
    everyone = range(len(counts))
    chosen = {
        "minority": [smallest],
        "not minority": [c for c in everyone if c != smallest],
        "all": list(everyone),
    }.get(strategy, [c for c in everyone if c != largest])
    return {c: int(counts[largest] - counts[c]) for c in chosen}


def _from_ratio(ratio: Any, classes: np.ndarray, counts: np.ndarray) -> dict[int, int]:
    if len(counts) != 2:
        raise StrategyError(
            f"sampling_strategy is a float, {ratio}, but y has {counted(len(counts), 'class')}.",
            "A ratio needs exactly two; pass a dict from label to rows, or to a fraction of the largest class: "
            f"{{{classes.tolist()[int(counts.argmin())]!r}: {ratio}}}.",
        )
    if not 0 < ratio <= 1:
        raise StrategyError(f"sampling_strategy is {ratio}.", "A ratio must be in (0, 1].")
    smallest = int(counts.argmin())
    have, majority = int(counts[smallest]), int(counts.max())
    wanted = _fraction_of(ratio, majority)
    if wanted < have:
        raise StrategyError(
            f"sampling_strategy={ratio} asks for {counted(wanted, 'minority row')}, and there are {have:,} already: "
            "rows would have to be removed.",
            f"Ask for at least {have / majority:.6g}.",
        )
    return {smallest: wanted - have}


def _fraction_of(ratio: Any, majority: int) -> int:
    """``floor(ratio * majority)``, computed exactly from the decimal number as written."""
    return math.floor(Fraction(str(ratio)) * majority)


def _as_label(label: Any, classes: np.ndarray) -> Any:
    """A key of a mapping in the form of ``classes.tolist()``; dates and times have several forms."""
    if classes.dtype.kind not in "mM":
        return label
    try:
        return np.array([label]).astype(classes.dtype).tolist()[0]
    except (TypeError, ValueError):
        return label


def _from_mapping(strategy: Mapping[Any, Any], classes: np.ndarray, counts: np.ndarray) -> dict[int, int]:
    position = {label: c for c, label in enumerate(classes.tolist())}
    strategy = {_as_label(label, classes): wanted for label, wanted in strategy.items()}
    unknown = [label for label in strategy if label not in position]
    if unknown:
        raise StrategyError(
            f"sampling_strategy names {', '.join(map(repr, unknown))}, which y does not contain.",
            f"The classes of y are {', '.join(map(repr, list(position)[:20]))}.",
        )
    make: dict[int, int] = {}
    for label, asked in sorted(strategy.items(), key=lambda item: position[item[0]]):
        have, largest = int(counts[position[label]]), int(counts.max())
        wanted = _size_afterwards(asked, label, largest)
        if wanted < have:
            share = "" if isinstance(asked, numbers.Integral) else f" ({asked} of the {largest:,} of the largest class)"
            raise StrategyError(
                f"sampling_strategy asks for {counted(wanted, 'row')}{share if asked <= 1 else ''} of class {label!r}, "
                f"which has {have:,}.",
                "Over-sampling only adds rows; the number is the size of the class afterwards, originals included.",
            )
        make[position[label]] = wanted - have
    return make


def _size_afterwards(asked: Any, label: Any, largest: int) -> int:
    """The size of a class after resampling, from one value of a mapping."""
    if isinstance(asked, numbers.Real) and not isinstance(asked, (bool, np.bool_)):
        number: Any = asked
        if isinstance(asked, numbers.Integral) or (1 < number < math.inf and number == math.floor(number)):
            return int(number)
        if 0 < number <= 1:
            return _fraction_of(number, largest)
    raise StrategyError(
        f"sampling_strategy asks for {asked!r} rows of class {label!r}.",
        "It must be a whole number of rows (an int, or a float above 1), or a fraction of the largest class (a float "
        "in (0, 1]).",
    )
