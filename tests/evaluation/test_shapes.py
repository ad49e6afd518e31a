"""The benchmark of tables of many shapes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gpusmote.evaluation import shapes
from gpusmote.evaluation.__main__ import main
from gpusmote.evaluation.shapes import Shape

CASES = [
    Shape(220, 4, 20),
    Shape(220, 4, 20, "float32", "clusters", "BorderlineSMOTE"),
    Shape(120, 300, 20, "float32", "offset", "ADASYN"),
    Shape(120, 2_000, 20, data="sparse"),
]


def test_every_shape_is_measured_and_gpusmote_finds_the_nearest(capsys, tmp_path):
    pytest.importorskip("imblearn", reason="imbalanced-learn is not installed")
    assert shapes.run(cases=CASES, repeat=2, path=tmp_path / "shapes.json") == 0
    results = json.loads((tmp_path / "shapes.json").read_text())["results"]
    assert [row["wrong"]["gpusmote"] for row in results] == [0] * len(CASES)
    assert all(row["seconds"]["gpusmote"] > 0 and row["ratio"]["imblearn"] > 0 for row in results)
    printed = capsys.readouterr().out.splitlines()[-len(CASES) :]
    assert [line.split("|")[4].strip() for line in printed] == ["SMOTE", "BorderlineSMOTE", "ADASYN", "SMOTE"]


def test_wrong_neighbors_are_counted():
    rows = np.random.default_rng(0).normal(size=(50, 3))

    def farthest(rows, queries):
        return np.stack([np.argsort(((rows - rows[query]) ** 2).sum(axis=1))[-5:] for query in queries])

    assert shapes._wrong(rows, farthest) == 50
    assert shapes._wrong(rows, shapes._exact_search) == 0


def test_shapes_take_no_table(capsys):
    with pytest.raises(SystemExit):
        main(["--shapes", "--table", "normal"])
    assert "--table cannot be used with --shapes" in capsys.readouterr().err
