"""The machine's own CUDA device in the stand-in's place, for ``pytest -m gpu`` and ``pytest --device cuda``.

What the stand-in counts or breaks, a device does not let itself be asked: a test that comes to such a question is
skipped from there on, with the reason. What it asserted before has been held to.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.standin.machine import Launch

__all__ = ["RealMachine", "real", "unusable"]

COUNTED = {
    "to_device", "to_host", "to_device_bytes", "to_host_bytes", "between", "between_bytes", "waits", "syncs",
    "transfers", "used", "peak", "pinned", "pinned_peak", "operations", "searches",
}  # fmt: skip

_STAND_IN_ONLY = re.compile(r"setattr\(\s*\"?(?:cupy|faiss)\b|\b(?:Resources|streams|runtime|is_stand_in)\b")


class RealMachine:
    """As :class:`tests.standin.machine.Machine`, as far as a real one can be.

    Attributes
    ----------
    devices : int
    memory : int
        Bytes of the first device.
    launches : list of Launch
        The library's own launches, as the loader was asked for them.
    """

    def __init__(self, devices: int) -> None:
        import cupy

        self.devices = devices
        self.launches: list[Launch] = []
        self.memory = int(cupy.cuda.Device(0).mem_info[1])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in COUNTED:
            pytest.skip(f"a real device does not count {name}; what was asserted before this point holds")
        pytest.skip(f"only the stand-in has {name}; what was asserted before this point holds")


@functools.cache
def unusable() -> str:
    """Why there is no device to run on, or ""."""
    from gpusmote.backends import detect

    found = detect.look()
    return "" if found.usable else f"no CUDA device can be used ({found})"


def real(monkeypatch: pytest.MonkeyPatch, test: Callable[..., Any] | None = None) -> Callable[..., RealMachine]:
    """What the fixture ``cuda`` hands out: ``start(devices=1, memory=None, faiss=True)``.

    Parameters
    ----------
    monkeypatch : pytest.MonkeyPatch
    test : callable, optional
        The test that asks. One that replaces parts of CuPy or FAISS, or looks into the stand-in's, is skipped.
    """
    if unusable():
        pytest.skip(unusable())
    if test is not None and _STAND_IN_ONLY.search(inspect.getsource(test)):
        pytest.skip("the test replaces parts of CuPy or FAISS, or looks into the stand-in's")

    def start(devices: int = 1, memory: int | None = None, faiss: bool = True) -> RealMachine:
        detect, select, kernels = (
            importlib.import_module(f"gpusmote.backends.{name}") for name in ("detect", "device", "kernels")
        )
        if memory is not None:
            pytest.skip("a real device has the memory that it has")
        there = detect.look().devices
        if devices > there:
            pytest.skip(f"the test wants {devices} devices, and {there} is there")
        machine = RealMachine(there)
        monkeypatch.setattr(select, "_warned", set())
        monkeypatch.setattr(kernels, "launch", _recording(machine, _launch(kernels)))
        if not faiss:
            monkeypatch.setattr(detect, "_found", {})
            monkeypatch.setattr(detect, "faiss_gpu", lambda: (None, "not installed"))
        elif not detect.look().has_faiss:  # no advice to install what the test does without
            monkeypatch.setattr(select, "_cuda_major", lambda: 13)
        return machine

    return start


def _launch(kernels: Any) -> Callable[..., None]:
    """The loader's own, also where an earlier start() of the same test has put a recording one in its place."""
    launch = kernels.launch
    return getattr(launch, "recorded", launch)


def _recording(machine: RealMachine, launch: Callable[..., None]) -> Callable[..., None]:
    def record(cupy: Any, file: str, name: str, grid: Any, block: Any, arguments: Any) -> None:
        stream = int(cupy.cuda.get_current_stream().ptr)
        machine.launches.append(Launch(name, grid, block, int(cupy.cuda.Device().id), stream))
        launch(cupy, file, name, grid, block, arguments)

    record.recorded = launch  # type: ignore[attr-defined]
    return record
