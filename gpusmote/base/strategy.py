"""From ``sampling_strategy`` to the number of synthetic rows of each class."""

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
    """Synthetic rows that each class gets.

    Parameters
    ----------
    strategy : float, str, mapping or callable
        What imbalanced-learn takes, and shares of the largest class in a mapping:

        - float in (0, 1], two classes only: the minority ends with ``floor(strategy * majority)`` rows, the product
          taken of the decimal number as it is written (0.29 of 100 is 29, though ``0.29 * 100 < 29`` in floating
          point);
        - "minority": the smallest class ends with as many rows as the largest; "not minority", "not majority",
          "all": every class but the smallest, but the largest, or none; "auto" is "not majority";
        - mapping from label to the rows that the class ends with: an int, a float above 1 that is whole, or a float
          in (0, 1], which is a share of the largest class's rows as above (so 1.0 is as many as the largest, and 1
          is one row);
        - callable: takes y, returns such a mapping.
    classes : ndarray of shape (c,)
        Labels, sorted.
    counts : ndarray of shape (c,), int
        Rows of each.
    labels : callable
        Makes y for a callable strategy.

    Returns
    -------
    dict of int to int
        Position in ``classes`` to rows to make, at least 0; classes that the strategy does not name are absent.

    Raises
    ------
    StrategyError
        If the strategy is not one of these, names a class that y does not have, or asks for fewer rows than there
        are.

    Examples
    --------
    >>> rows_to_make("auto", np.array(["a", "b", "c"]), np.array([10, 4, 7]), None)
    {1: 6, 2: 3}
    >>> rows_to_make({"b": 5, "c": 0.95}, np.array(["a", "b", "c"]), np.array([10, 4, 7]), None)
    {1: 1, 2: 2}
    """
    if isinstance(strategy, str):
        return _named(strategy, counts)
    if isinstance(strategy, Mapping):
        return _mapped(strategy, classes, counts)
    if isinstance(strategy, numbers.Real) and not isinstance(strategy, bool):
        return _ratio(strategy, classes, counts)
    if callable(strategy):
        answer = strategy(labels())
        if not isinstance(answer, Mapping):
            raise StrategyError(
                f"The sampling_strategy callable returned {type(answer).__name__}.",
                "It must return a mapping from label to number of rows.",
            )
        return _mapped(answer, classes, counts)
    raise StrategyError(
        f"sampling_strategy is of type {type(strategy).__name__}.",
        "It must be a float, a string, a dict or a callable.",
    )


def _named(strategy: str, counts: np.ndarray) -> dict[int, int]:
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


def _ratio(ratio: Any, classes: np.ndarray, counts: np.ndarray) -> dict[int, int]:
    if len(counts) != 2:
        raise StrategyError(
            f"sampling_strategy is a float, {ratio}, but y has {counted(len(counts), 'class')}.",
            "A ratio needs exactly two; give a dict from label to rows, or to a share of the largest class: "
            f"{{{classes.tolist()[int(counts.argmin())]!r}: {ratio}}}.",
        )
    if not 0 < ratio <= 1:
        raise StrategyError(f"sampling_strategy is {ratio}.", "A ratio must lie in (0, 1].")
    smallest = int(counts.argmin())
    have, majority = int(counts[smallest]), int(counts.max())
    wanted = _share(ratio, majority)
    if wanted < have:
        raise StrategyError(
            f"sampling_strategy={ratio} asks for {counted(wanted, 'minority row')}, and there are {have:,} already: "
            "rows would have to be removed.",
            f"Ask for at least {have / majority:.6g}.",
        )
    return {smallest: wanted - have}


def _share(ratio: Any, majority: int) -> int:
    """``floor(ratio * majority)``, the product taken of the decimal number as it is written."""
    return math.floor(Fraction(str(ratio)) * majority)


def _as_label(label: Any, classes: np.ndarray) -> Any:
    """A key of a mapping as ``classes.tolist()`` would write it: dates and times have several forms."""
    if classes.dtype.kind not in "mM":
        return label
    try:
        return np.array([label]).astype(classes.dtype).tolist()[0]
    except (TypeError, ValueError):
        return label


def _mapped(strategy: Mapping[Any, Any], classes: np.ndarray, counts: np.ndarray) -> dict[int, int]:
    position = {label: c for c, label in enumerate(classes.tolist())}
    strategy = {_as_label(label, classes): wanted for label, wanted in strategy.items()}
    unknown = [label for label in strategy if label not in position]
    if unknown:
        raise StrategyError(
            f"sampling_strategy names {', '.join(map(repr, unknown))}, which y does not hold.",
            f"Its classes are {', '.join(map(repr, list(position)[:20]))}.",
        )
    make: dict[int, int] = {}
    for label, asked in sorted(strategy.items(), key=lambda item: position[item[0]]):
        have, largest = int(counts[position[label]]), int(counts.max())
        wanted = _wanted(asked, label, largest)
        if wanted < have:
            share = "" if isinstance(asked, numbers.Integral) else f" ({asked} of the {largest:,} of the largest class)"
            raise StrategyError(
                f"sampling_strategy asks for {counted(wanted, 'row')}{share if asked <= 1 else ''} of class {label!r}, "
                f"which has {have:,}.",
                "Over-sampling only adds rows: the number is the class's rows afterwards, originals included.",
            )
        make[position[label]] = wanted - have
    return make


def _wanted(asked: Any, label: Any, largest: int) -> int:
    """The rows that a class is to end with, from one value of a mapping."""
    if isinstance(asked, numbers.Real) and not isinstance(asked, (bool, np.bool_)):
        number: Any = asked
        if isinstance(asked, numbers.Integral) or (1 < number < math.inf and number == math.floor(number)):
            return int(number)
        if 0 < number <= 1:
            return _share(number, largest)
    raise StrategyError(
        f"sampling_strategy asks for {asked!r} rows of class {label!r}.",
        "It must be a whole number of rows (an int, or a float above 1), or a float in (0, 1]: a share of the largest "
        "class's rows.",
    )
