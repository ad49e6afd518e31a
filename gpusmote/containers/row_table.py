"""Tables whose rows are only repeated: their columns may hold text, dates, categories and missing values."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import scipy.sparse

from gpusmote.containers.checks import check_shape, is_instance, refuse_known_features, unreadable
from gpusmote.containers.selection import taker
from gpusmote.containers.table import Table, string_names

__all__ = ["RowTable"]

_INDEX_BYTES = 16.0  # the number of a row, and a copy of it, while rows are taken
_ENTRY_BYTES = 16  # a value of a sparse matrix and its position
_HASHED_ROWS = 4096


class RowTable(Table):
    """X for samplers that only repeat rows, which :meth:`gather` selects from the caller's container.

    Parameters
    ----------
    X : table of shape (n, d)
        Any container of :mod:`gpusmote.containers`, its columns of any type.

    Raises
    ------
    InputError
        If X is not a table with at least one row and one column.
    InputTypeError
        If the type of X is not supported.
    """

    numeric = False
    work_dtype = np.dtype(object)

    def __init__(self, X: Any) -> None:
        names = _names(X)
        if names is None:
            refuse_known_features(X)
        shape = np.asarray(X, dtype=object).shape if isinstance(X, (list, tuple)) else getattr(X, "shape", None)
        if shape is None:
            raise unreadable(X)
        check_shape(tuple(shape))
        self.n_rows, self.n_features = (int(size) for size in shape)
        self.names = None if names is None else string_names(names)
        if is_instance(X, "cupy", "ndarray"):
            self.device = f"cuda:{int(X.device.id)}"
        self.itemsize = (_nbytes(X, self.n_rows * self.n_features) / self.n_rows + _INDEX_BYTES) / self.n_features
        self._take = taker(X)

    def gather(self, rows: np.ndarray) -> Any:
        return self._take(rows)

    def check_finite(self) -> None:
        """Do nothing: missing values may be repeated."""

    def fingerprint(self) -> str:
        """Hash of the shape and of the values in Python's notation."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f"{self.n_rows} {self.n_features}".encode())
        for start in range(0, self.n_rows, _HASHED_ROWS):
            rows = self._take(np.arange(start, min(start + _HASHED_ROWS, self.n_rows)))
            digest.update(repr(_as_lists(rows)).encode(errors="surrogatepass"))
        return digest.hexdigest()


def _names(X: Any) -> list[Any] | None:
    """The column names of a data frame; None for other containers."""
    if is_instance(X, "pyarrow", "Table", "RecordBatch"):
        return list(X.schema.names)
    frame = is_instance(X, "pandas", "DataFrame") or is_instance(X, "polars", "DataFrame")
    return list(X.columns) if frame else None


def _nbytes(X: Any, values: int) -> int:
    """Bytes of the container; for Python objects, of the references only."""
    if is_instance(X, "polars", "DataFrame"):
        return int(X.estimated_size())
    if is_instance(X, "pandas", "DataFrame"):
        return int(X.memory_usage(index=False).sum())
    if scipy.sparse.issparse(X):
        return 2 * _ENTRY_BYTES * int(X.nnz)  # csr, then the caller's format
    return int(getattr(X, "nbytes", 8 * values))


def _as_lists(rows: Any) -> Any:
    """The values of some rows as Python's own objects."""
    if is_instance(rows, "pandas", "DataFrame"):
        return [rows.iloc[:, j].tolist() for j in range(rows.shape[1])]
    if is_instance(rows, "polars", "DataFrame"):
        return [column.to_list() for column in rows.get_columns()]
    if is_instance(rows, "pyarrow", "Table", "RecordBatch"):
        return [column.to_pylist() for column in rows.columns]
    if hasattr(rows, "toarray"):
        rows = rows.toarray()
    return rows.tolist() if hasattr(rows, "tolist") else rows
