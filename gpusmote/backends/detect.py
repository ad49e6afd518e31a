"""Find out whether a CUDA device and its packages can be used. Nothing is imported or queried before it is needed."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from gpusmote.backends.versions import CUPY, FAISS, installed

__all__ = ["INSTALL", "Found", "driver_found", "faiss_gpu", "forked", "look"]

INSTALL = 'pip install "gpusmote[cuda12]"'

_DRIVERS = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1",)
_DEVICE_FILES = ("nvidia[0-9]*", "dxg")  # the second is the device file of the Windows Subsystem for Linux


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found of the driver, the packages and the devices.

    Attributes
    ----------
    driver, cupy, nvrtc, faiss : str
        Version or problem, in words.
    devices : int
        Number of CUDA devices that CuPy sees.
    has_cupy, has_nvrtc, has_faiss : bool
        Whether each can be used; NVRTC also needs the CUDA headers.
    """

    driver: str
    cupy: str
    nvrtc: str
    faiss: str
    devices: int
    has_cupy: bool
    has_nvrtc: bool
    has_faiss: bool

    @property
    def usable(self) -> bool:
        """Whether the CUDA path can run; it does not need FAISS."""
        return self.has_cupy and self.has_nvrtc and self.devices > 0

    def __str__(self) -> str:
        return (
            f"driver: {self.driver}; CuPy: {self.cupy}; devices that CuPy sees: {self.devices}; NVRTC: {self.nvrtc}; "
            f"FAISS: {self.faiss}"
        )


def driver_found() -> str | None:
    """The name of the NVIDIA driver library if it loads, a device file exists and devices are not hidden; else None.

    Nothing is initialized: a process that has initialized CUDA cannot use it in its forked children.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return None
    if sys.platform != "win32" and not any(any(Path("/dev").glob(pattern)) for pattern in _DEVICE_FILES):
        return None
    for name in _DRIVERS:
        with contextlib.suppress(OSError):
            ctypes.CDLL(name)
            return name
    return None


_found: dict[int, Found] = {}


def look() -> Found:
    """Import CuPy and query it, once for each process."""
    pid = os.getpid()
    if pid not in _found:
        _found[pid] = _look()
    return _found[pid]


def forked() -> bool:
    """Whether this process was forked from one in which gpusmote had queried the CUDA devices."""
    return any(pid != os.getpid() and found.devices for pid, found in _found.items())


def _look() -> Found:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    driver = driver_found() or ("hidden by CUDA_VISIBLE_DEVICES" if hidden else f"{_DRIVERS[0]} or a device not found")
    try:
        import cupy
    except Exception as error:  # a broken installation raises anything
        missing = importlib.util.find_spec("cupy") is None
        cupy_words = "not installed" if missing else f"cannot be imported ({type(error).__name__}: {error})"
        return Found(driver, cupy_words, "not looked for", _faiss_words(), 0, False, False, False)
    devices, problem = _count(cupy)
    nvrtc, has_nvrtc = _nvrtc(cupy)
    faiss, why = faiss_gpu() if devices else (None, _faiss_words())
    words = f"{faiss.__version__}" if faiss is not None else why
    return Found(driver, f"{cupy.__version__}{problem}", nvrtc, words, devices, True, has_nvrtc, faiss is not None)


def _count(cupy: Any) -> tuple[int, str]:
    try:
        return int(cupy.cuda.runtime.getDeviceCount()), ""
    except Exception as error:
        return 0, f" ({error})"


def _nvrtc(cupy: Any) -> tuple[str, bool]:
    """Whether kernels can be compiled, which needs NVRTC and the CUDA headers that CuPy includes in each kernel."""
    try:
        version = ".".join(str(part) for part in cupy.cuda.nvrtc.getVersion())
    except Exception as error:
        return f"cannot be loaded ({error})", False
    return (version, True) if _headers_found() else (f"{version}, without the CUDA headers", False)


def _headers_found() -> bool:
    """Whether CuPy will find the CUDA headers, which its wheels do not contain."""
    try:
        from cuda.pathfinder import find_nvidia_header_directory
    except ImportError:  # this version of CuPy finds its headers in another way
        return True
    return find_nvidia_header_directory("cudart") is not None


def _faiss_words() -> str:
    """The installed FAISS package. FAISS itself is imported only if there is a device."""
    found = installed(FAISS)
    return f"{found[0]} {found[1]}" if found else "not installed"


def faiss_gpu() -> tuple[Any, str]:
    """Return FAISS if it supports GPUs and sees a device, else None and the reason. This may initialize CUDA."""
    if importlib.util.find_spec("faiss") is None:
        return None, "not installed"
    try:
        import faiss
    except Exception as error:
        return None, f"cannot be imported ({type(error).__name__}: {error})"
    if not hasattr(faiss, "StandardGpuResources"):
        return None, "installed without GPU support (faiss-cpu and faiss-gpu are both the module faiss: keep one)"
    # Without a device, a search would end the process; get_num_gpus does not.
    if faiss.get_num_gpus() < 1:
        return None, f"{faiss.__version__}, which sees no device"
    return faiss, ""


def versions() -> dict[str, str]:
    """Versions of the installed CUDA packages, without importing them."""
    found = {"cupy": installed(CUPY), "faiss": installed(FAISS)}
    return {name: f"{pair[1]} ({pair[0]})" if pair else "not installed" for name, pair in found.items()}
