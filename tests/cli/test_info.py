"""The commands ``info`` and ``bench``, and the error without typer."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gpusmote as library
from gpusmote.errors import GpusmoteError
from gpusmote.evaluation import benchmark
from tests.cli.helpers import gpusmote

WITHOUT = "import sys; sys.modules['typer'] = None; from gpusmote.cli import main; sys.exit(main())"


@pytest.mark.parametrize("arguments", [(), ("--help",), ("info",), ("resample", "in.csv"), ("dance",)])
def test_without_typer_the_error_says_what_to_install(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, *arguments], capture_output=True, text=True, check=False)
    said = 'error: The command line needs typer: pip install "gpusmote[cli]".\n'
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_info_prints_what_the_function_returns() -> None:
    done = gpusmote("info")
    assert (done.status, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines() if not line.startswith(" ")] == list(library.info())


def test_info_says_why() -> None:
    done = gpusmote("info", "--why", "100000", "13")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("of    5 neighbors of 100,000 rows among 100,000, 13 columns\n")
    names = [line.split()[0] for line in done.out.splitlines()]
    assert names == ["of", "auto", "cpu", "tree", "pruned", "pairs", "cuda", "device"]
    done = gpusmote("info", "--why", "100000", "13", "--queries", "8", "--k", "70")
    assert done.out.startswith("of    70 neighbors of 8 rows among 100,000, 13 columns\n")
    assert [line.split()[0] for line in done.out.splitlines()] == [
        "of",
        "auto",
        "cpu",
        "tree",
        "tiles",
        "cuda",
        "device",
    ]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--why", "10"], "'--why' requires 2 arguments", "--help"),
        (["--why", "a", "3"], "Invalid value for '--why'", "gpusmote info --help"),
        (["--why", "10", "3", "--k", "1.5"], "Invalid value for '--k'", "gpusmote info --help"),
        (["--why", "10", "3", "--queries", "all"], "Invalid value for '--queries'", "gpusmote info --help"),
        (["--why", "1", "3"], "why=(1, 3)", "queries is at least 1"),
        (["--why", "10", "3", "--k", "10"], "--k 10 is not possible", "at most rows - 1"),
        (["--why", "10", "3", "--queries", "11"], "--queries 11 and", "at most rows"),
        (["--queries", "3"], "queries and k describe a search.", "Set why to"),
        (["--k", "2"], "queries and k describe a search.", "Set why to"),
        (["--what"], "--what", "gpusmote info --help"),
    ],
)
def test_a_search_that_is_not_possible(arguments: list[str], message: str, hint: str) -> None:
    done = gpusmote("info", *arguments)
    assert (done.status, done.out) == (2, "")
    error, said = done.err.splitlines()
    assert message in error
    assert hint in said


def test_info_lays_out_facts_of_any_nesting(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {
        "version": "1",
        "memory": 12345678,
        "faiss": None,
        "found": [],
        "names": ["a", "b"],
        "auto": {"small": "cpu", "large array": "cuda"},
        "devices": [{"name": "A", "free": 1}, {"name": "B", "free": 2}],
    }
    monkeypatch.setattr(library, "info", lambda **_: facts)
    done = gpusmote("info")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
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


@pytest.mark.parametrize("flags", [["--version"], ["--debug", "--version"]])
def test_version(flags: list[str]) -> None:
    assert gpusmote(*flags) == (0, library.__version__ + "\n", "")


def test_an_error_is_a_message_and_a_hint_on_lines_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise GpusmoteError("It did not work.", "Do this.")

    monkeypatch.setattr(benchmark, "run", fail)
    assert gpusmote("bench") == (1, "", "error: It did not work.\nhint:  Do this.\n")


def test_bench_passes_options_and_returns_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}
    monkeypatch.setattr(benchmark, "run", lambda quick, repeat: seen.update(quick=quick, repeat=repeat) or 1)
    assert gpusmote("bench", "--quick", "--repeat", "3") == (1, "", "")
    assert seen == {"quick": True, "repeat": 3}
