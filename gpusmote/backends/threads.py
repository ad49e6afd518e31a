"""Run work in blocks on all cores, and limit BLAS to one thread meanwhile."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import joblib
import threadpoolctl

__all__ = ["n_threads", "run_blocks", "single_threaded_blas"]


def n_threads() -> int:
    """Number of cores that this process may use, or ``OMP_NUM_THREADS`` if that is smaller.

    Respects the processor affinity, the CPU quota of a container (version 1 or 2 of Linux's control groups) and
    ``LOKY_MAX_CPU_COUNT``.
    """
    cores = _usable_cores()
    if hasattr(os, "sched_getaffinity"):  # a cheap call, and the value may change while the process runs
        cores = min(cores, len(os.sched_getaffinity(0)))
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit))) if limit.isdecimal() else cores


@functools.cache
def _usable_cores() -> int:
    """The number that joblib reports, cached because reading the quota files takes as long as a small search."""
    return int(joblib.cpu_count())


def run_blocks(work: Callable[[int, int], None], n: int, block: int) -> None:
    """Call ``work(start, stop)`` for consecutive blocks of ``range(n)``, on all cores.

    Blocks are started in order. After an exception no further block is started, and the first exception is raised. The
    threads end with the call, so that a process forked later does not wait for them.
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

    # The calling thread works too, which saves starting a thread: most of the cost for small tables.
    others: list[threading.Thread] = []
    for i in range(1, workers):
        thread = threading.Thread(target=worker, name=f"gpusmote-{i}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # a limit on threads or memory is reached: the threads already started do the work
            break
        others.append(thread)
    worker()
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]


_blas_lock = threading.RLock()
_blas_users = 0
_blas_changed: list[tuple[Any, int]] = []  # libraries that were limited, and the threads that they had
_blas_controller: threadpoolctl.ThreadpoolController | None = None


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit BLAS to one thread inside the context, because gpusmote's own threads already use all cores.

    The limit applies to the whole process. The first of several concurrent users sets it, and the last one to leave
    restores the former limits; these may be different threads.
    """
    global _blas_users
    with _blas_lock:
        if _blas_users == 0:
            _limit_blas()
        _blas_users += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users = max(0, _blas_users - 1)  # already 0 in a child that was forked inside the context
            if _blas_users == 0:
                if _blas_changed:
                    _set_threads(_blas_changed)
                _blas_changed.clear()


def _limit_blas() -> None:
    """Limit each library to one thread, and note those whose number of threads changed.

    A library that had one thread already, or that another thread controls, is not restored: what limits it may end
    before this context does.
    """
    global _blas_controller
    if _blas_controller is None:  # finding the libraries takes milliseconds, limiting them microseconds
        _blas_controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
    libraries = _blas_controller.lib_controllers
    before = [(library, library.num_threads) for library in libraries]
    _set_threads((library, 1) for library in libraries)
    _blas_changed.extend((library, threads) for library, threads in before if library.num_threads != threads)


def _set_threads(numbers: Iterable[tuple[Any, int]]) -> None:
    """Set libraries to these numbers of threads, and leave the control of them.

    After a thread sets a number, threadpoolctl 3.8 ignores other threads until that thread leaves a context. Entering
    and leaving one here changes no number.
    """
    assert _blas_controller is not None
    for library, threads in numbers:
        library.set_num_threads(threads)
    with _blas_controller.limit(limits=None):
        pass


def _reset_after_fork() -> None:
    """Reset the count of users in a forked child, where the other threads do not exist.

    If the parent was inside the context, BLAS in the child stays at one thread. Raising the limit here would start
    threads in a process that may be about to call exec.
    """
    global _blas_users
    _blas_users = 0
    _blas_changed.clear()
    _blas_lock.release()


if hasattr(os, "register_at_fork"):
    # Prevents a fork while a thread holds the lock of threadpoolctl, which would stay locked in the child forever.
    os.register_at_fork(before=_blas_lock.acquire, after_in_parent=_blas_lock.release, after_in_child=_reset_after_fork)
