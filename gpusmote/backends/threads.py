"""Work in blocks over the machine's cores, and BLAS kept from adding threads of its own to that."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import joblib
import threadpoolctl

__all__ = ["n_threads", "run_blocks", "single_threaded_blas"]


def n_threads() -> int:
    """Number of cores that this process may use, or ``OMP_NUM_THREADS`` where that is smaller.

    Counts the processor affinity, the CPU quota of a container (version 1 or 2 of Linux's control groups) and
    ``LOKY_MAX_CPU_COUNT``.
    """
    cores = _usable_cores()
    if hasattr(os, "sched_getaffinity"):  # cheap to ask, and may change while the process runs
        cores = min(cores, len(os.sched_getaffinity(0)))
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit))) if limit.isdecimal() else cores


@functools.cache
def _usable_cores() -> int:
    """As joblib counts them, once for each process: reading the quota's files takes as long as a small search."""
    return int(joblib.cpu_count())


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
    others: list[threading.Thread] = []
    for i in range(1, workers):
        thread = threading.Thread(target=worker, name=f"gpusmote-{i}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # a limit on threads or on memory allows no more: those that there are do the work
            break
        others.append(thread)
    worker()
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]


_blas_lock = threading.RLock()
_blas_users = 0
_blas_limit: Any = None  # the limiter that restores what was found, or None where nothing was changed
_blas_controller: threadpoolctl.ThreadpoolController | None = None


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit BLAS to one thread within the block, because gpusmote's own threads already use all cores.

    The limit belongs to the process: the first of several concurrent users sets it, and the last one to leave restores
    what the first one found. Any thread may be either.
    """
    global _blas_users, _blas_limit
    with _blas_lock:
        if _blas_users == 0:
            _blas_limit = _limit_blas()
        _blas_users += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users = max(0, _blas_users - 1)  # 0 already in a child that was forked within the block
            if _blas_users == 0 and _blas_limit is not None:
                with _blas_limit:  # restores, and gives up control, in this thread
                    _blas_limit = None


def _limit_blas() -> Any:
    """Set the limit without keeping control of it, so that whichever thread leaves last can restore what was found."""
    global _blas_controller
    if _blas_controller is None:  # finding the libraries takes milliseconds, limiting them microseconds
        _blas_controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
    found = _blas_controller.info()
    limiter = _blas_controller.limit(limits=1)
    # threadpoolctl 3.8 ignores the limits of all threads but one, from the first limit that thread sets until it leaves
    # a context. This context changes nothing, and ends that.
    with _blas_controller.limit(limits=None):
        pass
    # Nothing changed: BLAS had one thread, or another thread controls it. To restore what was found could then undo
    # what that thread restores before.
    return None if _blas_controller.info() == found else limiter


def _reset_after_fork() -> None:
    """Start a child with no users: the threads that were inside do not exist in it.

    If the parent was inside at that moment, the child's BLAS stays at one thread. To raise it here would start threads
    in a process that may be about to call exec.
    """
    global _blas_users, _blas_limit
    _blas_users, _blas_limit = 0, None
    _blas_lock.release()


if hasattr(os, "register_at_fork"):
    # No fork while a thread is inside threadpoolctl, whose own lock the child would find taken for good.
    os.register_at_fork(before=_blas_lock.acquire, after_in_parent=_blas_lock.release, after_in_child=_reset_after_fork)
