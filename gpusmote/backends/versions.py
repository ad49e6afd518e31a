"""Installed versions of the packages that a device needs, without importing them."""

from __future__ import annotations

import functools
import importlib.metadata

__all__ = ["CUPY", "FAISS", "installed", "version"]

CUPY = ("cupy-cuda12x", "cupy-cuda13x", "cupy-cuda11x", "cupy")
FAISS = ("faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cuvs", "faiss-gpu-cu11", "faiss", "faiss-cpu")
"""Distributions that contain the same module, GPU builds first."""


@functools.cache
def installed(names: tuple[str, ...]) -> tuple[str, str] | None:
    """Name and version of the first installed distribution among these; None if none is installed.

    Examples
    --------
    >>> installed(("no such distribution", "numpy"))[0]
    'numpy'
    """
    for name in names:
        try:
            return name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def version(name: str) -> str:
    """The version of a distribution, or "not installed"; for gpusmote, the version that is running.

    Examples
    --------
    >>> version("no such distribution")
    'not installed'
    """
    if name == "gpusmote":  # if run from its folder, it may not be installed, or in another version
        from gpusmote import __version__

        return __version__
    found = installed((name,))
    return found[1] if found else "not installed"
