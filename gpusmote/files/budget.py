"""How much memory a run may use, and what its blocks may be then."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from gpusmote.backends import memory
from gpusmote.config import MemoryLimit, parse_memory_limit, setting
from gpusmote.errors import MemoryLimitError
from gpusmote.files.io_budget import Traffic, batch_bytes, row_bytes, text_block

__all__ = ["Budget", "budget_of", "least_limit"]

_LARGEST_GROUP = 48 << 20
_SMALLEST_GROUP = 1 << 20
_GROUPS = 20  # of which the limit has room for this many; the rest is for the rows that are held


@dataclasses.dataclass
class Budget:
    """What a run may hold.

    Attributes
    ----------
    limit : int or None
        Bytes on the host; None where nobody knows.
    asked : dict
        "cpu", "cuda" or both, as far as somebody asked: bytes, or a share of what is free.
    group_bytes : int
        Of the rows that a file is written in at once (a Parquet row group).
    traffic : Traffic or None
        What streams by; known once the source has been scanned.
    """

    limit: int | None
    asked: dict[str, int | float]
    group_bytes: int
    traffic: Traffic | None = None

    @property
    def text_bytes(self) -> int:
        """Of a block of CSV text: many of them are on their way at once."""
        return text_block(self.group_bytes)

    def group_rows(self, schema: Any) -> int:
        """Rows of ``group_bytes``."""
        return max(1, self.group_bytes // row_bytes(schema))

    def batch_rows(self, schema: Any) -> int:
        """Rows that are read and written at once."""
        return max(1, batch_bytes(self.group_bytes) // row_bytes(schema))

    @property
    def libraries(self) -> int:
        """Bytes that libraries take for themselves."""
        return 0 if self.traffic is None else self.traffic.libraries

    def reading(self) -> int:
        """Bytes that are needed beside the rows that are held, while they are read."""
        return 0 if self.traffic is None else self.traffic.reading(self.group_bytes)

    def streaming(self, rows: int) -> int:
        """Bytes that are needed beside the plan, while a result of so many rows is written."""
        return 0 if self.traffic is None else self.traffic.streaming(self.group_bytes, rows)

    def least(self, held: int, planned: int, rows: int, search: int) -> int:
        """The smallest limit that the run fits in; see :func:`least_limit`."""

        def needed(group: int) -> int:
            if self.traffic is None:
                return max(held, planned)
            return max(held + self.traffic.reading(group), planned + self.traffic.streaming(group, rows))

        return max(least_limit(needed), search)

    def check(self, held: int, beside: int, what: str, hint: str) -> None:
        """Raise unless ``held`` bytes fit with ``beside`` bytes of what streams by.

        Raises
        ------
        MemoryLimitError
        """
        needed = held + beside
        if self.limit is not None and needed > self.limit:
            raise MemoryLimitError(
                f"{what}; with the blocks that stream by and what libraries take, {needed:,} bytes are needed and "
                f"{self.limit:,} may be used.",
                hint,
            )


def least_limit(needed: Callable[[int], int]) -> int:
    """The smallest limit that ``needed(group_bytes)`` fits in; the blocks grow with the limit, but less than it."""
    low, high = 0, needed(_LARGEST_GROUP)
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (low, middle) if needed(_group_of(middle)) <= middle else (middle, high)
    return high


def _group_of(limit: int | None) -> int:
    return _LARGEST_GROUP if limit is None else min(_LARGEST_GROUP, max(_SMALLEST_GROUP, limit // _GROUPS))


def budget_of(asked: MemoryLimit | None, sampler: Any) -> Budget:
    """The budget of a run: its own limit, else the sampler's, else the configuration's, else what is free.

    A limit without a name is the host's where the run was given it; where the sampler or the configuration was, it is
    the device's, too, as it is for tables in memory. What the run's own says nothing about stays as the sampler's says.

    Raises
    ------
    ParameterError
        If the limit is none.
    MemoryLimitError
        If nothing is free.
    """
    own = getattr(sampler, "memory_limit", None)
    own = setting("memory_limit") if own is None else own
    merged = {
        **parse_memory_limit(own, "cuda"),
        **parse_memory_limit(own, "cpu"),
        **parse_memory_limit(asked, "cpu"),
    }
    amount = merged.get("cpu", 1.0)
    free = memory.available()
    if free == 0:  # libraries that get no memory, or no thread, hang or end the process
        raise MemoryLimitError(
            "No memory is left to read a file: limits on this process or its container are used up.",
            "Raise them (ulimit -v, ulimit -d, the container's memory), or let OMP_NUM_THREADS be less.",
        )
    limit = amount if isinstance(amount, int) else None if free is None else int(amount * free)
    return Budget(limit, merged, _group_of(limit))
