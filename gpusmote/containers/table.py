"""The interface of all containers of X, and the conversion of computed values to the dtype of a column."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from gpusmote.backends.cpu import Array, Backend
from gpusmote.errors import InputTypeError

__all__ = ["Table", "Write", "converted", "store", "string_names", "work_dtype"]

Write = Callable[[int, int, Array], None]
"""``write(start, stop, out)`` writes the synthetic rows start to stop into ``out`` (work dtype, on the backend)."""

_BLOCK_BYTES = 32 << 20


class Table(abc.ABC):
    """The caller's X: :meth:`take` reads it, :meth:`only` and :meth:`append` build containers of the same kind.

    The caller's data are never changed.

    Attributes
    ----------
    n_rows, n_features : int
    names : list of str or None
        The column names, if there are any and all of them are strings.
    work_dtype : numpy.dtype
        float32 if all columns are float32, else float64.
    numeric : bool
        Whether X is read as numbers. If not, its rows can only be repeated, by :meth:`gather`.
    sparse : bool
        Whether the CPU works on sparse rows (:meth:`take_sparse`, :meth:`append_sparse`). :meth:`only` takes them too.
    device : str
        "cpu" or "cuda:N": the device of the caller's data.
    itemsize : float
        Bytes of one value in the caller's container.
    kept : int
        Upper bound of the bytes of X that are copied and cached when it is read.
    copies : int
        Number of copies of the synthetic rows that :meth:`append` holds in the caller's format at one time.
    """

    n_rows: int
    n_features: int
    names: list[str] | None = None
    work_dtype: np.dtype
    numeric: bool = True
    sparse: bool = False
    device: str = "cpu"
    itemsize: float = 8.0
    kept: int = 0
    copies: int = 1
    _restore: Callable[[Any], Any] | None = None  # converts an array to the caller's container; None: it is an array

    def result_bytes(self, n_new: int, classes: Sequence[np.ndarray] = ()) -> int:
        """Upper bound of the bytes that :meth:`append` needs for ``n_new`` rows, without its blocks.

        Parameters
        ----------
        n_new : int
        classes : sequence of ndarray of int64, default=()
            Positions of the rows of each class that gets new rows. Only used if the table is ``sparse``.
        """
        return int((self.n_rows + self.copies * n_new) * self.n_features * self.itemsize)

    def rows_bytes(self, n_new: int, classes: Sequence[np.ndarray] = ()) -> int:
        """Bytes of ``n_new`` rows as a work array, plus the result of :meth:`only`."""
        wrapped = self.result_bytes(n_new) - self.result_bytes(0)
        return wrapped + n_new * self.n_features * self.work_dtype.itemsize

    def take(self, rows: np.ndarray | slice | None, backend: Backend) -> Array:
        """Rows as a C-contiguous array on the backend's device.

        Parameters
        ----------
        rows : ndarray of int64 on the host, slice of positive step, or None
            None means all rows; the result may then share memory with the caller's data and must not be changed.
        backend : Backend

        Returns
        -------
        array of shape (len(rows), n_features), ``work_dtype``
        """
        if backend.name == "cpu":
            return self._gather(rows)
        chosen = range(self.n_rows)[slice(None) if rows is None else rows] if not isinstance(rows, np.ndarray) else rows

        def read(start: int, stop: int, out: np.ndarray) -> None:
            part = chosen[start:stop]
            self._gather_into(slice(part.start, part.stop, part.step) if isinstance(part, range) else part, out)

        return backend.upload(read, (len(chosen), self.n_features), self.work_dtype)

    def entries(self) -> tuple[int, int]:
        """The number of stored entries, and the largest number of entries of a row; if the table is ``sparse``."""
        raise NotImplementedError

    def take_sparse(self, rows: np.ndarray | slice | None) -> Any:
        """Rows as a scipy.sparse.csr_array of ``work_dtype`` in canonical format; if the table is ``sparse``."""
        raise NotImplementedError

    def append_sparse(self, blocks: Iterable[Any]) -> Any:
        """Like :meth:`append`, with all new rows as csr_arrays; if the table is ``sparse``."""
        raise NotImplementedError

    def gather(self, rows: np.ndarray) -> Any:
        """The caller's kind of container with these rows of X, whatever its columns hold; if it is not ``numeric``.

        Parameters
        ----------
        rows : ndarray of shape (m,), int64
        """
        raise NotImplementedError

    def _gather(self, rows: np.ndarray | slice | None) -> np.ndarray:
        """Like :meth:`take`, for a table on the host and the CPU backend. Only a ``numeric`` table has it."""
        raise InputTypeError(
            "X is not read as numbers by a sampler that repeats rows.", 'Its recipes need generator="copy".'
        )

    def _gather_into(self, rows: np.ndarray | slice, out: np.ndarray) -> None:
        """Write rows into ``out``."""
        out[...] = self._gather(rows)

    def only(self, work: Array, backend: Backend) -> Any:
        """A container of the caller's kind with these rows only.

        Values are rounded by :func:`store`.

        Parameters
        ----------
        work : array of shape (m, n_features), ``work_dtype``
            On the backend's device.
        backend : Backend
        """
        raise NotImplementedError

    def append(self, n_new: int, write: Write, backend: Backend) -> Any:
        """A container of the caller's kind: the original rows, unchanged and in order, then ``n_new`` new rows."""
        raise NotImplementedError

    def _restored(self, result: Any) -> Any:
        return result if self._restore is None else self._restore(result)

    @abc.abstractmethod
    def check_finite(self) -> None:
        """Raise unless every value is a finite number that is exact in float64.

        Raises
        ------
        NonFiniteError
            If there are NaN, infinite or missing values. The message names the columns and the counts.
        InputError
            If there is an integer beyond 2**53. The message names the column.
        """

    def _blocks(
        self, n_new: int, write: Write, backend: Backend, xp: Any = np, block_bytes: int = _BLOCK_BYTES
    ) -> Iterator[tuple[int, int, Array]]:
        """Yield ``start, stop, rows`` for all new rows, block by block.

        ``rows`` uses the same memory each time, so the new rows never exist as a whole in the work dtype.
        """
        step = min(self._block_rows(backend.memory.size(block_bytes)), max(1, n_new))
        scratch = xp.empty((step, self.n_features), self.work_dtype)
        for start in range(0, n_new, step):
            stop = min(start + step, n_new)
            write(start, stop, scratch[: stop - start])
            yield start, stop, scratch[: stop - start]

    def _block_rows(self, block_bytes: int) -> int:
        return max(1, block_bytes // (self.n_features * self.work_dtype.itemsize))

    def fingerprint(self) -> str:
        """Hash of the shape, the work dtype and all values; tables with equal hashes give the same rows."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f"{self.n_rows} {self.n_features} {self.work_dtype.str}".encode())
        step = self._block_rows(_BLOCK_BYTES)
        for start in range(0, self.n_rows, step):
            block = self.take(slice(start, min(start + step, self.n_rows)), Backend())
            digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()


def work_dtype(dtypes: Iterable[np.dtype]) -> np.dtype:
    """float32 if all dtypes are float32, else float64."""
    single = all(dtype.newbyteorder("=") == np.float32 for dtype in set(dtypes))
    return np.dtype(np.float32 if single else np.float64)


def string_names(labels: Sequence[Hashable]) -> list[str] | None:
    """``labels`` if all are strings (scikit-learn's ``feature_names_in_``), else None."""
    names = [label for label in labels if isinstance(label, str)]
    return names if len(names) == len(labels) else None


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
