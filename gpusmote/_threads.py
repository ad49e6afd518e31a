"""Work in blocks over the machine's cores, and BLAS kept from adding threads of its own to that."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

import threadpoolctl

__all__ = ["n_threads", "run_blocks", "single_threaded_blas"]


def n_threads() -> int:
    """Cores that this process may use, or ``OMP_NUM_THREADS`` where that is smaller."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit))) if limit.isdecimal() else cores


def run_blocks(work: Callable[[int, int], None], n: int, block: int) -> None:
    """Call ``work(start, stop)`` for consecutive blocks of ``range(n)``, on all cores where there are several.

    Blocks are started in order; after an exception no more are started, and the first one is raised. The threads
    live for one call: nothing is left behind that a process forked later would wait for.
    """
    starts = range(0, n, block)
    workers = min(n_threads(), len(starts))
    if workers <= 1:
        for start in starts:
            work(start, min(n, start + block))
        return
    todo, lock, errors = iter(starts), threading.Lock(), list[BaseException]()

    def worker() -> None:
        while not errors:
            with lock:
                start = next(todo, None)
            if start is None:
                return
            try:
                work(start, min(n, start + block))
            except BaseException as error:
                errors.append(error)

    # The calling thread works too: one thread less to start, which for small tables is most of the cost.
    others = [threading.Thread(target=worker, name=f"gpusmote-{i}", daemon=True) for i in range(1, workers)]
    for thread in others:
        thread.start()
    worker()
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]


_blas_lock = threading.Lock()
_blas_users = 0
_blas_limit: threadpoolctl.threadpool_limits | None = None
_blas_controller: threadpoolctl.ThreadpoolController | None = None


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """One BLAS thread for each of our own, within the block.

    The limit is the process's, not the thread's: the first of several concurrent users sets it and the last one
    takes it back, or one would restore what another had set.
    """
    global _blas_users, _blas_limit, _blas_controller
    with _blas_lock:
        _blas_users += 1
        if _blas_users == 1:
            if _blas_controller is None:  # finding the libraries takes milliseconds, limiting them microseconds
                _blas_controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
            _blas_limit = _blas_controller.limit(limits=1)
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users -= 1
            if _blas_users == 0 and _blas_limit is not None:
                _blas_limit.restore_original_limits()
                _blas_limit = None


def _reset_after_fork() -> None:
    """A child starts with no users: the threads that were inside do not exist in it.

    If the parent was inside at that moment, the child's BLAS stays at one thread. To raise it here would start threads
    in a process that may be about to call exec.
    """
    global _blas_lock, _blas_users, _blas_limit
    _blas_lock = threading.Lock()
    _blas_users, _blas_limit = 0, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
