"""How much memory the host has left."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["available"]


def available() -> int | None:
    """Bytes that this process can still allocate without swapping, or None where the system does not say.

    The smaller of what the kernel calls available and what the control group (a container's limit) leaves.
    """
    found = [bytes_ for bytes_ in (_kernel(), _control_group()) if bytes_ is not None]
    return min(found) if found else None


def _kernel() -> int | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _control_group() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        return max(0, limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return None
