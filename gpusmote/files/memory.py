"""The memory of a run over files: what must be held is checked before it is read; the rest works in blocks."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
from typing import Any

import pyarrow as pa

from gpusmote.backends import Backend, memory
from gpusmote.backends.budget import Limit, arrange, limits_of
from gpusmote.base.sampler import BaseSampler
from gpusmote.config import MemoryLimit, parse_memory_limit, setting
from gpusmote.errors import MemoryLimitError
from gpusmote.files.labels import FileTarget
from gpusmote.files.resident_rows import ResidentRows
from gpusmote.files.sources import Source, row_bytes
from gpusmote.messages import counted

__all__ = ["FileMemory", "Needs", "file_memory", "least_limit", "needs_of", "trim"]

_LIBRARIES = 24 << 20  # bytes that pyarrow, NumPy and the system's loader take when they are first used
_SLACK = 1.15  # of what a reader holds: gaps between blocks that pyarrow's allocator cannot use
_SHARE = 5  # the blocks may take one part in so many of the limit
_LEAST_BLOCKS, _MOST_BLOCKS = 8 << 20, 128 << 20
_GROUPS, _PIECES = 4, 64  # number of row groups, and of batches or blocks of text, that the blocks are cut into
_MOST_TEXT = 1 << 20
_TIMES = 6  # blocks never take more than so many times the table


@dataclasses.dataclass(frozen=True)
class FileMemory:
    """What a run may hold, and the sizes of its blocks.

    Attributes
    ----------
    limit : Limit
        Of the host.
    asked : dict
        The limits that were given, for "cpu" and "cuda": bytes, or a share of what is free.
    """

    limit: Limit
    asked: dict[str, int | float]

    @property
    def blocks(self) -> int:
        """Bytes of all blocks that are read and written at a time: a fifth of the limit, 8 to 128 MiB."""
        limit = self.limit.bytes
        return _MOST_BLOCKS if limit is None else _within(limit // _SHARE)

    @property
    def text_bytes(self) -> int:
        """Bytes of a block of CSV text: pyarrow reads about 26 of them ahead, even of a small file."""
        return min(_MOST_TEXT, self.blocks // _PIECES)

    def group_rows(self, schema: Any) -> int:
        """Rows that are encoded at once (a Parquet row group): held as rows and in encoded form."""
        return max(1, self.blocks // _GROUPS // row_bytes(schema))

    def batch_rows(self, schema: Any) -> int:
        """Rows that are read and written at once."""
        return max(1, self.blocks // _PIECES // row_bytes(schema))

    def search_limit(self, held: int) -> dict[str, int | float] | None:
        """The ``memory_limit`` of a search while ``held`` bytes are held; None if no limit was given."""
        if "cpu" not in self.asked or self.limit.bytes is None:
            return self.asked or None
        return {**self.asked, "cpu": max(1, self.limit.left(held))}


def file_memory(asked: MemoryLimit | None, sampler: Any) -> FileMemory:
    """The memory of a run: the limit of the call, else the sampler's, else the configuration's, else what is free.

    A limit without a device is the host's if it was given to the call. If it was given to the sampler or in the
    configuration, it is the device's, too, as for tables in memory.

    Raises
    ------
    ParameterError
        If the limit is not valid.
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
    if memory.available() == 0:  # libraries that get no memory, or no thread, hang or end the process
        raise MemoryLimitError(
            "No memory is left to read a file: limits on this process or its container are used up.",
            "Raise them (ulimit -v, ulimit -d, the container's memory), or let OMP_NUM_THREADS be less.",
        )
    return FileMemory(limits_of(merged.get("cpu"), None)["cpu"], merged)


@dataclasses.dataclass(frozen=True)
class Needs:
    """Bytes on the host.

    Attributes
    ----------
    held : int
        The rows that are held, and all labels.
    needed : int
        These, libraries and blocks.
    peak : int
        The most at any one time: an upper bound.
    beside : int
        Held during the search, and not part of its own memory.
    refusal : MemoryLimitError or None
        Why the run may not begin; its hint gives the smallest limit that works.
    """

    held: int
    needed: int
    peak: int
    beside: int
    refusal: MemoryLimitError | None


def needs_of(
    allowed: FileMemory,
    source: Source,
    sampler: BaseSampler,
    rows: ResidentRows,
    labels: FileTarget,
    make: dict[int, int],
    backend: Backend,
) -> Needs:
    """The memory that a run needs, and whether it exceeds the limit.

    Parameters
    ----------
    allowed : FileMemory
    source : Source
        Its labels have been read.
    sampler, rows, labels : object
        The rows need not be filled in.
    make : dict of int to int
        Rows to make for each class that gets any.
    backend : Backend
        The device of the search.
    """
    codes, sizes, limit = int(labels.codes.nbytes), sampler._sizes(rows, labels, make), allowed.limit
    held = codes + rows.nbytes
    overhead = _LIBRARIES + int(_SLACK * source.held_at_once())
    table = _TIMES * (rows.n_rows + sizes.n_new) * row_bytes(source.schema)
    on_device = _host_of_device(sizes, backend, allowed)
    # A plan on the host shares the memory of the held rows, if they are whole classes.
    beside = codes + _LIBRARIES + (rows.nbytes if on_device else rows.nbytes_beside)
    search = beside + (on_device or sizes.least)
    # Labels are there twice while they are concatenated; the plan, or what a device needs, while the result is written.
    streaming = overhead + max(held, 2 * codes, codes + (on_device or sizes.plan))
    least = max(least_limit(streaming, table), search)
    refusal = None
    if limit.left(least) < 0:
        refusal = _too_large(limit, rows, held, sizes.plan, least)
    elif not on_device:
        left = dataclasses.replace(limit, bytes=None if limit.bytes is None else limit.left(beside))
        search = beside + arrange(sizes, "cpu", "cpu", {"cpu": left}, output=False).host
    blocks = min(allowed.blocks, table)
    return Needs(held, held + overhead + blocks, max(streaming + blocks, search), beside, refusal)


def least_limit(needed: int, most: int) -> int:
    """The smallest limit for ``needed`` bytes and the blocks, which take their share of the limit, at most ``most``."""
    return needed + min(most, _within((needed - 1) // (_SHARE - 1)))


def _within(blocks: int) -> int:
    return min(_MOST_BLOCKS, max(_LEAST_BLOCKS, blocks))


def _host_of_device(sizes: Any, backend: Backend, allowed: FileMemory) -> int | None:
    """Bytes on the host of a search on the device; None for the CPU, or if it does not fit on the device."""
    if backend.name == "cpu":
        return None
    limits = {**limits_of(allowed.asked, backend), "cpu": Limit("cpu", None, False)}
    with contextlib.suppress(MemoryLimitError):  # the search raises it again, or falls back to the CPU
        return arrange(sizes, backend.name, "cpu", limits, output=False).host
    return None


def _too_large(limit: Limit, rows: ResidentRows, held: int, plan: int, least: int) -> MemoryLimitError:
    size = f"{counted(rows.n_held, 'row')} x {counted(rows.n_features, 'column')}"
    given = f"memory_limit={least} is the least that works. Or use" if limit.given else "Use"
    return MemoryLimitError(
        f"The run needs at least {least:,} bytes ({size} that must be held, with all labels {held:,}; the plan "
        f"{plan:,}; the rest is for the search, libraries and blocks); {limit} on the host.",
        f"{given} a machine with more memory.",
    )


def trim() -> None:
    """Return unused memory of pyarrow and of the GNU C library, which keeps some dozens of megabytes, to the system."""
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # other C libraries have no such function
        ctypes.CDLL(None).malloc_trim(0)
