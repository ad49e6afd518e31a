"""What each source of candidates on the host holds; one function for one module of :mod:`gpusmote.neighbours`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from gpusmote._threads import n_threads
from gpusmote.backends.base import Cut
from gpusmote.footprint.shape import INDEX

__all__ = ["SOURCES", "Asked", "Held"]

_NODES = 12  # bytes of a k-d tree's nodes, a row
_HIT = 10  # bytes of one hit that waits to be merged: the query in 16 bits, and the key
_MERGED = 3.0  # hits for each place in the lists: then they are merged
_WAITING = 0.7  # of them, in lists that are in different states, there are so many on average
_ROWS_A_BALL = 5  # of all sizes, where cuts are uneven; 8 where they are even
_CUTTING = 72  # bytes a row while nodes are cut: which node, where, its coordinate, its key, the new order
_BLOCK, _CELL, _AREA, _AT_ONCE_IN_GROUP = 64, 1_024, 1 << 20, 16_384  # as of neighbours.group, balls and pruned
_HITS_AT_ONCE = 1 << 16  # as of neighbours.tree, which loads SciPy's trees
_MANY = 16  # hits of one tile for each place in the lists, from which on the lowest scores are chosen instead
_BLOCK_VALUES = 1 << 18  # float64 values of a block in which rows are reduced


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a source is asked for.

    Attributes
    ----------
    n, d : int
        Rows that are searched, and their columns.
    count : int
        Candidates of each query.
    block : int
        Queries at once.
    work : int
        Bytes of one value of a row.
    item : int
        Bytes of one value in products: 4 or 8.
    tied : bool
        Whether as many rows as can be are equally far.
    cut : Cut
    """

    n: int
    d: int
    count: int
    block: int
    work: int
    item: int
    tied: bool
    cut: Cut


@dataclasses.dataclass(frozen=True)
class Held:
    """Bytes of one source.

    Attributes
    ----------
    kept : int
        From the first search to the last.
    made : int
        The most while it is made, ``kept`` included.
    finding : int
        The most besides ``kept`` while it answers a block of queries, the answer included.
    """

    kept: int
    made: int
    finding: int


def _every(asked: Asked) -> Held:
    return Held(0, 0, (INDEX + 1) * asked.block * asked.count)


def _tree(asked: Asked) -> Held:
    """The rows in float64, where they are not; and, found and ordered, one more candidate each, the query."""
    double = 8 * asked.d if asked.work == 4 else 0
    kept = asked.n * (INDEX + _NODES + double)
    found = asked.block * ((asked.count + 1) * (2 * INDEX + 2) + asked.d * asked.work + double)
    found += INDEX * asked.block * asked.count
    if asked.tied:  # rows within reach of some queries, as Python's numbers at first
        found = max(found, asked.block * (asked.d * (asked.work + 8) + 5 * INDEX) + max(asked.n, _HITS_AT_ONCE) * 140)
    return Held(kept, kept, found)


def _balls(asked: Asked) -> tuple[int, int]:
    """Balls, the order of their rows and its inverse; and before, rows that are cut, all nodes of a level at once.

    Where rows are cut unevenly they stand there three times: themselves, those of nodes that are still too large, and
    these in their new order. Then rows are measured from the centre of the whole, and from that of each ball.
    """
    kept = asked.n * (2 * INDEX + (8 * asked.d + 2 * INDEX) // _ROWS_A_BALL)
    values = min(asked.n * asked.d, n_threads() * max(asked.cut.size(_BLOCK_VALUES), _CELL * asked.d))
    return kept, max(asked.n * (3 * 4 * asked.d + _CUTTING), kept + values * (24 + asked.work))


def _met(asked: Asked, queries: int, own: int) -> int:
    """What a group of queries holds: scores among the rows of its own cells, then rows in its frame that it meets.

    Of those a block of queries leaves out a quarter; for the others it holds a score, and a place while it chooses.
    """
    rows, d = min(asked.n, _AT_ONCE_IN_GROUP), asked.d
    table = max(d * (8 + max(asked.work, 4)), 2 * 4 * (d + 2) + 9 * _BLOCK)
    beginning = int(_scores(own, asked.count) * 4 * queries * own) + own * d * 12
    needed = rows // _ROWS_A_BALL * (5 * queries + 32 * d)  # small balls beside queries
    return max(rows * table, beginning, needed) + queries * (12 * (d + 2) + asked.count * 60)


def _pruned(asked: Asked) -> Held:
    """Balls; in each thread a group of queries, and where there are ties all rows that are as near as the last."""
    kept, made = _balls(asked)
    own = min(asked.n, _CELL)
    one = _met(asked, min(asked.block, _AREA // own), own)
    if asked.tied:
        one += _BLOCK * min(asked.n, 4_096) * 140
    return Held(kept, made, n_threads() * one + INDEX * asked.block * (asked.count + 2))


def _layout(asked: Asked) -> tuple[int, int]:
    """Rows of ``d + 2`` values, their order and its inverse; and the same while they are written, block by block."""
    kept = asked.n * (2 * INDEX + asked.item * (asked.d + 2))
    values = min(asked.n * asked.d, n_threads() * asked.cut.size(_BLOCK_VALUES))
    return kept, max(kept + values * (8 + asked.work), asked.n * (4 * INDEX + 1))


def _hits(n: int, first: int) -> float:
    """Hits for each place in the lists that wait at most, where the first bar comes from so many of n rows."""
    return min(_MERGED, 1.8 + math.log(n / first))


def _merging(lists: int, count: int, hits: float) -> int:
    """Hits put in order and into the lists; the longest list decides how wide the table is."""
    return int(lists * count * (hits * (5 * INDEX + _HIT) + (1 + 2.5 * hits) * INDEX))


def _tied(lists: int, width: int, count: int) -> int:
    """What a tile's hits take more where there are as many as can be: a place of each score, or all its hits merged."""
    hits = int(lists * count * _MANY * (5 * INDEX + _HIT))
    return INDEX * lists * width + max(INDEX * lists * width, hits)


def _scores(width: int, count: int) -> float:
    """Tiles that there are at once while the first bar is found: minima of halves, until few are left."""
    return 1.75 if width >= 4 * max(64, 4 * count) else 2.0


def _tiles(asked: Asked) -> Held:
    n, count, item = asked.n, asked.count, asked.item
    tile = 2_048
    side = min(512, max(16, (1 << 18) // count))
    threads, side = min(n_threads(), -(-asked.block // side)), min(asked.block, side)
    first = min(n, max(tile, count + 1))
    second = min(n - first, tile)
    hits = _hits(n, first)
    lists = int(side * count * (INDEX + _HIT * hits)) + _merging(side, count, hits)
    scores = int(_scores(first, count) * first * side * item)
    if asked.tied:
        lists += _tied(side, first, count)
    one = 2 * side * (asked.d + 2) * item + max(
        scores, first * side * item + lists, second * side * item * 5 // 4 + lists
    )
    kept, made = _layout(asked)
    return Held(kept, made, threads * one + INDEX * asked.block * (count + 1))


def _pairs(asked: Asked) -> Held:
    """The lists of all rows, with their hits, beside a tile in each thread; then beside the answer."""
    n, count, item = asked.n, asked.count, asked.item
    side = max(1_024, count + 1)
    threads = min(n_threads(), -(-n // side))
    tile = side * side * item
    lists = int(n * (count * (INDEX + _HIT * _MERGED * _WAITING) + item))
    merging = _merging(side, count, _MERGED)
    meeting = threads * (5 * tile // 4 + merging + 2 * side * (asked.d + 2) * item)
    beginning = int(threads * _scores(side, count) * tile)
    if asked.tied:
        meeting += threads * _tied(side, side, count)
    ending = INDEX * n * (count + 1) + threads * merging
    kept, made = _layout(asked)
    return Held(kept, made, max(beginning, lists + max(meeting, ending)))


def _product(asked: Asked) -> Held:
    """Scores and their order in each thread; of the last tile, too, until the next one's are there."""
    rows, tile = asked.cut.sides(256, 2_048)
    tile = min(asked.n, max(tile, asked.count + 1))
    threads, rows = min(n_threads(), -(-asked.block // rows)), min(rows, asked.block)
    one = asked.item + INDEX if asked.n <= tile else max(2 * asked.item + INDEX, asked.item + 2 * INDEX)
    both = (tile + rows) * asked.d * (8 + asked.work + asked.item)
    best = rows * asked.count * 6 * INDEX
    return Held(0, 0, threads * (rows * tile * one + both + best) + INDEX * asked.block * (asked.count + 1))


SOURCES: dict[str, Callable[[Asked], Held]] = {
    "every": _every,
    "tree": _tree,
    "pruned": _pruned,
    "tiles": _tiles,
    "pairs": _pairs,
    "product": _product,
}
"""By the names of :data:`gpusmote.neighbours.neighbourhood.SOURCES`."""
