"""The stand-in as modules, and the fixtures that put them in CuPy's and FAISS's place."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.standin import array, functions, runtime, streams
from tests.standin.host_kernels import HAS_COMPILER, NO_COMPILER
from tests.standin.machine import Machine, OutOfMemoryError, machine

__all__ = ["cuda", "modules", "real_cupy", "stand_in"]


def real_cupy() -> Any:
    """CuPy itself, or None where it is not installed."""
    found = sys.modules.get("cupy")
    if found is not None and getattr(found, "is_stand_in", False):
        raise RuntimeError("ask for the real CuPy before the stand-in takes its place")
    if importlib.util.find_spec("cupy") is None:
        return None
    return importlib.import_module("cupy")


def modules(real: Any) -> dict[str, types.ModuleType]:
    """The modules that stand for cupy and its parts."""
    cupy = _module("cupy", is_stand_in=True, __version__="14.2.0", ndarray=array.ndarray)
    for name in functions.FUNCTIONS:
        setattr(cupy, name, functions.delegate(name, getattr(real, name, None)))
    for name in functions.CONSTANTS:
        setattr(cupy, name, getattr(np, name))
    for name in functions.SPECIAL:
        setattr(cupy, name, getattr(functions, name))
    for name in ("RawKernel", "RawModule", "get_default_memory_pool"):
        setattr(cupy, name, getattr(runtime, name))
    parts = {
        "runtime": _module(
            "cupy.cuda.runtime",
            CUDARuntimeError=runtime.CUDARuntimeError,
            getDeviceCount=runtime.get_device_count,
            getDevice=lambda: machine.device,
            getDeviceProperties=runtime.get_device_properties,
            driverGetVersion=lambda: 12090,
            runtimeGetVersion=lambda: 12090,
        ),
        "driver": _module("cupy.cuda.driver", CUDADriverError=runtime.CUDADriverError),
        "compiler": _module("cupy.cuda.compiler", CompileException=runtime.CompileException),
        "nvrtc": _module("cupy.cuda.nvrtc", getVersion=lambda: (12, 9)),
        "cublas": _module("cupy.cuda.cublas", getMathMode=runtime.get_math_mode, setMathMode=runtime.set_math_mode),
        "memory": _module("cupy.cuda.memory", OutOfMemoryError=OutOfMemoryError),
    }
    names = {
        name: getattr(runtime, name)
        for name in ("Device", "MemoryHook", "MemoryPool", "get_cublas_handle", "using_allocator")
    }
    for name in ("Event", "PinnedMemoryPointer", "Stream", "alloc_pinned_memory", "get_current_stream"):
        names[name] = getattr(streams, name)
    cupy.cuda = _module("cupy.cuda", **names, **parts)
    profiler = _module("cupyx.profiler", benchmark=runtime.benchmark)
    cupyx = _module("cupyx", profiler=profiler)
    return {module.__name__: module for module in (cupy, cupy.cuda, *parts.values(), cupyx, profiler)}


def _module(name: str, **contents: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(contents)
    return module


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """``cuda()`` makes a machine with a device, ``cuda(devices=2, memory=...)`` another; gone after the test.

    FAISS is replaced where the GPU build is installed; where it is not, gpusmote finds no FAISS and uses its tiles.
    With ``pytest -m gpu`` the machine is this one, if it has a device.
    """
    if request.config.getoption("--device", None) == "cuda":
        from tests.real_device import real

        return real(monkeypatch, request.function)
    if not HAS_COMPILER:
        pytest.skip(NO_COMPILER)
    return stand_in(monkeypatch)


def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    """What the fixture ``cuda`` hands out, for whoever has a MonkeyPatch and no fixture."""

    def start(devices: int = 1, memory: int = 8 << 30, faiss: bool = True) -> Machine:
        detect, select = (importlib.import_module(f"gpusmote.backends.{name}") for name in ("detect", "device"))
        from tests.standin import faiss_standin

        real = real_cupy() if not getattr(sys.modules.get("cupy"), "is_stand_in", False) else None
        # cupyx goes too: CuPy leaves it to be imported when it is first looked at, and it would not find its CuPy.
        for name in [name for name in sys.modules if name.partition(".")[0] in ("cupy", "cupyx")]:
            monkeypatch.delitem(sys.modules, name)
        for name, module in modules(real).items():
            monkeypatch.setitem(sys.modules, name, module)
        machine.reset(devices, memory)
        monkeypatch.setattr(importlib.import_module("gpusmote.neighbors.precision"), "_known", {})
        monkeypatch.setattr(detect, "driver_found", lambda: "stand-in driver")
        monkeypatch.setattr(detect, "_found", {})
        monkeypatch.setattr(select, "_warned", set())
        if faiss and faiss_standin.available():
            faiss_standin.replace(monkeypatch)
        else:
            monkeypatch.setattr(detect, "faiss_gpu", lambda: (None, "not installed"))
        if faiss and not faiss_standin.available():  # no advice is given where there is no wheel, as for CUDA 13
            monkeypatch.setattr(select, "_cuda_major", lambda: 13)
        return machine

    return start
