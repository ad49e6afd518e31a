"""Comparison of the approximate search with the exact one: ``python -m gpusmote.evaluation.search 100000 300000``."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from gpusmote.backends import Backend
from gpusmote.evaluation.benchmark import Row, machine, print_facts, print_table
from gpusmote.neighbors import NeighborSearch, SearchReport
from gpusmote.neighbors.approximate import ApproximateSearch, measured_recall

__all__ = ["TABLES", "compare", "main"]

COLUMNS, NEIGHBORS, TARGET = 32, 5, 0.95


def _clusters(rng: np.random.Generator, n: int) -> np.ndarray:
    centers = 3 * rng.standard_normal((200, COLUMNS))
    return centers[rng.integers(0, 200, n)] + rng.standard_normal((n, COLUMNS))


def _eight_dimensions(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_normal((n, 8)) @ rng.standard_normal((8, COLUMNS)) + 0.1 * rng.standard_normal((n, COLUMNS))


TABLES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "200 clusters": _clusters,
    "8 dimensions and noise": _eight_dimensions,
    "normally distributed": lambda rng, n: rng.standard_normal((n, COLUMNS)),
}


def compare(name: str, n: int, turns: int) -> Row:
    """Measure both searches alternately, for all rows of one table on the host, and the recall.

    Parameters
    ----------
    name : str
        A key of ``TABLES``.
    n : int
        Number of rows.
    turns : int
        Number of measurements.

    Returns
    -------
    dict
        - ``table``, ``rows``;
        - ``exact`` and ``approximate``: medians in seconds, including building the index and measuring the recall;
        - ``ratio``: the median of the ratios of all turns, above 1 if the approximate search is faster;
        - ``recall``: of all rows;
        - ``probed``: the number of lists searched, and of all lists; "exact" if the exact search was used.
    """
    values = TABLES[name](np.random.default_rng(0), n).astype(np.float32)
    backend, seconds, report = Backend(), list[tuple[float, float]](), SearchReport()
    exact = found = np.empty((0, NEIGHBORS), np.int64)
    for _ in range(turns):
        start = time.perf_counter()
        exact = NeighborSearch(backend, values, SearchReport()).nearest(None, NEIGHBORS)
        between, report = time.perf_counter(), SearchReport()
        found = ApproximateSearch(backend, values, report, TARGET).nearest(None, NEIGHBORS)
        seconds.append((between - start, time.perf_counter() - between))
    rows = np.arange(n)
    recall, _ = measured_recall(
        backend.rerank(values, rows, found), backend.rerank(values, rows, exact[:, -1:]).ravel()
    )
    return {
        "table": name,
        "rows": n,
        "exact": statistics.median(a for a, _ in seconds),
        "approximate": statistics.median(b for _, b in seconds),
        "ratio": statistics.median(a / b for a, b in seconds),
        "recall": recall,
        "probed": ", ".join(f"{one.nprobe} of {one.nlist:,}" for one in report.approximations) or "exact",
    }


def main(arguments: Sequence[str]) -> None:
    """Compare the searches on all tables, and print the results as a Markdown table, row by row.

    Parameters
    ----------
    arguments : sequence of str
        Numbers of rows; 100000 if there are none.
    """
    sizes = [int(argument) for argument in arguments] or [100_000]
    print_facts(machine())
    print(f"Seconds to find {NEIGHBORS} neighbors of all rows, {COLUMNS} columns, float32, recall_target={TARGET}.\n")
    compare("200 clusters", 2_000, 1)  # the first call loads libraries
    print_table(_PRINTED, (compare(name, n, 3 if n <= 100_000 else 1) for n in sizes for name in TABLES))


_PRINTED = (
    ("table", lambda row: f"{row['table']}"),
    ("rows", lambda row: f"{row['rows']:,}"),
    ("exact", lambda row: f"{row['exact']:.2f} s"),
    ("approximate", lambda row: f"{row['approximate']:.2f} s"),
    ("ratio", lambda row: f"{row['ratio']:.2f}x"),
    ("recall", lambda row: f"{row['recall']:.1%}"),
    ("lists probed", lambda row: f"{row['probed']}"),
)


if __name__ == "__main__":
    main(sys.argv[1:])
