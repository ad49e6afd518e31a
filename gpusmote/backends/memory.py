"""Free memory of the host."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path, PurePosixPath

from gpusmote.backends.threads import n_threads

__all__ = ["available"]

_GROUPS = Path("/sys/fs/cgroup")
_PROCESS = Path("/proc/self")
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_UNLIMITED = 1 << 62  # version 1 writes "no limit" as a number near 2**63

# MiB that each thread takes of a process limit besides our arrays: a stack (8) and an OpenBLAS buffer (32), without
# which OpenBLAS ends the process; of the address space also a malloc arena (64). Measured by lowering the limits.
_THREAD_MIB = {"RLIMIT_AS": 104, "RLIMIT_DATA": 48}
_USED = {"RLIMIT_AS": "VmSize", "RLIMIT_DATA": "VmData"}


def available() -> int | None:
    """Bytes that this process can still allocate without swapping, or None if unknown.

    This is the smallest of: the memory that the kernel reports as available; what each control group of this process
    (of a container or batch job) leaves; and what the process limits (``ulimit -v`` and ``ulimit -d``) leave for
    arrays. Cached files do not count as used, because the kernel drops them when memory is needed.
    """
    found = [left for left in (_kernel(), *_control_groups(), *_process_limits()) if left is not None]
    return min(found) if found else None


def _kernel() -> int | None:
    with contextlib.suppress(OSError):
        for line in _read("/proc/meminfo").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _read(path: str) -> str:
    """A file of the kernel, in one read: ``Path.read_text`` takes four times as long, for each of up to ten files."""
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.read(handle, 1 << 16).decode()
    finally:
        os.close(handle)


def _control_groups() -> list[int | None]:
    """Bytes left in each control group from that of this process up to the root, for versions 1 and 2."""
    return [_left(group, *files) for group, files in _groups(_GROUPS, _PROCESS)]


@functools.lru_cache(maxsize=1)  # files of groups that do not exist would be looked for in every call
def _groups(groups: Path, process: Path) -> list[tuple[str, tuple[str, str, str]]]:
    """The control groups of this process that have a file with a limit, and the names of their files."""
    found = {(groups, _VERSION_2), (groups / "memory", _VERSION_1)}
    with contextlib.suppress(OSError):
        for line in (process / "cgroup").read_text().splitlines():
            number, controllers, own = line.split(":", 2)
            if number == "0":
                root, files = groups, _VERSION_2
            elif "memory" in controllers.split(","):
                root, files = groups / "memory", _VERSION_1
            else:
                continue
            path = PurePosixPath(own.lstrip("/"))
            # In a container the path may be that of the host and not exist; the root, added above, exists.
            found |= {(root / group, files) for group in (path, *path.parents)}
    return [(str(group), files) for group, files in found if (group / files[0]).exists()]


def _process_limits() -> list[int | None]:
    """Bytes that the limits on address space and on data leave for arrays, after what threads and libraries need."""
    try:
        import resource
    except ImportError:  # Windows
        return []
    left: list[int | None] = []
    limits = {name: resource.getrlimit(getattr(resource, name))[0] for name in _USED}
    if set(limits.values()) == {resource.RLIM_INFINITY}:
        return left
    with contextlib.suppress(OSError):
        status = dict(line.split(":", 1) for line in (_PROCESS / "status").read_text().splitlines() if ":" in line)
        for name, used in _USED.items():
            if limits[name] != resource.RLIM_INFINITY and used in status:
                taken = int(status[used].split()[0]) * 1024 + n_threads() * (_THREAD_MIB[name] << 20)
                left.append(max(0, limits[name] - taken))
    return left


def _left(group: str, limit: str, used: str, cached: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):  # no such file, or the limit is "max"
        most = int(_read(f"{group}/{limit}"))
        if most >= _UNLIMITED:
            return None
        statistics = dict(line.split() for line in _read(f"{group}/memory.stat").splitlines())
        return max(0, most - int(_read(f"{group}/{used}")) + int(statistics.get(cached, 0)))
    return None
