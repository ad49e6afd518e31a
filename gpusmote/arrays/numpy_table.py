"""NumPy arrays, and nested lists as NumPy reads them."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpusmote.arrays.table import Table, Write
from gpusmote.backends.base import Array, Backend
from gpusmote.errors import NonFiniteError

__all__ = ["NumpyTable"]


class NumpyTable(Table):
    def __init__(self, X: np.ndarray, as_list: bool = False) -> None:
        self._X = X
        self._as_list = as_list
        self.n_rows, self.n_features = X.shape
        self.work_dtype = np.dtype(np.float32 if X.dtype == np.float32 else np.float64)
        self.itemsize = X.dtype.itemsize

    def take(self, rows: np.ndarray | slice | None, backend: Backend) -> Array:
        chosen = self._X if rows is None else self._X[rows]
        return backend.asarray(np.ascontiguousarray(chosen, dtype=self.work_dtype))

    def only(self, work: Array, backend: Backend) -> Any:
        return backend.to_host(work).astype(self._X.dtype)

    def append(self, n_new: int, write: Write, backend: Backend) -> Any:
        out = np.empty((self.n_rows + n_new, self.n_features), self._X.dtype)
        out[: self.n_rows] = self._X
        write(0, n_new, out[self.n_rows :])
        return out

    def check_finite(self) -> None:
        if not np.isfinite(self._X).all():
            raise NonFiniteError("X holds NaN or infinity.")
