"""What several test files need."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

import gpusmote
from tests.both_devices import HELPERS, MADE_ONCE, ONLY_HOST, is_numeric


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        choices=("stand-in", "cuda"),
        help="where the tests of the CUDA path run; each numeric test runs there a second time. "
        "Default with -m gpu: this machine's CUDA device, or the stand-in where there is none",
    )
    parser.addoption("--results", type=Path, metavar="FILE", help="append each test's result to a file as it ends")


def pytest_configure(config):
    if config.option.device is None and re.search(r"\bgpu\b", config.option.markexpr):
        from tests.real_device import unusable

        config.option.device = "stand-in" if unusable() else "cuda"
    if config.option.results is not None:
        config.pluginmanager.register(Results(config.option.results))


class Results:
    """Writes a line of JSON when a test begins and when it ends: nothing is lost if a later test ends the process."""

    def __init__(self, path):
        self._path, self._seconds = path, 0.0

    def _write(self, **line):
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def pytest_runtest_logstart(self, nodeid):
        self._seconds = 0.0
        self._write(began=nodeid)

    def pytest_runtest_logreport(self, report):
        self._seconds += report.duration
        if report.when == "call" or not report.passed:  # a setup or teardown that went well says nothing
            # A skip's longrepr is (file, line, reason); a failure's text ends with what is wrong.
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            held = {"passed": True, "failed": False}.get(report.outcome)
            self._write(what=report.nodeid, held=held, detail=why[-2000:], seconds=round(self._seconds, 3))

    def pytest_collectreport(self, report):
        if report.failed:
            missing = re.search(r"No module named '(?!gpusmote|tests).*?'", report.longreprtext)
            why = missing[0] if missing else report.longreprtext[-2000:]
            self._write(what=report.nodeid, held=None if missing else False, detail=why, seconds=0.0)


def pytest_generate_tests(metafunc):
    device = metafunc.config.getoption("--device")
    if device is not None and is_numeric(Path(metafunc.module.__file__)) and not MADE_ONCE & set(metafunc.fixturenames):
        metafunc.parametrize("device_of_auto", ["cpu", pytest.param(device, marks=pytest.mark.gpu)], indirect=True)


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items):
    for item in items:
        if "cuda" in item.fixturenames and not HELPERS & set(item.path.relative_to(item.config.rootpath).parts):
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(autouse=True)
def device_of_auto(request):
    """Where samplers with ``device="auto"`` run: on the CPU but for the second run of a numeric test."""
    device = getattr(request, "param", "cpu")
    if device == "cpu":
        yield
        return
    reason = ONLY_HOST.get(request.node.originalname)
    if reason is not None:
        pytest.skip(reason)
    from tests.real_device import real
    from tests.standin.install import stand_in

    with pytest.MonkeyPatch.context() as monkeypatch:
        (real if device == "cuda" else stand_in)(monkeypatch)()
        with gpusmote.config_context(device="cuda"):
            yield


@pytest.fixture
def size(request):
    """``size(full, small)``: the first on a CUDA device, the second over the stand-in, which is slow."""
    return lambda full, small: full if request.config.option.device == "cuda" else small


@pytest.fixture(scope="session")
def overlapping():
    """Two overlapping classes, 400 and 60 rows, five columns: danger rows, noise and safe rows all occur."""
    rng = np.random.default_rng(20261124)
    X = rng.normal(size=(460, 5))
    y = np.repeat([0, 1], [400, 60])
    X[y == 1] += [1.5, 1.0, 0.0, 0.0, 0.0]
    order = rng.permutation(len(y))
    return X[order], y[order]


@pytest.fixture(scope="session", params=["breast_cancer", "wine", "digits"])
def real_table(request):
    """A real table, three classes or ten in two of them, made imbalanced where it is not."""
    X, y = {"breast_cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}[request.param](
        return_X_y=True
    )
    keep = np.ones(len(y), bool)
    keep[np.flatnonzero(y == 1)[25:]] = False
    return X[keep], y[keep]
