"""Time and exactness on tables of many shapes, compared with imbalanced-learn and scikit-learn-intelex."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.neighbors import NearestNeighbors

import gpusmote
from gpusmote.backends import Backend
from gpusmote.evaluation.benchmark import Column, Row, imblearn_smote, machine, measure_turns, print_facts, print_table
from gpusmote.neighbors import NeighborSearch, SearchReport
from gpusmote.neighbors.sparse import SparseSearch

__all__ = ["SHAPES", "Shape", "run"]

NEIGHBORS = 5
CHECKED = 200
"""Number of queries whose neighbors are compared with exact ones."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """A table with a minority class.

    Attributes
    ----------
    rows, columns, minority : int
    dtype : str
    data : {"normal", "clusters", "offset", "sparse"}
        Independent normal columns; ten clusters, ten standard deviations apart; normal columns plus 1,000; or a sparse
        matrix with 60 entries a row on average.
    sampler : str
        Name of the sampler.
    """

    rows: int
    columns: int
    minority: int
    dtype: str = "float64"
    data: str = "normal"
    sampler: str = "SMOTE"

    def table(self) -> tuple[Any, np.ndarray]:
        """X and y; the same in each call."""
        rng = np.random.default_rng(self.rows + self.columns)
        y = np.zeros(self.rows, np.int64)
        y[rng.permutation(self.rows)[: self.minority]] = 1
        if self.data == "sparse":
            density = 60 / self.columns
            return scipy.sparse.random_array(
                (self.rows, self.columns), density=density, format="csr", dtype=self.dtype, rng=rng
            ), y
        X = rng.standard_normal((self.rows, self.columns), dtype=np.dtype(self.dtype).type)
        if self.data == "clusters":
            X += 10 * rng.standard_normal((10, self.columns)).astype(self.dtype)[rng.integers(0, 10, self.rows)]
        return X + np.dtype(self.dtype).type(1000) if self.data == "offset" else X, y


_SAMPLERS = ("SMOTE", "BorderlineSMOTE", "ADASYN")
SHAPES = (
    *(Shape(220, 4, 20, sampler=name) for name in _SAMPLERS),
    *(Shape(660, 8, 60, sampler=name) for name in _SAMPLERS),
    Shape(12_000, 32, 2_000, "float32"),
    Shape(18_000, 4, 3_000),
    Shape(120_000, 8, 20_000),
    Shape(120_000, 8, 20_000, "float32", "clusters"),
    Shape(120_000, 32, 20_000, "float32"),
    Shape(120_000, 32, 20_000, "float32", "offset"),
    Shape(120_000, 32, 20_000),
    Shape(120_000, 128, 20_000, "float32"),
    Shape(40, 100_000, 12, "float32"),
    Shape(40, 100_000, 12),
    Shape(500, 5_000, 100, "float32"),
    Shape(500, 5_000, 100),
    *(Shape(1_000, 20_000, 100, data="sparse", sampler=name) for name in _SAMPLERS),
    *(Shape(3_000, 20_000, 300, data="sparse", sampler=name) for name in _SAMPLERS),
)


def run(*, cases: Sequence[Shape] = SHAPES, repeat: int = 5, path: Path | None = None) -> int:
    """Measure tables of several shapes and print a Markdown table, row by row.

    Parameters
    ----------
    cases : sequence of Shape
    repeat : int, default=5
        Number of turns. In each, every library runs once, in changing order.
    path : path, optional
        JSON file to write the results to.

    Returns
    -------
    int
        1 if a neighbor found by gpusmote was not exact, else 0.

    Raises
    ------
    MissingPackageError
        If imbalanced-learn is not installed.
    """
    facts = machine()
    imblearn_smote()  # raises if it is not installed
    intelex = _intelex()
    print_facts(facts)
    print(f"Seconds of fit_resample, median of {repeat} turns; ratios to imbalanced-learn, median of the turns; k = 5.")
    print(f"Wrong: queries (of {CHECKED} at most) with a neighbor that is not one of the k nearest.\n")
    if intelex is None:
        print("scikit-learn-intelex is not installed.\n")
    results = print_table(_COLUMNS, (_measured(shape, intelex, repeat) for shape in cases))
    if path is not None:
        path.write_text(json.dumps({"machine": facts, "results": results}, indent=2) + "\n")
    return int(any(row["wrong"]["gpusmote"] for row in results))


def _intelex() -> Any:
    """The NearestNeighbors of scikit-learn-intelex, or None if it is not installed."""
    try:
        from sklearnex.neighbors import NearestNeighbors as IntelexNeighbors
    except ImportError:
        return None
    return IntelexNeighbors


def _measured(shape: Shape, intelex: Any, repeat: int) -> Row:
    from imblearn import over_sampling

    X, y = shape.table()
    theirs = getattr(over_sampling, shape.sampler)
    samplers = {"gpusmote": getattr(gpusmote, shape.sampler)(random_state=0), "imblearn": theirs(random_state=0)}
    searches = {"gpusmote": _exact_search, "imblearn": _search_by(NearestNeighbors)}
    # scikit-learn-intelex passes sparse X on to scikit-learn.
    if intelex is not None and shape.data != "sparse":
        name = "n_neighbors" if shape.sampler == "ADASYN" else "k_neighbors"
        more = {"m_neighbors": intelex(n_neighbors=11)} if shape.sampler == "BorderlineSMOTE" else {}
        samplers["intelex"] = theirs(random_state=0, **{name: intelex(n_neighbors=NEIGHBORS + 1)}, **more)
        searches["intelex"] = _search_by(intelex)
    turns = measure_turns(samplers, X, y, repeat + 1)[1:]  # the first loads code
    rows = X[y == 1]
    return {
        **dataclasses.asdict(shape),
        "seconds": {name: statistics.median(turn[name] for turn in turns) for name in samplers},
        "ratio": {
            name: statistics.median(turn[name] / turn["gpusmote"] for turn in turns)
            for name in samplers
            if name != "gpusmote"
        },
        "wrong": {name: _wrong(rows, search) for name, search in searches.items()},
    }


def _exact_search(rows: Any, queries: np.ndarray) -> np.ndarray:
    search = SparseSearch if scipy.sparse.issparse(rows) else NeighborSearch
    return np.asarray(search(Backend(), rows, SearchReport()).nearest(queries, NEIGHBORS))


def _search_by(kind: Any) -> Any:
    def search(rows: Any, queries: np.ndarray) -> np.ndarray:
        found = kind(n_neighbors=NEIGHBORS + 1).fit(rows).kneighbors(rows[queries], return_distance=False)
        return np.asarray(found)[:, 1:]  # as imbalanced-learn does

    return search


def _wrong(rows: Any, search: Any) -> int:
    """The number of queries with a neighbor farther than the k-th nearest, by distances computed with differences."""
    queries = np.linspace(0, rows.shape[0] - 1, min(CHECKED, rows.shape[0])).astype(np.int64)
    found, wrong = search(rows, queries), 0
    exact = (rows.toarray() if scipy.sparse.issparse(rows) else rows).astype(np.float64)
    for query, neighbors in zip(queries, found, strict=True):
        distance = ((exact - exact[query]) ** 2).sum(axis=1)
        distance[query] = np.inf
        wrong += bool(distance[neighbors].max() > np.partition(distance, NEIGHBORS - 1)[NEIGHBORS - 1] * (1 + 1e-9))
    return wrong


_COLUMNS: tuple[Column, ...] = (
    ("rows x columns", lambda row: f"{row['rows']:,} x {row['columns']:,}"),
    ("minority", lambda row: f"{row['minority']:,}"),
    ("X", lambda row: f"{row['data']} {row['dtype']}"),
    ("sampler", lambda row: str(row["sampler"])),
    ("gpusmote", lambda row: f"{row['seconds']['gpusmote']:.4f} s"),
    ("imblearn", lambda row: f"{row['ratio']['imblearn']:.2f}x"),
    ("with intelex", lambda row: f"{row['ratio']['intelex']:.2f}x" if "intelex" in row["ratio"] else "-"),
    ("wrong", lambda row: " / ".join(map(str, row["wrong"].values()))),
)
