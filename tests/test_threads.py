"""Work in blocks, and BLAS kept to one thread."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import threadpoolctl

from gpusmote import _threads
from gpusmote._threads import n_threads, run_blocks, single_threaded_blas


def blas_threads():
    return [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize(("n", "block"), [(0, 3), (1, 3), (3, 3), (10, 3), (1000, 7)])
def test_every_element_is_worked_on_once(n, block, workers, monkeypatch):
    monkeypatch.setattr(_threads, "n_threads", lambda: workers)
    seen = np.zeros(n, int)

    def work(start, stop):
        assert 0 < stop - start <= block
        seen[start:stop] += 1

    run_blocks(work, n, block)
    assert (seen == 1).all()


def test_blocks_run_at_the_same_time(monkeypatch):
    monkeypatch.setattr(_threads, "n_threads", lambda: 2)
    both = threading.Barrier(2, timeout=20)
    run_blocks(lambda start, stop: both.wait() and None, 2, 1)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_first_exception_is_raised_and_nothing_is_started_after_it(workers, monkeypatch):
    monkeypatch.setattr(_threads, "n_threads", lambda: workers)
    started = []

    def work(start, stop):
        started.append(start)
        raise KeyError(start)

    with pytest.raises(KeyError):
        run_blocks(work, 100, 1)
    assert 1 <= len(started) <= workers


def test_no_thread_is_left_behind(monkeypatch):
    monkeypatch.setattr(_threads, "n_threads", lambda: 4)
    before = threading.active_count()
    run_blocks(lambda start, stop: None, 100, 1)
    assert threading.active_count() == before


def test_the_number_of_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert n_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    most = n_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert n_threads() == most >= 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert n_threads() == most


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
