"""Reports of what the searches did."""

from __future__ import annotations

import dataclasses

__all__ = ["Approximation", "SearchReport"]


@dataclasses.dataclass(frozen=True)
class Approximation:
    """One approximate search.

    Attributes
    ----------
    source : str
        "faiss-ivf-cpu" or "faiss-ivf-gpu".
    queries, rows, k : int
        Number of queries, rows searched, and neighbors of each query.
    nlist, nprobe : int
        Number of inverted lists, and how many of them were searched for each query.
    sample : int
        Number of queries on which the recall was measured. Their choice uses no random stream.
    recall : float
        Share of the sample's k nearest rows that the search found, compared with the exact search. A row at the same
        distance as the k-th nearest counts as found.
    error : float
        Standard error of ``recall`` as an estimate for all queries.
    """

    source: str
    queries: int
    rows: int
    k: int
    nlist: int
    nprobe: int
    sample: int
    recall: float
    error: float

    def __str__(self) -> str:
        return (
            f"The neighbors of {self.queries:,} rows among {self.rows:,} are approximate: {self.recall:.2%} of the"
            f" {self.k} nearest found ({self.source}, {self.nprobe:,} of {self.nlist:,} lists probed, measured on"
            f" {self.sample:,} rows). The same call gives the same rows on this machine; on another device it may give"
            " others."
        )


@dataclasses.dataclass
class SearchReport:
    """What the searches of one call did.

    Attributes
    ----------
    sources : list of str
        Names of the candidate sources, in the order of first use.
    why : list of str
        The first source of each search, and the sizes and measurements that decided the choice.
    queries : int
        Number of queries: the sum of the four counts below. A query that an approximate search tried before the exact
        search answered it counts twice.
    certified_first, certified_second, certified_last : int
        Queries certified in the first pass, in the second pass (float64, or many local centers), and answered by the
        last pass.
    approximate : int
        Queries with approximate neighbors; 0 unless ``search="approximate"``.
    recall : float or None
        The smallest recall of the approximate searches; None if there was none.
    approximations : list of Approximation
        One entry for each approximate search.
    notes : list of str
        Deviations from what was requested, and the measured recall; also in the notes of the call.
    """

    sources: list[str] = dataclasses.field(default_factory=list)
    why: list[str] = dataclasses.field(default_factory=list)
    queries: int = 0
    certified_first: int = 0
    certified_second: int = 0
    certified_last: int = 0
    approximate: int = 0
    recall: float | None = None
    approximations: list[Approximation] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def used(self, source: str) -> None:
        """Record a source, once."""
        if source not in self.sources:
            self.sources.append(source)

    def chose(self, source: str, why: str) -> None:
        """Record why a source was chosen, once."""
        if f"{source}: {why}" not in self.why:
            self.why.append(f"{source}: {why}")

    def count(self, first: int, second: int, last: int) -> None:
        """Add the queries that each pass answered."""
        self.queries += first + second + last
        self.certified_first += first
        self.certified_second += second
        self.certified_last += last

    def add(self, search: Approximation) -> None:
        """Record an approximate search."""
        self.used(search.source)
        self.queries += search.queries
        self.approximate += search.queries
        self.recall = search.recall if self.recall is None else min(self.recall, search.recall)
        self.approximations.append(search)
        self.notes.append(str(search))
