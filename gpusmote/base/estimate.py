"""Upper bound of the memory that a call needs, from the sizes of X and y alone."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from gpusmote.backends import select
from gpusmote.backends.budget import Estimate, arrange, limits_of
from gpusmote.base.strategy import rows_to_make
from gpusmote.config import setting
from gpusmote.containers import Target, wrap_target
from gpusmote.errors import ParameterError
from gpusmote.messages import counted

__all__ = ["estimate_of"]


def estimate_of(sampler: Any, n_rows: Any, n_features: Any, dtype: Any, y: Any, device: str) -> Estimate:
    """See :meth:`gpusmote.base.sampler.BaseSampler.estimate`."""
    rows, columns, kind = _at_least_1(n_rows, "n_rows"), _at_least_1(n_features, "n_features"), _real_dtype(dtype)
    classes, counts = _class_sizes(y, rows)
    table: Any = SimpleNamespace(
        n_rows=rows,
        n_features=columns,
        work_dtype=np.dtype(np.float32 if kind == np.float32 else np.float64),
        kept=0,
        sparse=False,
        result_bytes=lambda n_new, classes: (rows + n_new) * columns * kind.itemsize,
    )
    make = rows_to_make(sampler.sampling_strategy, classes, counts, lambda: np.repeat(classes, counts))
    make = {c: n for c, n in make.items() if n}
    target: Any = SimpleNamespace(counts=counts, row_bytes=Target.row_bytes)
    backend, _ = select(device, sampler._work(table, target, make), "cpu")
    limit = setting("memory_limit") if sampler.memory_limit is None else sampler.memory_limit
    return arrange(sampler._sizes(table, target, make), backend.name, "cpu", limits_of(limit, backend))


def _at_least_1(value: Any, what: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ParameterError(f"{what} is {value!r}.", "It must be a whole number of at least 1.")
    return number


def _real_dtype(dtype: Any) -> np.dtype:
    try:
        kind: np.dtype = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(np.object_)
    if kind.kind not in "biuf":
        raise ParameterError(f"dtype is {dtype!r}.", "It must be a dtype of real numbers, such as float32.")
    return kind


def _class_sizes(y: Any, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The sorted labels, and the number of rows of each."""
    if isinstance(y, Mapping):
        try:
            labels = sorted(y)
        except TypeError:
            raise ParameterError("The labels of y cannot be sorted.", "Pass labels of one type.") from None
        sizes = [_at_least_1(y[label], f"The number of rows of class {label!r}") for label in labels]
        classes, counts = np.empty(len(labels), object), np.array(sizes, np.int64)
        classes[:] = labels
    else:
        target = wrap_target(y, n_rows)
        classes, counts = target.classes, target.counts
    if counts.sum() != n_rows:
        rows = counted(int(counts.sum()), "row")
        raise ParameterError(f"The classes of y have {rows}, X has {n_rows:,}.", "Pass one label for each row of X.")
    if len(classes) < 2:
        raise ParameterError("y has one class only.", "At least two classes are needed.")
    return classes, counts
