"""Facts about this machine, and how a search of a given size would be done on it."""

from __future__ import annotations

import numbers
import platform
from typing import Any

from gpusmote.backends import detect, kernels, memory
from gpusmote.backends.device import WORK_WORTH_A_DEVICE, decide
from gpusmote.backends.threads import n_threads
from gpusmote.backends.versions import version
from gpusmote.errors import GpusmoteError, ParameterError
from gpusmote.messages import counted
from gpusmote.neighbors.selection import SearchSize, rules_for

__all__ = ["info"]


def info(*, why: tuple[int, int] | None = None, queries: int | None = None, k: int | None = None) -> dict[str, Any]:
    """Versions, devices, memory, the choice of ``device="auto"``, and how a search would be done.

    It does not raise for a faulty device or driver: the text of the error is then the value. CuPy is imported only if
    there is a driver.

    Parameters
    ----------
    why : tuple of int, optional
        (rows, columns) of a table in which neighbors are searched, without duplicate rows. Adds ``search`` to the
        result.
    queries : int, optional
        Number of these rows whose neighbors are searched. Default: all of them.
    k : int, optional
        Number of neighbors of each. Default: 5.

    Returns
    -------
    dict
        - ``gpusmote``, ``python``, ``numpy``, ``scipy``, ``scikit-learn``, ``cupy``, ``faiss``: versions, or "not
          installed".
        - ``cores``; ``memory``: free bytes on the host, or None; ``driver``.
        - ``devices``: a list of dicts with ``name``, ``model``, ``compute_capability``, ``memory`` and ``free``
          (bytes).
        - ``auto``: the device for "small" and for "large" work, and the reason.
        - ``kernels``: the folder of the kernels.
        - ``search``, only with ``why``: a dict with "of", a description of the search; "auto", the device and the
          reason; "cpu" and "cuda", each a dict from a source of candidates to the condition under which it is used.
          The first source whose condition holds is used, and the last condition always holds.
          ``report_.search.why`` of a sampler says which one was used. The neighbors are the same from every source.

    Raises
    ------
    ParameterError
        If such a search is not possible, or ``queries`` or ``k`` are given without ``why``.

    Examples
    --------
    >>> import gpusmote
    >>> sorted(gpusmote.info()["auto"])
    ['large', 'small']
    >>> for source, condition in gpusmote.info(why=(10_000, 8))["search"]["cpu"].items():
    ...     print(f"{source}: {condition}")
    tree: at least 2,000 rows, at most 16 columns; rows of D dimensions locally: at least 800 * 1.8**D rows, and
      D + columns / 8 at most 5
    pairs: all rows are queries, 4,096 or more
    """
    if why is None and (queries, k) != (None, None):
        raise ParameterError("queries and k describe a search.", "Set why to the number of rows and of columns.")
    searched = {} if why is None else {"search": _search(why, queries, 5 if k is None else k)}
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
        "kernels": _text_or_error(lambda: str(kernels.folder())),
        **searched,
    }


def _search(why: tuple[int, int], queries: int | None, k: int) -> dict[str, Any]:
    try:
        n, d = why
    except (TypeError, ValueError):
        raise ParameterError(f"why is {why!r}.", "It must be a pair: (rows, columns).") from None
    n, d = _whole(f"why is {why!r}: the number of rows", n, 2), _whole(f"why is {why!r}: the number of columns", d, 1)
    m, k = _whole("queries", n if queries is None else queries, 1, n), _whole("k", k, 1, n - 1)
    sources = {
        device: {rule.source: f"{rule.text}; {rule.condition}".removesuffix("; ") for rule in rules_for(search)}
        for device, search in (("cpu", SearchSize(n, d, m, k)), ("cuda", SearchSize(n, d, m, k, on_host=False)))
    }
    return {
        "of": f"{counted(k, 'neighbor')} of {counted(m, 'row')} among {n:,}, {counted(d, 'column')}",
        "auto": _choice(float(n) * m * d),
        **sources,
    }


def _whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    if isinstance(value, numbers.Integral) and int(value) >= least and (most is None or int(value) <= most):
        return int(value)
    end = "" if most is None else f" and at most {most:,}"
    raise ParameterError(f"{name} is {value!r}.", f"It must be a whole number, at least {least}{end}.")


def _choice(work: float) -> str:
    def choose() -> str:
        ordinal, reason, advice = decide("auto", work, "cpu")
        return f"{'cpu' if ordinal is None else f'cuda:{ordinal}'}: {reason}" + (f". {advice}" if advice else "")

    return _text_or_error(choose)


def _text_or_error(compute: Any) -> str:
    try:
        return str(compute())
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
        except Exception as error:  # a device that fails is listed too
            devices.append({"name": f"cuda:{ordinal}", "model": f"does not answer ({error})"})
    return devices
