"""What goes on working without typer, and ``info`` and ``bench`` with it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gpusmote as library
from gpusmote.cli.plain import ABOUT, COMMANDS, GENERAL_OPTIONS, INFO_OPTIONS
from gpusmote.errors import GpusmoteError
from gpusmote.evaluation import benchmark, growth
from tests.cli.helpers import gpusmote

WITHOUT = (
    "import sys; sys.modules['typer'] = sys.modules['rich'] = None; from gpusmote.cli import main; sys.exit(main())"
)


def without_typer(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(params=["typer", "no typer"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no typer":
        monkeypatch.setitem(sys.modules, "typer", None)


MISSING = """\
error: gpusmote resample needs typer and rich: pip install "gpusmote[cli]".
hint:  Without them there are info, benchmark, --help and --version.
"""


@pytest.mark.parametrize("arguments", [("in.csv",), ("--help",), ("in.csv", "--debug")])
def test_in_a_process_without_typer_a_line_says_what_to_install(arguments: tuple[str, ...]) -> None:
    done = without_typer("resample", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(MISSING)
    assert ("Traceback" in done.stderr) == ("--debug" in arguments)


@pytest.mark.parametrize("flags", [("--help",), ("-h",), ("--debug", "--help")])
def test_in_a_process_without_typer_there_is_help(flags: tuple[str, ...]) -> None:
    done = without_typer(*flags)
    assert (done.returncode, done.stderr) == (0, "")
    here, _, more = done.stdout.partition('With pip install "gpusmote[cli]" also:\n')
    assert all(re.search(f"^  {name} ", here, re.MULTILINE) for name in ("info", "bench", "--version", "--debug"))
    assert [line.split()[0] for line in more.splitlines() if line[2:3].strip()] == ["resample", "plan"]
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_both_helps_say_the_same(either: None) -> None:
    """Of the commands and of the options that both have; completion is typer's."""
    said = " ".join(gpusmote("--help").out.split())
    assert said.startswith(f"Usage: gpusmote COMMAND [OPTIONS] {ABOUT} Options:")
    for name, meaning in {**COMMANDS, **GENERAL_OPTIONS}.items():
        assert f" {name} {meaning}" in said


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ([], "Missing command", ""),
        (["--debug"], "Missing command", ""),
        (["inform"], "No such command", "info"),
        (["--wat"], "No such option", ""),
    ],
)
def test_what_does_not_exist_is_no_matter_of_packages(
    either: None, arguments: list[str], message: str, hint: str
) -> None:
    done = gpusmote(*arguments)
    assert (done.status, done.out) == (2, "")
    said = [line for line in done.err.splitlines() if line.startswith(("error: ", "hint:  "))]
    assert said[0].startswith(f"error: {message}")
    assert said[1].endswith("gpusmote --help lists what there is.")
    assert hint in done.err


def test_in_a_process_without_typer_info_is_there() -> None:
    done = without_typer("info")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")] == list(library.info())


def test_info_says_why(either: None) -> None:
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
        (["--why", "10"], "2 arguments", "--help"),
        (
            ["--why", "a", "b"],
            "--why is 'a b'.",
            "two whole numbers, rows and columns. For example: ",
        ),
        (["--why", "10", "x"], "--why is '10 x'.", "For example: gpusmote info --why "),
        (["--why", "1", "3"], "--why is (1, 3): the number of rows is 1.", "at least 2"),
        (["--why", "-1", "3"], "--why is (-1, 3): the number of rows is -1.", "at least 2"),
        (["--why", "10", "3", "--k", "10"], "--k is 10.", "at most 9"),
        (["--why", "10", "3", "--k", "1.5"], "--k is '1.5'.", "a whole number. For example: "),
        (["--why", "10", "3", "--queries", "all"], "--queries is 'all'.", "For example: "),
        (["--why", "10", "3", "--queries", "11"], "--queries is 11.", "at most 10"),
        (["--queries", "3"], "--queries goes with --why only.", "For example: gpusmote info --why "),
        (["--queries", "3", "--k", "2"], "--queries and --k go with --why only.", "For example: "),
        (["--what"], "--what", "gpusmote info --help"),
    ],
)
def test_a_search_that_cannot_be(either: None, arguments: list[str], message: str, hint: str) -> None:
    done = gpusmote("info", *arguments)
    assert (done.status, done.out) == (2, "")
    error, said = done.err.splitlines()
    assert message in error
    assert hint in said


def test_the_example_of_a_search_is_one(either: None) -> None:
    hint = gpusmote("info", "--why", "a", "b").err.splitlines()[1]
    example = hint.partition("For example: gpusmote ")[2].split()
    assert gpusmote(*example).out.startswith("of    7 neighbors of 500 rows among 100,000, 13 columns\n")


def test_the_help_of_info_names_its_options(either: None) -> None:
    done = gpusmote("info", "--help")
    assert (done.status, done.err) == (0, "")
    assert all(flag in done.out for flag in INFO_OPTIONS)


def test_bench_has_a_help_of_its_own(either: None) -> None:
    done = gpusmote("bench", "--help")
    assert (done.status, done.err) == (0, "")
    assert "(default: 5)" in done.out


def test_info_lays_out_facts_of_any_nesting(either: None, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_version(either: None, flags: list[str]) -> None:
    assert gpusmote(*flags) == (0, library.__version__ + "\n", "")


def test_an_error_is_a_message_and_a_hint_on_lines_of_their_own(either: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> int:
        raise GpusmoteError("It did not work.", "Do this.")

    monkeypatch.setattr(benchmark, "run", fail)
    assert gpusmote("bench") == (1, "", "error: It did not work.\nhint:  Do this.\n")


def test_options_of_bench_arrive_and_its_status_leaves(
    either: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: dict[str, object] = {}
    monkeypatch.setattr(benchmark, "run", lambda **options: seen.update(options) or 1)
    out = tmp_path / "figures.json"
    assert gpusmote("bench", "--quick", "--repeat", "3", "--memory", "--json", out).status == 1
    assert seen == {"quick": True, "repeat": 3, "memory": True, "path": out}


def test_options_of_growth_arrive(either: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[dict[str, object]] = []
    monkeypatch.setattr(growth, "run", lambda **options: seen.append(options) or 1)
    out, picture = tmp_path / "figures.json", tmp_path / "growth.svg"
    asked = ["--table", "sheet", "--rows", "100,2000", "--plot", picture, "--json", out]
    assert gpusmote("bench", "--growth", *asked).status == 1
    assert gpusmote("bench", "--growth").status == 1
    assert seen == [{"table": "sheet", "rows": [100, 2000], "plot": picture, "path": out}, {}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--growth", "--quick"], "--quick goes without --growth only"),
        (["--growth", "--repeat", "5"], "--repeat goes without --growth only"),
        (["--growth", "--memory"], "--memory goes without --growth only"),
        (["--rows", "100,200"], "--rows goes with --growth only"),
        (["--growth", "--rows", "100,b"], "100,b"),
    ],
)
def test_options_that_do_not_go_together(
    either: None, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.setattr(benchmark, "run", None)
    monkeypatch.setattr(growth, "run", None)
    done = gpusmote("bench", *arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err


def test_bench_writes_what_it_prints(either: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(benchmark, "QUICK", (benchmark.Case(50, 3, "float32"),))
    monkeypatch.setattr(benchmark, "LEAST_SECONDS", 0.0)
    out = tmp_path / "figures.json"
    done = gpusmote("bench", "--quick", "--repeat", "2", "--json", out)
    assert done.status == 0, done.err
    written = json.loads(out.read_text())
    (row,) = written["results"]
    assert f"{row['ratio']:.2f}x" in done.out
    assert written["machine"]["processor"] in done.out
