"""What goes wrong on a device, in gpusmote's own errors, and what a process remembers of it."""

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
_MEMORY = "Give memory_limit= less than now, or free memory on the device."

# By the numbers that the runtime and the driver share. After the first group every call of the process fails with the
# same error: the CUDA context is gone for good. The second says that there is no device any more, or none that answers.
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
"""Names of CuPy's errors that are no memory errors; their classes lie in modules whose names have changed."""

_failed: dict[tuple[int, str], str] = {}


def remember(device: str, why: str) -> None:
    """Let ``device="auto"`` pass this device by, for as long as the process lives.

    ``device="cuda"`` is not held back: whoever names a device has it tried.
    """
    _failed[os.getpid(), device] = why


def remembered(device: str) -> str | None:
    """Why this device is passed by, or None."""
    return _failed.get((os.getpid(), device))


def translate(error: BaseException, where: str) -> GpusmoteError | None:
    """What an error of NumPy or CuPy means, or None where it is none of theirs.

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
    # NVRTC, cuBLAS and the like count their statuses by themselves.
    status = getattr(error, "status", None) if type(error).__name__ in ("CUDARuntimeError", "CUDADriverError") else None
    return _of_text(said, status, where, f"{where} failed ({said}).")


def translate_faiss(error: BaseException, ordinal: int, what: str) -> GpusmoteError | None:
    """What an error that is raised while FAISS works means, or None where it is not FAISS's, NumPy's or CuPy's.

    FAISS raises an error where an allocation fails; where another call of CUDA's fails it ends the process.

    Parameters
    ----------
    error : BaseException
        FAISS's own are RuntimeErrors, and MemoryErrors for memory of the host.
    ordinal : int
        Of the device.
    what : str
        What FAISS was asked.
    """
    where, said = f"cuda:{ordinal}", str(error)
    if isinstance(error, GpusmoteError) or not isinstance(error, RuntimeError) or type(error).__name__ in _ERRORS:
        return translate(error, where)
    if _NO_IMAGE in said.lower():
        return DeviceError(
            f"FAISS was built for other chips than {chip(ordinal)}: {said}",
            f"Install a build for this chip, or none: gpusmote then seeks neighbors by its own tiles. {SAME_ROWS}",
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
        return DeviceLostError(f"{message} The device does not answer any more.", _RESTART)
    return DeviceError(message, SAME_ROWS)


def _place(error: BaseException, where: str) -> str:
    """Where memory ran out: NumPy's own error is about the host, wherever the work is done."""
    return "the host" if type(error).__module__.partition(".")[0] in ("numpy", "builtins") else where


def chip(ordinal: int | None = None) -> str:
    """The device with its compute capability, as far as it still answers."""
    import cupy

    name, capability = "the device", "?"
    with contextlib.suppress(Exception):
        device = cupy.cuda.Device(ordinal)
        name = f"cuda:{device.id}"
        capability = device.compute_capability
    return f"{name} (compute capability {capability})"


class ErrorTranslator(AbstractContextManager[Any]):
    """A device's own context manager, out of which NumPy's and CuPy's errors come as gpusmote's.

    Within it NumPy treats floating-point errors as by default, whatever the caller has set with ``np.seterr``: numbers
    that underflow are part of correct results.

    Parameters
    ----------
    make : callable
        ``make()`` gives that context manager.
    name : str
        Of the device.
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
            if error is None:  # else the first error is the one that says what happened
                self._translate(later)
                raise
        if error is not None:
            self._translate(error)

    def _translate(self, error: BaseException) -> None:
        found = translate(error, self._name)
        if found is not None:
            raise found from error
