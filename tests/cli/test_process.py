"""The command as a process: terminals, pipes, signals, completion, start-up time."""

from __future__ import annotations

import json
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
            except OSError:  # on Linux: the other end is closed
                break
            if not piece:
                break
            shown += piece
        out = process.stdout.read() if process.stdout else ""
    os.close(ours)
    return process.returncode, out, shown.decode()


def test_a_progress_bar_is_shown_only_on_a_terminal(source: Path, tmp_path: Path) -> None:
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


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status", "existing"), [("SIGINT", 130, True), ("SIGTERM", 143, False)])
def test_a_signal_leaves_the_destination_as_it_was(
    name: str, status: int, existing: bool, large: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv.gz"  # compression takes time
    if existing:
        out.write_text("mine")
    with start(
        "resample", large, "--target", "kind", "-o", out, "--force", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 30
        while not any(part.stat().st_size for part in tmp_path.glob(".out.csv.*")):  # the temporary file
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(getattr(signal, name))
        printed, err = process.communicate(timeout=30)
    assert (process.returncode, printed, err) == (status, "", f"error: stopped by {name}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv.gz"] * existing
    if existing:
        assert out.read_text() == "mine"


# Runs the command, and sends a signal when a certain number of modules have been searched for.
SIGNALLED = """
import os, runpy, sys
signal, moment, entry = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

class Finder:
    sought = 0

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        cls.sought += 1
        if cls.sought == moment:
            os.kill(os.getpid(), signal)

from gpusmote.cli import main
sys.meta_path.insert(0, Finder)
sys.argv = ["gpusmote", *sys.argv[4:]]
if entry == "module":
    runpy.run_module("gpusmote", run_name="__main__", alter_sys=True)
else:
    sys.exit(main())
"""


@pytest.mark.parametrize(
    ("name", "status", "moment", "entry"),
    [
        ("SIGINT", 130, 4, "script"),
        ("SIGINT", 130, 30, "module"),
        ("SIGTERM", 143, 200, "script"),
        ("SIGINT", 130, 500, "script"),
        ("SIGTERM", 143, 700, "module"),
    ],
)
def test_a_signal_during_imports_is_one_line_and_its_status(
    name: str, status: int, moment: int, entry: str, source: Path, tmp_path: Path
) -> None:
    command = ["resample", str(source), "--target", "kind", "-o", str(tmp_path / "out.parquet")]
    started = [sys.executable, "-c", SIGNALLED, str(int(getattr(signal, name))), str(moment), entry, *command]
    done = subprocess.run(started, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"error: stopped by {name}\n")
    assert not (tmp_path / "out.parquet").exists()


def test_the_entry_point_imports_no_large_packages() -> None:
    """So that the signal handlers are set early."""
    code = "import sys; from gpusmote.cli import main; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.startswith("gpusmote")}
    assert ours == {"gpusmote", "gpusmote.cli", "gpusmote.cli.signals"}
    assert not {"numpy", "sklearn", "typer", "pyarrow"} & set(loaded)


def test_results_before_an_error_are_printed(source: Path) -> None:
    arguments = ["plan", source, "--target", "kind", "--memory-limit", "100KB"]
    with start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert "common  100 -> 100" in process.communicate()[0]
    assert process.returncode == 1


def test_a_closed_standard_output_is_not_an_error(source: Path) -> None:
    with start("plan", source, "--target", "kind", stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1)) as process:
        assert process.stderr.read() == ""  # type: ignore[union-attr]
    assert process.returncode == 0


def test_errors_are_not_printed_on_standard_output_if_standard_error_is_closed(source: Path, tmp_path: Path) -> None:
    closed = {"stdout": subprocess.PIPE, "preexec_fn": lambda: os.close(2)}
    if subprocess.run([sys.executable, "-c", "import numpy.f2py"], check=False, **closed).returncode:
        pytest.skip("this NumPy, of which SciPy imports everything, cannot be imported without standard error")
    out = tmp_path / "out.csv"
    for limit, status in ((None, 0), ("100KB", 1)):
        arguments = ["resample", source, "--target", "kind", "-o", out, *(["--memory-limit", limit] if limit else [])]
        with start(*arguments, "--force", "--report", "-", **closed) as process:
            said = process.communicate()[0]
        assert process.returncode == status
        assert (json.loads(said)["rows_after"] if limit is None else said) == (200 if limit is None else "")
    assert out.exists()


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
        ("gpusmote plan --sampler Bord", ["BorderlineSMOTE"]),
        ("gpusmote resample in/ --forc", ["--force"]),
    ],
)
def test_completion(words: str, offered: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_GPUSMOTE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert gpusmote().out.split() == offered


def test_help_is_fast() -> None:
    code = """
import sys, time
import sklearn.base
start = time.process_time()
from gpusmote.cli import main
main(["--help"])
print(time.process_time() - start, file=sys.stderr)
"""
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert "resample" in done.stdout
        seconds.append(float(done.stderr))
    assert statistics.median(seconds[1:]) < 1.0  # without scikit-learn; the first run compiles
