"""What the figures of the other steps depend on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from typing import Any

import numpy as np

from proof.run import Run

__all__ = ["machine"]

_PACKAGES = ("imbalanced-learn", "scikit-learn", "scipy", "pandas", "pyarrow", "narwhals", "torch", "pytest")


def machine(run: Run) -> None:
    """Device, driver, versions; fails where gpusmote itself finds no device to use."""
    from gpusmote import __version__
    from gpusmote.backends import detect
    from gpusmote.bench import machine as host

    found = detect.look()
    run.machine(
        gpusmote=__version__,
        python=platform.python_version(),
        numpy=np.__version__,
        cupy=found.cupy,
        nvrtc=found.nvrtc,
        faiss=found.faiss,
        packages=", ".join(f"{name} {version}" for name in _PACKAGES if (version := _version(name))),
    )
    about = host()
    run.machine(host=f"{about['processor']}, {about['cores']} cores, {about['memory']}, load {about['load before']}")
    run.check("gpusmote finds a device that it can use", found.usable, str(found))
    cupy = run.xp
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    free, total = cupy.cuda.Device(0).mem_info
    run.machine(
        device=properties["name"].decode(),
        compute_capability=f"{properties['major']}.{properties['minor']}",
        memory=int(total),
        memory_free=int(free),
        multiprocessors=properties.get("multiProcessorCount"),
        cache=properties.get("l2CacheSize"),
        devices=found.devices,
        driver=_driver(),
        cuda_driver=_cuda(cupy.cuda.runtime.driverGetVersion()),
        cuda_runtime=_cuda(cupy.cuda.runtime.runtimeGetVersion()),
    )
    if os.environ.get("CUPY_TF32", "0") not in ("", "0"):
        run.note("CUPY_TF32 is set: float32 products are computed in fewer bits.")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cuda(version: Any) -> str:
    return f"{int(version) // 1000}.{int(version) % 1000 // 10}"


def _driver() -> str:
    """Of the NVIDIA driver itself, which only its own tool tells."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "unknown"
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return done.stdout.strip() or "unknown"
