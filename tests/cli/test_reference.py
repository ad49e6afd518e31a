"""docs/cli.md says what the commands say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from gpusmote.cli import reference
from gpusmote.cli.parameters import in_options, parameters
from tests.cli.helpers import gpusmote, table, write

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def test_the_page_is_the_one_that_the_code_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.page(), "python -m gpusmote.cli.reference > docs/cli.md"


def test_every_parameter_and_every_option_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for command in ("resample", "plan", "info", "bench"):
        done = gpusmote(command, "--help")
        assert done.status == 0
        for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", done.out)) - {"--help"}:
            assert flag in page, flag
    for parameter in parameters():
        assert in_options(parameter.meaning).replace("|", "\\|") in page


EXAMPLES = [
    line.strip().removeprefix("gpusmote ")
    for line in PAGE.read_text(encoding="utf-8").splitlines()
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
