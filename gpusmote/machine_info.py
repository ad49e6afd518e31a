"""Facts about this machine, and how a search of a given size would be done on it."""

from __future__ import annotations

import dataclasses
import operator
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
    searched = {} if why is None else {"search": _search(why, queries, k)}
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
        "kernels": _kernels(),
        **searched,
    }


def _search(why: tuple[int, int], queries: int | None, k: int | None) -> dict[str, Any]:
    try:
        n, d = map(operator.index, why)
        m = n if queries is None else operator.index(queries)
        neighbors = 5 if k is None else operator.index(k)
        possible = 1 <= m <= n and 1 <= neighbors < n and d >= 1
    except (TypeError, ValueError):
        possible = False
    if not possible:
        raise ParameterError(
            f"A search with why={why!r}, queries={queries!r} and k={k!r} is not possible.",
            "why is (rows, columns); queries is at least 1 and at most rows, k at least 1 and at most rows - 1.",
        )
    search = SearchSize(n, d, m, neighbors)
    return {
        "of": f"{counted(neighbors, 'neighbor')} of {counted(m, 'row')} among {n:,}, {counted(d, 'column')}",
        "auto": _choice(float(n) * m * d),
        "cpu": _sources(search),
        "cuda": _sources(dataclasses.replace(search, on_host=False)),
    }


def _sources(search: SearchSize) -> dict[str, str]:
    return {rule.source: f"{rule.text}; {rule.condition}".removesuffix("; ") for rule in rules_for(search)}


def _choice(work: float) -> str:
    try:
        ordinal, reason, advice = decide("auto", work, "cpu")
    except GpusmoteError as error:
        return str(error)
    return f"{'cpu' if ordinal is None else f'cuda:{ordinal}'}: {reason}" + (f". {advice}" if advice else "")


def _kernels() -> str:
    try:
        return str(kernels.folder())
    except GpusmoteError as error:
        return str(error)


def _devices() -> list[dict[str, Any]]:
    found = detect.look()
    if detect.forked() or not found.devices:
        return []
    import cupy

    devices: list[dict[str, Any]] = []
    for ordinal in range(found.devices):
        device: dict[str, Any] = {"name": f"cuda:{ordinal}"}
        try:
            properties = cupy.cuda.runtime.getDeviceProperties(ordinal)
            free, total = map(int, cupy.cuda.Device(ordinal).mem_info)
            device["model"] = properties["name"].decode()
            device["compute_capability"] = f"{properties['major']}.{properties['minor']}"
            device |= {"memory": total, "free": free}
        except Exception as error:  # a device that fails is listed too
            device["model"] = f"does not answer ({error})"
        devices.append(device)
    return devices
