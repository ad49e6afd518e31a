"""What every container of X must offer."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from gpusmote.backends.cpu import Array, Backend

__all__ = ["Table", "WrappedTable", "Write", "block_rows", "string_names", "write_in_blocks"]

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
    numeric : bool
        Whether X is read as numbers; otherwise its rows can only be repeated, by :meth:`gather`.
    device : str
        "cpu" or "cuda:N": where the caller's data lie.
    itemsize : float
        Bytes of one value in the caller's container.
    kept : int
        Bytes of copies of X that reading makes and keeps, at most.
    copies : int
        How often the synthetic rows exist in the caller's container while :meth:`append` works.
    """

    n_rows: int
    n_features: int
    names: list[str] | None = None
    work_dtype: np.dtype
    numeric: bool = True
    device: str = "cpu"
    itemsize: float = 8.0
    kept: int = 0
    copies: int = 1

    def result_bytes(self, n_new: int) -> int:
        """Bytes that :meth:`append` holds at most while it makes so many rows, but for its blocks."""
        return int((self.n_rows + self.copies * n_new) * self.n_features * self.itemsize)

    def rows_bytes(self, n_new: int) -> int:
        """Bytes of so many rows as a work array and as :meth:`only` gives them."""
        wrapped = self.result_bytes(n_new) - self.result_bytes(0)
        return wrapped + n_new * self.n_features * self.work_dtype.itemsize

    def take(self, rows: np.ndarray | slice | None, backend: Backend) -> Array:
        """Rows as a C-contiguous work array on the backend's device.

        Parameters
        ----------
        rows : ndarray of int64 on the host, slice of positive step, or None
            None is all the rows; the result may then share memory with the caller's data and must not be written.
        backend : Backend

        Returns
        -------
        array of shape (len(rows), n_features), ``work_dtype``
        """
        if backend.name == "cpu":
            return self._gather(rows)
        if not self._by_blocks:
            whole = self._gather(rows)
            return backend.upload(lambda start, stop, out: np.copyto(out, whole[start:stop]), whole.shape, whole.dtype)
        chosen = range(self.n_rows)[slice(None) if rows is None else rows] if not isinstance(rows, np.ndarray) else rows

        def read(start: int, stop: int, out: np.ndarray) -> None:
            part = chosen[start:stop]
            self._gather_into(slice(part.start, part.stop, part.step) if isinstance(part, range) else part, out)

        return backend.upload(read, (len(chosen), self.n_features), self.work_dtype)

    def gather(self, rows: np.ndarray) -> Any:
        """The caller's kind of container with these rows of X, whatever its columns hold; where not ``numeric``.

        Parameters
        ----------
        rows : ndarray of shape (m,), int64
        """
        raise NotImplementedError

    _by_blocks = True  # whether rows are read block by block without reading more than they hold

    def _gather(self, rows: np.ndarray | slice | None) -> np.ndarray:
        """As :meth:`take`, on the host. Of a table on the host."""
        raise NotImplementedError

    def _gather_into(self, rows: np.ndarray | slice, out: np.ndarray) -> None:
        """The same rows, written to ``out``."""
        out[...] = self._gather(rows)

    @abc.abstractmethod
    def only(self, work: Array, backend: Backend) -> Any:
        """The caller's kind of container, made of just these rows.

        Integer and bool columns are rounded as :func:`gpusmote.containers.rounding.store` says.

        Parameters
        ----------
        work : array of shape (m, n_features), ``work_dtype``
            On the backend's device.
        backend : Backend
        """

    @abc.abstractmethod
    def append(self, n_new: int, write: Write, backend: Backend) -> Any:
        """The caller's kind of container: the originals, untouched and in order, then ``n_new`` rows by ``write``."""

    @abc.abstractmethod
    def check_finite(self) -> None:
        """Raise unless every value is a finite number that a float64 holds exactly.

        Raises
        ------
        NonFiniteError
            NaN, infinity or nulls; it names columns and counts.
        InputError
            An integer beyond 2**53; it names the column.
        """

    def fingerprint(self) -> str:
        """Hash of the shape, work dtype and all values: whether two tables give the same rows."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f"{self.n_rows} {self.n_features} {self.work_dtype.str}".encode())
        step = block_rows(self.n_features, self.work_dtype)
        for start in range(0, self.n_rows, step):
            block = self.take(slice(start, min(start + step, self.n_rows)), Backend())
            digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()


class WrappedTable(Table):
    """A container that is another one in a shell: the table ``inner`` does the work, ``restore`` builds the shell.

    Parameters
    ----------
    inner : Table
    restore : callable
        ``restore(result)`` gives the caller's container around what ``inner`` gave.
    names : list of str or None, default=None
    itemsize : float or None, default=None
        Where the shell makes values larger than ``inner`` knows.
    """

    def __init__(
        self,
        inner: Table,
        restore: Callable[[Any], Any],
        names: list[str] | None = None,
        itemsize: float | None = None,
    ) -> None:
        self._inner = inner
        self._restore = restore
        self.n_rows, self.n_features = inner.n_rows, inner.n_features
        self.work_dtype, self.device = inner.work_dtype, inner.device
        self.names = names
        self.kept, self.copies = inner.kept, inner.copies
        self.itemsize = inner.itemsize if itemsize is None else itemsize + inner.itemsize

    def take(self, rows: np.ndarray | slice | None, backend: Backend) -> Array:
        return self._inner.take(rows, backend)

    def only(self, work: Array, backend: Backend) -> Any:
        return self._restore(self._inner.only(work, backend))

    def append(self, n_new: int, write: Write, backend: Backend) -> Any:
        return self._restore(self._inner.append(n_new, write, backend))

    def check_finite(self) -> None:
        self._inner.check_finite()


def string_names(labels: Sequence[Hashable]) -> list[str] | None:
    """``labels`` where all are strings (scikit-learn's ``feature_names_in_``), else None."""
    names = [label for label in labels if isinstance(label, str)]
    return names if len(names) == len(labels) else None


def block_rows(n_features: int, dtype: np.dtype, block_bytes: int = _BLOCK_BYTES) -> int:
    """Rows of a block that is worked on at once where the whole is not to exist."""
    return max(1, block_bytes // max(1, n_features * dtype.itemsize))


def write_in_blocks(
    n_new: int,
    n_features: int,
    dtype: np.dtype,
    write: Write,
    backend: Backend,
    xp: Any = np,
    block_bytes: int = _BLOCK_BYTES,
) -> Iterator[tuple[int, int, Array]]:
    """Yield ``start, stop, rows`` for all the rows that ``write`` makes.

    ``rows`` is the same memory each time, so that the whole never exists in the work dtype.
    """
    step = min(block_rows(n_features, dtype, backend.memory.size(block_bytes)), max(1, n_new))
    scratch = xp.empty((step, n_features), dtype)
    for start in range(0, n_new, step):
        stop = min(start + step, n_new)
        write(start, stop, scratch[: stop - start])
        yield start, stop, scratch[: stop - start]
