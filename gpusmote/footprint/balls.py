"""What balls of rows hold on a device (:mod:`gpusmote.neighbours.device_balls`), and the search that uses them."""

from __future__ import annotations

import dataclasses

from gpusmote.backends.base import Cut
from gpusmote.footprint.shape import INDEX
from gpusmote.neighbours.candidates import AT_ONCE
from gpusmote.neighbours.choose import Search, candidates, choose
from gpusmote.neighbours.device_balls import BRANCH, LEAF

__all__ = ["Balls", "balls_on_device"]

_TRIED = 256  # queries


@dataclasses.dataclass(frozen=True)
class Balls:
    """Bytes of balls of rows.

    Attributes
    ----------
    kept : int
        From the first search to the last.
    tried : int
        The most while they are made and tried, ``kept`` included.
    finding : int
        The most besides ``kept`` while the nearest of a block of queries are found.
    """

    kept: int
    tried: int
    finding: int


def balls_on_device(search: Search, cut: Cut) -> Balls | None:
    """What is held where balls of rows may serve; None where they never do.

    Parameters
    ----------
    search : Search
    cut : Cut
    """
    if choose(search, lambda _: 0.0, lambda _: 0.0).source != "pruned-device":
        return None
    n, d, count = search.n, search.d, candidates("pruned-device", search)
    at_once = cut.size(1 << 23)
    leaves, branches, columns = -(-n // LEAF), -(-n // BRANCH), -(-d // 4) * 4
    kept = n * (2 * INDEX + 4 + 4 * columns) + (leaves + branches) * (INDEX * columns + 4)
    # Rows as seen from the first of their leaf, from its mean, and from the row nearest to that.
    making = 25 * min(n * d, at_once) + INDEX * min(n, max(1, at_once // d))

    def finding(queries: int) -> int:
        """How near all branches are to those of the queries; then lists of places, and of rows."""
        looking = 28 * min(branches, queries, max(1, at_once // branches)) * branches + INDEX * branches * d
        return INDEX * queries * (4 + count) + max(looking, 2 * INDEX * queries * count)

    block = min(search.m, max(1, cut.size(AT_ONCE) // count))
    ordering = 3 * INDEX * block * count + 2 * INDEX * block * search.k
    tried = kept + max(making, finding(_TRIED), 3 * INDEX * search.m)
    return Balls(kept, tried, max(finding(block), ordering, 3 * INDEX * search.m))
