"""Translate errors of devices into gpusmote's errors, and remember the devices that failed in this process."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import numpy as np

from gpusmote.errors import DeviceError, DeviceLostError, GpusmoteError, MemoryShortageError

__all__ = ["SAME_ROWS", "ErrorTranslator", "chip", "remember", "remembered", "translate", "translate_faiss"]

SAME_ROWS = 'device="cpu" gives the same rows.'
_RESTART = f"The device can be used again in a new process, if at all; {SAME_ROWS}"
_MEMORY = "Lower memory_limit, or free memory on the device."

# Status numbers shared by the CUDA runtime and driver. After an error of the first group the CUDA context is unusable:
# every later call of the process fails with the same error. The second group means that no device exists or responds.
_BROKEN = {214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721}
_ABSENT = {3, 4, 45, 46, 100, 101, 201, 999}
_MEMORY_STATUS = 2
_NO_IMAGE = "no kernel image is available"
# As in "CUDA error 2" and "cudaMalloc error out of memory [2]".
_FAISS_STATUS = re.compile(r"cuda\w* ?error (?:[^\[\]()]*\[)?(\d+)", re.IGNORECASE)
_NO_MEMORY = ("out of memory", "bad_alloc", "alloc_failed", "cudaerrormemoryallocation")

_ERRORS = {
    "CUDARuntimeError",
    "CUDADriverError",
    "CUBLASError",
    "NVRTCError",
    "CompileException",
}
"""Names of CuPy's errors, other than memory errors. Names are used because the modules of the classes have changed."""

_failed: dict[tuple[int, str], str] = {}


def remember(device: str, why: str) -> None:
    """Record that a device failed, so that ``device="auto"`` does not use it again in this process.

    ``device="cuda"`` is not affected: a device requested by name is always tried.
    """
    _failed[os.getpid(), device] = why


def remembered(device: str) -> str | None:
    """The recorded failure of this device, or None."""
    return _failed.get((os.getpid(), device))


def translate(error: BaseException, where: str) -> GpusmoteError | None:
    """Translate an error of NumPy or CuPy; return None for any other error.

    Parameters
    ----------
    error : BaseException
    where : str
        The device, for the message.
    """
    if isinstance(error, GpusmoteError):
        return None
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError):
        return MemoryShortageError(
            f"Memory ran out on {_place(error, where)} in the middle of the work ({said}).", _MEMORY
        )
    if type(error).__name__ not in _ERRORS:
        return None
    # NVRTC, cuBLAS and other libraries have status numbers of their own.
    status = getattr(error, "status", None) if type(error).__name__ in ("CUDARuntimeError", "CUDADriverError") else None
    return _of_text(said, status, where, f"{where} failed ({said}).")


def translate_faiss(error: BaseException, ordinal: int, what: str) -> GpusmoteError | None:
    """Translate an error raised while FAISS runs; return None if it is not from FAISS, NumPy or CuPy.

    FAISS raises an error if an allocation fails. If another CUDA call fails, it ends the process.

    Parameters
    ----------
    error : BaseException
        FAISS raises RuntimeError, and MemoryError for host memory.
    ordinal : int
        Number of the device.
    what : str
        The operation, for the message.
    """
    where, said = f"cuda:{ordinal}", str(error)
    if isinstance(error, GpusmoteError) or not isinstance(error, RuntimeError) or type(error).__name__ in _ERRORS:
        return translate(error, where)
    if _NO_IMAGE in said.lower():
        return DeviceError(
            f"FAISS was not built for {chip(ordinal)}: {said}",
            f"Install a build for this chip, or none: gpusmote then searches with CuPy. {SAME_ROWS}",
        )
    found = _FAISS_STATUS.search(said)
    status = int(found[1]) if found else None
    return _of_text(said, status, where, f"FAISS failed on {where} ({what}): {said}")


def _of_text(said: str, status: int | None, where: str, message: str) -> GpusmoteError:
    low = said.lower()
    if status == _MEMORY_STATUS or any(words in low for words in _NO_MEMORY):
        return MemoryShortageError(f"Memory ran out on {where} in the middle of the work ({said}).", _MEMORY)
    if status in _BROKEN or any(words in low for words in ("illegal memory access", "unspecified launch failure")):
        return DeviceLostError(
            f"{message} The CUDA context of this process is broken: every later call fails.", _RESTART
        )
    if status in _ABSENT or "busy or unavailable" in low:
        return DeviceLostError(f"{message} The device does not respond any more.", _RESTART)
    return DeviceError(message, SAME_ROWS)


def _place(error: BaseException, where: str) -> str:
    """Where memory ran out: an error of NumPy concerns the host, whatever the device."""
    return "the host" if type(error).__module__.partition(".")[0] in ("numpy", "builtins") else where


def chip(ordinal: int | None = None) -> str:
    """The name and compute capability of the device, if it still responds."""
    import cupy

    name, capability = "the device", "?"
    with contextlib.suppress(Exception):
        device = cupy.cuda.Device(ordinal)
        name = f"cuda:{device.id}"
        capability = device.compute_capability
    return f"{name} (compute capability {capability})"


class ErrorTranslator(AbstractContextManager[Any]):
    """Context manager of a device that translates errors of NumPy and CuPy into gpusmote's.

    Inside it NumPy handles floating-point errors as by default, except that underflow is ignored, whatever the caller
    has set with ``np.seterr``: numbers that underflow are part of correct results.

    Parameters
    ----------
    make : callable
        ``make()`` returns the device's context manager.
    name : str
        Name of the device.
    """

    def __init__(self, make: Callable[[], Any], name: str) -> None:
        self._make, self._name = make, name

    def __enter__(self) -> Any:
        self._errstate = np.errstate(all="warn", under="ignore")
        self._errstate.__enter__()
        try:
            self._device = self._make()
            return self._device.__enter__()
        except Exception as error:
            self._errstate.__exit__(None, None, None)
            self._translate(error)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._errstate.__exit__(None, None, None)
        try:
            self._device.__exit__(kind, error, traceback)
        except Exception as later:
            if error is None:  # otherwise the first error is the cause
                self._translate(later)
                raise
        if error is not None:
            self._translate(error)

    def _translate(self, error: BaseException) -> None:
        found = translate(error, self._name)
        if found is not None:
            raise found from error
