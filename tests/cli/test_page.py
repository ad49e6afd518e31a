"""The help in docs/cli.md is that of the commands, and the examples run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.helpers import gpusmote, table, write

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
SHOWN = dict(re.findall(r"<!-- output of gpusmote (.*?) -->\n+```\n(.*?)```", PAGE, re.DOTALL))


@pytest.mark.parametrize("command", ["", "resample ", "plan ", "info ", "bench "])
def test_the_page_shows_the_help_of_each_command(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = gpusmote(*command.split(), "--help")
    assert (done.status, done.err) == (0, "")
    assert words(SHOWN[f"{command}--help"]) == words(done.out), "python3 ci/readme.py help"


def words(page: str) -> list[str]:
    """The words of a page, without brackets and types, which depend on the version of typer and argparse."""
    return re.sub(r"[{}\[\]]|<str>", "", page).split()


EXAMPLES = [
    line.strip().removeprefix("gpusmote ")
    for line in PAGE.splitlines()
    if line.startswith("    gpusmote ") and "[OPTIONS]" not in line
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_run(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in.parquet", "in.csv.gz"):
        data = table().rename_columns(["height", "late" if "--target late" in example else "kind", "age", "weight"])
        write(data, Path(name))
    example = example.split(" | ")[0].replace("5000", "50").replace(', "rarer": 2000', "")
    done = gpusmote(*shlex.split(example))
    assert done.status == 0, done.err
