"""The table that all containers are made of, and the rows that stand for synthetic ones."""

from __future__ import annotations

import numpy as np

from gpusmote.arrays import wrap_features
from gpusmote.backends import Backend

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
