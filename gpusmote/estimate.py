"""How many bytes a call will need, before anything is allocated."""

from __future__ import annotations

import dataclasses

from gpusmote.arrays import Table
from gpusmote.backends import Backend, memory
from gpusmote.errors import MemoryLimitError

__all__ = ["Need", "check_memory"]

_SEARCH_BYTES = 128 << 20
"""Blocks of queries, tiles of distances and lists of candidates; the searches keep their blocks to this."""


@dataclasses.dataclass(frozen=True)
class Need:
    """What a call has to hold.

    Attributes
    ----------
    n_new : int
        Synthetic rows.
    pool_rows : int
        Rows of X that are read as work arrays: the classes that get rows, or all.
    pairs : int
        (seed, neighbour) pairs that the plan keeps.
    """

    n_new: int
    pool_rows: int
    pairs: int

    def output(self, table: Table) -> int:
        """Bytes of X_resampled, where X lies."""
        return int((table.n_rows + self.n_new) * table.n_features * table.itemsize)

    def search(self, table: Table) -> int:
        """Bytes of the rows with a float32 copy for the search, the pairs, and the search's blocks, on its device."""
        values = self.pool_rows * table.n_features * (table.work_dtype.itemsize + 4)
        return values + 8 * self.pairs + _SEARCH_BYTES


def check_memory(table: Table, need: Need, backend: Backend) -> dict[str, int]:
    """Raise :class:`MemoryLimitError` where the result, or the search for it, would not fit.

    Returns
    -------
    dict of str to int
        The estimates: ``output`` and ``search``.
    """
    output, search = need.output(table), need.search(table)
    together = table.device == backend.name
    device_free = backend.free_memory()
    output_free = device_free if together else memory.available()
    size = f"The result would have {table.n_rows + need.n_new:,} rows x {table.n_features:,} columns, {output:,} bytes"
    hint = "Ask for fewer rows, or use plan(X, y).batches(size), which never holds them all."
    _fits(size, output, output_free, "cpu" if not together else backend.name, hint)
    both = output + search if together else search
    what = f"The search among {need.pool_rows:,} rows x {table.n_features:,} columns would take {both:,} bytes"
    _fits(
        what + (" with its result" if together else ""),
        both,
        device_free,
        backend.name,
        "Use a machine with more memory.",
    )
    return {"output": output, "search": search}


def _fits(what: str, needed: int, free: int | None, device: str, hint: str) -> None:
    if free is not None and needed > free:
        raise MemoryLimitError(f"{what}; {free:,} bytes are free on {device}.", hint)
