"""Tables from containers, and a ``write`` function with given rows instead of synthetic ones."""

from __future__ import annotations

import numpy as np

from gpusmote.backends import Backend
from gpusmote.containers import wrap_features

BACKEND = Backend()


def writer(new: np.ndarray):
    """A ``write`` function that writes the rows ``new`` and checks ``out``."""

    def write(start: int, stop: int, out: np.ndarray) -> None:
        assert out.shape == (stop - start, new.shape[1])
        assert out.dtype in (np.float32, np.float64)
        assert out.flags.c_contiguous
        assert out.flags.writeable
        out[...] = new[start:stop]

    return write


def append(X, new: np.ndarray):
    """X with the rows ``new`` appended by its table."""
    return wrap_features(X).append(len(new), writer(new), BACKEND)


def taken(X, rows=None) -> np.ndarray:
    """Rows of X as a work array."""
    return wrap_features(X).take(rows, BACKEND)


def halves() -> tuple[np.ndarray, np.ndarray]:
    """All float16 numbers, the float64 numbers half way between two of them, and the float64 numbers next to those.

    A number half way is rounded to the even float16 number, the numbers next to it to the nearer one. Rounding to
    float32 first would round these to the number half way.

    Returns
    -------
    values : ndarray of float64
    rounded : ndarray of float16
    """
    bits = np.arange(0x7C00, dtype=np.uint16)  # of all finite numbers that are not negative
    exact = bits.view(np.float16).astype(np.float64)
    low, high = exact[:-1], exact[1:]
    middle = (low + high) / 2
    even = np.where(bits[:-1] % 2 == 0, low, high)
    values = np.concatenate([exact, middle, np.nextafter(middle, np.inf), np.nextafter(middle, 0.0)])
    rounded = np.concatenate([exact, even, high, low])
    return np.concatenate([values, -values]), np.concatenate([rounded, -rounded]).astype(np.float16)
