"""ci/lowest takes its versions only from pyproject.toml."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "ci" / "lowest"
LOWEST = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"].lstrip(">=")


def test_it_names_no_version_but_that_of_its_own_tool():
    commands = [line for line in SCRIPT.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert re.findall(r"==[\d.*]+|>=\d[\d.]*", "\n".join(commands)) == ["==0.13.*"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no bash")
def test_another_python_is_refused_and_the_right_one_is_named():
    for python in ("/nowhere/python", "false"):
        done = subprocess.run(
            [SCRIPT], env={**os.environ, "PYTHON": python}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"ci/lowest: {python} is not Python {LOWEST}. Name one that is: PYTHON=/path/")


def test_the_job_runs_it_on_that_python():
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: the workflow cannot be parsed")
    file = ROOT / ".github" / "workflows" / "test.yml"
    if not file.exists():
        pytest.skip("this is no checkout: a source distribution has no workflows")
    workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
    steps = workflow["jobs"]["lowest"]["steps"]
    assert [step["with"]["python-version"] for step in steps if "with" in step] == [LOWEST]
    assert steps[-1]["run"] == "./ci/lowest"
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"][0] == LOWEST
