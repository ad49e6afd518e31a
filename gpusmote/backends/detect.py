"""What of a CUDA device and of the packages for it is there. Nothing here is imported or asked before it is needed."""

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
_DEVICE_FILES = ("nvidia[0-9]*", "dxg")  # the second is Windows' device within its subsystem for Linux


@dataclasses.dataclass(frozen=True)
class Found:
    """What was looked for, as far as it could be found.

    Attributes
    ----------
    driver, cupy, nvrtc, faiss : str
        What stands there, in words.
    devices : int
        CUDA devices that CuPy sees.
    has_cupy, has_nvrtc, has_faiss : bool
        Whether each can be used; NVRTC only with the CUDA headers.
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
        """Whether the CUDA path can run; FAISS is no condition."""
        return self.has_cupy and self.has_nvrtc and self.devices > 0

    def __str__(self) -> str:
        return (
            f"driver: {self.driver}; CuPy: {self.cupy}; devices that CuPy sees: {self.devices}; NVRTC: {self.nvrtc}; "
            f"FAISS: {self.faiss}"
        )


def driver_found() -> str | None:
    """Name of the NVIDIA driver's library, where it loads, a device's file exists and devices are not hidden.

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
    """Import CuPy and ask it, once a process."""
    pid = os.getpid()
    if pid not in _found:
        _found[pid] = _look()
    return _found[pid]


def forked() -> bool:
    """Whether this process was forked from one in which gpusmote had asked CUDA for its devices."""
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
    """Whether kernels can be compiled: by NVRTC, and with the CUDA headers that CuPy gives to each of them."""
    try:
        version = ".".join(str(part) for part in cupy.cuda.nvrtc.getVersion())
    except Exception as error:
        return f"cannot be loaded ({error})", False
    return (version, True) if _headers_found() else (f"{version}, without the CUDA headers", False)


def _headers_found() -> bool:
    """Asked as CuPy asks; its wheels do not bring them."""
    try:
        from cuda.pathfinder import find_nvidia_header_directory
    except ImportError:  # a CuPy that looks elsewhere
        return True
    return find_nvidia_header_directory("cudart") is not None


def _faiss_words() -> str:
    """What the package lists say: FAISS itself is imported only where there is a device to use it."""
    found = installed(FAISS)
    return f"{found[0]} {found[1]}" if found else "not installed"


def faiss_gpu() -> tuple[Any, str]:
    """FAISS with GPU support and a device, or None and why not. Asking may initialize CUDA."""
    if importlib.util.find_spec("faiss") is None:
        return None, "not installed"
    try:
        import faiss
    except Exception as error:
        return None, f"cannot be imported ({type(error).__name__}: {error})"
    if not hasattr(faiss, "StandardGpuResources"):
        return None, "installed without GPU support (faiss-cpu and faiss-gpu are both the module faiss: keep one)"
    # Its searches end the process where there is no device; this does not.
    if faiss.get_num_gpus() < 1:
        return None, f"{faiss.__version__}, which sees no device"
    return faiss, ""


def versions() -> dict[str, str]:
    """Versions of the packages for CUDA as they are installed, without importing any."""
    found = {"cupy": installed(CUPY), "faiss": installed(FAISS)}
    return {name: f"{pair[1]} ({pair[0]})" if pair else "not installed" for name, pair in found.items()}
