"""What searches say of themselves."""

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
        For how many rows it found neighbors, among how many rows, and how many of each.
    nlist, nprobe : int
        Inverted lists, and how many of them were looked into for each query.
    sample : int
        Queries that the recall was measured on, drawn by a rule of their own: no random stream is touched.
    recall : float
        Share of the sample's k nearest rows that the search finds, by comparison with the exact search. A row that is
        as near as the k-th nearest counts, whichever it is.
    error : float
        Standard error of ``recall`` as an estimate for all the queries.
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
    """What searches did.

    Attributes
    ----------
    sources : list of str
        Where the candidates came from, in the order of first use.
    why : list of str
        What each search was done with first, and the sizes and findings that decided it.
    queries : int
        Rows whose neighbors were sought: the sum of the four below. A row that an approximate search was tried on
        before the exact one served counts twice.
    certified_first, certified_second, certified_last : int
        How many of them the first source's list was certain for, how many needed the second pass, in float64 or from
        many centres, and how many the last.
    approximate : int
        How many of them have approximate neighbors; 0 unless ``search="approximate"``.
    recall : float or None
        Of the approximate search that found the smallest share; None where there was none.
    approximations : list of Approximation
        Each approximate search.
    notes : list of str
        What was done in another way than asked for, and what approximate means; also in the call's own notes.
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
        """Note a source, once."""
        if source not in self.sources:
            self.sources.append(source)

    def chose(self, source: str, why: str) -> None:
        """Note why a search is done with a source, once."""
        if f"{source}: {why}" not in self.why:
            self.why.append(f"{source}: {why}")

    def add(self, search: Approximation) -> None:
        """Count an approximate search."""
        self.used(search.source)
        self.queries += search.queries
        self.approximate += search.queries
        self.recall = search.recall if self.recall is None else min(self.recall, search.recall)
        self.approximations.append(search)
        self.notes.append(str(search))
