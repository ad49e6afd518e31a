"""The scripts of ci/: they install once, and ci/test runs all checks."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Scripts and settings of the checkout, with an interpreter in .venv that only records its arguments."""
    if os.name == "nt":
        pytest.skip("the scripts of ci/ need bash")
    shutil.copytree(ROOT / "ci", tmp_path / "ci")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "$@" >> calls\ncase "$*" in *fail*) exit 1;; esac\n')
    python.chmod(0o755)
    return tmp_path


def call(checkout: Path, script: str, *arguments: str, **environment: str) -> list[str]:
    """The arguments with which a script calls the interpreter."""
    (checkout / "calls").unlink(missing_ok=True)
    kept = {name: value for name, value in os.environ.items() if name != "GPUSMOTE_TEST_TORCH"}
    done = subprocess.run([checkout / "ci" / script, *arguments], env={**kept, **environment}, capture_output=True)
    assert done.returncode == 0, done.stderr
    return (checkout / "calls").read_text().splitlines()


INSTALL = "-m pip install --quiet --disable-pip-version-check"


def test_the_second_run_does_not_install_again(checkout: Path) -> None:
    demo = "ci/demo.py --every 10"
    assert call(checkout, "demo", "--every", "10") == [f"{INSTALL} --editable .[demo]", demo]
    assert call(checkout, "demo", "--every", "10") == [demo]
    with (checkout / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    assert call(checkout, "demo", "--every", "10") == [f"{INSTALL} --editable .[demo]", demo]


def test_an_install_that_failed_is_done_again(checkout: Path) -> None:
    failed = subprocess.run([checkout / "ci" / "install", "fail"], capture_output=True, check=False)
    assert failed.returncode == 1
    assert not (checkout / ".venv" / "installed-fail.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "marks", "given"),
    [
        ([], "not slow", ""),
        (["-k", "plan"], "not slow", " -k plan"),
        (["--all"], "", ""),
        (["--all", "-k", "plan"], "", " -k plan"),
        (["-m", "gpu"], "not slow", " -m gpu"),  # the last -m is the one that counts
    ],
)
def test_the_test_script_checks_style_types_and_tests(
    checkout: Path, arguments: list[str], marks: str, given: str
) -> None:
    checks = ["-m ruff check .", "-m ruff format --check .", "-m mypy"]
    tests = f"-m pytest --numprocesses logical --maxprocesses 8 --dist worksteal -m {marks}{given}"
    assert call(checkout, "test", *arguments) == [f"{INSTALL} --editable .[test]", *checks, tests]
    with_torch = call(checkout, "test", *arguments, GPUSMOTE_TEST_TORCH="torch==2.13.0")
    assert with_torch == [f"{INSTALL} torch==2.13.0", *checks, tests]


def test_a_submission_runs_all_tests() -> None:
    """The checks before a change is accepted include all tests."""
    runs = [ROOT / ".ci" / "run", ROOT / ".github" / "workflows" / "test.yml"]
    found = [line.strip() for file in runs if file.exists() for line in file.read_text().splitlines()]
    tests = [line for line in found if "ci/test" in line]
    if not tests:
        pytest.skip("this is no checkout: a source distribution has neither .ci nor workflows")
    assert all(line.endswith("./ci/test --all") for line in tests)


def test_a_python_that_is_too_old_is_refused(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    old = checkout / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        [checkout / "ci" / "demo"], env={**os.environ, "PYTHON": str(old)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Python 3.11 or newer" in done.stderr
    assert not (checkout / ".venv").exists()
