"""What every container of X must offer, and NumPy arrays, which offer it most directly."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from gpusmote.backends.base import Array, Backend

__all__ = ["Table", "Write"]

Write = Callable[[int, int, Array], None]
"""``write(start, stop, out)`` fills ``out`` (work dtype, on the host or the plan's device) with synthetic rows."""

_BLOCK_BYTES = 32 << 20


class Table(abc.ABC):
    """X as the caller gave it: read through :meth:`take`, given back by :meth:`only` and :meth:`append`.

    Nothing here ever writes to the caller's data.

    Attributes
    ----------
    n_rows, n_features : int
    names : list of str or None
        The columns' names, where the container has names and all are strings.
    work_dtype : numpy.dtype
        float32 where all of X is float32, else float64 (which holds every other numeric dtype that gpusmote takes).
    device : str
        "cpu" or "cuda:N": where the caller's data lie.
    itemsize : float
        Bytes of one value in the caller's container; what the output's size is estimated from.
    """

    n_rows: int
    n_features: int
    names: list[str] | None = None
    work_dtype: np.dtype
    device: str = "cpu"
    itemsize: float = 8.0

    @abc.abstractmethod
    def take(self, rows: np.ndarray | slice | None, backend: Backend) -> Array:
        """Rows as a C-contiguous work array on the backend's device.

        Parameters
        ----------
        rows : ndarray of int64 on the host, slice, or None
            None is all the rows; the result may then share memory with the caller's data and must not be written.
        backend : Backend

        Returns
        -------
        array of shape (len(rows), n_features), ``work_dtype``
        """

    @abc.abstractmethod
    def only(self, work: Array, backend: Backend) -> Any:
        """The caller's kind of container, made of just these rows.

        Integer and bool columns are rounded to the nearest whole number, ties to even, never beyond their dtype.
        """

    @abc.abstractmethod
    def append(self, n_new: int, write: Write, backend: Backend) -> Any:
        """The caller's kind of container: the originals, untouched and in order, then ``n_new`` rows by ``write``."""

    @abc.abstractmethod
    def check_finite(self) -> None:
        """Raise :class:`gpusmote.errors.NonFiniteError`, naming columns and counts, if NaN or infinity is found."""

    def fingerprint(self, backend: Backend) -> str:
        """Hash of the shape, work dtype and all values: whether two tables give the same rows."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f"{self.n_rows} {self.n_features} {self.work_dtype.str}".encode())
        step = max(1, _BLOCK_BYTES // max(1, self.n_features * self.work_dtype.itemsize))
        for start in range(0, self.n_rows, step):
            block = backend.to_host(self.take(slice(start, min(start + step, self.n_rows)), backend))
            digest.update(np.ascontiguousarray(block))
        return digest.hexdigest()
