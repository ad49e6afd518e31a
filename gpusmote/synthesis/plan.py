"""A plan: all that determines the synthetic rows, without the rows."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse

from gpusmote import random_stream
from gpusmote.backends import Array, Backend
from gpusmote.backends.budget import Sizes, arrange, limits_of
from gpusmote.config import MemoryLimit, setting
from gpusmote.containers import Table, Target
from gpusmote.errors import PlanError
from gpusmote.messages import counted
from gpusmote.neighbors.sparse import cut
from gpusmote.synthesis.class_plan import ClassPlan, spans
from gpusmote.synthesis.generators import generator_of
from gpusmote.synthesis.origins import Origins
from gpusmote.synthesis.report import Report

__all__ = ["Plan"]

_NOT_WORTH_ASKING = 64 << 20  # bytes; for a smaller result the free memory is not read
_DRAWN_AT_ONCE = 1 << 18  # rows, about 16 MiB of draws
_SPARSE_ROWS = 1 << 14  # synthetic rows of a sparse X in one block, at most
_ENTRY_BYTES = 160  # for each entry of their bases and neighbors, all temporary arrays included


class Plan:
    """The result of ``sampler.plan(X, y)``: it knows the neighbors, and makes any slice of the synthetic rows.

    Synthetic rows are numbered from 0 to ``len(plan) - 1``, class by class in sorted order. A slice has the same rows
    on every device, and whatever other slices are made. The plan refers to X and does not copy it.

    A plan can be pickled, together with X and y, and makes the same rows in another process. Arrays on a device are
    copied through the host to the device of the same number, which the other process must see. A forked process cannot
    use a device, a spawned process can.

    Attributes
    ----------
    counts : dict
        Number of synthetic rows for each label of y, in the order of the rows.
    report : Report
        The report of the search.
    memory_limit : int, float, str, dict or None
        The sampler's memory limit. It also applies to :meth:`rows` and :meth:`resample`, and can be changed.

    Examples
    --------
    >>> import numpy as np
    >>> from gpusmote import SMOTE
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(300, 4)), np.repeat([0, 1], [250, 50])
    >>> plan = SMOTE(random_state=0).plan(X, y)
    >>> len(plan), plan.counts
    (200, {0: 0, 1: 200})
    >>> bool((plan.rows(10, 20) == plan.rows(0, 200)[10:20]).all())
    True
    >>> origin = plan.origin(10, 11)
    >>> base, neighbor = X[origin["base"]], X[origin["neighbor"]]
    >>> bool((plan.rows(10, 11) == base + origin["gap"] * (neighbor - base)).all())
    True
    """

    def __init__(self, backend: Backend, table: Table, target: Target, parts: list[ClassPlan], report: Report) -> None:
        self._backend, self._table, self._target, self._parts = backend, table, target, parts
        self._ends = np.cumsum([0, *(part.n_new for part in parts)]).tolist()
        self.report = report
        self.memory_limit: MemoryLimit | None = None

    def __getstate__(self) -> dict[str, Any]:
        with self._backend.active():
            return {**vars(self), "_parts": [part.moved(self._backend.to_host) for part in self._parts]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        with self._backend.active():
            self._parts = [part.moved(self._backend.asarray) for part in self._parts]

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __repr__(self) -> str:
        return f"<Plan of {counted(len(self), 'synthetic row')} on {self._backend.name}: {self.counts}>"

    @property
    def counts(self) -> dict[Any, int]:
        made = dict.fromkeys(range(len(self._target.classes)), 0)
        for part in self._parts:
            made[part.position] += part.n_new
        return dict(zip(self._target.classes.tolist(), made.values(), strict=True))

    def rows(self, start: int = 0, stop: int | None = None) -> Any:
        """Make the synthetic rows ``start`` to ``stop``, without the others.

        Parameters
        ----------
        start : int, default=0
        stop : int, optional
            Default: ``len(plan)``.

        Returns
        -------
        container of shape (stop - start, n_features)
            The same type as X, on the same device.

        Raises
        ------
        PlanError
            If the slice is not within ``[0, len(plan)]``.
        MemoryLimitError
            If they would not fit. The message says how many rows would.
        """
        start, stop = self._slice(start, stop)
        backend = self._within(stop - start, 0)
        with backend.active():
            if not self._table.numeric:
                return self._table.gather(self._copied(start, stop))
            if self._table.sparse:
                blocks = [self._table.take_sparse(slice(0)), *self._sparse_blocks(start, stop, backend)]
                return self._table.only(scipy.sparse.vstack(blocks, format="csr"), backend)
            out = self._place().xp.empty((stop - start, self._table.n_features), self._table.work_dtype)
            self._write(start, stop, out, backend)
            return self._table.only(out, backend)

    def labels(self, start: int = 0, stop: int | None = None) -> Any:
        """The labels of the synthetic rows ``start`` to ``stop``, in a container of y's type.

        Raises
        ------
        PlanError
            If the slice is not within ``[0, len(plan)]``.
        """
        return self._target.only(self._codes(*self._slice(start, stop)))

    def origin(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """The origins of the synthetic rows ``start`` to ``stop``.

        Returns
        -------
        structured ndarray of shape (stop - start,), on the host
            Fields ``class`` (label), ``base`` and ``neighbor`` (int64, positions of rows in X) and ``gap`` (float64, 0
            at the base, 1 at the neighbor). ``neighbor`` is -1 if the synthetic row is a copy of its base, or if it was
            interpolated to a point that is not a row of X.

        Raises
        ------
        PlanError
            If the slice is not within ``[0, len(plan)]``.
        """
        start, stop = self._slice(start, stop)
        return Origins(self._backend, self._parts, self._target.classes).read(start, stop)

    def resample(self) -> tuple[Any, Any]:
        """Return the original rows, unchanged and in order, followed by all synthetic rows.

        Returns
        -------
        X_resampled, y_resampled
            The same types of containers as X and y; pandas results have a new default index.

        Raises
        ------
        MemoryLimitError
            If the result would not fit; raised before any of it is made.
        """
        backend = self._within(len(self), self._table.n_rows)
        with backend.active(), self.report.stage("rows", backend):
            if self._table.sparse:
                X = self._table.append_sparse(self._sparse_blocks(0, len(self), backend))
            elif self._table.numeric:
                X = self._table.append(len(self), functools.partial(self._write, backend=backend), backend)
            else:
                X = self._table.gather(np.concatenate([np.arange(self._table.n_rows), self._copied(0, len(self))]))
        with self.report.stage("labels"):
            y = self._target.append(self._codes(0, len(self)))
        return X, y

    def _within(self, n_new: int, n_rows: int) -> Backend:
        """The backend with the memory limit for a result of ``n_rows`` original and ``n_new`` synthetic rows."""
        table, backend = self._table, self._backend
        limit = setting("memory_limit") if self.memory_limit is None else self.memory_limit
        classes = [self._target.rows_of(part.position) for part in self._parts] if table.sparse else []
        result = functools.partial(table.result_bytes if n_rows else table.rows_bytes, classes=classes)
        entries = table.entries() if table.sparse else None
        sizes = Sizes(n_rows, table.n_features, table.work_dtype.itemsize, ((0, n_new),), result, entries=entries)
        if limit is None and sizes.output(n_new) < _NOT_WORTH_ASKING:
            return backend
        limits = limits_of(limit, backend, sum(part.nbytes() for part in self._parts))
        return backend.within(arrange(sizes, backend.name, table.device, limits).memory)

    def batches(self, size: int, *, shuffle: bool = True, random_state: Any = None) -> Iterator[tuple[Any, Any]]:
        """Generate mini-batches of original and synthetic rows, each row once, without the whole result in memory.

        Parameters
        ----------
        size : int
            Number of rows of a batch; the last batch may be smaller.
        shuffle : bool, default=True
            Whether the rows are in pseudo-random order; if not, the originals come first. The order is computed batch
            by batch, without an array of all row numbers.
        random_state : int, RandomState, Generator or None, default=None
            Seed of the order. Use a different one for each epoch.

        Yields
        ------
        X_batch, y_batch
            The same types of containers as X and y.

        Raises
        ------
        PlanError
            If ``size`` is less than 1.

        Examples
        --------
        >>> import numpy as np
        >>> from gpusmote import SMOTE
        >>> rng = np.random.default_rng(0)
        >>> X, y = rng.normal(size=(300, 4)), np.repeat([0, 1], [250, 50])
        >>> plan = SMOTE(random_state=0).plan(X, y)
        >>> [len(X_batch) for X_batch, y_batch in plan.batches(200, random_state=0)]
        [200, 200, 100]
        """
        size = _whole(size, "size")
        if size < 1:
            raise PlanError(f"size is {size}.", "A batch must have at least 1 row.")
        key = random_stream.class_key(random_stream.entropy_words(random_state), 0)
        return self._batches(size, key if shuffle else None)

    def _batches(self, size: int, key: np.ndarray | None) -> Iterator[tuple[Any, Any]]:
        total = self._table.n_rows + len(self)
        for start in range(0, total, size):
            positions = np.arange(start, min(total, start + size))
            if key is not None:
                positions = random_stream.permute(key, positions, total)
            with self._backend.active():
                batch = self._pick(positions)
            yield batch

    def _pick(self, positions: np.ndarray) -> tuple[Any, Any]:
        """Rows and labels at these positions of the resampled table."""
        original = np.flatnonzero(positions < self._table.n_rows)
        codes = np.empty(len(positions), np.int64)
        codes[original] = self._target.codes[positions[original]]
        scattered = list(self._scattered(positions))
        for part, chosen, _ in scattered:
            codes[chosen] = part.position
        numbers = self._pick_sparse if self._table.sparse else self._pick_numbers
        pick = numbers if self._table.numeric else self._pick_copies
        return pick(positions, original, scattered), self._target.only(codes)

    def _pick_numbers(self, positions: np.ndarray, original: np.ndarray, scattered: list[Any]) -> Any:
        place = self._place()
        work = place.xp.empty((len(positions), self._table.n_features), self._table.work_dtype)
        work[place.integers(original)] = self._table.take(positions[original], place)
        for part, chosen, samples in scattered:
            rows = place.xp.empty((len(chosen), work.shape[1]), work.dtype)
            generator_of(part).write(part, samples, rows, self._backend)
            work[place.integers(chosen)] = rows
        return self._table.only(work, place)

    def _pick_sparse(self, positions: np.ndarray, original: np.ndarray, scattered: list[Any]) -> Any:
        rows = [self._table.take_sparse(positions[original])]
        rows += [generator_of(part).sparse_rows(part, samples) for part, _, samples in scattered]
        order = np.argsort(np.concatenate([original, *(chosen for _, chosen, _ in scattered)]))
        return self._table.only(scipy.sparse.vstack(rows, format="csr")[order], self._backend)

    def _pick_copies(self, positions: np.ndarray, original: np.ndarray, scattered: list[Any]) -> Any:
        rows = np.empty(len(positions), np.int64)
        rows[original] = positions[original]
        for part, chosen, samples in scattered:
            rows[chosen] = self._backend.to_host(generator_of(part).origins(part, samples, self._backend)[0])
        return self._table.gather(rows)

    def _scattered(self, positions: np.ndarray) -> Iterator[tuple[ClassPlan, np.ndarray, Array]]:
        """Each part, the indices of ``positions`` that are its rows, and their sample numbers."""
        for part, start in zip(self._parts, self._ends, strict=False):
            first = self._table.n_rows + start
            chosen = np.flatnonzero((positions >= first) & (positions < first + part.n_new))
            yield part, chosen, self._backend.integers(positions[chosen] - first)

    def _place(self) -> Backend:
        """The backend of the device that holds X, on which batches are assembled."""
        return Backend() if self._table.device == "cpu" else self._backend

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan to a file; :meth:`load` reads it and makes the same rows to the bit.

        The file holds neighbors, keys, y and a hash of X, but no row of X. It is written completely or not at all. X
        must not have changed since the plan was made.

        Parameters
        ----------
        path : str or path-like
            An existing file is replaced.

        Raises
        ------
        PlanError
            If the labels have a type that cannot be written.
        FileError
            If the file cannot be written.
        """
        from gpusmote.synthesis.storage import save

        save(path, self._table, self._target, self._backend, self._parts)

    @classmethod
    def load(cls, path: str | os.PathLike[str], X: Any, y: Any = None, *, device: str = "auto") -> Plan:
        """Read a plan that :meth:`save` wrote.

        Parameters
        ----------
        path : str or path-like
        X : container
            The table that the plan was made from, in any container with the same values in the same order.
        y : container, optional
            The labels that the plan was made from; new labels are returned in the same type of container. By default
            they are read from the file, as a NumPy array.
        device : str, default="auto"
            The device that makes the rows.

        Returns
        -------
        Plan

        Raises
        ------
        PlanError
            If the file is not a plan, is damaged or has another format, or if the plan was made from another X or y.
        MemoryLimitError
            If the plan exceeds the ``memory_limit`` of :func:`gpusmote.get_config`; raised before it is decompressed.
        OSError
            If the file cannot be read.
        """
        from gpusmote.synthesis.storage import load

        return cls(*load(path, X, y, device))

    def _slice(self, start: int, stop: int | None) -> tuple[int, int]:
        start, stop = _whole(start, "start"), len(self) if stop is None else _whole(stop, "stop")
        if not 0 <= start <= stop <= len(self):
            raise PlanError(
                f"The plan has {len(self)} rows, not rows {start} to {stop}.",
                "0 <= start <= stop <= len(plan) must hold.",
            )
        return start, stop

    def _codes(self, start: int, stop: int) -> np.ndarray:
        codes = np.empty(stop - start, np.int64)
        for part, samples, at in spans(self._parts, start, stop):
            codes[at : at + len(samples)] = part.position
        return codes

    def _write(self, start: int, stop: int, out: Array, backend: Backend) -> None:
        for part, samples, at in spans(self._parts, start, stop):
            generator_of(part).write(part, samples, out[at : at + len(samples)], backend)

    def _sparse_blocks(self, start: int, stop: int, backend: Backend) -> Iterator[Any]:
        """The synthetic rows ``start`` to ``stop``, in several csr_arrays."""
        most = backend.memory.bytes // _ENTRY_BYTES
        for first in range(start, stop, _SPARSE_ROWS):
            for part, samples, _ in spans(self._parts, first, min(stop, first + _SPARSE_ROWS)):
                base, neighbor, _ = part.draw(samples, backend)
                width = np.diff(part.values.indptr)
                for low, high in cut(width[base] + width[neighbor], most):
                    yield generator_of(part).sparse_rows(part, samples[low:high])

    def _copied(self, start: int, stop: int) -> np.ndarray:
        """Positions in X of the rows that the synthetic rows ``start`` to ``stop`` are copies of."""
        rows, step = np.empty(stop - start, np.int64), self._backend.memory.size(_DRAWN_AT_ONCE)
        for first in range(start, stop, step):
            for part, samples, at in spans(self._parts, first, min(stop, first + step)):
                base, _, _ = generator_of(part).origins(part, samples, self._backend)
                at += first - start
                rows[at : at + len(samples)] = self._backend.to_host(base)
        return rows


def _whole(value: Any, what: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise PlanError(f"{what} is {value!r}.", "It must be a whole number.") from None
