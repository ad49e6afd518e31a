"""Settings: process, thread, environment."""

from __future__ import annotations

import threading

import pytest

import gpusmote
from gpusmote.config import parse_device
from gpusmote.errors import ParameterError


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.delenv("GPUSMOTE_DEVICE", raising=False)
    monkeypatch.setattr("gpusmote.config._settings", {"device": None, "bit_generator": "philox"})


def test_defaults():
    assert gpusmote.get_config() == {"device": "auto", "bit_generator": "philox"}


def test_environment_then_process_then_context(monkeypatch):
    monkeypatch.setenv("GPUSMOTE_DEVICE", "cuda:1")
    assert gpusmote.get_config()["device"] == "cuda:1"
    gpusmote.set_config(device="cuda")
    assert gpusmote.get_config()["device"] == "cuda"
    with gpusmote.config_context(device="cpu", bit_generator="mt19937"):
        with gpusmote.config_context(device="auto"):
            assert gpusmote.get_config() == {"device": "auto", "bit_generator": "mt19937"}
        assert gpusmote.get_config()["device"] == "cpu"
    assert gpusmote.get_config() == {"device": "cuda", "bit_generator": "philox"}


def test_a_context_is_left_when_its_block_fails():
    with pytest.raises(KeyError), gpusmote.config_context(device="cpu"):
        raise KeyError
    assert gpusmote.get_config()["device"] == "auto"


def test_a_context_is_its_threads_own():
    seen = []
    with gpusmote.config_context(device="cpu"):
        thread = threading.Thread(target=lambda: seen.append(gpusmote.get_config()["device"]))
        thread.start()
        thread.join()
    assert seen == ["auto"]


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "cpu:0", "cuda:x", "cuda:\u0663", 3, ""])
def test_devices_that_are_none(device):
    with pytest.raises(ParameterError, match='must be "auto", "cpu", "cuda" or "cuda:N"'):
        parse_device(device)
    with pytest.raises(ParameterError):
        gpusmote.set_config(device=device)


def test_bit_generators_that_are_none():
    with pytest.raises(ParameterError, match="one of philox, mt19937"), gpusmote.config_context(bit_generator="pcg64"):
        pass


def test_a_variable_that_is_no_device_is_named(monkeypatch):
    monkeypatch.setenv("GPUSMOTE_DEVICE", "junk")
    with pytest.raises(ParameterError, match="The environment variable GPUSMOTE_DEVICE is 'junk'"):
        gpusmote.get_config()
