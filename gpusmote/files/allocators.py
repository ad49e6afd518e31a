"""Memory that is free, and that allocators keep for later all the same."""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Callable

import pyarrow as pa

__all__ = ["give_back", "release_unused"]


def release_unused() -> None:
    """Of pyarrow's: cheap enough to be done after every batch."""
    pa.default_memory_pool().release_unused()


def give_back() -> None:
    """Of pyarrow's and of the C library's, which keeps up to some dozens of megabytes: after every pass."""
    release_unused()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    """The GNU C library's; others return memory on their own, or have no such function."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
        return found
    return None
