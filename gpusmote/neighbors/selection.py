"""The one table that says which source of candidates serves a search."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import TypeAlias

from gpusmote.neighbors.candidates import AT_ONCE

__all__ = [
    "LISTED",
    "RULES",
    "Choice",
    "Rule",
    "SearchSize",
    "choose",
    "rules_for",
    "second",
]

LISTED = 31
"""Candidates of a list on a device: FAISS selects 32, the query among them, with the kernel that it has for 6."""


@dataclasses.dataclass(frozen=True)
class SearchSize:
    """The sizes of a search.

    Attributes
    ----------
    n, d : int
        Rows that are searched, and their columns.
    m : int
        Queries.
    k : int
        Neighbors wanted.
    on_host : bool
    copies : {2, 1, 0}
        See :class:`gpusmote.backends.cpu.Cut`.
    """

    n: int
    d: int
    m: int
    k: int
    on_host: bool = True
    copies: int = 2

    @property
    def count(self) -> int:
        """Candidates that a query gets: some more than are wanted, if there are so many rows."""
        return min(self.n - 1, self.k + 3 if self.on_host else max(LISTED, self.k + 8))

    @property
    def lists_of_all(self) -> bool:
        """Whether every row is a query, and the lists of all at once are not too large."""
        return self.m == self.n and self.n * self.count <= AT_ONCE


Ask: TypeAlias = "Callable[[float], float]"
"""A question about the rows, answered at some cost: asked only where sizes do not decide.

It is told the largest answer with which the source serves: an answer that is larger need be no more than that.
"""


@dataclasses.dataclass(frozen=True)
class Rule:
    """When a source serves.

    Attributes
    ----------
    source : str
    sizes : callable
        Whether the sizes allow it.
    text : str
        That, in words.
    asks : {"dimension", "share"} or None
        What must be known of the rows besides. The share of all pairs that would be compared is that of
        :class:`~gpusmote.neighbors.intrinsic_dimension.DataGeometry`, and that of a trial where the former is small.
    limit : callable
        The largest answer that allows it.
    condition, found : str
        That, and the answer, in words.
    """

    source: str
    sizes: Callable[[SearchSize], bool]
    text: str
    asks: str | None = None
    limit: Callable[[SearchSize], float] = lambda search: math.inf
    condition: str = ""
    found: str = ""


RULES = (
    Rule("every", lambda s: s.n - 1 <= s.count, "no more rows than candidates"),
    Rule("device", lambda s: not s.on_host, "on a device: FAISS, or tiles in CuPy where it is missing"),
    # Nor is there room to look at how the rows lie.
    Rule("product", lambda s: not s.copies, "no memory for a copy of the rows"),
    Rule(
        "tree",
        lambda s: s.n >= 2_000 and s.d <= 16,
        "at least 2,000 rows, at most 16 columns",
        "dimension",
        lambda s: min(math.log(s.n / 800, 1.8), 5 - s.d / 8),
        "rows of D dimensions locally: at least 800 * 1.8**D rows, and D + columns / 8 at most 5",
        "{:.1f} dimensions locally",
    ),
    Rule(
        "pruned",
        lambda s: s.n >= 16_384 and s.m >= 2_048 and s.count <= 64,
        "at least 16,384 rows and 2,048 queries, at most 64 candidates",
        "share",
        lambda s: 0.4 if s.lists_of_all else 0.6,
        "at most 40 % of all pairs compared, by a sample and a trial (60 % where the next does not serve)",
        "{:.0%} of all pairs compared, by a sample or a trial",
    ),
    Rule("pairs", lambda s: s.n >= 4_096 and s.lists_of_all, "all rows are queries, 4,096 or more"),
    Rule("tiles", lambda s: True, "any other search"),
)
"""The first that holds. They decide speed only.

Measured with NumPy 2.4, SciPy 1.17 and OpenBLAS 0.3 (AVX2) on two cores, k = 5, in CPU time. A query costs tiles and
pairs a time that grows with n: at 8 columns 0.8 and 0.5 ns a row, at 32 columns 1.0 and 0.7; pairs share each product
between two queries, but hold the lists of all rows at once. It costs the tree a time that hardly grows with n, but by
1.8 for every dimension that the rows have locally, and with the columns: 3 dimensions in 8 columns or 2 in 16 are where
it is even with pruned at 80,000 rows; 80,000 flights (13 columns, 5.5 dimensions) take it four times as long. Pruned
compares fewer pairs, at two or three times the cost of one of pairs, and takes 1 us a row and core to make its balls.
"""


def rules_for(search: SearchSize) -> Iterator[Rule]:
    """The rules that the sizes of a search allow, in order, up to one that sizes alone decide."""
    for rule in RULES:
        if rule.sizes(search):
            yield rule
            if rule.asks is None:
                return


@dataclasses.dataclass(frozen=True)
class Choice:
    """A source's name, how many candidates it is asked for, and why it was chosen."""

    source: str
    count: int
    why: str


def choose(search: SearchSize, dimension: Ask, share: Ask) -> Choice:
    """Which source serves a search.

    Parameters
    ----------
    search : Search
    dimension, share : callable
        Answer what :class:`Rule` asks of the rows.

    Returns
    -------
    Choice
    """
    why = [f"{search.m:,} queries among {search.n:,} rows, {search.d:,} columns"]
    for rule in rules_for(search):
        if rule.asks is None:
            break
        limit = rule.limit(search)
        answer = dimension(limit) if rule.asks == "dimension" else share(limit)
        why.append(rule.found.format(answer))
        if answer <= limit:
            break
    return Choice(rule.source, search.count, "; ".join(why))


def second(search: SearchSize, share: Ask) -> str:
    """Which source serves the queries that the first is not certain of, where that cannot settle them by itself.

    Those may be nearly all: of clusters that lie far apart, or beside a column in much larger units, float32 sees
    little from one centre. Balls have centres of their own, so that their lists are certain; they pay earlier than for
    a first search, because what they take the place of is done in float64.
    """
    if not search.on_host or search.copies < 2:
        return "product-float64"
    if search.n >= 4_096 and search.m >= 2_048 and search.count <= 64 and share(0.6) <= 0.6:
        return "pruned"
    return "tiles-float64"
