"""``pytest --device``: which tests run twice, and that a device takes the stand-in's place."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.both_devices import NUMERIC, ONLY_HOST, is_numeric
from tests.real_device import COUNTED
from tests.standin.host_kernels import HAS_COMPILER, NO_COMPILER
from tests.standin.machine import Machine

TESTS = Path(__file__).resolve().parents[1]


def test_every_pattern_names_files():
    for pattern in NUMERIC:
        assert list(TESTS.glob(pattern)), pattern


def test_files_are_recognised():
    assert is_numeric(TESTS / "samplers" / "test_smote.py")
    assert is_numeric(TESTS / "test_plan.py")
    assert not is_numeric(TESTS / "test_draws.py")


def test_every_exception_is_a_test_of_these_files():
    text = "".join(path.read_text(encoding="utf-8") for pattern in NUMERIC for path in TESTS.glob(pattern))
    assert set(ONLY_HOST) <= set(re.findall(r"def (test_\w+)", text))


def test_what_is_not_counted_is_what_the_stand_in_counts():
    assert set(vars(Machine())) >= COUNTED


@pytest.mark.skipif(not HAS_COMPILER, reason=NO_COMPILER)
def test_numeric_tests_run_twice_over_the_stand_in():
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--device", "stand-in"]
    done = subprocess.run(
        [*command, "-v", "tests/samplers/test_smote.py", "-k", "pair or segment"],
        cwd=TESTS.parent, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.findall(r"::(\w+)\[(cpu|stand-in)\S*\] PASSED", done.stdout)
    assert len(passed) >= 2
    for name, _ in passed:
        assert {(name, "cpu"), (name, "stand-in")} <= set(passed)


def test_without_a_device_the_tests_of_the_cuda_path_are_skipped_with_the_reason():
    from gpusmote.backends import detect

    if detect.look().usable:
        pytest.skip("there is a device here")
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--device", "cuda"]
    test = "tests/backends/test_cuda.py::test_transfers"
    done = subprocess.run([*command, test], cwd=TESTS.parent, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "1 skipped" in done.stdout
    assert "no CUDA device can be used (driver:" in done.stdout
