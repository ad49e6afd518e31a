"""The most that a call takes of a device's memory, on a real one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

__all__ = ["measured"]

_EVERY = 0.002  # seconds between two looks at the device


def measured(cupy: Any, work: Callable[[], Any]) -> dict[str, int]:
    """See :meth:`proof.run.Run.peak`.

    The call runs in a thread of its own: FAISS keeps its memory for each thread, so that it is taken, and seen, anew.
    """
    pool, device = cupy.get_default_memory_pool(), cupy.cuda.Device()
    pool.free_all_blocks()
    device.synchronize()
    held, kept, free = pool.used_bytes(), pool.total_bytes(), device.mem_info[0]
    done, most, failed = threading.Event(), {"arrays": held, "outside": 0, "device": 0}, []

    def look() -> None:
        with device:
            while not done.wait(_EVERY):
                taken = free - cupy.cuda.runtime.memGetInfo()[0]
                most["device"] = max(most["device"], taken)
                most["outside"] = max(most["outside"], taken - (pool.total_bytes() - kept))
                most["arrays"] = max(most["arrays"], pool.used_bytes())

    def inside() -> None:
        try:
            with device, hook:
                work()
                device.synchronize()
        except BaseException as error:  # raised again where it belongs
            failed.append(error)

    hook = _hook(cupy, held)
    watcher, worker = threading.Thread(target=look, daemon=True), threading.Thread(target=inside)
    watcher.start()
    worker.start()
    worker.join()
    done.set()
    watcher.join()
    if failed:
        raise failed[0]
    return {**most, "arrays": max(hook.most, most["arrays"]) - held}


def _hook(cupy: Any, held: int) -> Any:
    """Sees every allocation of its thread; those of other threads are seen by the watcher, now and then."""

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
