"""A table and a target of which only the sizes are known, for estimates."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from gpusmote.arrays import wrap_target
from gpusmote.errors import ParameterError
from gpusmote.words import counted

__all__ = ["imagined"]


def imagined(n_rows: Any, n_features: Any, dtype: Any, y: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """What there is to know of a NumPy array and its labels without their rows.

    Returns
    -------
    table : object
        With those attributes of a :class:`gpusmote.arrays.Table` that sizes are told from.
    classes : ndarray of shape (c,)
        Sorted.
    counts : ndarray of shape (c,), int64

    Raises
    ------
    ParameterError
        If a size is no whole number of at least 1, the dtype not one of numbers, or y has other than n_rows rows or
        fewer than two classes.
    """
    n_rows, n_features = _at_least_one(n_rows, "n_rows"), _at_least_one(n_features, "n_features")
    kind = _dtype(dtype)
    classes, counts = _classes(y, n_rows)
    if counts.sum() != n_rows:
        raise ParameterError(
            f"y has {counted(int(counts.sum()), 'row')} in its classes, X has {n_rows:,}.",
            "Give every row of X its class.",
        )
    if len(classes) < 2:
        raise ParameterError("y has one class only.", "There must be another class to balance it against.")
    work_dtype = np.dtype(np.float32 if kind == np.float32 else np.float64)
    table = SimpleNamespace(
        n_rows=n_rows,
        n_features=n_features,
        work_dtype=work_dtype,
        itemsize=float(kind.itemsize),
        in_place=kind == work_dtype,
        joined=False,
        shares=False,
        copied=0.0,
        unwrapped=0.0,
    )
    return table, classes, counts


def _at_least_one(value: Any, what: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ParameterError(f"{what} is {value!r}.", "It must be a whole number of at least 1.")
    return number


def _dtype(dtype: Any) -> np.dtype:
    try:
        kind: np.dtype = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(np.object_)
    if kind.kind not in "biuf":
        raise ParameterError(f"dtype is {dtype!r}.", "It must be a dtype of real numbers, such as float32.")
    return kind


def _classes(y: Any, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(y, Mapping):
        target = wrap_target(y, n_rows)
        return target.classes, target.counts
    counts = [_at_least_one(count, f"The number of rows of class {label!r}") for label, count in y.items()]
    try:
        order = sorted(range(len(counts)), key=list(y).__getitem__)
    except TypeError:
        raise ParameterError("The labels of y cannot be sorted.", "Give labels of one kind.") from None
    classes = np.empty(len(counts), object)
    classes[:] = [list(y)[i] for i in order]
    return classes, np.array([counts[i] for i in order], np.int64)
