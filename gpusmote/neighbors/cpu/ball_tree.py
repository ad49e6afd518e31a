"""A tree of balls around near rows, with which a search can skip most rows. NumPy only."""

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
    """One level of the tree: balls that together hold all rows.

    Attributes
    ----------
    starts : ndarray of shape (b + 1,), int64
        Place of the first row of each ball, then n.
    centers : ndarray of shape (b, d), float64
        In the units of ``search_set.values``.
    radii : ndarray of shape (b,), float64
        In the units of reduced rows; rounded up.
    """

    starts: np.ndarray
    centers: np.ndarray
    radii: np.ndarray


class BallTree:
    """A binary tree over the rows of a search set, stored as three levels: cells, their branches, and their leaves.

    A node is split along its direction of greatest variance, at the point where the variance within the two parts is
    smallest, both estimated from a sample, until it has at most ``LEAF`` rows. Branches and cells are the largest nodes
    with at most ``BRANCH`` and ``CELL`` rows. Such splits fall between clusters and separate outliers: a ball that held
    both would be large. If a few rows are so far away that the mean of all rows is outside the sample, the split
    separates these rows. After four times as many levels as splitting in half needs, nodes are split at the median;
    nodes of equal rows are split anywhere.

    Every row certainly lies in the balls that hold it: radii are rounded up. Nothing else in the tree affects the
    result, so it is built in float32.

    Parameters
    ----------
    search_set : SearchSet
        On the host.

    Attributes
    ----------
    order : ndarray of shape (n,), int64
        Row number at each place; near rows have near places.
    place : ndarray of shape (n,), int64
        Place of each row.
    cells, branches, leaves : Level
    """

    def __init__(self, search_set: SearchSet) -> None:
        n = search_set.n
        self.order = np.arange(n)
        starts = _build(search_set.reduced32(), self.order)
        self.place = np.empty(n, np.int64)
        self.place[self.order] = np.arange(n)
        self.leaves, self.branches, self.cells = (_enclose(search_set, self.order, one) for one in starts)


def _build(rows: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
    """Sort rows and order into the tree's order; return the places where leaves, branches and cells begin, and n."""
    n = len(rows)
    top = _Subtree(rows, order, 0, n).split_down_to(max(CELL, -(-n // _SUBTREES)))[-1]
    found: dict[int, list[np.ndarray]] = {}

    def grow(i: int, _: int) -> None:
        found[i] = _Subtree(rows, order, top[i], top[i + 1]).split_down_to(LEAF, BRANCH, CELL)

    run_blocks(grow, len(top) - 1, 1)
    return [np.unique(np.concatenate([found[i][j] for i in range(len(top) - 1)])) for j in range(3)]


class _Subtree:
    """A part of the rows that is split level by level, all nodes of a level at once."""

    def __init__(self, rows: np.ndarray, order: np.ndarray, start: int, stop: int) -> None:
        self._rows, self._order = rows[start:stop], order[start:stop]
        self._start, self._n = start, stop - start

    def split_down_to(self, *sizes: int) -> list[np.ndarray]:
        """For each size (ascending), the places where the largest nodes of at most that size begin, and the end."""
        begin, end = np.array([0]), np.array([self._n])
        edges = [[begin, end] for _ in sizes]
        patience, depth = 4 * math.ceil(math.log2(max(2.0, self._n / sizes[0]))), 0
        while True:
            size = end - begin
            begin, end = begin[size > sizes[0]], end[size > sizes[0]]
            if not len(begin):
                return [self._start + np.unique(np.concatenate(known)) for known in edges]
            middle = self._split(begin, end, halve=depth > patience)
            for most, known in zip(sizes, edges, strict=True):
                known.append(middle[end - begin > most])
            begin, end = np.ravel(np.column_stack([begin, middle])), np.ravel(np.column_stack([middle, end]))
            depth += 1

    def _split(self, begin: np.ndarray, end: np.ndarray, halve: bool) -> np.ndarray:
        """Split the rows of each node in two parts; return the place where the second part begins."""
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
            # A stable sort of 16-bit keys is a radix sort.
            key = key.astype(np.int16) if len(size) < 1 << 14 else key
            sequence = np.argsort(key, kind="stable")
        self._rows[at], self._order[at] = rows.take(sequence, axis=0), self._order[at[sequence]]
        return np.asarray(begin + left)

    def _plane(self, mean: np.ndarray, begin: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The direction along which each node is split, and the threshold on it."""
        sample = self._rows[begin[:, None] + np.arange(_SAMPLE) * size[:, None] // _SAMPLE]
        middle = sample.mean(axis=1)
        sample -= middle[:, None]
        spread = np.einsum("nsd,nsd->nd", sample, sample)
        # The power method on the covariance matrix, started from its column of greatest variance.
        direction = np.take_along_axis(sample, spread.argmax(axis=1)[:, None, None], axis=2)
        direction = sample.transpose(0, 2, 1) @ direction
        for _ in range(_POWERS):
            direction = _unit(direction)
            direction = sample.transpose(0, 2, 1) @ (sample @ direction)
        direction = _unit(direction)
        threshold = _two_parts((sample @ direction)[:, :, 0]) + np.einsum("nd,nd->n", middle, direction[:, :, 0])
        # If the mean of all rows is outside the sample, some rows are very far away: the split separates them.
        pull = (mean - middle)[:, :, None]
        far = np.einsum("ndo,ndo->n", pull, pull) > spread.sum(axis=1) / _SAMPLE
        direction = np.where(far[:, None, None], _unit(pull), direction)[:, :, 0]
        return direction, np.where(far, np.einsum("nd,nd->n", mean, direction), threshold)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of shape (n, d, 1) divided by their lengths; zero vectors stay zero."""
    length = np.sqrt(np.einsum("ndo,ndo->n", vectors, vectors))
    return np.asarray(vectors / np.where(length > 0, length, 1)[:, None, None])


def _two_parts(values: np.ndarray) -> np.ndarray:
    """The threshold that splits each row of values (of mean 0) into the two parts of least variance: shape (n,)."""
    values = np.sort(values, axis=1)
    number = np.arange(1, values.shape[1])
    below = np.cumsum(values, axis=1)[:, :-1]  # the sum of the other part is its negative
    best = (below * below * (1 / number + 1 / number[::-1])).argmax(axis=1)
    return np.asarray(np.take_along_axis(values[:, :-1] + values[:, 1:], best[:, None], axis=1)[:, 0] / 2)


def _enclose(search_set: SearchSet, order: np.ndarray, starts: np.ndarray) -> Level:
    """The balls around consecutive rows."""
    size = np.diff(starts)
    centers, radii = np.empty((len(size), search_set.d)), np.empty(len(size))
    # The relative rounding errors of differences, squares, sum and root are less than this; underflow is added.
    more = 1 + (search_set.d + 8) * 2.0**-52

    def work(first: int, last: int) -> None:
        own = starts[first:last] - starts[first]
        z = search_set.reduced(order[starts[first] : starts[last]])
        mean = np.add.reduceat(z, own) / size[first:last, None]
        centers[first:last] = search_set.center + mean / search_set.unit
        z = search_set.reduced(
            order[starts[first] : starts[last]], centers[first:last].repeat(size[first:last], axis=0)
        )
        radii[first:last] = np.sqrt(np.maximum.reduceat(np.einsum("ij,ij->i", z, z), own)) * more + 2.0**-400

    # Blocks of about the same number of rows, although the balls differ in size.
    parts = np.searchsorted(starts, np.arange(0, search_set.n, search_set.block(search_set.d)))
    parts = np.unique(np.append(parts, len(size)))
    run_blocks(lambda i, _: work(parts[i], parts[i + 1]), len(parts) - 1, 1)
    return Level(starts, centers, radii)
