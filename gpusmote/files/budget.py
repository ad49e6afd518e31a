"""How much memory a run may use, and what its blocks may be then."""

from __future__ import annotations

import dataclasses
from typing import Any

from gpusmote.backends import memory
from gpusmote.config import MemoryLimit, get_config, parse_memory_limit
from gpusmote.errors import MemoryLimitError

__all__ = ["Budget", "budget_of", "least_limit"]

_LARGEST_GROUP = 64 << 20
_SMALLEST_GROUP = 1 << 20
_GROUPS = 20  # of which the limit has room for this many; the rest is for the rows that are held
_GROUPS_HELD = 5  # by a table that streams from file to file
_TEXT_BYTES = 32  # what a value of a type without a fixed width is taken to need
_COLUMN_BYTES = 7 << 19  # pages of a column on their way in and out


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a run may hold.

    Attributes
    ----------
    limit : int or None
        Bytes on the host; None where nobody knows.
    asked : int, float, str, dict or None
        The limit as it was given.
    group_bytes : int
        Of the rows that a file is written in at once (a Parquet row group).
    """

    limit: int | None
    asked: MemoryLimit | None
    group_bytes: int

    @property
    def text_bytes(self) -> int:
        """Of a block of CSV text: several of them are on their way at once."""
        return max(256 << 10, self.group_bytes // 16)

    def group_rows(self, schema: Any) -> int:
        """Rows of ``group_bytes``."""
        return max(1, self.group_bytes // row_bytes(schema))

    def batch_rows(self, schema: Any) -> int:
        """Rows that are read at once."""
        return max(1, self.group_bytes // 4 // row_bytes(schema))

    def streaming(self, n_columns: int) -> int:
        """Bytes that a table needs on its way from file to file: a group as it is and encoded, two batches, pages.

        With what the allocators of pyarrow and the system keep for the next block, as measured.
        """
        return _GROUPS_HELD * self.group_bytes + n_columns * _COLUMN_BYTES

    def check(self, held: int, n_rows: int, n_features: int, n_columns: int, whose: str, least: int) -> None:
        """Raise unless rows of ``held`` bytes fit beside what streams by; the hint advises ``least``.

        Raises
        ------
        MemoryLimitError
        """
        self._fit(
            held,
            n_columns,
            f"{n_rows:,} rows x {n_features:,} columns {whose} must be held, {held:,} bytes",
            f"Give a memory_limit of at least {least:,} bytes, or use a machine with more memory.",
        )

    def check_plan(self, held: int, n_columns: int, least: int) -> None:
        """Raise unless the plan, and ``held`` bytes with it, fit beside what streams by; the hint advises ``least``.

        Raises
        ------
        MemoryLimitError
        """
        self._fit(
            held,
            n_columns,
            f"The neighbours and the rows that are held take {held:,} bytes",
            f"Give a memory_limit of at least {least:,} bytes, or a smaller k_neighbors.",
        )

    def _fit(self, held: int, n_columns: int, what: str, hint: str) -> None:
        needed = held + self.streaming(n_columns)
        if self.limit is not None and needed > self.limit:
            raise MemoryLimitError(
                f"{what}; with the blocks that stream by, {needed:,} bytes are needed and {self.limit:,} may be used.",
                hint,
            )


def least_limit(held: int, search: int, n_columns: int) -> int:
    """The smallest limit that holds ``search`` bytes, and ``held`` beside blocks whose size grows with the limit.

    Parameters
    ----------
    held : int
        Rows, labels and the plan.
    search : int
        What is held while the plan is made, blocks of the search included.
    n_columns : int
    """
    fixed = held + n_columns * _COLUMN_BYTES
    growing = -(-fixed * _GROUPS // (_GROUPS - _GROUPS_HELD)) + _GROUPS
    streams = max(fixed + _GROUPS_HELD * _SMALLEST_GROUP, min(growing, fixed + _GROUPS_HELD * _LARGEST_GROUP))
    return max(streams, search)


def row_bytes(schema: Any) -> int:
    """Bytes of a row in memory, about."""
    return max(1, sum(_width(field.type) for field in schema))


def _width(kind: Any) -> int:
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:
        return _TEXT_BYTES


def budget_of(asked: MemoryLimit | None, sampler: Any) -> Budget:
    """The budget of a run: its own limit, else the sampler's, else the configuration's, else what is free.

    Raises
    ------
    ParameterError
        If the limit is none.
    """
    if asked is None:
        asked = getattr(sampler, "memory_limit", None)
    if asked is None:
        asked = get_config()["memory_limit"]
    amount = parse_memory_limit(asked, "cpu").get("cpu", 1.0)
    free = memory.available()
    limit = amount if isinstance(amount, int) else None if free is None else int(amount * free)
    group = _LARGEST_GROUP if limit is None else min(_LARGEST_GROUP, max(_SMALLEST_GROUP, limit // _GROUPS))
    return Budget(limit, asked, group)
