"""The caller's containers on one side, work arrays on the other; nothing else in gpusmote knows a container."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpusmote.arrays.numpy_table import NumpyTable
from gpusmote.arrays.table import Table, Write
from gpusmote.arrays.target import Target

__all__ = ["Table", "Target", "Write", "wrap_features", "wrap_target"]


def wrap_features(X: Any) -> Table:
    """The table that reads and restores this kind of X; X has been checked for all but NaN and infinity."""
    return NumpyTable(np.asarray(X))


def wrap_target(y: Any, n_rows: int) -> Target:
    """The target that reads and restores this kind of y, one label for each of ``n_rows`` rows."""
    return Target(y)
