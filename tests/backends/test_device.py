"""Which device is chosen, why, and what is said where that fails."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import warnings

import pytest

import gpusmote
from gpusmote.backends import Backend, detect, select
from gpusmote.backends.detect import Found
from gpusmote.errors import DeviceError, GpusmoteWarning, ParameterError

rules = importlib.import_module("gpusmote.backends.device")  # the name in the package is the function
LARGE = 10 * rules.WORK_WORTH_A_DEVICE
PIP = 'pip install "gpusmote[cuda12]"'
COMPLETE = Found("libcuda.so.1", "14.2.0", "12.9", "1.15.1", 2, True, True, True)
BARE = Found("libcuda.so.1", "not installed", "not looked for", "not installed", 0, False, False, False)


@pytest.fixture
def here(monkeypatch):
    """``here(found)``: a machine on which that would be found."""

    def become(found: Found, driver: str | None = "libcuda.so.1", forked: bool = False, cuda_major: int = 12) -> None:
        monkeypatch.setattr(detect, "driver_found", lambda: driver)
        monkeypatch.setattr(detect, "look", lambda: found)
        monkeypatch.setattr(detect, "forked", lambda: forked)
        monkeypatch.setattr(rules, "_current", lambda: 0)
        monkeypatch.setattr(rules, "_cuda_major", lambda: cuda_major)
        monkeypatch.setattr(rules, "_warned", set())
        monkeypatch.setattr(rules.sys, "platform", "linux")
        monkeypatch.setattr(rules.platform, "machine", lambda: "x86_64")

    monkeypatch.delenv("GPUSMOTE_DEVICE", raising=False)
    return become


def replace(found, **changes):
    return Found(**{**vars(found), **changes})


def test_auto_goes_by_the_work(here):
    here(COMPLETE)
    assert rules.decide("auto", LARGE, "cpu") == (0, "the search compares 1,000,000,000,000 values at most", "")
    ordinal, reason, _ = rules.decide("auto", rules.WORK_WORTH_A_DEVICE * 0.99, "cpu")
    assert ordinal is None
    assert "a device pays from 100,000,000,000" in reason


def test_small_work_asks_nothing_of_the_machine(monkeypatch):
    def never():
        raise AssertionError("the machine was asked")

    monkeypatch.delenv("GPUSMOTE_DEVICE", raising=False)
    for name in ("driver_found", "look", "forked"):
        monkeypatch.setattr(detect, name, never)
    backend, _ = select("auto", 1e6, "cpu")
    assert type(backend) is Backend


def test_auto_stays_where_x_lies(here):
    here(COMPLETE)
    assert rules.decide("auto", 1.0, "cuda:1")[:2] == (1, "X lies on cuda:1")


def test_auto_means_what_the_configuration_says(here, monkeypatch):
    here(COMPLETE)
    with gpusmote.config_context(device="cpu"):
        assert rules.decide("auto", LARGE, "cpu")[:2] == (None, 'the configuration says device="cpu"')
        assert rules.decide("cuda:1", LARGE, "cpu")[0] == 1
    monkeypatch.setenv("GPUSMOTE_DEVICE", "cuda:1")
    assert rules.decide("auto", 1.0, "cpu")[:2] == (1, 'the configuration says device="cuda:1"')
    monkeypatch.setenv("GPUSMOTE_DEVICE", "gpu")
    with pytest.raises(ParameterError, match="GPUSMOTE_DEVICE is 'gpu'"):
        rules.decide("auto", 1.0, "cpu")


@pytest.mark.parametrize(
    ("device", "lies_on", "ordinal"), [("cuda", "cpu", 0), ("cuda", "cuda:1", 1), ("cuda:0", "cuda:1", 0)]
)
def test_cuda_without_a_number_is_where_x_lies_or_the_current_device(here, device, lies_on, ordinal):
    here(COMPLETE)
    assert rules.decide(device, 1.0, lies_on)[0] == ordinal


def test_cpu_is_cpu_wherever_x_lies(here):
    here(COMPLETE)
    assert rules.decide("cpu", LARGE, "cuda:1")[0] is None


@pytest.mark.parametrize(
    ("found", "driver", "forked", "reason"),
    [
        (BARE, None, False, "no CUDA device was found"),
        (replace(COMPLETE, devices=0), "libcuda.so.1", False, "CuPy sees no device"),
        (COMPLETE, "libcuda.so.1", True, "forked"),
    ],
)
def test_auto_without_a_device_is_silent(here, found, driver, forked, reason):
    here(found, driver, forked)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backend, said = select("auto", LARGE, "cpu")
    assert type(backend) is Backend
    assert reason in said


@pytest.mark.parametrize(
    ("found", "missing"),
    [
        (BARE, "CuPy: not installed"),
        (replace(BARE, cupy="cannot be imported (OSError: libfoo)"), "CuPy: cannot be imported"),
        (replace(COMPLETE, has_nvrtc=False, nvrtc="cannot be loaded"), "NVRTC: cannot be loaded"),
    ],
)
def test_a_device_without_its_packages_is_warned_of_once(here, found, missing):
    here(found)
    with pytest.warns(GpusmoteWarning) as caught:
        backend, reason = select("auto", LARGE, "cpu")
    assert type(backend) is Backend
    assert missing in reason
    message = str(caught[0].message)
    assert missing in message
    assert PIP in message
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        select("auto", LARGE, "cpu")


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_missing_faiss_is_said_where_it_could_be_had(here, device):
    bare = replace(COMPLETE, has_faiss=False, faiss="not installed")
    here(bare)
    ordinal, reason, advice = rules.decide(device, LARGE, "cpu")
    assert ordinal == 0
    assert reason.endswith("neighbors by tiles in CuPy (FAISS: not installed)")
    assert PIP in advice
    here(bare, cuda_major=13)
    assert rules.decide(device, LARGE, "cpu") == (0, reason, "")


def test_cuda_that_is_not_there_is_an_error_that_says_what_was_looked_for(here):
    here(BARE)
    with pytest.raises(DeviceError) as caught:
        select("cuda", 1.0, "cpu")
    for part in (
        'device="cuda"',
        "driver: libcuda.so.1",
        "CuPy: not installed",
        "NVRTC",
        "FAISS",
        "devices that CuPy sees: 0",
    ):
        assert part in caught.value.message
    assert PIP in caught.value.hint
    here(replace(COMPLETE, devices=0))
    with pytest.raises(DeviceError) as caught:
        select("cuda", 1.0, "cpu")
    assert "driver" in caught.value.hint
    assert PIP not in caught.value.hint


def test_a_device_beyond_the_last_is_an_error(here):
    here(COMPLETE)
    with pytest.raises(DeviceError, match=r"no cuda:2.* The devices here: cuda:0, cuda:1"):
        select("cuda:2", 1.0, "cpu")


def test_cuda_after_a_fork_is_an_error(here):
    here(COMPLETE, forked=True)
    with pytest.raises(DeviceError, match="forked") as caught:
        select("cuda", 1.0, "cpu")
    assert "spawn" in caught.value.hint


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_is_noticed(monkeypatch):
    monkeypatch.setattr(detect, "_found", {os.getpid(): COMPLETE})
    assert not detect.forked()
    monkeypatch.setattr(detect, "_found", {os.getpid() + 1: BARE, os.getpid(): BARE})
    assert not detect.forked()
    monkeypatch.setattr(detect, "_found", {os.getpid() + 1: COMPLETE})
    assert detect.forked()


def test_looking_survives_a_broken_cupy(monkeypatch, tmp_path):
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").write_text("raise OSError('libcudart.so.12: cannot open shared object file')\n")
    code = (
        "from gpusmote.backends import detect\n"
        "found = detect.look()\n"
        "assert not found.usable and 'cannot be imported (OSError: libcudart' in found.cupy, found\n"
        "import numpy as np, gpusmote\n"
        "X, y = np.random.default_rng(0).normal(size=(60, 2)), np.repeat([0, 1], [40, 20])\n"
        "assert len(gpusmote.SMOTE().fit_resample(X, y)[0]) == 80\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_devices_are_not_found(monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert detect.driver_found() is None
    monkeypatch.setattr(detect, "_found", {})
    assert "hidden by CUDA_VISIBLE_DEVICES" in detect.look().driver


def test_a_driver_is_a_library_and_a_device(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(detect.sys, "platform", "linux")
    monkeypatch.setattr(detect, "_DRIVERS", ("libc.so.6",))
    monkeypatch.setattr(detect, "_DEVICE_FILES", ("null",))
    monkeypatch.setattr(detect.ctypes, "CDLL", lambda name: name)
    assert detect.driver_found() == "libc.so.6"
    monkeypatch.setattr(detect, "_DEVICE_FILES", ("no such device",))
    assert detect.driver_found() is None

    def fail(name):
        raise OSError(name)

    monkeypatch.setattr(detect, "_DEVICE_FILES", ("null",))
    monkeypatch.setattr(detect.ctypes, "CDLL", fail)
    assert detect.driver_found() is None
