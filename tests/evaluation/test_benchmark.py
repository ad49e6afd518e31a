"""The measurements of ``python -m gpusmote.evaluation``."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpusmote.errors import GpusmoteError
from gpusmote.evaluation import benchmark
from gpusmote.evaluation.benchmark import Case

TINY = Case(60, 4, "float32")


def test_the_shapes_are_those_that_are_promised() -> None:
    assert [(str(case), case.dtype) for case in benchmark.CASES] == [
        ("2,000 x 8", "float32"),
        ("2,000 x 32", "float32"),
        ("20,000 x 8", "float32"),
        ("20,000 x 32", "float32"),
        ("20,000 x 32", "float64"),
        ("20,000 x 128", "float32"),
        ("100,000 x 32", "float32"),
    ]
    assert set(benchmark.QUICK) < set(benchmark.CASES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_table_is_what_its_case_says(dtype: str) -> None:
    case = Case(60, 4, dtype)
    X, y = case.table()
    assert X.dtype == dtype
    assert Counter(y.tolist()) == {1: 60, 0: 5 * 60}
    again = case.table()
    np.testing.assert_array_equal(X, again[0])
    np.testing.assert_array_equal(y, again[1])
    assert case.output_bytes == 2 * X[y == 0].nbytes


class Sleeper:
    """Takes a known time."""

    calls = 0

    def fit_resample(self, X: np.ndarray, y: np.ndarray) -> None:
        type(self).calls += 1
        time.sleep(0.25)


@pytest.fixture(autouse=True)
def no_more_turns_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "LEAST_SECONDS", 0.0)


def test_times_are_taken_by_turns_and_the_ratio_is_theirs_over_ours() -> None:
    Sleeper.calls = 0
    row = benchmark.measure_time(*TINY.table(), Sleeper(), 3)
    assert Sleeper.calls == 3
    assert row["other"] >= 0.25
    assert row["turns"] == 3
    assert row["low"] <= row["ratio"] <= row["high"]
    assert row["ratio"] > 1.0  # 60 rows do not take a quarter of a second
    assert row["device"] == "cpu"


def test_short_calls_get_more_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "LEAST_SECONDS", 1.0)
    assert 2 <= benchmark.measure_time(*TINY.table(), Sleeper(), 1)["turns"] <= 4
    monkeypatch.setattr(benchmark, "LEAST_SECONDS", 0.0)
    assert benchmark.measure_time(*TINY.table(), Sleeper(), 1)["turns"] == 1


def test_without_imbalanced_learn_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "imblearn", None)
    with pytest.raises(GpusmoteError) as raised:
        benchmark.run(quick=True, repeat=1)
    assert raised.value.hint == 'pip install "gpusmote[bench]"'


@pytest.mark.slow
def test_memory_is_that_of_the_call() -> None:
    case = Case(20_000, 32, "float64")
    row = benchmark.measure_memory(case)
    assert row["output"] == 10 * 20_000 * 32 * 8
    assert row["allowed"] == 2 * row["output"] + 256 * 2**20
    # At least the output must be measured; otherwise the check would always pass.
    assert row["extra"] >= row["output"]
    assert row["kept"] == (row["extra"] <= row["allowed"])
    assert row["kept"]


def test_a_broken_memory_promise_is_an_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def greedy(case: Case) -> dict[str, Any]:
        return {"rows": 1, "columns": 1, "dtype": "float32", "output": 1, "extra": 3, "allowed": 2, "kept": False}

    monkeypatch.setattr(benchmark, "measure_memory", greedy)
    assert benchmark.run(quick=True, memory=True) == 1
    assert "NO" in capsys.readouterr().out


def test_a_process_that_fails_is_reported() -> None:
    with pytest.raises(TypeError, match="no such type"):
        benchmark.measure_memory(Case(10, 4, "no such type"))


def test_what_is_printed_is_a_markdown_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(benchmark, "QUICK", (TINY, Case(60, 4, "float64")))
    benchmark.run(quick=True, repeat=1)
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 2
    assert len({line.count("|") for line in table}) == 1
    assert len({len(line) for line in table}) == 1


def test_the_machine_is_described() -> None:
    facts = benchmark.machine()
    assert facts["processor"]
    assert "threads" in facts["BLAS"]
    assert f"numpy {np.__version__}" in facts["versions"]
