"""Search among distinct rows in tables with many duplicate rows, and expand the results to the duplicates.

Integer and categorical columns produce such tables. Without this step, every list of neighbors would end among ties.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpusmote.backends.cpu import Array, Backend
from gpusmote.neighbors.candidates import nearest_first

__all__ = ["Groups", "find_groups"]

_HASHED = 64  # columns at most; rows with the same hash are compared in full
_PAIRS = 0.4  # pairs of equal rows for each row of the table: a tenth of the rows repeat one other row each


def find_groups(backend: Backend, values: Array) -> Groups | None:
    """The groups of equal rows of a table, or None if comparing all pairs of equal rows takes few comparisons."""
    xp, n = backend.xp, len(values)
    order, repeats = _hash_order(xp, _bits(values))
    if 4 * len(repeats) * len(repeats) < _PAIRS * n:  # too few even if all of them are equal
        return None
    ends = xp.nonzero(xp.diff(repeats, append=n) != 1)[0] + 1  # ends of the runs of equal hashes
    size = xp.diff(ends, prepend=0) + 1
    return Groups(backend, values, order, repeats) if int((size * size).sum()) >= _PAIRS * n else None


class Groups:
    """Groups of equal rows; 0.0 and -0.0 are equal.

    Rows are sorted by a hash, and consecutive rows with the same hash are compared in full. If different rows share a
    hash, a group may be split into several. The search is correct also with such split groups.

    Parameters
    ----------
    backend : Backend
    values : array of shape (n, d), float32 or float64
    order, repeats : array
        The rows sorted by hash, and the positions in that order whose next row has the same hash.

    Attributes
    ----------
    n : int
        Number of groups.
    of : array of shape (n_rows,), int64
        Group of each row. Groups are numbered by their lowest row.
    lowest : array of shape (n,), int64
        Lowest row of each group.
    """

    def __init__(self, backend: Backend, values: Array, order: Array, repeats: Array) -> None:
        xp, bits = backend.xp, _bits(values)
        self._xp = xp
        starts = xp.ones(len(values), bool)
        block = max(1, backend.memory.size(1 << 20) // values.shape[1])
        for start in range(0, len(repeats), block):
            part = repeats[start : start + block]
            rows, before = _one_zero(bits[order[part + 1]]), _one_zero(bits[order[part]])
            starts[part + 1] = (rows != before).any(axis=1)
        first = order[starts]  # the sort is stable, so this is the lowest row of each group
        by_row = xp.argsort(first)
        self.n = len(first)
        self.lowest = first[by_row]
        number = xp.empty(self.n, "i8")
        number[by_row] = xp.arange(self.n)
        self.of = xp.empty(len(values), "i8")
        self.of[order] = number[xp.cumsum(starts) - 1]
        self._members = xp.argsort(self.of, kind="stable")
        self._start = xp.searchsorted(self.of[self._members], xp.arange(self.n + 1))

    def expand(self, queries: Array, groups: Array, distance: Array, k: int) -> Array:
        """The k nearest rows, from the nearest groups.

        They are in the query's own group and the k nearest others, where equal distances are ordered by lowest row:
        if a row r of a group G has rank k or less and G is not among those groups, then k other groups come before G,
        and the lowest row of each comes before r.

        Parameters
        ----------
        queries : array of shape (m,), int64
            Row numbers.
        groups : array of shape (m, c), int64
            The nearest other groups of each query: k, or all if there are fewer.
        distance : array of shape (m, c), float64
            Their deciding distances.
        k : int

        Returns
        -------
        array of shape (m, k), int64
        """
        xp, m = self._xp, len(queries)
        groups = xp.concatenate([self.of[queries][:, None], groups], axis=1)
        distance = xp.concatenate([xp.zeros((m, 1)), distance], axis=1)
        place = self._start[groups][:, :, None] + xp.arange(k + 1)  # k + 1: one of them may be the query
        valid = place < self._start[groups + 1][:, :, None]
        rows = self._members[xp.where(valid, place, 0)]
        valid &= rows != queries[:, None, None]
        far = xp.where(valid, distance[:, :, None], xp.inf).reshape(m, -1)
        rows = rows.reshape(m, -1)
        order = xp.argsort(rows, axis=1)
        rows, far = xp.take_along_axis(rows, order, axis=1), xp.take_along_axis(far, order, axis=1)
        return nearest_first(xp, rows, far, k)[0]


def _bits(values: Array) -> Array:
    """The values as unsigned integers: CuPy compares floats with -ftz=true, which makes all subnormals equal."""
    return values.view(f"u{values.dtype.itemsize}")


def _one_zero(bits: Array) -> Array:
    """Replace -0.0 by 0.0, in place."""
    bits *= bits != bits.dtype.type(1 << (8 * bits.dtype.itemsize - 1))
    return bits


def _hash_order(xp: Any, bits: Array) -> tuple[Array, Array]:
    """The rows sorted by hash, and the positions in that order whose next row has the same hash."""
    hashes = _hashes(xp, bits)
    order = xp.argsort(hashes, kind="stable")
    hashes = hashes[order]
    return order, xp.nonzero(hashes[1:] == hashes[:-1])[0]


def _hashes(xp: Any, bits: Array) -> Array:
    """A 64-bit hash of some columns of each row: folded bits times an odd number that differs between columns."""
    columns = range(0, bits.shape[1], -(-bits.shape[1] // _HASHED) or 1)
    odd = np.random.Philox(key=0).random_raw(bits.shape[1]) | np.uint64(1)
    total = xp.zeros(len(bits), "u8")
    fold = np.uint64(4 * bits.dtype.itemsize)
    for j in columns:
        column = _one_zero(bits[:, j].copy()).astype("u8", copy=False)
        column ^= column >> fold  # small integers, as floats, differ only in their highest bits
        column *= odd[j]
        total += column
        total ^= total >> np.uint64(29)
    return total
