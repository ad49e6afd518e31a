"""Rows put into small balls of near rows: what a search needs so as not to look at all of them. NumPy only."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from gpusmote.backends.threads import run_blocks
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["BallTree", "Level"]

LEAF, BRANCH, CELL = 16, 128, 1024
_SAMPLE, _POWERS = 32, 4
_SUBTREES = 16
_AT_ONCE = 4096


@dataclasses.dataclass(frozen=True)
class Level:
    """BallTree that hold all rows between them.

    Attributes
    ----------
    starts : ndarray of shape (b + 1,), int64
        The place at which the rows of each begin, and n.
    centres : ndarray of shape (b, d), float64
        In the unit of ``pool.values``.
    radii : ndarray of shape (b,), float64
        In the unit of reduced rows; rounded up.
    """

    starts: np.ndarray
    centres: np.ndarray
    radii: np.ndarray


class BallTree:
    """A binary tree over the rows of a pool, of which three levels are kept: cells, branches in them, leaves in those.

    A node is cut in two along its direction of greatest variance, where the two parts vary least, both of a sample of
    it, until it has no more than ``LEAF`` rows; branches and cells are the first nodes on the way that have no more
    than ``BRANCH`` and ``CELL``. Such cuts fall between clusters, and set apart rows that lie far from the others:
    a ball that had to hold both would be a large one. Where a few rows lie so far away that the mean of all is outside
    the sample, the cut is between those and the rest. Where four times as many cuts as halving takes have not been
    enough, nodes are cut at the median; where rows do not differ, anywhere.

    Every row lies in the balls that hold it for certain: radii are rounded up. Nothing else about the tree
    matters for what is found, so that it is made in float32.

    Parameters
    ----------
    pool : SearchSet
        On the host.

    Attributes
    ----------
    order : ndarray of shape (n,), int64
        Which row stands at each place; near rows stand at near places.
    place : ndarray of shape (n,), int64
        The inverse.
    cells, branches, leaves : Level
    """

    def __init__(self, pool: SearchSet) -> None:
        n = pool.n
        self.order = np.arange(n)
        starts = _grow(_reduced(pool), self.order)
        self.place = np.empty(n, np.int64)
        self.place[self.order] = np.arange(n)
        self.leaves, self.branches, self.cells = (_enclose(pool, self.order, one) for one in starts)


def _reduced(pool: SearchSet) -> np.ndarray:
    """Reduced rows in float32."""
    rows = np.empty((pool.n, pool.d), np.float32)

    def reduce(start: int, stop: int) -> None:
        rows[start:stop] = pool.reduced(slice(start, stop))

    run_blocks(reduce, pool.n, pool.block(pool.d))
    return rows


def _grow(rows: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
    """Put rows and order into the tree's order; the places where leaves, branches and cells begin, and n."""
    n = len(rows)
    top = _Subtree(rows, order, 0, n).cut_down_to(max(CELL, -(-n // _SUBTREES)))[-1]
    found: dict[int, list[np.ndarray]] = {}

    def grow(i: int, _: int) -> None:
        found[i] = _Subtree(rows, order, top[i], top[i + 1]).cut_down_to(LEAF, BRANCH, CELL)

    run_blocks(grow, len(top) - 1, 1)
    return [np.unique(np.concatenate([found[i][j] for i in range(len(top) - 1)])) for j in range(3)]


class _Subtree:
    """Rows that are cut, level by level, all nodes of a level at once."""

    def __init__(self, rows: np.ndarray, order: np.ndarray, start: int, stop: int) -> None:
        self._rows, self._order = rows[start:stop], order[start:stop]
        self._start, self._n = start, stop - start

    def cut_down_to(self, *sizes: int) -> list[np.ndarray]:
        """For each size, the smallest first, where the largest nodes of no more rows begin, and the end."""
        begin, end = np.array([0]), np.array([self._n])
        edges = [[begin, end] for _ in sizes]
        patience, depth = 4 * math.ceil(math.log2(max(2.0, self._n / sizes[0]))), 0
        while True:
            size = end - begin
            begin, end = begin[size > sizes[0]], end[size > sizes[0]]
            if not len(begin):
                return [self._start + np.unique(np.concatenate(known)) for known in edges]
            middle = self._cut(begin, end, halve=depth > patience)
            for most, known in zip(sizes, edges, strict=True):
                known.append(middle[end - begin > most])
            begin, end = np.ravel(np.column_stack([begin, middle])), np.ravel(np.column_stack([middle, end]))
            depth += 1

    def _cut(self, begin: np.ndarray, end: np.ndarray, halve: bool) -> np.ndarray:
        """Put the rows of each node in two parts; where the second begins."""
        size = end - begin
        first = np.cumsum(size) - size
        node = np.repeat(np.arange(len(size)), size)
        at = np.arange(len(node)) + np.repeat(begin - first, size)
        rows = self._rows.take(at, axis=0) if len(at) < self._n else self._rows
        mean = (np.add.reduceat(rows, first, axis=0) / size[:, None]).astype(np.float32)
        direction, threshold = self._plane(mean, begin, size)
        if len(size) < _SAMPLE:
            along = np.concatenate([rows[f : f + s] @ v for f, s, v in zip(first, size, direction, strict=True)])
        else:
            along = np.empty(len(rows), np.float32)
            for start in range(0, len(rows), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                along[part] = np.einsum("ij,ij->i", rows[part], direction.take(node[part], axis=0))
        if halve:
            sequence, left = np.lexsort((along, node)), size // 2
        else:
            right = along > threshold[node]
            left = size - np.add.reduceat(right, first, dtype=np.int64)
            left = np.where((left == 0) | (left == size), size // 2, left)
            key = 2 * node + right
            sequence = np.argsort(key.astype(np.int16) if len(size) < 1 << 14 else key, kind="stable")  # radix, for 16
        self._rows[at], self._order[at] = rows.take(sequence, axis=0), self._order[at[sequence]]
        return np.asarray(begin + left)

    def _plane(self, mean: np.ndarray, begin: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The direction along which each node is cut, and where."""
        sample = self._rows[begin[:, None] + np.arange(_SAMPLE) * size[:, None] // _SAMPLE]
        middle = sample.mean(axis=1)
        sample -= middle[:, None]
        spread = np.einsum("nsd,nsd->nd", sample, sample)
        # The covariance matrix times its column of greatest variance, again and again: the power method.
        direction = np.take_along_axis(sample, spread.argmax(axis=1)[:, None, None], axis=2)
        direction = sample.transpose(0, 2, 1) @ direction
        for _ in range(_POWERS):
            direction = _unit(direction)
            direction = sample.transpose(0, 2, 1) @ (sample @ direction)
        direction = _unit(direction)
        threshold = _two_parts((sample @ direction)[:, :, 0]) + np.einsum("nd,nd->n", middle, direction[:, :, 0])
        # Where the mean of all lies outside the sample, some rows lie very far away: they are cut off.
        pull = (mean - middle)[:, :, None]
        far = np.einsum("ndo,ndo->n", pull, pull) > spread.sum(axis=1) / _SAMPLE
        direction = np.where(far[:, None, None], _unit(pull), direction)[:, :, 0]
        return direction, np.where(far, np.einsum("nd,nd->n", mean, direction), threshold)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of shape (n, d, 1) divided by their lengths; none stays none."""
    length = np.sqrt(np.einsum("ndo,ndo->n", vectors, vectors))
    return np.asarray(vectors / np.where(length > 0, length, 1)[:, None, None])


def _two_parts(values: np.ndarray) -> np.ndarray:
    """Where each line of values, whose mean is 0, falls into the two parts of least variance: shape (n,)."""
    values = np.sort(values, axis=1)
    number = np.arange(1, values.shape[1])
    below = np.cumsum(values, axis=1)[:, :-1]  # the sum of the others is its negative
    best = (below * below * (1 / number + 1 / number[::-1])).argmax(axis=1)
    return np.asarray(np.take_along_axis(values[:, :-1] + values[:, 1:], best[:, None], axis=1)[:, 0] / 2)


def _enclose(pool: SearchSet, order: np.ndarray, starts: np.ndarray) -> Level:
    """BallTree around consecutive rows."""
    size = np.diff(starts)
    centres, radii = np.empty((len(size), pool.d)), np.empty(len(size))
    # Roundings of differences, squares, sum and root, each relative, are less than this; underflow is added.
    more = 1 + (pool.d + 8) * 2.0**-52

    def work(first: int, last: int) -> None:
        own = starts[first:last] - starts[first]
        z = pool.reduced(order[starts[first] : starts[last]])
        mean = np.add.reduceat(z, own) / size[first:last, None]
        centres[first:last] = pool.centre + mean / pool.unit
        z = pool.reduced(order[starts[first] : starts[last]], centres[first:last].repeat(size[first:last], axis=0))
        radii[first:last] = np.sqrt(np.maximum.reduceat(np.einsum("ij,ij->i", z, z), own)) * more + 2.0**-400

    # Blocks of about as many rows, however differently large the balls are.
    parts = np.searchsorted(starts, np.arange(0, pool.n, pool.block(pool.d)))
    parts = np.unique(np.append(parts, len(size)))
    run_blocks(lambda i, _: work(parts[i], parts[i + 1]), len(parts) - 1, 1)
    return Level(starts, centres, radii)
