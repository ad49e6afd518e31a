"""Rows shared out in proportion to weights, as whole numbers that add up."""

from __future__ import annotations

from collections import Counter

import numpy as np

from gpusmote.backends import Array, Backend

__all__ = ["apportion"]


def apportion(n: int, weights: Array, backend: Backend) -> Array:
    """How many of n each weight gets: by largest remainder, of equal remainders the first.

    ``n * weight / total`` is rounded down, and what is left goes, one each, to the largest remainders.

    Parameters
    ----------
    n : int
        To share out; at least 0.
    weights : array of shape (s,), int64
        At least 0, and small numbers such as counts of neighbors: the host makes a table of as many entries as the
        largest says.
    backend : Backend
        Where the weights lie.

    Returns
    -------
    array of shape (s,), int64
        Their sum is n, or 0 if that of the weights is.

    Examples
    --------
    >>> apportion(10, np.array([1, 0, 2, 1]), Backend())
    array([3, 0, 5, 2])
    """
    xp = backend.xp
    rows: list[int] = backend.to_host(xp.bincount(weights)).tolist()  # how many have each weight
    total = sum(weight * number for weight, number in enumerate(rows))
    if not total:
        return xp.zeros_like(weights)
    # Weights that are equal have one share and one remainder: a table of Python's own numbers, which do not overflow.
    shares = [divmod(n * weight, total) for weight in range(len(rows))]
    left = n - sum(share * number for (share, _), number in zip(shares, rows, strict=True))
    alike: Counter[int] = Counter()
    for (_, remainder), number in zip(shares, rows, strict=True):
        alike[remainder] += number
    for last in sorted(alike, reverse=True):  # all larger ones get one more, and of the last the first that are left
        if alike[last] >= left:
            break
        left -= alike[last]
    counts = np.array([share + (remainder > last) for share, remainder in shares], np.int64)
    is_last = np.array([remainder == last for _, remainder in shares], np.int64)
    among = xp.take(backend.asarray(is_last), weights)
    return xp.take(backend.asarray(counts), weights) + among * (xp.cumsum(among) <= left)
