"""The k nearest rows are those of brute force, whatever the table and wherever the candidates come from."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

from gpusmote.backends import Backend
from gpusmote.neighbors import NeighborSearch, SearchReport, product
from gpusmote.neighbors import search as search_module
from gpusmote.neighbors.cpu import pairs, pruned, tiles, top_k
from gpusmote.neighbors.cpu.ball_tree import BallTree
from tests import reference
from tests.neighbors.small import make_balls_small
from tests.neighbors.tables import AWKWARD

K = 5
SOURCES = ["tree", "pruned", "tiles", "pairs", "product", "tiles-float64", "product-float64"]
REAL = {f.__name__: f for f in (load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine)}


@pytest.fixture
def small_tiles(monkeypatch):
    """Blocks and tiles so small that a table of some hundred rows makes many."""
    monkeypatch.setattr(tiles, "_BLOCK", 64)
    monkeypatch.setattr(tiles, "_TILE", 48)
    monkeypatch.setattr(pairs, "_SIDE", 40)
    monkeypatch.setattr(product, "_HOST", (64, 50))
    monkeypatch.setattr(search_module, "_MANY_TIES", 9)
    make_balls_small(monkeypatch)


def search(X, k=K, queries=None, source=None):
    report = SearchReport()
    before = X.copy()
    found = NeighborSearch(Backend(), X, report, source).nearest(queries, k)
    np.testing.assert_array_equal(X, before)
    certified = report.certified_first + report.certified_second + report.certified_last
    assert report.queries == certified == len(found)
    assert found.dtype == np.int64
    return found, report


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("source", [None, *SOURCES])
def test_awkward_tables(source, name, dtype, small_tiles):
    X = AWKWARD[name]().astype(dtype)
    found, _ = search(X, source=source)
    np.testing.assert_array_equal(found, reference.nearest(X, None, K))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("source", [None, *SOURCES])
def test_a_constant_column_of_the_largest_number(source, dtype, small_tiles):
    """It has no range, so that nothing is scaled: no two rows, nor two centers, may be added."""
    X = np.random.default_rng(0).standard_normal((400, 4)).astype(dtype)
    X[:, 2] = np.finfo(dtype).max
    found, _ = search(X, source=source)
    np.testing.assert_array_equal(found, reference.nearest(X, None, K))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", REAL)
def test_real_tables(name, dtype):
    X = np.ascontiguousarray(REAL[name]().data, dtype)[:900]
    found, _ = search(X)
    np.testing.assert_array_equal(found, reference.nearest(X, None, K))


@pytest.mark.parametrize("source", [None, *SOURCES])
def test_some_rows_are_queries(source, small_tiles):
    """As Borderline-SMOTE asks: some rows among all, in any order, once with copies and once without."""
    for X in (AWKWARD["heavy tails"](), AWKWARD["duplicates"]()):
        queries = np.random.default_rng(0).permutation(len(X))[:77]
        found, _ = search(X, queries=queries, source=source)
        np.testing.assert_array_equal(found, reference.nearest(X, queries, K))


@pytest.mark.parametrize("k", [1, 2, 30, 200, 298, 299])
@pytest.mark.parametrize("source", [None, *SOURCES])
def test_every_k(source, k, small_tiles):
    X = np.random.default_rng(3).standard_normal((300, 7))
    found, _ = search(X, k=k, source=source)
    np.testing.assert_array_equal(found, reference.nearest(X, None, k))


def test_tables_of_several_whole_tiles():
    """The sizes of tiles that users get: checked on every 37th row."""
    rng = np.random.default_rng(11)
    for d, dtype in ((3, "f8"), (20, "f4")):
        X = rng.standard_normal((5000, d)).astype(dtype)
        X[rng.integers(0, 5000, 200)] = X[rng.integers(0, 5000, 200)]
        queries = np.arange(0, 5000, 37)
        expected = reference.nearest(X, queries, K)
        for source in ("tree", "tiles", "pairs"):
            found, report = search(X, source=source)
            np.testing.assert_array_equal(found[queries], expected)
            assert report.sources[0] == source


def test_one_index_serves_several_searches():
    X = AWKWARD["heavy tails"]()
    report = SearchReport()
    searches = NeighborSearch(Backend(), X, report)
    for queries, k in ((None, 3), (np.array([7, 5]), 9), (None, 9)):
        np.testing.assert_array_equal(searches.nearest(queries, k), reference.nearest(X, queries, k))
    assert report.queries == 2 * len(X) + 2
    assert report.sources == ["tiles"]


def test_no_queries():
    found, report = search(AWKWARD["plain"](), queries=np.empty(0, np.int64))
    assert found.shape == (0, K)
    assert report.queries == 0


@pytest.mark.parametrize("exponent", [-700, -400, 400, 900])
def test_extreme_magnitudes_are_ordered_by_their_scaled_rows(exponent):
    """Their squares are zero or infinite; the rows times a power of two have the distances that decide."""
    X = np.random.default_rng(5).standard_normal((200, 4)) + 3
    expected = reference.nearest(X, None, K)
    np.testing.assert_array_equal(search(X * 2.0**exponent)[0], expected)


@pytest.mark.parametrize("source", [None, *SOURCES])
def test_tiny_columns_beside_one_that_does_not_vary(source, small_tiles):
    """What scales the others up would make it infinite."""
    X = np.random.default_rng(5).standard_normal((400, 4))
    X[:, 2] = 0
    expected = reference.nearest(X, None, K)
    X *= 2.0**-900
    X[:, 2] = 1e250
    np.testing.assert_array_equal(search(X, source=source)[0], expected)


def test_the_whole_range_of_float64():
    X = np.random.default_rng(5).uniform(-1, 1, (200, 4))
    expected = reference.nearest(X, None, K)
    np.testing.assert_array_equal(search(X * np.finfo("f8").max)[0], expected)


def test_the_whole_range_of_float32():
    X = (np.random.default_rng(5).uniform(-1, 1, (200, 4)) * np.finfo("f4").max).astype("f4")
    np.testing.assert_array_equal(search(X)[0], reference.nearest(X, None, K))
    X = (np.random.default_rng(5).uniform(-1, 1, (200, 4)) * 1e-42).astype("f4")
    np.testing.assert_array_equal(search(X)[0], reference.nearest(X, None, K))


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    X=hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.tuples(st.integers(7, 40), st.integers(1, 4)),
        elements=st.one_of(
            st.integers(-2, 2).map(float),
            st.floats(-1e6, 1e6, width=32),
            st.sampled_from([1e-30, 1e30, 3e-38, 0.1]).map(lambda v: float(np.float32(v))),
        ),
    ),
    k=st.integers(1, 6),
    source=st.sampled_from([None, *SOURCES]),
)
def test_any_table(X, k, source):
    np.testing.assert_array_equal(search(X, k=k, source=source)[0], reference.nearest(X, None, k))


def test_plain_rows_are_certified_at_once():
    _, report = search(np.random.default_rng(0).standard_normal((600, 12)))
    why = ["tiles: 600 queries among 600 rows, 12 columns"]
    assert report == SearchReport(sources=["tiles"], why=why, queries=600, certified_first=600)


def test_the_float64_pass_is_reached():
    """Float32 cannot tell neighbors apart in clusters that are far from each other."""
    _, report = search(AWKWARD["clusters far apart"]())
    assert report.certified_second > 300
    assert report.sources == ["tiles", "tiles-float64"]


@pytest.mark.parametrize("kind", ["clusters far apart", "one huge column"])
def test_rows_that_float32_cannot_tell_apart_from_one_center_are_told_apart_from_many(kind):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((9_000, 20))
    X += (1e6 * rng.integers(0, 3, (9_000, 1))) if kind == "clusters far apart" else (1e6 * np.eye(20)[0] * X)
    found, report = search(X)
    asked = rng.permutation(9_000)[:200]
    np.testing.assert_array_equal(found[asked], reference.nearest(X, asked, K))
    assert report.sources[:2] == ["pairs", "pruned"]
    assert report.certified_second > 2_048
    assert report.certified_last < 900


def test_no_balls_are_made_for_uncertain_queries_where_they_do_not_pay(monkeypatch):
    made = []
    monkeypatch.setattr(pruned, "BallTree", lambda search_set: made.append(search_set) or BallTree(search_set))
    X = np.random.default_rng(0).integers(0, 2, (4_200, 30)).astype(float)  # ties in all directions
    report = SearchReport()
    rows = NeighborSearch(Backend(), X, report)
    rows.nearest(None, K)
    assert report.certified_first < 4_200 - 2_048
    assert report.sources[:2] == ["pairs", "tiles-float64"]
    assert "pruned" not in rows._sources
    assert not made


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("source", ["tiles", "pairs", "product", "tiles-float64"])
def test_balls_serve_what_any_source_leaves_in_doubt(monkeypatch, small_tiles, source, name):
    monkeypatch.setattr(search_module, "choose_second", lambda size, measure: "pruned")
    X = AWKWARD[name]()
    np.testing.assert_array_equal(search(X, source=source)[0], reference.nearest(X, None, K))


def test_a_tree_settles_ties_by_itself():
    """However few are left in doubt, to compare each of them with all rows would grow with the square of these."""
    X = np.stack(np.meshgrid(*3 * [np.arange(15.0)]), axis=-1).reshape(-1, 3)
    found, report = search(X, k=7)
    np.testing.assert_array_equal(found, reference.nearest(X, None, 7))
    assert report.sources == ["tree", "last"]
    assert report.certified_last > 0.5 * len(X)


def test_the_last_pass_is_reached():
    """The corners of a cross all have one distance: no list shorter than all of them can be certified."""
    X = np.r_[np.zeros((1, 40)), np.eye(40), -np.eye(40)] + 0.0
    found, report = search(X)
    np.testing.assert_array_equal(found, reference.nearest(X, None, K))
    assert report.certified_last > 0
    assert report.sources == ["tiles", "tiles-float64", "last"]


def test_copies_are_searched_once():
    X = AWKWARD["duplicates"]()
    _, report = search(X)
    why = ["every: 4 queries among 4 rows, 3 columns"]
    assert report == SearchReport(sources=["every"], why=why, queries=1200, certified_first=1200)


def test_eight_threads_get_the_same_and_leave_blas_as_it_was():
    import threadpoolctl

    X = np.random.default_rng(2).standard_normal((5000, 20)).astype("f4")
    expected, _ = search(X)
    before = [library["num_threads"] for library in threadpoolctl.threadpool_info()]
    results, failures = [None] * 8, []

    def work(i):
        try:
            results[i] = search(X)[0]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for result in results:
        np.testing.assert_array_equal(result, expected)
    assert [library["num_threads"] for library in threadpoolctl.threadpool_info()] == before


def _search_in_child(X, queue):
    queue.put([search(X, source=source)[0] for source in (None, "tree", "pairs", "tiles-float64")])


needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork a process"
)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_searches_too():
    X = np.random.default_rng(2).standard_normal((3000, 6))
    expected, _ = search(X)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_search_in_child, args=(X, queue))
    child.start()
    try:
        for found in queue.get(timeout=60):
            np.testing.assert_array_equal(found, expected)
        child.join(timeout=30)
        assert child.exitcode == 0
    finally:
        if child.is_alive():
            child.kill()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_forked_while_another_thread_searches_does_so_too():
    """Forked at twenty moments spread over the search, the look at how the rows lie among them, children all end."""
    X = np.random.default_rng(2).standard_normal((600, 6)).astype("f4")
    _look_and_search(X)  # what is imported first is not counted
    calls = []
    _run_watched(lambda: _look_and_search(X), lambda code: calls.append(code.co_name))
    assert "data_geometry" in calls
    first = calls.index("data_geometry")
    moments = {first - 1, first, first + 1, *range(0, len(calls), -(-len(calls) // 17))}
    for moment in sorted(moments):
        left, reached, forked = itertools.count(), threading.Event(), threading.Event()

        def pause(code, left=left, reached=reached, forked=forked, moment=moment):
            if next(left) == moment:
                reached.set()
                forked.wait(0.5)  # not longer: where it holds the lock that forks take, the fork waits for it

        def work(reached=reached):
            _look_and_search(X)
            reached.set()  # too late, where other threads took its part of the work

        thread = threading.Thread(target=_run_watched, args=(work, pause))
        thread.start()
        assert reached.wait(20)
        child = os.fork()
        if child == 0:
            try:
                _look_and_search(X)
            finally:
                os._exit(1 if sys.exception() else 0)
        forked.set()
        thread.join()
        status = _status(child, 20)
        assert status == 0, f"forked in {calls[moment]}: {'the child hangs' if status is None else status}"


def _look_and_search(X):
    search = NeighborSearch(Backend(), X, SearchReport(), None)
    search._measure("share")  # the choice may not need it
    search.nearest(None, K)


def _run_watched(work, called):
    """Call ``called(code)`` before each function of gpusmote that ``work`` calls in this thread."""

    def watch(frame, event, argument):
        if event == "call" and frame.f_globals.get("__name__", "").startswith("gpusmote"):
            called(frame.f_code)

    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)


def _status(child, seconds):
    """The exit status of a child process; None where it had to be ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


@pytest.mark.parametrize("source", ["tiles", "pairs"])
def test_rows_that_repeat_a_pattern_take_little_more_memory(monkeypatch, source):
    """The first tile, every sixth row, holds none of the near rows of half the queries: all of the next are hits."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    X = np.random.default_rng(0).standard_normal((12_000, 8))
    X[::2] += 300
    plain, peaks = X - 300 * (np.arange(12_000) % 2 == 0)[:, None], []
    for values in (plain, X):
        search = NeighborSearch(Backend(), values, SearchReport(), source)
        gc.collect()
        tracemalloc.start()
        search.nearest(None, 9)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 3 * peaks[0]


def test_scores_that_rounding_left_below_zero_count_as_zero():
    score = np.array([[-1e-9, 3.0, -2e-9, 1.0, 2.0]], "f4")
    kept = top_k.TopK(score, 2, 5)
    assert sorted(kept.places[0]) == [0, 2]
    assert kept.threshold[0] == 0


@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize("far", [0, 1000], ids=["any order", "the first are far"])
def test_lists_keep_the_smallest_scores(by_columns, far):
    rng = np.random.default_rng(0)
    score = rng.standard_normal((37, 900)) ** 2
    score[:, :100] += far
    for dtype in ("f4", "f8"):
        table = score.astype(dtype)
        kept = top_k.TopK(table[:, :100], 7, 900)
        for first in range(100, 900, 400):
            tile = table[:, first : first + 400]
            kept.add_tile(np.ascontiguousarray(tile.T) if by_columns else tile, first, by_columns)
        kept.finish()
        np.testing.assert_array_equal(np.sort(kept.places, axis=1), np.sort(np.argsort(table, axis=1)[:, :7], axis=1))
        seventh = np.sort(table, axis=1)[:, 6]
        assert (kept.threshold <= seventh).all()
        np.testing.assert_allclose(kept.threshold, seventh, rtol=1e-12)
