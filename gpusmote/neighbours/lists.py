"""The shortest lists of many queries, kept up to date while hits come in from tiles of scores. NumPy only."""

from __future__ import annotations

import threading

import numpy as np

__all__ = ["Layout", "Lists"]


class Layout:
    """Reduced rows in float32, ready for products that are squared distances, in an order that spreads any pattern.

    Row i is ``(y, |y|**2, 1)``, so that ``(-2 x, 1, |x|**2) . row`` is ``|x - y|**2``. The order is that of a
    systematic sample: any ``sample`` consecutive rows are spread evenly over the caller's, so that the first tile gives a
    fair idea of how near the nearest are, even where the caller's rows are sorted.

    Parameters
    ----------
    pool : Pool
    sample : int

    Attributes
    ----------
    order : ndarray of shape (n,), int64
        Which of the caller's rows stands at each place.
    place : ndarray of shape (n,), int64
        The inverse.
    right : ndarray of shape (n, d + 2), float32
    """

    def __init__(self, pool: object, sample: int) -> None:
        n, d = pool.n, pool.d
        stride = -(-n // sample)
        order = np.arange(-(-n // stride) * stride).reshape(-1, stride).T.ravel()
        self.order = order[order < n]
        self.place = np.empty(n, np.int64)
        self.place[self.order] = np.arange(n)
        self.right = np.empty((n, d + 2), np.float32)
        self._pool = pool
        pool.each_block(self._fill, n, pool.block(d))

    def _fill(self, start: int, stop: int) -> None:
        rows, d = self.order[start:stop], self._pool.d
        self.right[start:stop, :d] = self._pool.reduced(rows)
        self.right[start:stop, d] = self._pool.norms[rows] ** 2
        self.right[start:stop, d + 1] = 1.0

    def left(self, places: slice | np.ndarray) -> np.ndarray:
        """``(-2 x, 1, |x|**2)`` of the rows at these places."""
        x = self.right[places] * np.float32(-2)
        x[:, -2] = 1.0
        x[:, -1] = self.right[places, -2]
        return x


class Lists:
    """For each of m queries the ``count`` nearest places seen so far.

    Parameters
    ----------
    score : ndarray of shape (m, w), float32
        Squared distances to the first w >= count places.
    count : int

    Attributes
    ----------
    places : ndarray of shape (m, count), int32
    bar : ndarray of shape (m,), float32
        The largest score in each list: only smaller ones are of interest. It may be read while another thread
        merges; an old bar lets through too much, never too little.
    """

    def __init__(self, score: np.ndarray, count: int) -> None:
        self._lock = threading.Lock()
        self._count = count
        self._hits: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._n_hits = 0
        self.places = np.argpartition(score, count - 1, axis=1)[:, :count].astype(np.int32)
        self._score = np.take_along_axis(score, self.places, axis=1)
        self.bar = self._score.max(axis=1)

    def add(self, query: np.ndarray, places: np.ndarray, score: np.ndarray) -> None:
        """Take note of hits, and merge them once there are several for every place in the lists.

        Parameters
        ----------
        query, places : ndarray of shape (h,), int
            Which list, and the place found.
        score : ndarray of shape (h,), float32
        """
        with self._lock:
            self._hits.append((query.astype(np.int16), places.astype(np.int32), score))
            self._n_hits += query.size
            if self._n_hits > 3 * self.places.size:
                self._merge()

    def finish(self) -> None:
        """Merge what is left."""
        with self._lock:
            if self._n_hits:
                self._merge()

    def _merge(self) -> None:
        query, places, score = (np.concatenate(part) for part in zip(*self._hits, strict=True))
        self._hits, self._n_hits = [], 0
        order = np.argsort(query, kind="stable")  # a radix sort for 16 bits
        query = query[order]
        number = np.bincount(query, minlength=len(self.bar))
        hit = np.flatnonzero(number)  # lists that nothing was found for stay as they are
        count, width = self._count, self._count + int(number.max())
        all_places = np.zeros((hit.size, width), np.int32)
        all_score = np.full((hit.size, width), np.inf, np.float32)
        all_places[:, :count], all_score[:, :count] = self.places[hit], self._score[hit]
        first = np.cumsum(number) - number
        slot = np.repeat(np.arange(hit.size) * width, number[hit]) + np.arange(query.size) - first[query] + count
        all_places.ravel()[slot], all_score.ravel()[slot] = places[order], score[order]
        best = np.argpartition(all_score, count - 1, axis=1)[:, :count]
        self.places[hit] = np.take_along_axis(all_places, best, axis=1)
        self._score[hit] = np.take_along_axis(all_score, best, axis=1)
        self.bar = self._score.max(axis=1)
