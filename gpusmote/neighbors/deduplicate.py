"""Tables in which rows occur again and again: the search is for distinct rows, and each brings its copies.

Columns that count or categorise make such tables. Searched as they are, every list would end among ties.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpusmote.backends.cpu import Array, Backend

__all__ = ["Groups", "groups_of"]

_FEW = 0.9


def groups_of(backend: Backend, values: Array) -> Groups | None:
    """The groups of a table, or None where copies are few: the search takes those in its stride.

    They are many where a tenth of all rows repeat others, or where some row has so many copies that to compare all
    pairs of equal rows would be as much as to compare each row with one other.
    """
    xp, n = backend.xp, len(values)
    _, again = _alike(xp, _bits(values))
    if len(again) < (1 - _FEW) * n:
        if len(again) < math.isqrt(n):
            return None
        ends = xp.nonzero(xp.diff(again, append=n) != 1)[0] + 1  # of runs of the same hash
        size = xp.diff(ends, prepend=0) + 1
        return Groups(backend, values) if int((size * size).sum()) >= n else None
    groups = Groups(backend, values)
    return groups if groups.n <= _FEW * n else None


class Groups:
    """Equal rows, put together; 0.0 and -0.0 are equal.

    Rows are ordered by a hash, and those that follow one of the same hash are compared with it in full. Where
    different rows share a hash, a group may fall into several; nothing below needs groups to be complete.

    Parameters
    ----------
    backend : Backend
    values : array of shape (n, d), float32 or float64

    Attributes
    ----------
    n : int
        How many groups.
    of : array of shape (n_rows,), int64
        Each row's group; groups are numbered in the order of their lowest rows.
    lowest : array of shape (n,), int64
        Those rows.
    """

    def __init__(self, backend: Backend, values: Array) -> None:
        xp = self._xp = backend.xp
        bits = _bits(values)
        order, again = _alike(xp, bits)
        starts = xp.ones(len(values), bool)
        block = max(1, backend.memory.size(1 << 20) // values.shape[1])
        for start in range(0, len(again), block):
            part = again[start : start + block]
            rows, before = _one_zero(bits[order[part + 1]]), _one_zero(bits[order[part]])
            starts[part + 1] = (rows != before).any(axis=1)
        del again
        first = order[starts]  # stable: the lowest row of each group
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

        They lie in the query's own group and the k nearest others, ties among groups going to the one with the lowest
        row: if a row r of a group G has rank k or less and G is not among those, then k other groups come before G,
        and the lowest row of each comes before r.

        Parameters
        ----------
        queries : array of shape (m,), int64
            Rows.
        groups : array of shape (m, c), int64
            The nearest other groups of each: k, or all there are.
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
        there = place < self._start[groups + 1][:, :, None]
        rows = self._members[xp.where(there, place, 0)]
        there &= rows != queries[:, None, None]
        far = xp.where(there, distance[:, :, None], xp.inf).reshape(m, -1)
        rows = rows.reshape(m, -1)
        order = xp.argsort(rows, axis=1)
        rows, far = xp.take_along_axis(rows, order, axis=1), xp.take_along_axis(far, order, axis=1)
        return xp.take_along_axis(rows, xp.argsort(far, axis=1, kind="stable")[:, :k], axis=1)


def _bits(values: Array) -> Array:
    """Bits, not values: CuPy compares floats with -ftz=true, under which all subnormal numbers are equal."""
    return values.view(f"u{values.dtype.itemsize}")


def _one_zero(bits: Array) -> Array:
    """The same array, in which -0.0, which rounding makes of small negative numbers, has become 0.0."""
    bits *= bits != bits.dtype.type(1 << (8 * bits.dtype.itemsize - 1))
    return bits


def _alike(xp: Any, bits: Array) -> tuple[Array, Array]:
    """The rows in the order of their hashes, and at which places of that order a hash is followed by itself."""
    hashes = _hashes(xp, bits)
    order = xp.argsort(hashes, kind="stable")
    hashes = hashes[order]
    return order, xp.nonzero(hashes[1:] == hashes[:-1])[0]


def _hashes(xp: Any, bits: Array) -> Array:
    """One 64-bit number a row: bits folded and multiplied by odd numbers that differ from column to column."""
    odd = np.random.Philox(key=0).random_raw(bits.shape[1]) | np.uint64(1)
    total = xp.zeros(len(bits), "u8")
    fold = np.uint64(4 * bits.dtype.itemsize)
    for j in range(bits.shape[1]):
        column = _one_zero(bits[:, j].copy()).astype("u8", copy=False)
        column ^= column >> fold  # small whole numbers differ in their highest bits only
        column *= odd[j]
        total += column
        total ^= total >> np.uint64(29)
    return total
