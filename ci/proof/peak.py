"""The most that a call takes of a device's memory, on a real one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

__all__ = ["measured"]

_EVERY = 0.002  # seconds between two looks at the device


def measured(cupy: Any, work: Callable[[], Any]) -> dict[str, int]:
    """See :meth:`proof.run.Run.peak`."""
    pool, device = cupy.get_default_memory_pool(), cupy.cuda.Device()
    pool.free_all_blocks()
    device.synchronize()
    held, free = pool.used_bytes(), device.mem_info[0]
    done, least, most = threading.Event(), [free], [held]

    def look() -> None:
        with device:
            while not done.wait(_EVERY):
                least[0] = min(least[0], cupy.cuda.runtime.memGetInfo()[0])
                most[0] = max(most[0], pool.used_bytes())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    hook = _hook(cupy, held)
    try:
        with hook:
            work()
            device.synchronize()
    finally:
        done.set()
        watcher.join()
    return {"arrays": max(hook.most, most[0]) - held, "device": free - min(least[0], device.mem_info[0])}


def _hook(cupy: Any, held: int) -> Any:
    """Sees every allocation of this thread; those of other threads are seen by the watcher, now and then."""

    class Hook(cupy.cuda.MemoryHook):
        name = "gpusmote-proof"

        def __init__(self) -> None:
            self.used = self.most = held

        def malloc_postprocess(self, **size: Any) -> None:
            self.used += size["mem_size"]
            self.most = max(self.most, self.used)

        def free_postprocess(self, **size: Any) -> None:
            self.used -= size["mem_size"]

    return Hook()
