"""Choose the device that does the work, and give the reason."""

from __future__ import annotations

import platform
import sys

from gpusmote.backends import detect, translate_errors
from gpusmote.backends.cpu import Backend
from gpusmote.config import parse_device, setting
from gpusmote.errors import DeviceError, warn

__all__ = ["WORK_WORTH_A_DEVICE", "decide", "require", "select", "warn_once"]

WORK_WORTH_A_DEVICE = 1e11
"""Rows x rows x columns above which ``device="auto"`` uses a CUDA device: 56,000 rows of 32 columns compared in pairs.

Measured, the CPU path needs 0.7 to 2.7 seconds for that on two cores (least for 100 columns, most for 8). The first use
of a device takes a few tenths of a second in each process, for the CUDA context, the compiled kernels and FAISS's
resources; each call then copies X. The time on the device has not been measured. The rows do not depend on the device.
"""


def select(device: str, work: float, lies_on: str) -> tuple[Backend, str]:
    """Choose the backend for one call.

    Parameters
    ----------
    device : str
        The sampler's parameter: "auto" (what :func:`gpusmote.get_config` says), "cpu", "cuda" or "cuda:N".
    work : float
        Upper bound for rows x rows x columns that the search compares. It decides whether using a device pays.
    lies_on : str
        Where X is now: "cpu" or "cuda:N".

    Returns
    -------
    backend : Backend
    reason : str
        Reason for the choice, for the user.

    Raises
    ------
    ParameterError
        If ``device`` is not one of these names.
    DeviceError
        If a CUDA device is requested and cannot be used; the message lists what was found.

    Warns
    -----
    GpusmoteWarning
        Once in each process, if there is a device, the work is large enough for it, and a package is missing.
    """
    ordinal, reason, advice = decide(device, work, lies_on)
    if advice:
        warn_once(advice)
    if ordinal is None:
        return Backend(), reason
    from gpusmote.backends.cuda import CudaBackend

    return CudaBackend(ordinal), reason


def require(device: str) -> None:
    """Raise an error if a device is requested by name and cannot be used, before any work is done.

    Parameters
    ----------
    device : str
        See :func:`select`. "auto" requests no device, unless the configuration does.

    Raises
    ------
    ParameterError, DeviceError
        As :func:`select`.
    """
    try:
        decide(device, 0.0, "cpu")
    except RuntimeError as error:  # from CuPy, when it returns the current device
        found = translate_errors.translate(error, "CUDA")
        if found is None:
            raise
        raise found from error


def decide(device: str, work: float, lies_on: str) -> tuple[int | None, str, str]:
    """Make the decision of :func:`select` without creating a backend.

    Returns
    -------
    ordinal : int or None
        The CUDA device, or None for the CPU.
    reason : str
    advice : str
        What the user can install, or "".
    """
    source = f'device="{device}"'
    kind, ordinal = parse_device(device)
    if kind == "auto":
        configured = setting("device")
        kind, ordinal = parse_device(configured)
        source = f'the configuration says device="{configured}"'
    if kind == "cpu":
        return None, source, ""
    if kind == "cuda":
        return _with_faiss_advice(_requested(source, ordinal, lies_on), source)
    return _automatic(work, lies_on)


def _requested(source: str, ordinal: int | None, lies_on: str) -> int:
    if detect.forked():
        raise DeviceError(
            f"{source}, but this process was forked from one that had used CUDA, and CUDA cannot be used after a fork.",
            'Start processes with the "spawn" or "forkserver" method, or use device="cpu".',
        )
    found = detect.look()
    if not found.usable:
        hint = f'{_remedy(found)} device="cpu" gives the same rows.'
        raise DeviceError(f"{source}, but no CUDA device can be used. Looked for {found}.", hint)
    if ordinal is None:
        home = parse_device(lies_on)[1]
        ordinal = _current() if home is None else home
    if ordinal >= found.devices:
        names = ", ".join(f"cuda:{i}" for i in range(found.devices))
        raise DeviceError(f"{source}, but there is no cuda:{ordinal}.", f"The devices here: {names}.")
    return ordinal


def _automatic(work: float, lies_on: str) -> tuple[int | None, str, str]:
    if lies_on != "cpu":
        reason = f"X lies on {lies_on}"
        return _with_faiss_advice(_requested(reason, parse_device(lies_on)[1], lies_on), reason)
    size = f"the search compares {work:,.0f} values at most"
    if work < WORK_WORTH_A_DEVICE:
        return None, f"{size}; a device pays from {WORK_WORTH_A_DEVICE:,.0f}", ""
    if detect.forked():
        return None, "this process was forked from one that had used CUDA, which cannot be used after a fork", ""
    if detect.driver_found() is None:
        return None, "no CUDA device was found", ""
    found = detect.look()
    if found.usable:
        ordinal = _current()
        if (why := translate_errors.remembered(f"cuda:{ordinal}")) is not None:
            return None, f"cuda:{ordinal} has failed in this process ({why})", ""
        return _with_faiss_advice(ordinal, size)
    if found.has_cupy and not found.devices:
        return None, f"CuPy sees no device (CuPy: {found.cupy})", ""
    missing = f"CuPy: {found.cupy}" if not found.has_cupy else f"NVRTC: {found.nvrtc}"
    return (
        None,
        f"there is a CUDA device, but a package is missing ({missing})",
        f"There is a CUDA device, but it cannot be used ({missing}). {_remedy(found)}",
    )


def _remedy(found: detect.Found) -> str:
    if found.has_cupy and found.has_nvrtc:
        return "CuPy is installed, but the NVIDIA driver shows no device to this process."
    return f"{detect.INSTALL} installs what is missing, except the NVIDIA driver."


def _with_faiss_advice(ordinal: int, reason: str) -> tuple[int, str, str]:
    """If FAISS is missing, add what is used instead to the reason, and advise to install it where this is possible.

    FAISS has no wheels for CUDA 13 or for other processors than x86-64.
    """
    found = detect.look()
    if found.has_faiss:
        return ordinal, reason, ""
    reason += f"; neighbors by tiles in CuPy (FAISS: {found.faiss})"
    if sys.platform != "linux" or platform.machine() != "x86_64" or _cuda_major() != 12:
        return ordinal, reason, ""
    advice = (
        f"CuPy searches for neighbors, because FAISS cannot be used on the GPU (FAISS: {found.faiss}). "
        f"{detect.INSTALL} installs it; the rows are the same, the search is faster."
    )
    return ordinal, reason, advice


def _cuda_major() -> int:
    import cupy

    return int(cupy.cuda.runtime.runtimeGetVersion()) // 1000


def _current() -> int:
    import cupy

    return int(cupy.cuda.Device().id)


_warned: set[str] = set()


def warn_once(advice: str) -> None:
    """Warn the caller of gpusmote, once in each process for each text."""
    if advice not in _warned:
        _warned.add(advice)
        warn(advice)
