"""The checked sampler of a run, and the number of rows of each class."""

from __future__ import annotations

import copy
import numbers
from typing import Any

from gpusmote.base.sampler import BaseSampler
from gpusmote.base.strategy import rows_to_make
from gpusmote.containers import Target
from gpusmote.errors import InputError, ParameterError
from gpusmote.over_sampling import SMOTE
from gpusmote.oversample_table import check_percentage, minority_strategy

__all__ = ["checked_sampler", "decided"]


def checked_sampler(sampler: Any, percentage: Any, dup_size: Any) -> BaseSampler:
    """A copy of the sampler (None: SMOTE), whose parameters are valid.

    Raises
    ------
    ParameterError
        If a parameter, percentage or dup_size is not allowed, or more than one of them sets the number of rows.
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
    given = [name for name, value in (("percentage", percentage), ("dup_size", dup_size)) if value is not None]
    if given and sampler.sampling_strategy != "auto":
        given.append("sampling_strategy")
    if len(given) > 1:
        raise ParameterError(f"{' and '.join(given)} are given.", "Give only one of them: it sets the number of rows.")
    if percentage is not None:
        check_percentage(percentage)
    whole = isinstance(dup_size, numbers.Integral) and not isinstance(dup_size, bool)
    if dup_size is not None and (not whole or dup_size < 1):
        raise ParameterError(
            f"dup_size is {dup_size!r}.",
            "It must be a whole number of at least 1; leave it out to balance the classes.",
        )
    return copy.copy(sampler)  # not cloned: the state of a generator passed as random_state advances


def decided(sampler: BaseSampler, target: Target, name: str, percentage: Any, dup_size: Any) -> dict[int, int]:
    """Number of rows to make for each class position. percentage and dup_size set the sampler's sampling_strategy.

    Raises
    ------
    InputError
        If there is only one class, or percentage or dup_size is given and there are more than two.
    StrategyError
        If ``sampling_strategy`` does not fit the classes.
    TooFewRowsError
        If a class that gets rows has too few for the sampler's k.
    """
    if len(target.classes) < 2:
        raise InputError(
            f"Column {name!r} has one class only, {target.classes.tolist()[0]!r}.",
            "There must be another class to balance it against.",
        )
    if percentage is not None or dup_size is not None:
        sampler.sampling_strategy = minority_strategy(target, name, percentage, dup_size)
    make = rows_to_make(sampler.sampling_strategy, target.classes, target.counts, lambda: target.classes[target.codes])
    sampler._check_sizes(target, {c: n_new for c, n_new in make.items() if n_new})
    return make
