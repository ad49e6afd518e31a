"""The options of ``python -m gpusmote.evaluation``, and that it needs no command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpusmote.errors import ParameterError
from gpusmote.evaluation import benchmark, gpu, growth
from gpusmote.evaluation.__main__ import main


def test_options_of_bench_arrive_and_its_status_leaves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, object] = {}
    monkeypatch.setattr(benchmark, "run", lambda **options: seen.update(options) or 1)
    out = tmp_path / "figures.json"
    assert main(["--quick", "--repeat", "3", "--memory", "--json", str(out)]) == 1
    assert seen == {"quick": True, "repeat": 3, "memory": True, "path": out}


def test_options_of_growth_arrive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[dict[str, object]] = []
    monkeypatch.setattr(growth, "run", lambda **options: seen.append(options) or 1)
    out, picture = tmp_path / "figures.json", tmp_path / "growth.svg"
    asked = ["--table", "sheet", "--rows", "100,2000", "--plot", str(picture), "--json", str(out)]
    assert main(["--growth", *asked]) == 1
    assert main(["--growth"]) == 1
    assert seen == [{"table": "sheet", "rows": [100, 2000], "plot": picture, "path": out}, {}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--growth", "--quick"], "--quick goes without --growth only"),
        (["--growth", "--repeat", "5"], "--repeat goes without --growth only"),
        (["--growth", "--memory"], "--memory goes without --growth only"),
        (["--rows", "100,200"], "--rows goes with --growth only"),
        (["--growth", "--rows", "100,b"], "100,b are not numbers of rows"),
        (["--gpu", "--quick", "--repeat", "3"], "--repeat goes without --gpu only"),
        (["--gpu", "--growth"], "--growth goes without --gpu only"),
        (["--gpu", "--memory"], "--memory goes without --gpu only"),
        (["--repeat", "0"], "0 is not a number of runs"),
        (["--fast"], "Unrecognized arguments: --fast"),
    ],
)
def test_options_that_do_not_go_together(monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    monkeypatch.setattr(benchmark, "run", None)
    monkeypatch.setattr(growth, "run", None)
    monkeypatch.setattr(gpu, "run", None)
    with pytest.raises(ParameterError, match=message) as raised:
        main(arguments)
    assert raised.value.hint == "python -m gpusmote.evaluation --help lists what there is."


def test_bench_writes_what_it_prints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "QUICK", (benchmark.Case(50, 3, "float32"),))
    monkeypatch.setattr(benchmark, "LEAST_SECONDS", 0.0)
    out = tmp_path / "figures.json"
    assert main(["--quick", "--repeat", "2", "--json", str(out)]) == 0
    printed, written = capsys.readouterr().out, json.loads(out.read_text())
    (row,) = written["results"]
    assert f"{row['ratio']:.2f}x" in printed
    assert written["machine"]["processor"] in printed


WITHOUT = """
import runpy, sys
for name in ("typer", "rich", "pyarrow"):
    sys.modules[name] = None
runpy.run_module("gpusmote.evaluation", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("arguments", "status", "printed", "said"),
    [
        (["--help"], 0, "usage: python -m gpusmote.evaluation [OPTIONS]", ""),
        (["--fast"], 2, "", "error: Unrecognized arguments: --fast."),
        (["--growth", "--plot", "no-such-folder/a.svg", "--table", "normal"], 1, "", "error: "),
    ],
)
def test_it_needs_no_command_line(arguments: list[str], status: int, printed: str, said: str) -> None:
    command = [sys.executable, "-c", WITHOUT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert done.stdout.startswith(printed)
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == bool(said)
