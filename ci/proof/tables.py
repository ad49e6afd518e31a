"""The tables that steps work on; never zeros, which hide what nobody wrote and run faster than data does."""

from __future__ import annotations

from typing import Any

import numpy as np

from proof.run import Run

__all__ = ["KINDS", "halves", "imbalanced", "on_device", "rows"]

KINDS = ("plain", "heavy-tailed", "one column x 1000", "clusters 100 apart", "clusters 10,000 apart", "whole numbers")


def rows(rng: np.random.Generator, n: int, d: int, dtype: Any = np.float32, kind: str = "plain") -> np.ndarray:
    """Rows for a search.

    Returns
    -------
    ndarray of shape (n, d)
    """
    values = rng.standard_normal((n, d), dtype=np.dtype(dtype).type)
    if kind == "heavy-tailed":
        np.exp(values * 2, out=values)
    elif kind == "one column x 1000":
        values[:, 0] *= 1000
    elif kind.startswith("clusters"):
        values[::2] += 100 if "100 " in kind else 10_000
    elif kind == "whole numbers":
        np.round(values, out=values)
    elif kind == "offset":
        values += 1e6
    elif kind == "subnormal":
        values *= 1e-41 if values.dtype == np.float32 else 1e-310
    elif kind == "huge":
        values *= 1e34 if values.dtype == np.float32 else 1e300
    return values


def halves() -> tuple[np.ndarray, np.ndarray]:
    """Every float64 number at which rounding to float16 changes, its neighbours, and what they are rounded to.

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


def imbalanced(n: int, d: int, majority: int = 5, dtype: Any = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """A minority of n rows among ``majority`` times as many; X of shape ((1 + majority) * n, d), y."""
    rng = np.random.default_rng(n + d)
    X = rng.standard_normal(((1 + majority) * n, d), dtype=np.dtype(dtype).type)
    y = np.zeros(len(X), np.int64)
    y[rng.permutation(len(X))[:n]] = 1
    return X, y


def on_device(run: Run, n: int, d: int, dtype: Any) -> Any:
    """n x d random values on the device, made of a block on the host that is repeated: quick, however large.

    Returns
    -------
    cupy.ndarray of shape (n, d)
    """
    xp, block = run.xp, min(n, max(1, (16 << 20) // d))
    some = xp.asarray(rows(run.rng, block, d, dtype))
    table = xp.empty((n, d), dtype)
    for start in range(0, n, block):
        table[start : start + block] = some[: min(block, n - start)]
    return table
