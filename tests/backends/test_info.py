"""What the machine offers: never an error."""

from __future__ import annotations

import numpy as np

from gpusmote.backends import detect
from gpusmote.backends.info import info
from tests.standin.install import cuda

__all__ = ["cuda"]


def test_without_a_device(monkeypatch):
    monkeypatch.delenv("GPUSMOTE_DEVICE", raising=False)
    monkeypatch.setattr(detect, "driver_found", lambda: None)
    told = info()
    assert told["numpy"] == np.__version__
    assert told["driver"] == "not found"
    assert told["devices"] == []
    assert told["cores"] >= 1
    assert told["auto"]["small"].startswith("cpu: ")
    assert told["auto"]["large"] == "cpu: no CUDA device was found"
    assert told["kernels"].endswith("kernels")
    assert list(told)[:3] == ["gpusmote", "python", "numpy"]


def test_with_devices(cuda, monkeypatch):
    monkeypatch.delenv("GPUSMOTE_DEVICE", raising=False)
    cuda(devices=2, memory=1 << 30)
    told = info()
    assert [device["name"] for device in told["devices"]] == ["cuda:0", "cuda:1"]
    assert told["devices"][1] == {
        "name": "cuda:1",
        "model": "Stand-in device",
        "compute_capability": "9.0",
        "memory": 1 << 30,
        "free": 1 << 30,
    }
    assert told["auto"]["small"].startswith("cpu: ")
    assert told["auto"]["large"].startswith("cuda:0: the search compares")


def test_a_device_that_does_not_answer_is_told_of(cuda, monkeypatch):
    cuda()
    import cupy

    def fail(ordinal):
        raise cupy.cuda.runtime.CUDARuntimeError(2)

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceProperties", fail)
    (device,) = info()["devices"]
    assert device["model"].startswith("does not answer")


def test_a_bad_configuration_is_told_of(monkeypatch):
    monkeypatch.setenv("GPUSMOTE_DEVICE", "gpu")
    assert "GPUSMOTE_DEVICE is 'gpu'" in info()["auto"]["large"]
