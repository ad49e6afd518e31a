"""Settings: process, thread, environment."""

from __future__ import annotations

import inspect
import threading

import numpy as np
import pytest

import gpusmote
from gpusmote.config import parse_device, parse_memory_limit
from gpusmote.errors import ParameterError


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.delenv("GPUSMOTE_DEVICE", raising=False)
    monkeypatch.setattr("gpusmote.config._settings", {"device": None, "bit_generator": "philox", "memory_limit": None})


def test_defaults():
    assert gpusmote.get_config() == {"device": "auto", "bit_generator": "philox", "memory_limit": None}


def test_environment_then_process_then_context(monkeypatch):
    monkeypatch.setenv("GPUSMOTE_DEVICE", "cuda:1")
    assert gpusmote.get_config()["device"] == "cuda:1"
    gpusmote.set_config(device="cuda")
    assert gpusmote.get_config()["device"] == "cuda"
    with gpusmote.config_context(device="cpu", bit_generator="mt19937"):
        with gpusmote.config_context(device="auto"):
            assert gpusmote.get_config() == {"device": "auto", "bit_generator": "mt19937", "memory_limit": None}
        assert gpusmote.get_config()["device"] == "cpu"
    assert gpusmote.get_config() == {"device": "cuda", "bit_generator": "philox", "memory_limit": None}


SET = {"device": "cpu", "bit_generator": "mt19937", "memory_limit": "8GB"}


@pytest.mark.parametrize("name", SET)
def test_none_is_the_default_again_and_nothing_is_as_before(name):
    default = gpusmote.get_config()
    gpusmote.set_config(**SET)
    gpusmote.set_config()
    assert gpusmote.get_config() == SET
    with gpusmote.config_context(**{name: None}):
        assert gpusmote.get_config() == {**SET, name: default[name]}
    gpusmote.set_config(**{name: None})
    assert gpusmote.get_config() == {**SET, name: default[name]}


def test_the_environment_decides_again_once_a_device_is_unset(monkeypatch):
    monkeypatch.setenv("GPUSMOTE_DEVICE", "cuda:1")
    gpusmote.set_config(device="cpu")
    gpusmote.set_config(device=None)
    assert gpusmote.get_config()["device"] == "cuda:1"


def test_what_is_not_given_is_shown_as_unchanged():
    assert str(inspect.signature(gpusmote.set_config).parameters["device"]).endswith(" = unchanged")


@pytest.mark.parametrize(
    ("limit", "read"),
    [
        (1000, 1000),
        ("1000", 1000),
        ("8GB", 8_000_000_000),
        ("1.5 GiB", 3 * 2**29),
        ("0.5kB", 500),
        ("50%", 0.5),
        ("12.5 %", 0.125),
        ("100%", 1.0),
        (0.25, 0.25),
    ],
)
def test_limits(limit, read):
    found = parse_memory_limit(limit, "cpu")["cpu"]
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    "limit", ["0.5", "1.5", "0", "0%", "101%", "8XB", "%", "GB", "-1", -1, 0, 1.5, True, "1e3", ""]
)
def test_limits_that_are_none_are_told_with_the_forms(limit):
    with pytest.raises(ParameterError) as caught:
        gpusmote.set_config(memory_limit=limit)
    assert caught.value.message == f"memory_limit is {limit!r}."
    assert all(form in caught.value.hint for form in ('"8GB"', '"50%"', "0.5", "bytes"))


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


@pytest.mark.parametrize("device", ["cuda:all", "cuda:0,2", "cuda:0,0", "cuda:0,", "cuda:,", "cuda:all,0"])
def test_several_devices_are_refused(device, monkeypatch):
    with pytest.raises(ParameterError, match="one call uses one device") as caught:
        gpusmote.SMOTE(device=device).fit_resample(np.zeros((20, 1)), [0] * 12 + [1] * 8)
    assert 'e.g. "cuda:0"' in caught.value.hint
    with pytest.raises(ParameterError, match="one call uses one device"), gpusmote.config_context(device=device):
        pass
    monkeypatch.setenv("GPUSMOTE_DEVICE", device)
    with pytest.raises(ParameterError, match="GPUSMOTE_DEVICE") as caught:
        gpusmote.get_config()
    assert 'e.g. "cuda:0"' in caught.value.hint


def test_bit_generators_that_are_none():
    with pytest.raises(ParameterError, match="one of philox, mt19937"), gpusmote.config_context(bit_generator="pcg64"):
        pass


def test_a_variable_that_is_no_device_is_named(monkeypatch):
    monkeypatch.setenv("GPUSMOTE_DEVICE", "junk")
    with pytest.raises(ParameterError, match="The environment variable GPUSMOTE_DEVICE is 'junk'"):
        gpusmote.get_config()


def test_a_wrong_environment_stops_only_those_who_ask_it(monkeypatch):
    """device="cpu" decides by itself."""
    monkeypatch.setenv("GPUSMOTE_DEVICE", "gpu")
    X, y = np.arange(40.0).reshape(20, 2), [0] * 12 + [1] * 8
    X_resampled, _ = gpusmote.SMOTE(device="cpu").fit_resample(X, y)
    assert len(X_resampled) == 24
    with pytest.raises(ParameterError, match="GPUSMOTE_DEVICE is 'gpu'"):
        gpusmote.SMOTE().fit_resample(X, y)
