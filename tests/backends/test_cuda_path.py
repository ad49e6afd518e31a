"""The samplers' whole way over the stand-in: the rows of the CPU, to the bit."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import sys
import threading

import numpy as np
import pytest

import gpusmote
from gpusmote import ADASYN, SMOTE, BorderlineSMOTE
from gpusmote.backends import detect
from gpusmote.errors import DeviceError, GpusmoteWarning
from tests.standin.install import cuda

__all__ = ["cuda"]

SAMPLERS = [
    SMOTE(random_state=3),
    SMOTE(random_state=3, k_neighbors=1, bit_generator="mt19937"),
    BorderlineSMOTE(random_state=3),
    BorderlineSMOTE(random_state=3, kind="borderline-2"),
    ADASYN(random_state=3),
]


def data(dtype, kind="plain"):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(700, 6)), rng.choice([0, 1, 2], 700, p=[0.7, 0.2, 0.1])
    X += 0.8 * y[:, None]
    if kind == "ties":
        X = np.round(X)
    elif kind == "clusters":
        X[::2] += 1e4
    elif kind == "offset":
        X += 1e9
    elif kind == "subnormal":  # in float32, where CuPy's own kernels take all these rows for equal
        X, y = X[:150] * 1e-41, y[:150]  # every query goes through the last pass, which the host simulates slowly
    return X.astype(dtype), y


def on(device, sampler, X, y):
    sampler = sampler.set_params(device=device)
    return *sampler.fit_resample(X, y), sampler


@pytest.mark.parametrize("kind", ["plain", "ties", "clusters", "offset", "subnormal"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_rows_are_those_of_the_cpu(cuda, sampler, dtype, kind):
    machine = cuda()
    X, y = data(dtype, kind)
    expected_X, expected_y, _ = on("cpu", sampler, X, y)
    found_X, found_y, fitted = on("cuda", sampler, X, y)
    assert found_X.dtype == dtype
    assert found_X.tobytes() == expected_X.tobytes()
    assert found_y.tolist() == expected_y.tolist()
    assert fitted.device_ == "cuda:0"
    assert {launch.kernel for launch in machine.launches} >= {f"interpolate_rows_{np.dtype(dtype).name}"}


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_another_device_than_the_current_one(cuda, sampler):
    machine = cuda(devices=2)
    X, y = data(np.float64)
    expected, _, _ = on("cpu", sampler, X, y)
    plan = sampler.set_params(device="cuda:1").plan(X, y)
    assert plan.resample()[0].tobytes() == expected.tobytes()
    assert plan.rows(5, 60).tobytes() == expected[705:760].tobytes()
    assert len(plan.origin(5, 60)) == 55
    assert sum(len(batch) for batch, _ in plan.batches(100, random_state=0)) == len(expected)
    assert {launch.device for launch in machine.launches} == {1}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_on_the_device_stay_there(cuda, dtype):
    machine = cuda()
    import cupy

    X, y = data(dtype)
    expected, _, _ = on("cpu", SMOTE(random_state=3), X, y)
    on_device, before = cupy.asarray(X), X.copy()
    found, _, fitted = on("auto", SMOTE(random_state=3), on_device, y)
    assert isinstance(found, cupy.ndarray)
    assert fitted.device_ == "cuda:0"
    assert machine.to_host_bytes < X.nbytes  # numbers came over, no table did
    assert found.get().tobytes() == expected.tobytes()
    assert on_device.get().tobytes() == before.tobytes()


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_slices_origins_and_batches(cuda, size, sampler):
    cuda()
    rng, n = np.random.default_rng(2), size(6000, 300)
    X, y = rng.normal(size=(n, size(24, 5))).astype(np.float32), rng.choice([0, 1, 2], n, p=[0.7, 0.2, 0.1])
    expected, _, _ = on("cpu", sampler, X, y)
    host, device = (sampler.set_params(device=name).plan(X, y) for name in ("cpu", "cuda"))
    made, m = expected[n:], len(expected) - n
    edges = [0, 1, 2, 5, m // 2, m // 2 + 1, m - 1, m]
    for start, stop in itertools.combinations(edges, 2):
        assert device.rows(start, stop).tobytes() == made[start:stop].tobytes(), (start, stop)
    assert device.origin(3, m).tobytes() == host.origin(3, m).tobytes()
    for rows in (64, 1024):
        pairs = zip(host.batches(rows, random_state=5), device.batches(rows, random_state=5), strict=True)
        assert all(a.tobytes() == b.tobytes() and c.tolist() == d.tolist() for (a, c), (b, d) in pairs)


def test_plans_travel_between_devices(cuda, tmp_path):
    cuda()
    X, y = data(np.float64)
    made = SMOTE(random_state=3, device="cuda").plan(X, y)
    made.save(tmp_path / "plan")
    for device in ("cpu", "cuda"):
        again = gpusmote.Plan.load(tmp_path / "plan", X, device=device)
        assert again.rows(0, 50).tobytes() == made.rows(0, 50).tobytes()


def test_eight_threads_give_the_rows_of_one(cuda):
    cuda()
    X, y = data(np.float32)
    expected, found = SMOTE(random_state=3, device="cpu").fit_resample(X, y)[0].tobytes(), []

    def work():
        found.append(SMOTE(random_state=3, device="cuda").fit_resample(X, y)[0].tobytes() == expected)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


def test_the_choice_is_logged(cuda, caplog):
    cuda()
    X, y = data(np.float32)
    with caplog.at_level(logging.INFO, "gpusmote"):
        SMOTE(device="cuda").fit_resample(X, y)
    (record,) = [record for record in caplog.records if "runs on" in record.getMessage()]
    assert record.getMessage().startswith('SMOTE runs on cuda:0: device="cuda"')


def test_without_faiss_the_rows_are_the_same_and_it_is_said(cuda):
    cuda(faiss=False)
    X, y = data(np.float64)
    expected, _, _ = on("cpu", SMOTE(random_state=3), X, y)
    with pytest.warns(GpusmoteWarning, match=r"FAISS cannot be used .* pip install .gpusmote\[cuda12\]"):
        found, _, fitted = on("cuda", SMOTE(random_state=3), X, y)
    assert found.tobytes() == expected.tobytes()
    assert fitted.report_.search.sources[0] == "product-float32"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_works_on_the_cpu(cuda, monkeypatch):
    """The parent has used CUDA; what the child sees is set here as a fork would leave it."""
    cuda()
    X, y = data(np.float32)
    SMOTE(random_state=3, device="cuda").fit_resample(X, y)
    monkeypatch.setattr(detect.os, "getpid", lambda: -1)
    monkeypatch.setattr(sys.modules["gpusmote.backends.device"], "WORK_WORTH_A_DEVICE", 1.0)
    child = SMOTE(random_state=3)
    child.fit_resample(X, y)
    assert child.device_ == "cpu"
    assert "forked" in child.report_.reason
    with pytest.raises(DeviceError, match="forked"):
        SMOTE(device="cuda").fit_resample(X, y)


def test_nothing_of_the_device_is_kept(cuda):
    machine = cuda()
    X, y = data(np.float32)
    SMOTE(random_state=3, device="cuda").fit_resample(X, y)
    gc.collect()
    assert machine.used == 0
