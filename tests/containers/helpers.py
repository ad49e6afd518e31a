"""The table that all containers are made of, and the rows that stand for synthetic ones."""

from __future__ import annotations

import numpy as np

from gpusmote.backends import Backend
from gpusmote.containers import wrap_features

BACKEND = Backend()


def writer(new: np.ndarray):
    """A ``write`` that gives these rows, and refuses an ``out`` that is not what the contract says."""

    def write(start: int, stop: int, out: np.ndarray) -> None:
        assert out.shape == (stop - start, new.shape[1])
        assert out.dtype in (np.float32, np.float64)
        assert out.flags.c_contiguous
        assert out.flags.writeable
        out[...] = new[start:stop]

    return write


def append(X, new: np.ndarray):
    """X with the rows ``new`` below it, as its table gives it back."""
    return wrap_features(X).append(len(new), writer(new), BACKEND)


def taken(X, rows=None) -> np.ndarray:
    """The work rows of X."""
    return wrap_features(X).take(rows, BACKEND)


def halves() -> tuple[np.ndarray, np.ndarray]:
    """Every float64 number at which rounding to float16 changes, the numbers beside it, and what they are rounded to.

    Half way between two float16 numbers the even one is right, and a hair beside it the nearer one; by way of float32
    the hair would be lost.

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
