"""The command as a process: terminals, pipes, signals, completion, how soon it answers."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from tests.cli.helpers import gpusmote, read, table, write

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on this system")


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gpusmote", *map(str, arguments)]
    return subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL, **options)


def on_a_terminal(*arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output in a pipe, and what standard error shows on a terminal."""
    ours, theirs = pty.openpty()
    shown = b""
    with start(*arguments, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(theirs)
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # how Linux says that the other end is closed
                break
            if not piece:
                break
            shown += piece
        out = process.stdout.read() if process.stdout else ""
    os.close(ours)
    return process.returncode, out, shown.decode()


def test_a_terminal_gets_a_bar_and_a_pipe_none(source: Path, tmp_path: Path) -> None:
    arguments = ["resample", source, "--target", "kind", "-o", tmp_path / "out.parquet", "--force"]
    status, out, shown = on_a_terminal(*arguments)
    assert status == 0
    assert shown.index("search") < shown.index("make")
    assert "100%" in shown
    assert "\x1b[" in shown
    assert out.splitlines()[0].endswith("200 rows, 80 of them synthetic")
    assert "\x1b" not in out
    assert on_a_terminal(*arguments, "--quiet") == (0, "", "")
    with start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        piped, err = process.communicate()
    assert err == ""
    assert piped.splitlines()[:3] == out.splitlines()[:3]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(table(120_000, 30_000), tmp_path_factory.mktemp("large") / "in.csv")


@pytest.mark.parametrize(("name", "status", "existing"), [("SIGINT", 130, True), ("SIGTERM", 143, False)])
def test_a_signal_leaves_the_destination_as_it_was(
    name: str, status: int, existing: bool, large: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv.gz"  # packing takes its time
    if existing:
        out.write_text("mine")
    with start(
        "resample", large, "--target", "kind", "-o", out, "--force", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 30
        while not any(part.stat().st_size for part in tmp_path.glob(".out.csv.*")):  # it writes under another name
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(getattr(signal, name))
        printed, err = process.communicate(timeout=30)
    assert (process.returncode, printed, err) == (status, "", f"error: stopped by {name}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv.gz"] * existing
    if existing:
        assert out.read_text() == "mine"


def test_the_installed_command_is_the_same(source: Path, tmp_path: Path) -> None:
    executable = Path(sys.executable).with_name("gpusmote")
    if not executable.exists():
        pytest.skip("the entry point is not installed beside this interpreter: pip install -e .")
    out = tmp_path / "out.parquet"
    subprocess.run([executable, "resample", source, "--target", "kind", "-o", out, "--quiet"], check=True)
    assert pc.sum(pc.equal(read(out)["kind"], "rare")).as_py() == 100


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("gpusmote re", ["resample"]),
        ("gpusmote resample --k-n", ["--k-neighbors"]),
        ("gpusmote resample --kind ", ["borderline-1", "borderline-2"]),
    ],
)
def test_a_shell_is_told_how_to_go_on(words: str, offered: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_GPUSMOTE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert gpusmote().out.split() == offered


def test_help_comes_soon() -> None:
    code = """
import sys, time
import sklearn.base
start = time.perf_counter()
from gpusmote.cli import main
main(["--help"])
print(time.perf_counter() - start, file=sys.stderr)
"""
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert "resample" in done.stdout
        seconds.append(float(done.stderr))
    assert statistics.median(seconds[1:]) < 1.0  # beyond scikit-learn; the first one compiles
