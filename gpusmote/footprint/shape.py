"""The sizes of a call, and what an estimate says."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

__all__ = ["INDEX", "Bytes", "Shape"]

INDEX = 8  # bytes of a position, a float64, a row's code
_KEY = 16  # bytes of a class's key of the random stream


@dataclasses.dataclass(frozen=True)
class Shape:
    """The sizes of a call.

    Attributes
    ----------
    n_rows, n_features : int
    work : int
        Bytes of one value in the work dtype.
    item : float
        Bytes of one value in the caller's container.
    classes : tuple of (int, int)
        Rows of each class that gets rows, and how many it gets.
    k : int
        Neighbours of a seed.
    all_k : int
        Neighbours that are sought among all rows; 0 is none.
    pool_of_all : bool
        Whether seeds' neighbours are sought among all rows, too.
    in_place : bool
        Whether all rows are read without a copy.
    joined : bool
        Whether the result is put together from parts, beside which the new rows stand once more.
    shares : bool
        Whether the result shares the originals' memory with X.
    copied : float
        Bytes of one value in a copy of X that reading it left.
    unwrapped : float
        Bytes of one value of the result in the form from which the caller's kind is made.
    counted : bool
        Whether the plan says how many rows each seed gets.
    drawn : bool
        Whether all draws are made beforehand.
    encodes : bool
        Whether y is read, and not handed over as a Target of gpusmote's own.
    approximate : bool
        Whether the search may be approximate.
    """

    n_rows: int
    n_features: int
    work: int
    item: float
    classes: tuple[tuple[int, int], ...]
    k: int
    all_k: int = 0
    pool_of_all: bool = False
    in_place: bool = True
    joined: bool = False
    shares: bool = False
    copied: float = 0.0
    unwrapped: float = 0.0
    counted: bool = False
    drawn: bool = False
    encodes: bool = True
    approximate: bool = False

    @classmethod
    def of(cls, table: Any, classes: tuple[tuple[int, int], ...], k: int = 1, **others: Any) -> Shape:
        """The sizes of a call about this table; ``others`` are attributes, instead of the table's where it has them.

        Parameters
        ----------
        table : Table
        classes : tuple of (int, int)
        k : int, default=1
        """
        known = {"n_rows": table.n_rows, "n_features": table.n_features, "item": table.itemsize}
        known |= {name: getattr(table, name) for name in ("in_place", "joined", "shares", "copied", "unwrapped")}
        return cls(**{**known, **others}, work=table.work_dtype.itemsize, classes=classes, k=k)

    @property
    def n_new(self) -> int:
        return sum(new for _, new in self.classes)

    @property
    def most_new(self) -> int:
        """Of one class: rows are made class by class."""
        return max((new for _, new in self.classes), default=0)

    @property
    def output(self) -> int:
        """Bytes of X_resampled that are not X's own."""
        return int((self.n_new + (0 if self.shares else self.n_rows)) * self.n_features * self.item)

    @property
    def new(self) -> int:
        """Bytes of the synthetic rows in the caller's container."""
        return int(self.n_new * self.n_features * self.item)

    @property
    def held(self) -> int:
        """Bytes that are held throughout: the classes' codes, one a row, and a copy of X where reading it takes one."""
        codes = INDEX * self.n_rows if self.encodes else 0
        return codes + int(self.n_rows * self.n_features * self.copied)

    @property
    def reading(self) -> int:
        """Bytes at the highest point of encoding y: it is sorted."""
        return int(self.n_rows * self.n_features * self.copied) + (41 * self.n_rows if self.encodes else 0)

    def plan(self, rows: int, new: int, awkward: bool = False) -> int:
        """Bytes of one class in the plan: its rows and their positions, seeds, neighbours, key.

        Neighbours among all rows are told apart as if drawn with replacement, or all different where they are awkward.
        """
        pairs = rows * self.k * (3 if self.pool_of_all else 1)  # with the part of the segment, two shares
        values, n = rows, self.n_rows
        if self.pool_of_all:
            named = rows * (1 + self.k)
            values = min(n, named) if awkward else math.ceil(n * -math.expm1(-named / n))
        held = values * (self.n_features * self.work + INDEX) + INDEX * (rows + pairs + rows * self.counted) + _KEY
        return held + (2 * INDEX * new if self.drawn else 0)

    def picking(self, rows: int, new: int) -> int:
        """Bytes while a class's part of the plan is put together from rows of all classes."""
        return self.plan(rows, new) + 4 * INDEX * rows * (1 + self.k) if self.pool_of_all else 0


@dataclasses.dataclass(frozen=True)
class Bytes:
    """Bytes in one kind of memory, by purpose.

    Attributes
    ----------
    output : int
        X_resampled, but for memory that it shares with X.
    plan : int
        Rows, seeds and neighbours that the synthetic rows are made from.
    pool : int
        What a search keeps of its rows besides the plan: copies for products, norms, a tree, inverted lists.
    blocks : int
        Blocks of queries with their candidates, tiles of distances, rows in the making.
    workspace : int
        What libraries take for themselves on a device: FAISS, and CuPy's sorts.
    total : int
        The most at any one time. Not all of the above is there at once.
    most : int
        The same where the rows are as awkward as can be: all of them copies, or neighbours that float32 cannot tell
        apart. A limit is held against this.
    """

    output: int = 0
    plan: int = 0
    pool: int = 0
    blocks: int = 0
    workspace: int = 0
    total: int = 0
    most: int = 0
