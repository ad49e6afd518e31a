"""Every step of ``ci/gpu`` over the stand-in with tiny tables: all its code but the clock of a device."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import proof
import pytest
from proof import plan, render
from proof.clock import Taken
from proof.generation import moved
from proof.record import Record, state
from proof.run import Run

from tests.standin import faiss_standin
from tests.standin.install import cuda

__all__ = ["cuda"]

NOT_OVER_THE_STAND_IN = {"memcheck", "racecheck"}


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")  # some of the tables are made to bring it about
@pytest.mark.parametrize("step", plan.STEPS, ids=lambda step: step.name)
def test_a_step_finds_what_it_looks_for(cuda, step, tmp_path, monkeypatch):
    cuda()
    monkeypatch.setenv("PYTHONPATH", str(Path(proof.__file__).parents[1]))  # for what the step itself starts
    lines = tmp_path / "lines"
    lines.touch()
    getattr(importlib.import_module(step.module), step.name)(Run(lines, 60.0, stand_in=True, tiny=True))
    record = Record(tmp_path, commit="abc", budget=1.0)
    entry = record.begin(step)
    for line in lines.read_text(encoding="utf-8").splitlines():
        record.add(entry, line)
    entry["state"] = state(entry)
    assert [check for check in entry["checks"] if check["held"] is False] == []
    without_faiss = step.name == "precision" and not faiss_standin.available()
    expected = "not here" if step.name in NOT_OVER_THE_STAND_IN or without_faiss else "held"
    assert entry["state"] == expected
    if expected == "held":
        assert entry["results"] or step.name == "machine"
        assert any(check["held"] for check in entry["checks"])
    record.write()
    text = render.markdown(json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8")))
    assert f"## {step.title}: {expected}" in text


def test_there_is_a_step_for_every_claim():
    names = [step.name for step in plan.STEPS]
    assert names[:7] == ["machine", "equality", "limits", "generation", "search", "smote", "suite"]
    assert names[7:10] == ["memory", "through", "certificate"]
    assert names[10:] == ["precision", "growth", "large", "memcheck", "racecheck"]
    assert sum(step.least for step in plan.STEPS) < plan.BUDGET <= 480


def test_bytes_are_counted_as_documented():
    assert moved(10, 32, 4) == 10 * (3 * 32 * 4 + 24)


def test_the_middle_turn_counts():
    assert Taken((3.0, 1.0, 2.0)).median == 2.0
    assert Taken((3.0, 1.0, 2.0)).spread == "0.50 - 1.50"


def test_a_wrong_kernel_is_found(cuda, tmp_path, monkeypatch):
    """The comparison is worth something: with the last value of each row left out, equality does not hold."""
    from proof.equality import _compare, _interpolation

    from gpusmote.backends import Backend
    from gpusmote.backends.cuda import CudaBackend

    cuda()
    right = CudaBackend.interpolate

    def wrong(self, values, base, neighbour, gap, out):
        right(self, values, base, neighbour, gap, out)
        out[:, -1] = 0.5

    monkeypatch.setattr(CudaBackend, "interpolate", wrong)
    (tmp_path / "lines").touch()
    run = Run(tmp_path / "lines", 60.0, stand_in=True, tiny=True)
    _compare(run, "interpolate", _interpolation(run, Backend(), run.backend))
    found = [json.loads(line) for line in (tmp_path / "lines").read_text(encoding="utf-8").splitlines()]
    assert found[0]["result"]["different"] == found[0]["result"]["comparisons"] > 100
    assert found[1]["check"]["held"] is False


def test_rounding_twice_is_found(cuda, tmp_path, monkeypatch):
    """What would be wrong if float64 went to float16 by way of float32."""
    from proof.equality import _compare, _stored

    from gpusmote.arrays import rounding

    cuda()
    right = rounding.store

    def twice(values, out, xp=rounding.np):
        right(values.astype("f4") if xp is not rounding.np and out.dtype == "f2" else values, out, xp)

    monkeypatch.setattr(rounding, "store", twice)
    (tmp_path / "lines").touch()
    run = Run(tmp_path / "lines", 60.0, stand_in=True, tiny=True)
    _compare(run, "store", _stored(run))
    found = [json.loads(line) for line in (tmp_path / "lines").read_text(encoding="utf-8").splitlines()]
    assert found[0]["result"]["different"] == 1
    assert found[1]["check"]["detail"] == "float64 to float16, wherever rounding changes"
