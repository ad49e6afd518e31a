"""Tables, and what a call holds at its highest point."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np


def data(n, d, dtype, share, kind="plain"):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)).astype(dtype)
    if kind == "ties":
        X = np.round(X)
    elif kind == "clusters":
        X[::2] += 3e4
    return X, (np.arange(n) < n * share).astype(np.int64)


def mixed(n, d, dtype, share):
    """The same, with the rows of both classes in any order."""
    X, y = data(n, d, dtype, share)
    return X, np.random.default_rng(1).permutation(y)


def peak_of(work):
    """What the call returns, and the most bytes that it held at any one time."""
    gc.collect()
    tracemalloc.start()
    try:
        result = work()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def counts(y):
    labels, number = np.unique(y, return_counts=True)
    return dict(zip(labels.tolist(), number.tolist(), strict=True))
