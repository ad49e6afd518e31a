"""How many rows each class gets."""

from __future__ import annotations

import copy
import math
import numbers
from fractions import Fraction
from typing import Any

import numpy as np

from gpusmote.base.recipe import too_few_rows
from gpusmote.base.sampler import BaseSampler
from gpusmote.base.strategy import rows_to_make
from gpusmote.containers import Target
from gpusmote.errors import InputError, ParameterError
from gpusmote.messages import counted
from gpusmote.over_sampling import SMOTE

__all__ = ["checked_sampler", "decided", "wanted_rows"]


def checked_sampler(sampler: Any, percentage: Any, dup_size: Any) -> BaseSampler:
    """A copy of the sampler, whose parameters are found to be allowed.

    Raises
    ------
    ParameterError
        If they are not, or percentage and dup_size are not, or more than one of them says how many rows to make.
    """
    sampler = SMOTE() if sampler is None else sampler
    if not isinstance(sampler, BaseSampler):
        kind = sampler if isinstance(sampler, type) else type(sampler)  # other packages have a SMOTE, too
        what = "the class" if kind is sampler else "of type"
        raise ParameterError(
            f"sampler is {what} {kind.__module__}.{kind.__qualname__}.",
            "It must be an instance of a sampler of gpusmote, such as gpusmote.SMOTE().",
        )
    sampler._check_parameters()
    amounts = {"percentage": percentage, "dup_size": dup_size}
    given = [name for name, amount in amounts.items() if amount is not None]
    if given and sampler.sampling_strategy != "auto":
        given.append("sampling_strategy")
    if len(given) > 1:
        *others, last = given
        said = f"{', '.join(others)} and {last} are {'both' if len(given) == 2 else 'all'} given."
        raise ParameterError(said, "One of them says how many rows to make.")
    _check_amounts(percentage, dup_size)
    return copy.copy(sampler)  # not cloned: a generator as random_state goes on where it is


def _check_amounts(percentage: Any, dup_size: Any) -> None:
    if percentage is not None:
        real = isinstance(percentage, numbers.Real) and not isinstance(percentage, bool)
        if not real or not math.isfinite(percentage) or percentage < 0:
            raise ParameterError(f"percentage is {percentage!r}.", "It must be a finite number of at least 0.")
    whole = isinstance(dup_size, numbers.Integral) and not isinstance(dup_size, bool)
    if dup_size is not None and (not whole or dup_size < 1):
        raise ParameterError(
            f"dup_size is {dup_size!r}.",
            "It must be a whole number of at least 1; leave it out to balance the classes.",
        )


def decided(sampler: BaseSampler, target: Target, name: str, percentage: Any, dup_size: Any) -> dict[int, int]:
    """Position of each class to rows to make; percentage and dup_size become the sampler's ``sampling_strategy``.

    Raises
    ------
    InputError
        If there is one class only, or with percentage and dup_size more than two.
    StrategyError
        If ``sampling_strategy`` does not fit the classes.
    TooFewRowsError
        If a class that gets rows has too few for the sampler's k.
    """
    labels = target.classes.tolist()
    if len(labels) < 2:
        raise InputError(
            f"Column {name!r} has one class only, {labels[0]!r}.", "There must be another class to balance it against."
        )
    if percentage is not None or dup_size is not None:
        if len(labels) > 2:
            raise InputError(
                f"Column {name!r} has {counted(len(labels), 'class')}; percentage and dup_size are about the smaller "
                "of two.",
                "Give the sampler a sampling_strategy, such as a dict of the rows that each class should end with.",
            )
        smaller = int(target.counts.argmin())
        have = int(target.counts[smaller])
        sampler.sampling_strategy = {labels[smaller]: have + wanted_rows(have, percentage, dup_size)}
    make = rows_to_make(sampler.sampling_strategy, target.classes, target.counts, lambda: target.classes[target.codes])
    _check_sizes(sampler, target.counts, make, labels)
    return make


def _check_sizes(sampler: BaseSampler, counts: np.ndarray, make: dict[int, int], labels: list[Any]) -> None:
    """TooFewRowsError for a class without k neighbors, as the search would raise it, before rows are read for it."""
    k = sampler._k
    if sampler._looks_at_all_rows or not isinstance(k, (int, np.integer)):
        return
    for c, n_new in make.items():
        size = int(counts[c])
        if n_new and size <= k and not (sampler.shrink_k and size > 1):
            raise too_few_rows(f"Class {labels[c]!r}", size, int(k))


def wanted_rows(have: int, percentage: Any, dup_size: Any) -> int:
    """Synthetic rows for ``have`` rows of the minority; of percentage, the number as it is written in decimals.

    Examples
    --------
    >>> wanted_rows(1000, 33.3, None), wanted_rows(1000, None, 3)
    (333, 3000)
    """
    if dup_size is not None:
        return have * int(dup_size)
    return math.floor(Fraction(str(percentage)) * have / 100)
