"""Keep the nearest candidates of many queries, updated from tiles of scores. NumPy only."""

from __future__ import annotations

import threading

import numpy as np

from gpusmote.neighbors.search_set import SearchSet

__all__ = ["Layout", "TopK"]

_MANY = 16  # scores below the threshold for each list entry; above this, selecting from the tile needs less memory
_NOTHING = np.array(np.inf).view(np.int64)[()]


class Layout:
    """Reduced rows, extended so that matrix products are squared distances, in the order of a systematic sample.

    Row i is ``(y, |y|**2, 1)``, so that ``(-2 x, 1, |x|**2) . row`` is ``|x - y|**2``. Any ``sample`` consecutive rows
    in this order are spread evenly over the caller's rows. So the first tile gives a good estimate of the distance to
    the nearest rows, even if the caller's rows are sorted.

    Parameters
    ----------
    search_set : SearchSet
    dtype : str
        "f4" or "f8".
    sample : int

    Attributes
    ----------
    order : ndarray of shape (n,), int64
        Row number at each place.
    place : ndarray of shape (n,), int64
        Place of each row.
    right : ndarray of shape (n, d + 2), ``dtype``
    """

    def __init__(self, search_set: SearchSet, dtype: str, sample: int) -> None:
        n, d = search_set.n, search_set.d
        stride = -(-n // sample)
        order = np.arange(-(-n // stride) * stride).reshape(-1, stride).T.ravel()
        self.order = order[order < n]
        self.place = np.empty(n, np.int64)
        self.place[self.order] = np.arange(n)
        self.right = np.empty((n, d + 2), dtype)
        self._search_set = search_set
        search_set.each_block(self._fill, n, search_set.block(d))

    def _fill(self, start: int, stop: int) -> None:
        rows, d = self.order[start:stop], self._search_set.d
        self.right[start:stop, :d] = self._search_set.reduced(rows)
        self.right[start:stop, d] = self._search_set.norms[rows] ** 2
        self.right[start:stop, d + 1] = 1.0

    def left(self, places: slice | np.ndarray) -> np.ndarray:
        """``(-2 x, 1, |x|**2)`` of the rows at these places."""
        x: np.ndarray = self.right[places] * self.right.dtype.type(-2)
        x[:, -2] = 1.0
        x[:, -1] = self.right[places, -2]
        return x


class TopK:
    """The ``count`` nearest places so far of each of m queries.

    A place and its score are stored in one integer: the bits of the score in float64, with the lowest bits replaced by
    the place. Scores are not negative, so the integers have the order of the scores, and selecting integers is several
    times faster than selecting positions of floats. A float32 score loses nothing (up to 2**29 rows). A float64 score
    becomes slightly smaller, so the largest score of a list remains a lower bound for all rows outside it.

    Parameters
    ----------
    score : ndarray of shape (m, w), float32 or float64
        Squared distances to w consecutive places, of which at least ``count`` are finite.
    count : int
    n : int
        Number of places.
    first : int, default=0
        The place of the first column.

    Attributes
    ----------
    threshold : ndarray of shape (m,), ``score``'s dtype
        The largest score in each list; only smaller scores can enter it. It may be read while another thread merges:
        an old threshold is too large, never too small.
    """

    def __init__(self, score: np.ndarray, count: int, n: int, first: int = 0) -> None:
        self._place_bits = np.int64((1 << n.bit_length()) - 1)
        self._query_dtype = np.int16 if len(score) < 1 << 15 else np.int64
        self._lock = threading.Lock()
        self._hits: list[tuple[np.ndarray, np.ndarray]] = []
        self._n_hits = 0
        threshold = _upper_bound(score, count)
        self.threshold = np.nextafter(threshold, threshold.dtype.type(np.inf))
        self._keys = np.full((len(score), count), _NOTHING)
        self.add_tile(score, first)
        self.finish()

    @property
    def places(self) -> np.ndarray:
        """ndarray of shape (m, count), int64: the places, in any order."""
        return self._keys & self._place_bits

    def add_tile(
        self,
        score: np.ndarray,
        places: int | np.ndarray,
        by_columns: bool = False,
        lists: slice = slice(None),
    ) -> None:
        """Add the scores of a tile that are below the threshold.

        If that is a large part of the tile (the first rows were far from a query, or all distances are equal), only the
        smallest ones for each list are kept: the others cannot enter a list, and storing them takes much memory.

        Parameters
        ----------
        score : ndarray of shape (m, w), or, by columns, (w, m), float32 or float64
        places : int, or ndarray of shape (w,), int64
            Places of the w rows, or of the first if they are consecutive.
        by_columns : bool, default=False
            Whether each column, not each row, holds the scores of one list.
        lists : slice, default=slice(None)
            The m lists to update.
        """
        count, width, threshold = self._keys.shape[1], score.shape[1], self.threshold[lists]
        below = score < (threshold if by_columns else threshold[:, None])
        if np.count_nonzero(below) <= _MANY * len(threshold) * count:
            flat = np.flatnonzero(below)  # many times faster than nonzero of two dimensions
            line = flat // width
            column = flat - line * width
            query, place = (column, line) if by_columns else (line, column)
        else:
            del below
            by_list = score.T if by_columns else score
            count = min(count, by_list.shape[1])
            place = np.argpartition(by_list, count - 1, axis=1)[:, :count].ravel()
            query = np.repeat(np.arange(len(by_list)), count)
        score = score[place, query] if by_columns else score[query, place]
        place = place + places if isinstance(places, (int, np.integer)) else places[place]
        self._add(query + (lists.start or 0), place, score)

    def _add(self, query: np.ndarray, place: np.ndarray, score: np.ndarray) -> None:
        """Store new entries, and merge them when there are several for every entry of the lists.

        Parameters
        ----------
        query, place : ndarray of shape (h,), int64
            The list, and the place to add to it.
        score : ndarray of shape (h,), float32 or float64
        """
        # Rounding may make a squared distance negative.
        bits = np.maximum(score, 0, dtype=np.float64).view(np.int64) & ~self._place_bits
        with self._lock:
            self._hits.append((query.astype(self._query_dtype), bits | place))
            self._n_hits += query.size
            if self._n_hits > 3 * self._keys.size:
                self._merge()

    def finish(self) -> None:
        """Merge the remaining entries."""
        with self._lock:
            if self._n_hits:
                self._merge()

    def _merge(self) -> None:
        query, keys = (np.concatenate(part) for part in zip(*self._hits, strict=True))
        self._hits, self._n_hits = [], 0
        order = np.argsort(query, kind="stable")  # a radix sort for 16 bits
        query = query[order]
        number = np.bincount(query, minlength=len(self.threshold))
        hit = np.flatnonzero(number)  # lists without new entries do not change
        count, width = self._keys.shape[1], self._keys.shape[1] + int(number.max())
        padded = np.full((hit.size, width), _NOTHING)
        padded[:, :count] = self._keys[hit]
        start = np.arange(hit.size) * width + count - (np.cumsum(number) - number)[hit]
        padded.ravel()[np.repeat(start, number[hit]) + np.arange(query.size)] = keys[order]
        padded.partition(count - 1, axis=1)
        self._keys[hit] = padded[:, :count]
        self.threshold = (self._keys.max(axis=1) & ~self._place_bits).view(np.float64).astype(self.threshold.dtype)


def _upper_bound(score: np.ndarray, count: int) -> np.ndarray:
    """An upper bound for the ``count``-th smallest score of each row, not much larger than it.

    Each row is split into groups; the ``count``-th smallest of the minima of the groups is such a bound. This reads the
    scores twice, which takes a tenth of the time of selecting among them.
    """
    while score.shape[1] >= 2 * max(64, 4 * count):
        half = score.shape[1] // 2
        least = np.minimum(score[:, :half], score[:, half : 2 * half])
        if score.shape[1] % 2:
            np.minimum(least[:, 0], score[:, -1], out=least[:, 0])
        score = least
    return np.partition(score, count - 1, axis=1)[:, count - 1]
