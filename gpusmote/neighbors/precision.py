"""Test whether a device computes float32 products in float32, as the certificate assumes.

``CUPY_TF32``, ``NVIDIA_TF32_OVERRIDE`` and the math mode of a cuBLAS handle each allow products with 11 significant
bits instead of 24. Other settings may do so too, so a small product is computed and its error is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from gpusmote.backends.cpu import Array

__all__ = ["cupy_keeps_float32", "keeps_float32"]

_SIZE = 128  # rows and columns: large enough that tensor cores are used if they are allowed
_VALUE = 1 + 2.0**-11 - 2.0**-23  # rounds to 1 in TF32, float16 and bfloat16
_ERROR = 2.0**-20  # a few roundings in float32; with fewer bits the error is 2**-10 or more

_known: dict[Hashable, bool] = {}


def cupy_keeps_float32(cupy: Any) -> bool:
    """Whether CuPy computes float32 products in float32, on the current device with its present settings."""
    handle = cupy.cuda.get_cublas_handle()
    key = "cupy", int(cupy.cuda.Device().id), handle, cupy.cuda.cublas.getMathMode(handle)
    return keeps_float32(cupy, key, lambda rows: rows @ rows.T - cupy.float32(_VALUE**2))


def keeps_float32(cupy: Any, key: Hashable, errors: Callable[[Array], Array]) -> bool:
    """Whether a function that uses a matrix product has the accuracy of float32.

    The host waits for the result once for each key.

    Parameters
    ----------
    cupy : module
    key : hashable
        Identifies the library, the device and all settings that can change within a process.
    errors : callable
        Takes equal rows (array of shape (m, d), float32) and returns an array of values that would be zero without
        rounding, such as the approximate squared distances between these rows.

    Returns
    -------
    bool
    """
    if key not in _known:
        rows = cupy.zeros((_SIZE, _SIZE), "f4")
        rows[:, 0] = _VALUE
        _known[key] = bool((abs(errors(rows)) <= _ERROR).all())
    return _known[key]
