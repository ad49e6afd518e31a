"""``info`` describes the machine and does not raise."""

from __future__ import annotations

import numpy as np
import pytest

from gpusmote.backends import detect
from gpusmote.errors import ParameterError
from gpusmote.machine_info import info
from gpusmote.neighbors.selection import RULES, SearchSize, choose
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


def test_a_device_that_does_not_answer_is_listed(cuda, monkeypatch):
    cuda()
    import cupy

    def fail(ordinal):
        raise cupy.cuda.runtime.CUDARuntimeError(2)

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceProperties", fail)
    (device,) = info()["devices"]
    assert device["model"].startswith("does not answer")


def test_an_error_of_the_configuration_is_the_value(monkeypatch):
    monkeypatch.setenv("GPUSMOTE_DEVICE", "gpu")
    assert "GPUSMOTE_DEVICE is 'gpu'" in info()["auto"]["large"]


@pytest.mark.parametrize("d", [1, 9, 32])
@pytest.mark.parametrize("n", [3, 10, 3_000, 5_000, 20_000, 10**6])
def test_the_choice_is_among_the_sources(n, d):
    """For all answers to the rules, the choice is one of the sources, and each source can be chosen."""
    told = list(info(why=(n, d), k=2)["search"]["cpu"])
    answers = [(dimension, share) for dimension in (0.0, 99.0) for share in (0.0, 1.0)]
    search = SearchSize(n, d, n, 2)
    chosen = {choose(search, lambda what, a=a, b=b: a if what == "dimension" else b)[0] for a, b in answers}
    assert chosen == set(told)
    assert told == [rule.source for rule in RULES if rule.source in chosen]


def test_a_search_in_words(monkeypatch):
    monkeypatch.delenv("GPUSMOTE_DEVICE", raising=False)
    monkeypatch.setattr(detect, "driver_found", lambda: None)
    rules = {rule.source: rule for rule in RULES}
    search = info(why=(100_000, 13), queries=60_000, k=np.int64(7))["search"]
    assert search["of"] == "7 neighbors of 60,000 rows among 100,000, 13 columns"
    assert (
        search["auto"] == "cpu: the search compares 78,000,000,000 values at most; a device pays from 100,000,000,000"
    )
    assert search["cpu"] == {
        "tree": f"{rules['tree'].text}; {rules['tree'].condition}",
        "pruned": f"{rules['pruned'].text}; {rules['pruned'].condition}",
        "tiles": rules["tiles"].text,
    }
    assert list(search["cuda"].values()) == [rules["device"].text]
    assert [*info(), "search"] == list(info(why=(5, 5), k=1))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"why": (1, 5)}, "why=(1, 5)"),
        ({"why": (10, 0)}, "why=(10, 0)"),
        ({"why": (10.5, 2)}, "why=(10.5, 2)"),
        ({"why": (10, 5), "k": 10}, "k=10"),
        ({"why": (10, 5), "k": 0}, "k=0"),
        ({"why": (10, 5), "queries": 11}, "queries=11"),
        ({"why": 10}, "why=10"),
        ({"why": (1, 2, 3)}, "why=(1, 2, 3)"),
        ({"queries": 5}, "queries and k"),
        ({"k": 5}, "queries and k"),
    ],
)
def test_searches_that_are_not_possible(asked, message):
    with pytest.raises(ParameterError) as raised:
        info(**asked)
    assert message in raised.value.message
    assert "why" in raised.value.hint
