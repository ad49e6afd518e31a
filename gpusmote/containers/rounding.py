"""How a computed value becomes a value of the column's dtype: the one place where this is decided."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpusmote.backends.cpu import Array

__all__ = ["native", "store"]


def native(dtype: np.dtype) -> np.dtype:
    """``dtype`` in this machine's byte order."""
    return dtype.newbyteorder("=")


def store(values: Array, out: Array, xp: Any = np) -> None:
    """Write ``values`` into ``out`` by the rule of its dtype.

    Integers: the nearest whole number, ties to even, kept within the dtype. Bool: the nearer end, which for a tie is
    the even one, False. Floats: rounded once, kept within the dtype's finite range. Objects: Python floats.

    Both libraries round float64 to float16 directly, and not by way of float32, which would round some values twice:
    CuPy assigns a double to CUDA's ``half``, for which every chip has an instruction.

    Parameters
    ----------
    values : array, float32 or float64
        Finite; not written to.
    out : array of the same shape
        Of any numeric dtype, or object.
    xp : module, default=numpy
        Whose arrays these are.

    Examples
    --------
    >>> out = np.empty(5, np.int8)
    >>> store(np.array([0.5, 1.5, -2.51, 127.6, -1e9]), out)
    >>> out
    array([   0,    2,   -3,  127, -128], dtype=int8)
    """
    kind = out.dtype.kind
    if kind == "b":
        out[...] = values > 0.5
    elif kind in "iu":
        whole = xp.rint(values)
        out[...] = xp.clip(whole, *_float_limits(out.dtype, values.dtype))
    elif kind == "f" and out.dtype.itemsize < values.dtype.itemsize:
        largest = float(np.finfo(out.dtype).max)
        out[...] = xp.clip(values, -largest, largest)
    else:
        out[...] = values


def _float_limits(dtype: np.dtype, floats: np.dtype) -> tuple[float, float]:
    """The outermost of ``floats`` that ``dtype`` holds: float64(2**63 - 1) is 2**63, which int64 does not."""
    info = np.iinfo(dtype)
    high = floats.type(info.max)
    return float(info.min), float(high if int(high) <= info.max else np.nextafter(high, floats.type(0)))
