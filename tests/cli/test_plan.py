"""``gpusmote plan``: counts, bytes and device are the same as those of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gpusmote.backends import detect
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
    assert size["peak"] == run["peak_estimate"]
    assert 0.5 < size["written"] / run["bytes_written"] < 3


def test_the_printed_plan(source: Path) -> None:
    done = gpusmote("plan", source, "--target", "kind")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split(maxsplit=1) == [str(source), "120 rows x 3 features, 80 rows would be made"]
    assert "  common  100 -> 100" in lines
    assert "  rare    20 -> 100" in lines
    assert any(line.startswith("bytes ") or line == "bytes" for line in lines)
    assert not any("second" in line for line in lines)


def test_without_rows_to_make_no_rows_are_held(tmp_path: Path) -> None:
    source = write(table(60, 30), tmp_path / "in.parquet")
    planned = report("plan", source, "--target", "kind")
    assert planned["n_synthetic"] == 0
    assert planned["bytes"]["held"] == planned["n_rows"]  # a byte for each label


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None], ids=str)
def test_values_of_features_are_not_read(value: Any, tmp_path: Path) -> None:
    """The run reads them and raises an error; the plan reads only the labels."""
    data = table()
    ages = [value, *data["age"].to_pylist()[1:]]
    source = write(data.set_column(data.schema.get_field_index("age"), "age", pa.array(ages)), tmp_path / "in.parquet")
    assert report("plan", source, "--target", "kind")["n_synthetic"] == 80
    assert gpusmote("resample", source, "--target", "kind", "-o", tmp_path / "out.csv").status == 1


def test_labels_without_a_json_type_become_text(tmp_path: Path) -> None:
    days = pa.array([0] * 30 + [1] * 10, pa.int32()).cast(pa.date32())
    source = write(pa.table({"x": [float(i) for i in range(40)], "day": days}), tmp_path / "in.parquet")
    planned = report("plan", source, "--target", "day")
    assert [row["label"] for row in planned["classes"]] == ["1970-01-01", "1970-01-02"]


def test_the_plan_finds_a_class_that_is_too_small(source: Path) -> None:
    done = gpusmote("plan", source, "--target", "kind", "--k-neighbors", 20)
    assert done.status == 1
    assert done.err.startswith(f"error: {source}: Class 'rare' has 20 rows")


def test_a_missing_device_is_an_error_before_rows_are_read(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect, "look", lambda: detect.Found(*["not found"] * 4, 0, False, False, False))
    monkeypatch.setattr(Passes, "scan", None)
    for command in (["plan", source], ["resample", source, "-o", tmp_path / "out.csv"]):
        done = gpusmote(*command, "--target", "kind", "--device", "cuda")
        assert (done.status, done.out) == (1, "")
        assert done.err.startswith("error: --device cuda, but no CUDA device can be used.")
    assert list(tmp_path.iterdir()) == [source]
