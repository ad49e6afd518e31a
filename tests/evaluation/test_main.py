"""The options of ``python -m gpusmote.evaluation``, which does not need typer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from gpusmote.evaluation import benchmark, gpu, growth
from gpusmote.evaluation.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "mode", "passed"),
    [
        ("--quick --repeat 3 --memory --json a", benchmark, {"quick": True, "repeat": 3, "memory": True, "path": "a"}),
        ("--growth", growth, {}),
        (
            "--growth --table normal --rows 100,2000 --plot b --json a",
            growth,
            {"table": "normal", "rows": [100, 2000], "plot": "b", "path": "a"},
        ),
        ("--gpu limits,smote --quick", gpu, {"gpu": "limits,smote", "quick": True}),
    ],
)
def test_options_arrive_and_the_status_is_returned(
    monkeypatch: pytest.MonkeyPatch, arguments: str, mode: Any, passed: dict[str, object]
) -> None:
    run = create_autospec(mode.run, return_value=1)
    monkeypatch.setattr(mode, "run", run)
    assert main(arguments.split()) == 1
    assert {name: str(v) if isinstance(v, Path) else v for name, v in run.call_args.kwargs.items()} == passed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--growth", "--quick"], "--quick cannot be used with --growth"),
        (["--rows", "100,200"], "--rows cannot be used without --growth"),
        (["--growth", "--rows", "100,b"], "invalid numbers value: '100,b'"),
        (["--gpu", "--growth"], "--growth cannot be used with --gpu"),
        (["--repeat", "x"], "invalid int value: 'x'"),
        (["--growth", "--plot", "no-such-folder/a.svg"], "the folder no-such-folder does not exist"),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_options_that_do_not_go_together(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


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
        (["--growth", "--table", "taxis"], 2, "", "error: There is no table 'taxis'."),
    ],
)
def test_it_does_not_need_typer(arguments: list[str], status: int, printed: str, said: str) -> None:
    command = [sys.executable, "-c", WITHOUT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert done.stdout.startswith(printed)
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == bool(said)
