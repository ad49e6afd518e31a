"""``gpusmote plan``: counts and bytes are those of the run, seconds follow from the sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import gpusmote as library
from gpusmote.backends import detect
from gpusmote.cli import dry_run as module
from gpusmote.cli.dry_run import forecast
from gpusmote.files.passes import Passes
from tests.cli.helpers import gpusmote, table, write


def report(*arguments: object) -> Any:
    done = gpusmote(*arguments, "--report", "-")
    assert done.status == 0, done.err
    return json.loads(done.out)


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet", "feather"])
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--sampling-strategy", '{"rare": 50}'],
        ["--percentage", 250],
        ["--dup-size", 2],
        ["--sampler", "BorderlineSMOTE", "--k-neighbors", 3],
        ["--sampler", "ADASYN", "--n-neighbors", 3],
        ["--bit-generator", "mt19937"],
        ["--random-state", 5],
    ],
    ids=str,
)
def test_the_counts_are_those_of_the_run(arguments: list[object], form: str, tmp_path: Path) -> None:
    source = write(table(), tmp_path / f"in.{form}")
    planned = report("plan", source, "--target", "kind", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == [source.name]
    run = report("resample", source, "--target", "kind", "-o", tmp_path / f"out.{form}", *arguments)
    for name in ("classes", "n_synthetic", "n_features", "device", "reason"):
        assert planned[name] == run[name], name
    assert planned["n_rows"] == run["rows_before"]
    size = planned["bytes"]
    assert size["limit"] > size["peak"] >= size["needed"] > size["held"] > 0
    assert 0.8 < size["peak"] / run["peak_estimate"] < 1.25
    assert 0.5 < planned["bytes"]["written"] / run["bytes_written"] < 3
    assert set(planned["seconds"]) == {"scan", "read", "search", "copy", "make"}
    assert all(seconds > 0 for seconds in planned["seconds"].values())


def test_people_see_the_same_in_words(source: Path) -> None:
    done = gpusmote("plan", source, "--target", "kind")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split(maxsplit=1) == [str(source), "120 rows x 3 features, 80 rows would be made"]
    assert "  common  100 -> 100" in lines
    assert "  rare    20 -> 100" in lines
    assert "seconds, about (by 120 rows)" in lines


def test_where_nothing_is_to_be_made_nothing_is_sought(tmp_path: Path) -> None:
    source = write(table(60, 30), tmp_path / "in.parquet")
    planned = report("plan", source, "--target", "kind")
    assert planned["n_synthetic"] == 0
    assert planned["seconds"]["search"] == planned["seconds"]["make"] == 0


def test_labels_that_json_does_not_know_become_text(tmp_path: Path) -> None:
    days = pa.array([0] * 30 + [1] * 10, pa.int32()).cast(pa.date32())
    source = write(pa.table({"x": [float(i) for i in range(40)], "day": days}), tmp_path / "in.parquet")
    planned = report("plan", source, "--target", "day")
    assert [row["label"] for row in planned["classes"]] == ["1970-01-01", "1970-01-02"]


@pytest.mark.parametrize(
    "sampler", [library.SMOTE(), library.BorderlineSMOTE(), library.ADASYN()], ids=lambda s: type(s).__name__
)
def test_seconds_are_carried_over_by_the_square_and_in_proportion(
    sampler: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample is 20 rows of each class; its search takes 2 s, a row 0.25 s."""
    n, n_rare = 480, 80
    source = write(table(n, n_rare), tmp_path / "in.parquet")
    monkeypatch.setattr(module, "SAMPLE", 20)
    monkeypatch.setattr(module._Trial, "_run", lambda self: (2.0, 0.25))
    said = forecast(source, target="kind", sampler=sampler)
    assert said.sample == 40
    among_all = not isinstance(sampler, library.SMOTE)
    growth = (n_rare * n) / (20 * 40) if among_all else (n_rare / 20) ** 2
    assert said.seconds["search"] == pytest.approx(2 * growth)
    assert 0.25 * 320 <= said.seconds["make"] < 0.25 * 320 + 1
    assert said.seconds["copy"] >= said.seconds["read"]


def test_the_sample_is_the_first_rows_of_each_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(table(5000, 700), tmp_path / "in.parquet")
    monkeypatch.setattr(module, "SAMPLE", 50)
    taken = []
    original = module._Trial._read

    def read(self: Any) -> Any:
        found = original(self)
        taken.append(found[0])
        return found

    monkeypatch.setattr(module._Trial, "_read", read)
    forecast(source, target="kind", sampler=library.SMOTE())
    whole = table(5000, 700).to_pandas()
    expected = whole.groupby("kind").head(50)
    assert taken[0].to_pandas().equals(expected.reset_index(drop=True))


def test_a_class_that_is_too_small_is_found_by_the_plan_too(source: Path) -> None:
    done = gpusmote("plan", source, "--target", "kind", "--k-neighbors", 20)
    assert done.status == 1
    assert done.err.startswith(f"error: {source}: Class 'rare' has 20 rows")


def test_a_k_beyond_the_sample_is_no_reason_to_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE", 10)
    source = write(table(), tmp_path / "in.parquet")
    assert report("plan", source, "--target", "kind", "--k-neighbors", 15)["n_synthetic"] == 80


def test_a_device_that_is_not_there_is_told_before_a_row_is_read(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect, "look", lambda: detect.Found(*["not found"] * 4, 0, False, False, False))
    monkeypatch.setattr(Passes, "scan", None)
    for command in (["plan", source], ["resample", source, "-o", tmp_path / "out.csv"]):
        done = gpusmote(*command, "--target", "kind", "--device", "cuda")
        assert (done.status, done.out) == (1, "")
        assert done.err.startswith("error: --device cuda, but no CUDA device can be used.")
    assert list(tmp_path.iterdir()) == [source]
