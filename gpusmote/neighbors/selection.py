"""Choose the candidate source of a search: one table of rules."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

from gpusmote.neighbors.candidates import BATCH_ENTRIES

__all__ = ["LARGEST_K", "LISTED", "MEASURED", "RULES", "Rule", "SearchSize", "choose", "choose_second", "rules_for"]

LISTED = 31
"""Candidates on a device: FAISS selects 32 rows, the query included, with the same kernel as 6."""

LARGEST_K = 2048
"""The largest k that FAISS can select on a device, the query included."""


@dataclasses.dataclass(frozen=True)
class SearchSize:
    """The sizes of a search.

    Attributes
    ----------
    n, d : int
        Number of rows that are searched, and of their columns.
    m : int
        Number of queries.
    k : int
        Number of neighbors to find.
    on_host : bool
    copies : {2, 1, 0}
        See :class:`gpusmote.backends.cpu.WorkingMemory`.
    """

    n: int
    d: int
    m: int
    k: int
    on_host: bool = True
    copies: int = 2

    @property
    def count(self) -> int:
        """Candidates for each query: a few more than k, at most n - 1."""
        return min(self.n - 1, self.k + 3 if self.on_host else max(LISTED, self.k + 8))

    @property
    def all_lists_fit(self) -> bool:
        """Whether every row is a query and the lists of all rows fit into one batch."""
        return self.m == self.n and self.n * self.count <= BATCH_ENTRIES


@dataclasses.dataclass(frozen=True)
class Rule:
    """The conditions under which a source is chosen.

    Attributes
    ----------
    source : str
    sizes : callable
        Whether the sizes allow the source.
    text : str
        The condition on the sizes, in words.
    measured : {"dimension", "share"} or None
        The property of the rows that decides too: see
        :class:`~gpusmote.neighbors.intrinsic_dimension.DataGeometry`.
    limit : callable
        The largest measured value that allows the source.
    condition : str
        The condition on the measured value, in words.
    """

    source: str
    sizes: Callable[[SearchSize], bool]
    text: str
    measured: str | None = None
    limit: Callable[[SearchSize], float] = lambda search: math.inf
    condition: str = ""


RULES = (
    Rule("every", lambda s: s.n - 1 <= s.count, "no more rows than candidates"),
    Rule(
        "product-float64",
        lambda s: not s.on_host and s.count >= LARGEST_K,
        f"on a device, more candidates than FAISS selects: {LARGEST_K - 1:,}",
    ),
    Rule("device", lambda s: not s.on_host, "on a device: FAISS, or products in CuPy if FAISS is missing"),
    # There is no memory to measure properties of the rows either.
    Rule("product", lambda s: not s.copies, "no memory for a copy of the rows"),
    Rule(
        "tiles-float64",
        lambda s: s.d >= 10_000 and s.copies == 2,
        "10,000 columns or more, for which float32 certifies few queries",
    ),
    Rule(
        "tree",
        lambda s: s.n >= 2_000 and s.d <= 16,
        "at least 2,000 rows, at most 16 columns",
        "dimension",
        lambda s: min(math.log(s.n / 800, 1.8), 5 - s.d / 8),
        "rows of D dimensions locally: at least 800 * 1.8**D rows, and D + columns / 8 at most 5",
    ),
    Rule(
        "pruned",
        lambda s: s.n >= 16_384 and s.m >= 2_048 and s.count <= 64,
        "at least 16,384 rows and 2,048 queries, at most 64 candidates",
        "share",
        lambda s: 0.4 if s.all_lists_fit else 0.6,
        "at most 40 % of all pairs compared, by a sample (60 % if pairs cannot be used)",
    ),
    Rule("pairs", lambda s: s.n >= 4_096 and s.all_lists_fit, "all rows are queries, 4,096 or more"),
    Rule("tiles", lambda s: True, "any other search"),
)
"""The first rule whose conditions hold decides. The choice affects only the speed.

Measured with NumPy 2.4, SciPy 1.17 and OpenBLAS 0.3 (AVX2) on two cores, k = 5, in CPU time. With tiles and pairs, the
time of a query grows with n: at 8 columns 0.8 and 0.5 ns a row, at 32 columns 1.0 and 0.7. Pairs uses each product for
two queries, but holds the lists of all rows at once. With the tree, the time of a query hardly grows with n, but by a
factor of 1.8 for each intrinsic dimension, and with the number of columns: at 80,000 rows it is as fast as pruned with
3 dimensions in 8 columns or 2 in 16; on 80,000 flights (13 columns, 5.5 dimensions) it takes four times as long. Pruned
compares fewer pairs, at two or three times the cost of a pair in pairs, and takes 1 us a row and core to build
its tree.
"""

MEASURED = {
    "dimension": "{:.1f} dimensions locally",
    "share": "{:.0%} of all pairs compared, by a sample",
}
"""How measured values are reported."""


def rules_for(search: SearchSize) -> Iterator[Rule]:
    """The rules whose conditions on the sizes hold, in order, up to the first that needs no measurement."""
    for rule in RULES:
        if rule.sizes(search):
            yield rule
            if rule.measured is None:
                return


def choose(search: SearchSize, measure: Callable[[str], float]) -> tuple[str, str]:
    """Choose the first source of a search.

    Parameters
    ----------
    search : SearchSize
    measure : callable
        ``measure("dimension")`` and ``measure("share")`` estimate properties of the rows. They take time, so they are
        called only if the sizes do not decide.

    Returns
    -------
    source, why : str
        The name of the source, and the sizes and measurements that decided.
    """
    why = [f"{search.m:,} queries among {search.n:,} rows, {search.d:,} columns"]
    for rule in rules_for(search):
        if rule.measured is None:
            break
        value = measure(rule.measured)
        why.append(MEASURED[rule.measured].format(value))
        if value <= rule.limit(search):
            break
    return rule.source, "; ".join(why)


def choose_second(search: SearchSize, measure: Callable[[str], float]) -> str:
    """Choose the source for the queries that the first source could not certify or finish itself.

    These may be nearly all queries: if clusters are far apart, or one column has much larger units, float32 relative to
    one center cannot separate the neighbors. The pruned search uses a center for each group of queries, so it can
    certify them. It pays earlier here than in a first search, because it replaces a search in float64.
    """
    if not search.on_host or search.copies < 2:
        return "product-float64"
    if search.n >= 4_096 and search.m >= 2_048 and search.count <= 64 and measure("share") <= 0.6:
        return "pruned"
    return "tiles-float64"
