"""Work in blocks, and BLAS kept to one thread."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
import threadpoolctl

from gpusmote.backends import threads
from gpusmote.backends.threads import n_threads, run_blocks, single_threaded_blas


def blas_threads():
    return [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


def test_no_attribute_is_a_cached_property():
    """In Python 3.11 each has one lock for all objects: a child forked while a thread holds it waits forever."""
    package = Path(threads.__file__).parent
    found = []
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            names += [node.attr] if isinstance(node, ast.Attribute) else []
            found += [f"{path.relative_to(package)}:{node.lineno}" for name in names if name == "cached_property"]
    assert not found


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize(("n", "block"), [(0, 3), (1, 3), (3, 3), (10, 3), (1000, 7)])
def test_every_element_is_worked_on_once(n, block, workers, monkeypatch):
    monkeypatch.setattr(threads, "n_threads", lambda: workers)
    seen = np.zeros(n, int)

    def work(start, stop):
        assert 0 < stop - start <= block
        seen[start:stop] += 1

    run_blocks(work, n, block)
    assert (seen == 1).all()


def test_blocks_run_at_the_same_time(monkeypatch):
    monkeypatch.setattr(threads, "n_threads", lambda: 2)
    both = threading.Barrier(2, timeout=20)
    run_blocks(lambda start, stop: both.wait() and None, 2, 1)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_first_exception_is_raised_and_nothing_is_started_after_it(workers, monkeypatch):
    monkeypatch.setattr(threads, "n_threads", lambda: workers)
    started = []

    def work(start, stop):
        started.append(start)
        raise KeyError(start)

    with pytest.raises(KeyError):
        run_blocks(work, 100, 1)
    assert 1 <= len(started) <= workers


def test_no_thread_is_left_behind(monkeypatch):
    monkeypatch.setattr(threads, "n_threads", lambda: 4)
    before = threading.active_count()
    run_blocks(lambda start, stop: None, 100, 1)
    assert threading.active_count() == before


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_where_no_more_threads_can_be_started_the_others_do_the_work(allowed, monkeypatch):
    monkeypatch.setattr(threads, "n_threads", lambda: 4)
    start, started, seen = threading.Thread.start, [], []

    def limited(thread):
        if len(started) == allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    run_blocks(lambda start, stop: seen.append(start), 100, 1)
    assert sorted(seen) == list(range(100))
    assert not any(thread.is_alive() for thread in started)


def test_the_number_of_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert n_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    most = n_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert n_threads() == most >= 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert n_threads() == most


@pytest.fixture
def counted_again():
    """The number of cores is looked up once for each process: here, once for each test."""
    threads._usable_cores.cache_clear()
    yield
    threads._usable_cores.cache_clear()


@pytest.mark.usefixtures("counted_again")
@pytest.mark.parametrize(("openmp", "expected"), [("", 3), ("2", 2), ("5", 3)])
def test_the_number_of_threads_is_at_most_the_quota_of_the_container(openmp, expected, monkeypatch):
    cpu_max, exists, real_open = "/sys/fs/cgroup/cpu.max", os.path.exists, open

    def opened(path, *more, **named):
        return io.StringIO("300000 100000\n") if path == cpu_max else real_open(path, *more, **named)

    monkeypatch.setattr("os.path.exists", lambda path: path == cpu_max or exists(path))
    monkeypatch.setattr("builtins.open", opened)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", openmp)
    assert n_threads() == expected


@pytest.mark.usefixtures("counted_again")
@pytest.mark.parametrize(("variable", "expected"), [("LOKY_MAX_CPU_COUNT", 1), (None, 2)])
def test_the_number_of_threads_is_at_most_what_the_user_allows(variable, expected, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3, 7})
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv(variable, "1")
    assert n_threads() == expected


@pytest.mark.usefixtures("counted_again")
def test_the_quota_is_read_once(monkeypatch):
    calls = []
    monkeypatch.setattr(joblib, "cpu_count", lambda: calls.append(1) or 1)
    assert [n_threads() for _ in range(5)] == [1] * 5
    assert len(calls) == 1


@pytest.fixture
def blas():
    """A function that says how many threads BLAS has, by library; two each before, and no thread controls them."""
    controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
    if not controller.info():
        pytest.skip("no BLAS library here whose threads threadpoolctl can limit")
    found = controller.limit(limits=2)
    with controller.limit(limits=None):  # gives up control of the libraries
        pass
    # A BLAS built with OpenMP, as FAISS brings one, has a number of threads for each of the threads that use it.
    yield lambda: {lib["num_threads"] for lib in controller.info() if lib.get("threading_layer") != "openmp"}
    with found:
        pass


def test_blas_is_limited_while_any_thread_is_inside_and_restored_by_the_last(blas):
    """A thousand random orders in which four threads, the main thread among them, enter and leave, some by an error."""
    order = random.Random(0)
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(ThreadPoolExecutor(1)) for _ in range(3)]

        def run(thread, function, *given):
            return function(*given) if thread == 3 else others[thread].submit(function, *given).result(timeout=20)

        for number in range(1000):
            inside = {}
            for step in range(order.randrange(2, 12)):
                thread = order.randrange(4)
                if thread not in inside:
                    inside[thread] = single_threaded_blas()
                    run(thread, inside[thread].__enter__)
                elif order.random() < 0.5:
                    run(thread, inside.pop(thread).__exit__, None, None, None)
                else:
                    error = ZeroDivisionError()
                    assert not run(thread, inside.pop(thread).__exit__, ZeroDivisionError, error, None)
                assert blas() == {1 if inside else 2}, (number, step)
            for thread in order.sample(sorted(inside), len(inside)):
                run(thread, inside.pop(thread).__exit__, None, None, None)
                assert blas() == {1 if inside else 2}, number


def test_blas_is_limited_and_restored_by_threads_that_run_freely(blas):
    failures = []

    def work(seed):
        order = random.Random(seed)
        for _ in range(300):
            with single_threaded_blas():
                if blas() != {1}:
                    failures.append(seed)
                if order.random() < 0.5:
                    with single_threaded_blas():
                        pass

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert blas() == {2}


def test_blas_that_another_thread_controls_is_left_to_it(blas):
    """What that thread restores before this one leaves is not undone."""
    controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
    with ThreadPoolExecutor(1) as other:
        theirs = other.submit(controller.limit, limits=1).result()
        other.submit(theirs.__enter__).result()
        with single_threaded_blas():
            other.submit(theirs.__exit__, None, None, None).result()
        assert blas() == {2}


def test_blas_has_one_thread_inside_and_as_many_as_before_outside():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with single_threaded_blas():
            assert set(blas_threads()) == {1}
            with single_threaded_blas():
                assert set(blas_threads()) == {1}
            assert set(blas_threads()) == {1}
        assert blas_threads() == before


def test_blas_is_given_back_by_the_last_of_two_that_overlap():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        first, second = single_threaded_blas(), single_threaded_blas()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert set(blas_threads()) == {1}
        second.__exit__(None, None, None)
        assert blas_threads() == before


def test_blas_is_given_back_after_an_error():
    before = blas_threads()
    with pytest.raises(ZeroDivisionError), single_threaded_blas():
        raise ZeroDivisionError
    assert blas_threads() == before
