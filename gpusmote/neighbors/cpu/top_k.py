"""The shortest lists of many queries, kept up to date while hits come in from tiles of scores. NumPy only."""

from __future__ import annotations

import threading

import numpy as np

from gpusmote.neighbors.search_set import SearchSet

__all__ = ["Layout", "TopK"]

_MANY = 16  # hits for each place in the lists, of one tile: then choosing from its scores takes less, memory above all
_NOTHING = np.array(np.inf).view(np.int64)[()]


class Layout:
    """Reduced rows, ready for products that are squared distances, in an order that spreads any pattern.

    Row i is ``(y, |y|**2, 1)``, so that ``(-2 x, 1, |x|**2) . row`` is ``|x - y|**2``. The order is that of a
    systematic sample: any ``sample`` consecutive rows are spread evenly over the caller's, so that the first tile gives
    a fair idea of how near the nearest are, even where the caller's rows are sorted.

    Parameters
    ----------
    pool : SearchSet
    dtype : str
        "f4" or "f8".
    sample : int

    Attributes
    ----------
    order : ndarray of shape (n,), int64
        Which of the caller's rows stands at each place.
    place : ndarray of shape (n,), int64
        The inverse.
    right : ndarray of shape (n, d + 2), ``dtype``
    """

    def __init__(self, pool: SearchSet, dtype: str, sample: int) -> None:
        n, d = pool.n, pool.d
        stride = -(-n // sample)
        order = np.arange(-(-n // stride) * stride).reshape(-1, stride).T.ravel()
        self.order = order[order < n]
        self.place = np.empty(n, np.int64)
        self.place[self.order] = np.arange(n)
        self.right = np.empty((n, d + 2), dtype)
        self._pool = pool
        pool.each_block(self._fill, n, pool.block(d))

    def _fill(self, start: int, stop: int) -> None:
        rows, d = self.order[start:stop], self._pool.d
        self.right[start:stop, :d] = self._pool.reduced(rows)
        self.right[start:stop, d] = self._pool.norms[rows] ** 2
        self.right[start:stop, d + 1] = 1.0

    def left(self, places: slice | np.ndarray) -> np.ndarray:
        """``(-2 x, 1, |x|**2)`` of the rows at these places."""
        x: np.ndarray = self.right[places] * self.right.dtype.type(-2)
        x[:, -2] = 1.0
        x[:, -1] = self.right[places, -2]
        return x


class TopK:
    """For each of m queries the ``count`` nearest places seen so far.

    A place and its score are one integer: the score's bits in float64, the lowest of them overwritten with the place.
    Scores are not negative, so that integers are ordered as the scores are, and selecting integers is several times
    faster than selecting positions of floats. A float32 score loses nothing by it (up to 2**29 rows), a float64 score
    becomes slightly smaller: the largest score of a list stays a bound that no row outside it falls below.

    Parameters
    ----------
    score : ndarray of shape (m, w), float32 or float64
        Squared distances to w consecutive places, of which at least ``count`` are finite.
    count : int
    n : int
        How many places there are.
    first : int, default=0
        The place of the first column.

    Attributes
    ----------
    bar : ndarray of shape (m,), ``score``'s dtype
        The largest score in each list: only smaller ones are of interest. It may be read while another thread
        merges; an old bar lets through too much, never too little.
    """

    def __init__(self, score: np.ndarray, count: int, n: int, first: int = 0) -> None:
        self._place_bits = np.int64((1 << n.bit_length()) - 1)
        self._query_dtype = np.int16 if len(score) < 1 << 15 else np.int64
        self._lock = threading.Lock()
        self._hits: list[tuple[np.ndarray, np.ndarray]] = []
        self._n_hits = 0
        bar = _upper_bound(score, count)
        self.bar = np.nextafter(bar, bar.dtype.type(np.inf))
        self._keys = np.full((len(score), count), _NOTHING)
        self.look(score, first)
        self.finish()

    @property
    def places(self) -> np.ndarray:
        """ndarray of shape (m, count), int64: the places, in any order."""
        return self._keys & self._place_bits

    def look(
        self,
        score: np.ndarray,
        places: int | np.ndarray,
        by_columns: bool = False,
        some: slice = slice(None),
    ) -> None:
        """Take note of the scores of a tile that are below the bar.

        Where that is a large part of it (the first hundred rows were far from a query, or all are equally far), the
        lowest ones of each list are chosen instead: the others belong in no list, and to note them takes much memory.

        Parameters
        ----------
        score : ndarray of shape (m, w), or, by columns, (w, m), float32 or float64
        places : int, or ndarray of shape (w,), int64
            Of the w rows; or of the first of them, where they are consecutive.
        by_columns : bool, default=False
            Whether a list's scores stand in a column.
        some : slice, default=slice(None)
            The lists that are meant, m of them.
        """
        count, width, bar = self._keys.shape[1], score.shape[1], self.bar[some]
        below = score < (bar if by_columns else bar[:, None])
        if np.count_nonzero(below) <= _MANY * len(bar) * count:
            flat = np.flatnonzero(below)  # many times faster than nonzero of two dimensions
            line = flat // width
            column = flat - line * width
            query, place = (column, line) if by_columns else (line, column)
        else:
            del below
            lists = score.T if by_columns else score
            count = min(count, lists.shape[1])
            place = np.argpartition(lists, count - 1, axis=1)[:, :count].ravel()
            query = np.repeat(np.arange(len(lists)), count)
        score = score[place, query] if by_columns else score[query, place]
        place = place + places if isinstance(places, (int, np.integer)) else places[place]
        self._add(query + (some.start or 0), place, score)

    def _add(self, query: np.ndarray, place: np.ndarray, score: np.ndarray) -> None:
        """Keep hits, and merge them once there are several for every place in the lists.

        Parameters
        ----------
        query, place : ndarray of shape (h,), int64
            Which list, and the place found.
        score : ndarray of shape (h,), float32 or float64
        """
        # Rounding may leave a square below zero; what it stands for is not.
        bits = np.maximum(score, 0, dtype=np.float64).view(np.int64) & ~self._place_bits
        with self._lock:
            self._hits.append((query.astype(self._query_dtype), bits | place))
            self._n_hits += query.size
            if self._n_hits > 3 * self._keys.size:
                self._merge()

    def finish(self) -> None:
        """Merge what is left."""
        with self._lock:
            if self._n_hits:
                self._merge()

    def _merge(self) -> None:
        query, keys = (np.concatenate(part) for part in zip(*self._hits, strict=True))
        self._hits, self._n_hits = [], 0
        order = np.argsort(query, kind="stable")  # a radix sort for 16 bits
        query = query[order]
        number = np.bincount(query, minlength=len(self.bar))
        hit = np.flatnonzero(number)  # lists for which nothing was found stay as they are
        count, width = self._keys.shape[1], self._keys.shape[1] + int(number.max())
        padded = np.full((hit.size, width), _NOTHING)
        padded[:, :count] = self._keys[hit]
        start = np.arange(hit.size) * width + count - (np.cumsum(number) - number)[hit]
        padded.ravel()[np.repeat(start, number[hit]) + np.arange(query.size)] = keys[order]
        padded.partition(count - 1, axis=1)
        self._keys[hit] = padded[:, :count]
        self.bar = (self._keys.max(axis=1) & ~self._place_bits).view(np.float64).astype(self.bar.dtype)


def _upper_bound(score: np.ndarray, count: int) -> np.ndarray:
    """A score that at least ``count`` of each row do not exceed, and not many more.

    The row is cut into groups; the ``count``-th smallest of the groups' minima is such a score. That reads the scores
    twice, which is a tenth of what selecting among them costs.
    """
    while score.shape[1] >= 2 * max(64, 4 * count):
        half = score.shape[1] // 2
        least = np.minimum(score[:, :half], score[:, half : 2 * half])
        if score.shape[1] % 2:
            np.minimum(least[:, 0], score[:, -1], out=least[:, 0])
        score = least
    return np.partition(score, count - 1, axis=1)[:, count - 1]
