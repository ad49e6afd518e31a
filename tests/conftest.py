"""What several test files need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

import gpusmote
from tests.both_devices import MADE_ONCE, ONLY_HOST, is_numeric


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        choices=("stand-in", "cuda"),
        help="run each numeric test a second time on this device; with cuda, the tests of the CUDA path run on it too",
    )


def pytest_generate_tests(metafunc):
    device = metafunc.config.getoption("--device")
    if device is not None and is_numeric(Path(metafunc.module.__file__)) and not MADE_ONCE & set(metafunc.fixturenames):
        metafunc.parametrize("device_of_auto", ["cpu", device], indirect=True)


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
