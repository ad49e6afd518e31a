"""Apportionment of rows in proportion to weights, as whole numbers with a given sum."""

from __future__ import annotations

from collections import Counter

import numpy as np

from gpusmote.backends import Array, Backend

__all__ = ["apportion"]


def apportion(n: int, weights: Array, backend: Backend) -> Array:
    """Split n into whole numbers in proportion to weights, by the largest remainder method.

    Each ``n * weight / total`` is rounded down. The rest is given out, one each, to the largest remainders; ties go to
    the weight that comes first.

    Parameters
    ----------
    n : int
        Number to split, at least 0.
    weights : array of shape (s,), int64
        At least 0. They must be small numbers, such as counts of neighbors, because the host makes a table with as
        many entries as the largest weight.
    backend : Backend
        The backend that holds the weights.

    Returns
    -------
    array of shape (s,), int64
        Their sum is n, or 0 if the weights sum to 0.

    Examples
    --------
    >>> apportion(10, np.array([1, 0, 2, 1]), Backend())
    array([3, 0, 5, 2])
    """
    xp = backend.xp
    rows: list[int] = backend.to_host(xp.bincount(weights)).tolist()  # number of rows with each weight
    total = sum(weight * number for weight, number in enumerate(rows))
    if not total:
        return xp.zeros_like(weights)
    # Equal weights have equal shares and remainders, so a small table of Python ints (which cannot overflow) is enough.
    shares = [divmod(n * weight, total) for weight in range(len(rows))]
    left = n - sum(share * number for (share, _), number in zip(shares, rows, strict=True))
    alike: Counter[int] = Counter()
    for (_, remainder), number in zip(shares, rows, strict=True):
        alike[remainder] += number
    for last in sorted(alike, reverse=True):  # larger remainders all get one more; of the last, only the first rows
        if alike[last] >= left:
            break
        left -= alike[last]
    counts = np.array([share + (remainder > last) for share, remainder in shares], np.int64)
    is_last = np.array([remainder == last for _, remainder in shares], np.int64)
    among = xp.take(backend.asarray(is_last), weights)
    return xp.take(backend.asarray(counts), weights) + among * (xp.cumsum(among) <= left)
