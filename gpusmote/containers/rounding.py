"""Conversion of computed values to the dtype of a column."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpusmote.backends.cpu import Array

__all__ = ["converted", "store"]


def converted(values: Array, dtype: np.dtype, xp: Any = np) -> Array:
    """A new array of ``dtype`` with ``values``, rounded by :func:`store`."""
    out = xp.empty(values.shape, dtype)
    store(values, out, xp)
    return out


def store(values: Array, out: Array, xp: Any = np) -> None:
    """Convert ``values`` to the dtype of ``out`` and write them there.

    - Integers: rounded to the nearest whole number, ties to even, and clipped to the range of the dtype.
    - Bool: the nearer of False and True; False for 0.5.
    - Floats: rounded once, clipped to the finite range of the dtype. NumPy and CuPy both round float64 to float16
      directly; rounding to float32 first would round some values twice.
    - Object: Python floats.

    Parameters
    ----------
    values : array, float32 or float64
        Finite. Not changed.
    out : array of the same shape
        Of any numeric dtype, or object.
    xp : module, default=numpy
        The module of the arrays, numpy or cupy.

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
    """The smallest and the largest float that fit in an integer dtype.

    The largest integer itself may not be exact: float64(2**63 - 1) is 2**63, which does not fit in int64.
    """
    info = np.iinfo(dtype)
    high = floats.type(info.max)
    return float(info.min), float(high if int(high) <= info.max else np.nextafter(high, floats.type(0)))
