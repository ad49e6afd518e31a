"""Which device does the work, and why."""

from __future__ import annotations

import platform
import sys

from gpusmote.backends import detect, translate_errors
from gpusmote.backends.cpu import Backend
from gpusmote.config import parse_device, setting
from gpusmote.errors import DeviceError, warn

__all__ = ["WORK_WORTH_A_DEVICE", "decide", "require", "select", "warn_once"]

WORK_WORTH_A_DEVICE = 1e11
"""Rows x rows x columns from which ``device="auto"`` takes a device: 56,000 rows of 32 columns among each other.

Measured, the CPU path needs 0.7 to 2.7 seconds for that on two cores (100 columns the least, 8 the most). The trip to a
device costs a process some tenths of a second, once, for the CUDA context, the compiled kernels and FAISS's resources;
each call then copies X. What the device itself takes has not been measured. The rows do not depend on it.
"""


def select(device: str, work: float, lies_on: str) -> tuple[Backend, str]:
    """The backend for one call.

    Parameters
    ----------
    device : str
        The sampler's parameter: "auto" (what :func:`gpusmote.get_config` says), "cpu", "cuda" or "cuda:N".
    work : float
        Rows x rows x columns that the search would compare at most: what tells whether the trip to a device pays.
    lies_on : str
        "cpu" or "cuda:N": where X lies now.

    Returns
    -------
    backend : Backend
    reason : str
        Why this one, in words for the user.

    Raises
    ------
    ParameterError
        If the device is none of these names.
    DeviceError
        If a CUDA device is asked for and cannot be used; the message says what was looked for.

    Warns
    -----
    GpusmoteWarning
        Once a process, where a device is there, the work is large enough for it, and a package is missing.
    """
    ordinal, reason, advice = decide(device, work, lies_on)
    if advice:
        warn_once(advice)
    if ordinal is None:
        return Backend(), reason
    from gpusmote.backends.cuda import CudaBackend

    return CudaBackend(ordinal), reason


def require(device: str) -> None:
    """Refuse a device that is asked for by name and cannot be used, before there is work for it.

    Parameters
    ----------
    device : str
        See :func:`select`. "auto" asks for none, unless the configuration does.

    Raises
    ------
    ParameterError, DeviceError
        As :func:`select`.
    """
    try:
        decide(device, 0.0, "cpu")
    except RuntimeError as error:  # CuPy, asked which device is current
        found = translate_errors.translate(error, "CUDA")
        if found is None:
            raise
        raise found from error


def decide(device: str, work: float, lies_on: str) -> tuple[int | None, str, str]:
    """What :func:`select` does, in words and numbers only.

    Returns
    -------
    ordinal : int or None
        The CUDA device, or None for the CPU.
    reason : str
    advice : str
        What the user could install, or "".
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
        return _with_faiss_or_not(_demanded(source, ordinal, lies_on), source)
    return _automatic(work, lies_on)


def _demanded(source: str, ordinal: int | None, lies_on: str) -> int:
    if detect.forked():
        raise DeviceError(
            f"{source}, but this process was forked from one that had used CUDA, and CUDA does not survive that.",
            'Start processes by the "spawn" or "forkserver" method, or take device="cpu".',
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
        return _with_faiss_or_not(_demanded(reason, parse_device(lies_on)[1], lies_on), reason)
    size = f"the search compares {work:,.0f} values at most"
    if work < WORK_WORTH_A_DEVICE:
        return None, f"{size}; a device pays from {WORK_WORTH_A_DEVICE:,.0f}", ""
    if detect.forked():
        return None, "this process was forked from one that had used CUDA, which does not survive that", ""
    if detect.driver_found() is None:
        return None, "no CUDA device was found", ""
    found = detect.look()
    if found.usable:
        ordinal = _current()
        if (why := translate_errors.remembered(f"cuda:{ordinal}")) is not None:
            return None, f"cuda:{ordinal} has failed in this process ({why})", ""
        return _with_faiss_or_not(ordinal, size)
    if found.has_cupy and not found.devices:
        return None, f"CuPy sees no device (CuPy: {found.cupy})", ""
    missing = f"CuPy: {found.cupy}" if not found.has_cupy else f"NVRTC: {found.nvrtc}"
    return (
        None,
        f"a CUDA device is there, but not all it needs ({missing})",
        f"A CUDA device is there but cannot be used ({missing}). {_remedy(found)}",
    )


def _remedy(found: detect.Found) -> str:
    if found.has_cupy and found.has_nvrtc:
        return "CuPy is there; what it lacks is a device that the NVIDIA driver shows to this process."
    return f"{detect.INSTALL} brings what is missing, but for the NVIDIA driver."


def _with_faiss_or_not(ordinal: int, reason: str) -> tuple[int, str, str]:
    """Say what takes FAISS's place where it is missing, and how to get it where it could be had.

    There is no wheel of it for CUDA 13, nor for other processors.
    """
    found = detect.look()
    if found.has_faiss:
        return ordinal, reason, ""
    reason += f"; neighbors by tiles in CuPy (FAISS: {found.faiss})"
    if sys.platform != "linux" or platform.machine() != "x86_64" or _cuda_major() != 12:
        return ordinal, reason, ""
    advice = (
        f"Neighbors are sought by tiles in CuPy, because FAISS cannot be used on the GPU (FAISS: {found.faiss}). "
        f"{detect.INSTALL} brings it; the rows are the same, the search is faster."
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
    """Warn the caller of gpusmote, once a process for each text."""
    if advice not in _warned:
        _warned.add(advice)
        warn(advice)
