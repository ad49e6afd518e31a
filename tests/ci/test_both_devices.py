"""``pytest -m gpu``: what it selects, which tests run twice, and that a device takes the stand-in's place."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gpusmote import SMOTE
from tests.both_devices import NUMERIC, ONLY_HOST, is_numeric
from tests.real_device import COUNTED, real, unusable
from tests.standin.host_kernels import HAS_COMPILER, NO_COMPILER
from tests.standin.install import cuda
from tests.standin.machine import Machine

__all__ = ["cuda"]

TESTS = Path(__file__).resolve().parents[1]


def test_every_pattern_names_files():
    for pattern in NUMERIC:
        assert list(TESTS.glob(pattern)), pattern


def test_numeric_files_are_those_of_the_patterns():
    found = {path.relative_to(TESTS).as_posix() for path in TESTS.glob("**/test_*.py") if is_numeric(path)}
    assert {"over_sampling/test_smote.py", "synthesis/test_plan.py", "test_imblearn.py"} <= found
    assert "test_random_stream.py" not in found


def test_every_exception_is_a_test_of_these_files():
    text = "".join(path.read_text(encoding="utf-8") for pattern in NUMERIC for path in TESTS.glob(pattern))
    assert set(ONLY_HOST) <= set(re.findall(r"def (test_\w+)", text))


def test_what_is_not_counted_is_what_the_stand_in_counts():
    assert set(vars(Machine())) >= COUNTED


@pytest.mark.skipif(not HAS_COMPILER, reason=NO_COMPILER)
def test_numeric_tests_run_again_over_the_stand_in():
    from gpusmote.backends import detect

    if detect.look().usable:
        pytest.skip("there is a device here, on which they would run")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "gpu", "-v"]
    tests = ["tests/over_sampling/test_smote.py", "tests/ci/test_both_devices.py", "-k", "pair or segment or place"]
    done = subprocess.run(
        [*command, *tests], cwd=TESTS.parent, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.findall(r"::(\w+)\[(cpu|stand-in)\S*\] PASSED", done.stdout)
    assert len(passed) >= 2
    assert {device for _, device in passed} == {"stand-in"}
    assert "both_devices.py::" not in done.stdout  # what tests the stand-in is not among them


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


@pytest.fixture
def on_it(cuda, monkeypatch):
    """The stand-in in the part of a real device."""
    cuda()
    unusable.cache_clear()
    yield real(monkeypatch)
    unusable.cache_clear()


def test_a_device_takes_the_stand_ins_place(on_it):
    X, y = [[0.0], [1.0], [2.0], [4.0], [5.0], [7.0]], [0, 0, 0, 0, 1, 1]
    sampler = SMOTE(device="cuda", random_state=0, k_neighbors=1)
    first = on_it()
    sampler.fit_resample(X, y)
    second = on_it()
    sampler.fit_resample(X, y)
    for machine in (first, second):  # each has its own launches, and each launch once
        assert [launch.kernel for launch in machine.launches].count("interpolate_rows_float64") == 1


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda start: start().waits, "does not count waits; what was asserted before"),
        (lambda start: start().break_device(0, 1, ValueError), "only the stand-in has break_device"),
        (lambda start: start(devices=9), "wants 9 devices, and 1 is there"),
        (lambda start: start(memory=1000), "has the memory that it has"),
    ],
    ids=["counter", "break", "devices", "memory"],
)
def test_what_a_device_cannot_be_asked_ends_the_test_with_the_reason(on_it, ask, reason):
    with pytest.raises(pytest.skip.Exception, match=reason):
        ask(on_it)


def test_tests_that_replace_parts_of_cupy_are_left_to_the_stand_in(on_it, monkeypatch):
    def replacing():
        import cupy

        monkeypatch.setattr(cupy, "asarray", None)

    with pytest.raises(pytest.skip.Exception, match="replaces parts of CuPy"):
        real(monkeypatch, replacing)
    assert callable(real(monkeypatch, test_what_is_not_counted_is_what_the_stand_in_counts))
