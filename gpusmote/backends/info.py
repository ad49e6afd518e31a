"""What this machine offers."""

from __future__ import annotations

import platform
from typing import Any

from gpusmote._threads import n_threads
from gpusmote.backends import detect, kernels, memory
from gpusmote.backends.select import WORK_WORTH_A_DEVICE, decide
from gpusmote.backends.versions import version
from gpusmote.errors import GpusmoteError

__all__ = ["info"]


def info() -> dict[str, Any]:
    """Versions, devices, memory, and what ``device="auto"`` would choose.

    It never raises: what cannot be found out is said in words. CuPy is imported only where there is a driver.

    Returns
    -------
    dict
        ``gpusmote``, ``python``, ``numpy``, ``scipy``, ``scikit-learn``, ``cupy``, ``faiss``: versions or "not
        installed"; ``cores``; ``memory`` (bytes free on the host, or None); ``driver``; ``devices``: a list of dict
        with ``name``, ``model``, ``compute_capability``, ``memory`` and ``free`` (bytes); ``auto``: dict of "small" and
        "large" work to the device and the reason; ``kernels``: their folder.

    Examples
    --------
    >>> import gpusmote
    >>> sorted(gpusmote.info()["auto"])
    ['large', 'small']
    """
    driver = detect.driver_found()
    return {
        "gpusmote": version("gpusmote"),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "scikit-learn")},
        **detect.versions(),
        "cores": n_threads(),
        "memory": memory.available(),
        "driver": driver or "not found",
        "devices": _devices() if driver else [],
        "auto": {"small": _choice(0.0), "large": _choice(10 * WORK_WORTH_A_DEVICE)},
        "kernels": _said(lambda: str(kernels.folder())),
    }


def _choice(work: float) -> str:
    def choose() -> str:
        ordinal, reason, advice = decide("auto", work, "cpu")
        return f"{'cpu' if ordinal is None else f'cuda:{ordinal}'}: {reason}" + (f". {advice}" if advice else "")

    return _said(choose)


def _said(ask: Any) -> str:
    try:
        return str(ask())
    except GpusmoteError as error:
        return str(error)


def _devices() -> list[dict[str, Any]]:
    found = detect.look()
    if detect.forked() or not found.devices:
        return []
    import cupy

    devices = []
    for ordinal in range(found.devices):
        try:
            device = cupy.cuda.Device(ordinal)
            properties = cupy.cuda.runtime.getDeviceProperties(ordinal)
            free, total = device.mem_info
            devices.append(
                {
                    "name": f"cuda:{ordinal}",
                    "model": properties["name"].decode(),
                    "compute_capability": f"{properties['major']}.{properties['minor']}",
                    "memory": int(total),
                    "free": int(free),
                }
            )
        except Exception as error:  # a device that fails is told of like the others
            devices.append({"name": f"cuda:{ordinal}", "model": f"does not answer ({error})"})
    return devices
