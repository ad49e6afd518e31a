"""``python -m gpusmote``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import gpusmote
from gpusmote import __main__ as cli
from gpusmote import bench
from gpusmote.backends import info as info_module
from gpusmote.errors import GpusmoteError


def test_info_as_a_command_prints_every_fact() -> None:
    done = subprocess.run([sys.executable, "-m", "gpusmote", "info"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    names = [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert names == list(info_module.info())
    assert gpusmote.__version__ in done.stdout


def test_facts_of_any_nesting_are_laid_out(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    facts = {
        "version": "1",
        "memory": 12345678,
        "faiss": None,
        "found": [],
        "names": ["a", "b"],
        "auto": {"small": "cpu", "large array": "cuda"},
        "devices": [{"name": "A", "free": 1}, {"name": "B", "free": 2}],
    }
    monkeypatch.setattr(info_module, "info", lambda: facts)
    assert cli.main(["info"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "version  1",
        "memory   12,345,678",
        "faiss    -",
        "found    none",
        "names    a, b",
        "auto",
        "  small        cpu",
        "  large array  cuda",
        "devices 0",
        "  name  A",
        "  free  1",
        "devices 1",
        "  name  B",
        "  free  2",
    ]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == gpusmote.__version__ + "\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [([], "required"), (["dance"], "invalid choice"), (["bench", "--repeat", "0"], "not a number of runs")],
)
def test_a_wrong_command_line_is_explained(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err


def test_an_error_is_a_message_and_a_hint_on_lines_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> int:
        raise GpusmoteError("It did not work.", "Do this.")

    monkeypatch.setattr(bench, "run", fail)
    assert cli.main(["bench"]) == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["error: It did not work.", "hint:  Do this."]
    assert captured.out == ""


def test_options_of_bench_arrive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, object] = {}
    monkeypatch.setattr(bench, "run", lambda **options: seen.update(options) or 0)
    out = tmp_path / "figures.json"
    assert cli.main(["bench", "--quick", "--repeat", "3", "--memory", "--json", str(out)]) == 0
    assert seen == {"quick": True, "repeat": 3, "memory": True, "path": out}


def test_bench_from_the_command_line_writes_what_it_prints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "QUICK", (bench.Case(50, 3, "float32"),))
    monkeypatch.setattr(bench, "LEAST_SECONDS", 0.0)
    out = tmp_path / "figures.json"
    assert cli.main(["bench", "--quick", "--repeat", "2", "--json", str(out)]) == 0
    written = json.loads(out.read_text())
    (row,) = written["results"]
    printed = capsys.readouterr().out
    assert f"{row['ratio']:.2f}x" in printed
    assert written["machine"]["processor"] in printed
