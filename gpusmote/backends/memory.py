"""How much memory the host has left."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["available"]

_GROUPS = Path("/sys/fs/cgroup")


def available() -> int | None:
    """Bytes that this process can still allocate without swapping, or None where the system does not say.

    The smallest of what the kernel calls available and what each control group above this process (a container's
    limit, a batch job's) leaves. Cached files do not count as used: the kernel drops them when memory is needed.
    """
    found = [left for left in (_kernel(), *_control_groups()) if left is not None]
    return min(found) if found else None


def _kernel() -> int | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _control_groups() -> list[int | None]:
    """What each group on the way from this process's own up to the root leaves; version 2, then version 1."""
    own = ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                own = line[len("0::/") :].strip()
    path = _GROUPS / own
    groups = [group for group in (path, *path.parents) if group.is_relative_to(_GROUPS)]
    left = [_left(group, "memory.max", "memory.current", "inactive_file") for group in groups]
    old = _left(_GROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    return [*left, old]


def _left(group: Path, limit: str, used: str, cached: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):  # no such file, or a limit of "max"
        free = int((group / limit).read_text()) - int((group / used).read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return max(0, free + int(statistics.get(cached, 0)))
    return None
