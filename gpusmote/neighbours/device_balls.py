"""Rows on a device put into balls of near rows, all of one size: what ``kernels/search_balls.cu`` walks through.

Written in array operations alone, so that NumPy runs it too. Nothing waits for the device: where nodes begin follows
from the number of rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from gpusmote.backends.base import Array
from gpusmote.neighbours.certificate import FLOAT64
from gpusmote.neighbours.pool import Pool

__all__ = ["BRANCH", "LEAF", "DeviceBalls", "Level"]

LEAF, BRANCH = 16, 512
"""Rows of a leaf, and of the 32 leaves of a branch; the kernel's ``LEAF`` and ``TILE``."""

_SAMPLE, _POWERS = 32, 4
_FAR = 4.0  # times the median squared distance: what lies further is not asked where a leaf's centre should be


@dataclasses.dataclass(frozen=True)
class Level:
    """Balls around consecutive places, equally many in each but the last.

    Attributes
    ----------
    centres : array of shape (b, columns), float64
        In the unit of reduced rows, but measured from the origin of ``pool.values``; zeros fill up the columns.
    radii : array of shape (b,), float32
        Rounded up.
    """

    centres: Array
    radii: Array


class DeviceBalls:
    """An order of the rows in which near rows stand near each other, and balls around 16 and 512 of them.

    All rows are halved, then each half, at the median of the coordinate along the direction of greatest variance (of a
    sample), until 512 are left, then until 16 are; every part but the last has exactly so many. Any order would be
    right: what is found does not depend on it.

    A row is kept as its float32 difference from the centre of its leaf, which tells neighbours apart however far from
    everything else they lie. The centre is a mean without the rows that lie far from most of the leaf, so that these
    spoil the differences of no others.

    Parameters
    ----------
    pool : Pool

    Attributes
    ----------
    order, place : array of shape (n,), int64
        Which row stands at each place, and the inverse.
    rows : array of shape (n, columns), float32
        By place; zeros fill up the columns to a multiple of four.
    z : array of shape (n,), float32
        Squared lengths of these, rounded up.
    leaves, branches : Level
    """

    def __init__(self, pool: Pool) -> None:
        xp, n = pool.xp, pool.n
        self._pool = pool
        self.order = _grow(pool)
        self.place = xp.empty(n, "i8")
        self.place[self.order] = xp.arange(n)
        self.columns = -(-pool.d // 4) * 4
        self.rows, self.z = xp.zeros((n, self.columns), "f4"), xp.empty(n, "f4")
        self.leaves = self._level(LEAF)
        self._each(LEAF, self._make_leaves)
        self.branches = self._level(BRANCH)
        self._each(BRANCH, self._make_branches)

    def nearest_branches(self, which: Array) -> tuple[Array, Array]:
        """All branches, the nearest first, as seen from some of them.

        Parameters
        ----------
        which : array of shape (m,), int64

        Returns
        -------
        order : array of shape (m, b), int64
        low : array of shape (m, b), float32
            Ascending: no row of the ball is nearer to the centre of the branch that looks.
        """
        xp, d = self._pool.xp, self._pool.d
        origin = self._pool.centre * self._pool.unit
        low = self.nearest(self.branches, slice(None), self.branches.centres[which, :d] - origin, origin)
        low = (low - abs(low) * 2.0**-22).astype("f4")
        order = xp.argsort(low, axis=1)
        return order, xp.take_along_axis(low, order, axis=1)

    def nearest(self, level: Level, which: Array | slice, points: Array, origin: Array) -> Array:
        """How near rows of some balls can be to points.

        Parameters
        ----------
        level : Level
            ``leaves`` or ``branches``.
        which : array of shape (b,), int64, or slice
            Of its balls.
        points : array of shape (m, d), float64
            In the unit of reduced rows, measured from ``origin``: the nearer that is, the less is lost to rounding.
        origin : array of shape (d,), float64
            Measured from the origin of ``pool.values``.

        Returns
        -------
        array of shape (m, b), float64
            No row of the ball is nearer; below 0 where the point may lie in it.
        """
        xp, d = self._pool.xp, self._pool.d
        c = level.centres[which, :d] - origin
        square, own = xp.einsum("ij,ij->i", c, c), xp.einsum("ij,ij->i", points, points)[:, None]
        low = own + square - 2 * (points @ c.T)
        low -= FLOAT64.relative(d) * (xp.sqrt(own) + xp.sqrt(square)) ** 2 + FLOAT64.absolute(d)
        low = xp.sqrt(xp.maximum(low, 0.0)) * (1 - 2.0**-40) - level.radii[which].astype("f8")
        return low - 2.0**-60  # radii may have been flushed to zero

    def _level(self, size: int) -> Level:
        number = -(-self._pool.n // size)
        return Level(self._pool.xp.zeros((number, self.columns), "f8"), self._pool.xp.empty(number, "f4"))

    def _each(self, size: int, work: Callable[[int, int], None]) -> None:
        """Balls in blocks that fill the pool's."""
        number = -(-self._pool.n // size)
        self._pool.each_block(work, number, max(1, self._pool.block(size * self._pool.d)))

    def _members(self, first: int, last: int, size: int) -> Array:
        """The rows of balls; the last row of all stands for those that the last ball lacks."""
        at = self._pool.xp.arange(first * size, last * size)
        return self.order[self._pool.xp.minimum(at, self._pool.n - 1)]

    def _from(self, members: Array, origin: Array, size: int) -> Array:
        """Reduced rows measured from their ball's origin, float64 of shape (balls, size, d)."""
        pool = self._pool
        return pool.reduced(members, pool.xp.repeat(origin / pool.unit, size, axis=0)).reshape(-1, size, pool.d)

    def _make_leaves(self, first: int, last: int) -> None:
        pool, xp = self._pool, self._pool.xp
        members = self._members(first, last, LEAF)
        origin = pool.values[members[::LEAF]].astype("f8") * pool.unit
        origin = origin + _middle(xp, self._from(members, origin, LEAF))
        self.leaves.centres[first:last, : pool.d] = origin
        z = self._from(members, origin, LEAF)
        square = xp.einsum("brd,brd->br", z, z)
        self.leaves.radii[first:last] = _up(xp, square.max(axis=1), pool.d)
        begin, end = first * LEAF, min(last * LEAF, pool.n)
        self.rows[begin:end, : pool.d] = z.reshape(-1, pool.d)[: end - begin].astype("f4")
        self.z[begin:end] = (square.reshape(-1)[: end - begin] * (1 + 2.0**-20) + 2.0**-100).astype("f4")

    def _make_branches(self, first: int, last: int) -> None:
        pool, xp, fan = self._pool, self._pool.xp, BRANCH // LEAF
        leaf = xp.minimum(xp.arange(first * fan, last * fan), len(self.leaves.radii) - 1)
        centres = self.leaves.centres[leaf, : pool.d].reshape(-1, fan, pool.d)
        origin = centres[:, 0] + (centres - centres[:, :1]).mean(axis=1)
        self.branches.centres[first:last, : pool.d] = origin
        z = self._from(self._members(first, last, BRANCH), origin, BRANCH)
        self.branches.radii[first:last] = _up(xp, xp.einsum("brd,brd->br", z, z).max(axis=1), pool.d)


def _up(xp: Any, square: Array, d: int) -> Array:
    """Radii in float32, rounded up, from squared ones in float64.

    Roundings of differences, squares, sum and root, each relative, are less than (d + 8) 2**-52. What is flushed to
    zero the kernel's ``kappa_of`` and :meth:`DeviceBalls.nearest` make up for.
    """
    return (xp.sqrt(square) * (1 + (d + 8) * 2.0**-52) * (1 + 2.0**-22)).astype("f4")


def _middle(xp: Any, z: Array) -> Array:
    """A point in the middle of most rows of each ball: array of shape (balls, d)."""
    away = z - z.mean(axis=1)[:, None]
    near = xp.einsum("brd,brd->br", away, away).argmin(axis=1)
    away = z - xp.take_along_axis(z, near[:, None, None], axis=1)
    square = xp.einsum("brd,brd->br", away, away)
    median = xp.sort(square, axis=1)[:, square.shape[1] // 2]
    chosen = (square <= _FAR * median[:, None]).astype("f8")
    return xp.einsum("br,brd->bd", chosen, z) / chosen.sum(axis=1)[:, None]


def _grow(pool: Pool) -> Array:
    """The order: array of shape (n,), int64."""
    order, starts = pool.xp.arange(pool.n), np.array([0, pool.n])
    for size in (BRANCH, LEAF):
        while (number := -(-np.diff(starts) // size)).max() > 1:
            order = _sorted_within(pool, order, starts)
            cut = number > 1
            starts = np.sort(np.concatenate([starts, starts[:-1][cut] + (number[cut] + 1) // 2 * size]))
    return order


def _sorted_within(pool: Pool, order: Array, starts: np.ndarray) -> Array:
    """The rows of each node in the order of their coordinates along its direction of greatest variance."""
    xp, nodes = pool.xp, len(starts) - 1
    begin = xp.asarray(starts)
    centre, direction = xp.empty((nodes, pool.d), "f8"), xp.empty((nodes, pool.d), "f8")
    key = xp.empty(pool.n, "f8")

    def look(first: int, last: int) -> None:
        size = begin[first + 1 : last + 1] - begin[first:last]
        at = begin[first:last, None] + xp.arange(_SAMPLE) * size[:, None] // _SAMPLE
        z = pool.reduced(order[at.ravel()]).reshape(-1, _SAMPLE, pool.d)
        mean = z.mean(axis=1)
        centre[first:last] = pool.centre + mean / pool.unit
        direction[first:last] = _direction(xp, z - mean[:, None])

    def place(first: int, last: int) -> None:
        node = xp.searchsorted(begin, xp.arange(first, last), side="right") - 1
        z = pool.reduced(order[first:last], centre[node])
        along = xp.einsum("ij,ij->i", z, direction[node])
        key[first:last] = node + xp.clip(0.5 + along / 4, 0.0, 0.999)  # what lies far out is beyond any median

    pool.each_block(look, nodes, max(1, pool.block(_SAMPLE * pool.d)))
    pool.each_block(place, pool.n, pool.block(3 * pool.d))
    return order[xp.argsort(key, kind="stable")]


def _direction(xp: Any, sample: Array) -> Array:
    """Of greatest variance, so long that the sample's coordinates along it reach from -1 to 1.

    Parameters
    ----------
    sample : array of shape (nodes, rows, d), float64
        Measured from its mean.

    Returns
    -------
    array of shape (nodes, d), float64
    """
    scale = _not_zero(xp, abs(sample).max(axis=2).max(axis=1))[:, None, None]
    z = sample / scale
    spread = xp.einsum("nsd,nsd->nd", z, z)
    # The covariance matrix times its column of greatest variance, again and again: the power method.
    v = xp.take_along_axis(z, spread.argmax(axis=1)[:, None, None], axis=2)
    v = xp.einsum("nsd,nso->nd", z, v)
    for _ in range(_POWERS):
        v = v / _not_zero(xp, abs(v).max(axis=1))[:, None]
        v = xp.einsum("nsd,ns->nd", z, xp.einsum("nsd,nd->ns", z, v))
    v = v / _not_zero(xp, abs(v).max(axis=1))[:, None]
    along = xp.einsum("nsd,nd->ns", sample, v)
    return v / _not_zero(xp, abs(along).max(axis=1))[:, None]


def _not_zero(xp: Any, a: Array) -> Array:
    return xp.where(a > 0, a, 1.0)
