"""What inverted lists hold, for an approximate search (:mod:`gpusmote.neighbours.inverted`)."""

from __future__ import annotations

from gpusmote._threads import n_threads
from gpusmote.backends.base import WHOLE, Cut
from gpusmote.footprint.shape import INDEX
from gpusmote.neighbours.candidates import AT_ONCE

__all__ = ["found_in_lists", "lists_on_device", "lists_on_host", "sample"]

_SLACK = 1.5  # FAISS's lists on the host grow by doubling


def sample() -> int:
    """Queries that the recall is measured on. An exact search loads nothing of the approximate one."""
    from gpusmote.neighbours.approximate import SAMPLE

    return SAMPLE


def _serve(n: int, queries: int, cut: Cut) -> bool:
    from gpusmote.neighbours.approximate import SMALLEST_WORK

    return queries > sample() and queries * n >= SMALLEST_WORK and cut.copies >= WHOLE.copies


def lists_on_host(n: int, d: int, queries: int, cut: Cut) -> tuple[int, int]:
    """Bytes kept, and the most while they are made; both 0 where the exact search serves.

    A second pool's norms, the rows in float32 with their numbers, each row's place in the lists; before, the sample
    that the centres are made from, and blocks of rows on their way.
    """
    from gpusmote.neighbours import inverted

    if not _serve(n, queries, cut):
        return 0, 0
    number = inverted._number(n)
    lists = int(_SLACK * n * (4 * d + INDEX)) + number * 4 * d
    drawn = min(n, inverted._ROWS_A_LIST * number) * (4 * d + 16 * d)
    adding = min(n, inverted._ADDED_AT_ONCE) * 12 * d
    kept = 2 * INDEX * n + lists
    return kept, max(kept + INDEX * n, INDEX * n + lists + adding, INDEX * n + drawn)


def found_in_lists(queries: int, k: int, d: int, work: int, cut: Cut) -> int:
    """Bytes while lists are looked into: rows and distances of all queries, and those of a block with their order."""
    from gpusmote.neighbours import inverted

    count = k + 4
    block = min(queries, max(1, AT_ONCE // count))
    values = min(block * count * d, n_threads() * max(count * d, cut.compared(d))) * (8 + work)
    some = INDEX * block * count
    return 2 * INDEX * queries * (k + 1) + max(3 * some + values, 4 * some) + n_threads() * inverted._BLOCK * 12 * d


def lists_on_device(n: int, d: int, queries: int, cut: Cut) -> tuple[int, int, int]:
    """Bytes of arrays that are kept, the most while the lists are made, and what FAISS takes for the lists.

    A second pool's norms; the reduced rows and the sample, until FAISS has them.
    """
    from gpusmote.neighbours import inverted

    if not _serve(n, queries, cut) or cut.pool_rows is not None:
        return 0, 0, 0
    number = inverted._number(n)
    kept = INDEX * n
    return kept, kept + 4 * d * (n + min(n, inverted._ROWS_A_LIST * number)), n * (4 * d + INDEX) + number * 4 * d
