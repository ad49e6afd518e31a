"""Approximate search: the recall that was asked for, as brute force measures it; the same rows again; a true report."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from gpusmote import ADASYN, SMOTE, BorderlineSMOTE, Plan
from gpusmote.backends import Backend
from gpusmote.backends.cpu import WorkingMemory
from gpusmote.errors import MissingPackageError, ParameterError
from gpusmote.neighbors import NeighborSearch, SearchReport, approximate, faiss_ivf
from gpusmote.neighbors.approximate import measured_recall
from tests.neighbors.approximately import NO_ROOM, brute_recall, clusters, distances, eager, gaussian, problem, search

__all__ = ["eager"]

has_faiss = importlib.util.find_spec("faiss") is not None
needs_faiss = pytest.mark.skipif(not has_faiss, reason="FAISS is not installed")


@needs_faiss
@pytest.mark.parametrize("target", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("table", [gaussian(20_000, 16), clusters(20_000, 16)], ids=["gaussian", "clusters"])
def test_the_target_is_met(eager, table, target):
    found, report = search(table, target)
    (one,) = report.approximations
    asked = np.random.default_rng(1).choice(len(table), 500, replace=False)
    by_us = brute_recall(table, found, 5, asked)
    # Of 2,500 neighbors: what is met with two standard errors to spare misses by three of ours once in ten thousand.
    assert by_us >= target - 3 * np.sqrt(target * (1 - target) / 500)
    assert abs(by_us - one.recall) < 0.05
    assert one.recall - 2 * one.error >= target
    assert (one.sample, one.rows, one.k, one.nlist) == (1_000, 20_000, 5, 566)
    assert report.recall == one.recall
    assert report.queries == 20_000 == report.approximate + report.certified_first
    assert report.approximate == one.queries == 19_000


@needs_faiss
def test_some_rows_as_queries_in_any_order(eager):
    table = clusters(4_000, 6)
    queries = np.random.default_rng(2).permutation(4_000)[:2_500]
    found, report = search(table, queries=queries)
    exact = NeighborSearch(Backend(), table, SearchReport()).nearest(queries, 5)
    assert (found == exact).mean() > 0.93
    sample = faiss_ivf.sample_rows(approximate.SAMPLE, 2_500)
    assert np.array_equal(found[sample], exact[sample])
    assert report.approximate == 1_500


@needs_faiss
def test_what_is_returned_are_real_rows_nearest_first(eager):
    table = np.round(clusters(6_000, 3))  # ties, and copies: nearly all rows have equals
    found, _ = search(table)
    far = distances(table, np.arange(len(table)), found)
    assert (np.diff(far, axis=1) >= 0).all()
    assert (np.diff(found, axis=1)[np.diff(far, axis=1) == 0] > 0).all()  # ties to the lower row
    assert (found != np.arange(len(table))[:, None]).all()
    assert (np.sort(found, axis=1)[:, 1:] > np.sort(found, axis=1)[:, :-1]).all()


@needs_faiss
def test_a_hard_table_and_a_high_target_take_more_probes(eager):
    probes = {}
    for name, table in {"even": gaussian(4_000, 12), "clusters": clusters(4_000, 12)}.items():
        for target in (0.7, 0.99, 1.0):
            _, report = search(table, target)
            probes[name, target] = report.approximations[0].nprobe
            assert report.recall >= target
    assert probes["even", 0.7] < probes["even", 0.99] < probes["even", 1.0]
    assert probes["clusters", 0.99] < probes["even", 0.99]


@needs_faiss
def test_where_too_many_lists_would_be_looked_into_the_exact_search_serves(monkeypatch):
    monkeypatch.setattr(approximate, "SMALLEST_WORK", 0)
    table = gaussian(4_000, 16)
    found, report = search(table, 0.99)
    assert np.array_equal(found, NeighborSearch(Backend(), table, SearchReport()).nearest(None, 5))
    assert report.recall is None
    assert report.approximate == 0
    assert report.certified_first == report.queries == 5_000  # the sample's were sought before
    (note,) = report.notes
    assert note == (
        "A recall of 0.99 among 4,000 rows takes more than 15 of 253 lists, beyond which the exact search costs less;"
        " the exact search was used."
    )


@needs_faiss
@pytest.mark.parametrize("n_queries", [500, 1_500])
def test_few_queries_or_rows_are_searched_exactly(n_queries):
    table, queries = clusters(3_000, 8), np.arange(n_queries)
    found, report = search(table, queries=queries)
    assert np.array_equal(found, NeighborSearch(Backend(), table, SearchReport()).nearest(queries, 5))
    assert report.queries == report.certified_first == n_queries
    assert report.notes == [
        f"{n_queries:,} queries among 3,000 rows are too few for an approximate search; the exact search was used."
    ]


@needs_faiss
def test_without_room_for_lists_the_exact_search_serves(eager):
    backend = Backend()
    backend.memory = WorkingMemory(WorkingMemory.usual(), 1)
    found, report = search(clusters(2_500, 4), backend=backend)
    assert np.array_equal(found, NeighborSearch(Backend(), clusters(2_500, 4), SearchReport()).nearest(None, 5))
    assert report.notes == [NO_ROOM]


@needs_faiss
def test_queries_with_too_few_rows_in_their_lists_get_exact_neighbors(eager):
    """Far from all others, 30 rows make lists of their own, which hold fewer than the 40 neighbors asked for."""
    table = np.r_[gaussian(3_000, 4), gaussian(30, 4, seed=1) * 0.01 + 1e3]
    found, report = search(table, 0.5, k=40)
    assert report.approximate < 2_030
    assert report.approximate + report.certified_first + report.certified_second + report.certified_last == 3_030
    exact = NeighborSearch(Backend(), table, SearchReport()).nearest(np.arange(3_000, 3_030), 40)
    assert np.array_equal(found[3_000:], exact)


@needs_faiss
def test_rows_of_any_scale(eager):
    """float32 would overflow or vanish without the search set's power of two and its center."""
    plain, _ = search(clusters(4_000, 6))
    for scale, shift in ((1e200, 0.0), (1e-200, 0.0), (1.0, 1e6)):
        table = clusters(4_000, 6).astype(np.float64) * scale + shift
        found, report = search(table)
        assert report.recall >= 0.95
        assert brute_recall(table / scale, found, 5, np.arange(0, 4_000, 16)) > 0.9
    assert brute_recall(clusters(4_000, 6), plain, 5, np.arange(0, 4_000, 16)) > 0.9


@needs_faiss
def test_the_same_rows_again_whatever_the_number_of_threads(eager, monkeypatch):
    table = clusters(5_000, 8)
    first, _ = search(table)
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        monkeypatch.setattr("gpusmote.backends.threads.n_threads", lambda threads=threads: int(threads))
        assert np.array_equal(search(table)[0], first)
    results = [None] * 3

    def work(i):
        results[i] = search(table)[0]

    others = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join()
    assert all(np.array_equal(result, first) for result in results)


@needs_faiss
def test_the_number_of_openmp_threads_is_left_as_it_was(eager):
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        search(clusters(3_000, 4))
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)


FORK = """
import os, signal, sys
import faiss
import numpy as np
from gpusmote.backends import Backend
from gpusmote.neighbors import SearchReport
from gpusmote.neighbors import approximate
approximate.SMALLEST_WORK = 0
values = np.random.default_rng(0).standard_normal((3_000, 2), dtype="f4")
search = lambda: approximate.ApproximateSearch(Backend(), values, SearchReport(), 0.9).nearest(None, 5)
first = search()
if sys.argv[1] == "pool":  # the caller's own use of FAISS leaves a search set of OpenMP threads behind
    faiss.omp_set_num_threads(2)
    index = faiss.IndexFlatL2(2)
    index.add(values)
    index.search(values, 5)
child = os.fork()
if not child:
    signal.alarm(60)
    os._exit(0 if np.array_equal(search(), first) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@needs_faiss
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("parent", ["plain", "pool"])
def test_a_forked_process_searches_too(parent):
    done = subprocess.run([sys.executable, "-c", FORK, parent], timeout=120, check=False, capture_output=True)
    assert done.returncode != -signal.SIGALRM, "the child waited for threads that only its parent has"
    assert done.returncode == 0, done.stderr.decode()


def test_measured_recall_counts_ties_and_gaps():
    found = np.array([[0.0, 1.0, 2.0, 2.0], [0.0, 1.0, 5.0, np.inf]])
    recall, error = measured_recall(found, np.array([2.0, 3.0]))
    assert recall == 0.75
    assert error == pytest.approx(0.25)


# Samplers.


SAMPLERS = [
    SMOTE(random_state=0, search="approximate"),
    BorderlineSMOTE(random_state=0, search="approximate", recall_target=0.9),
    BorderlineSMOTE(random_state=0, search="approximate", kind="borderline-2"),
    ADASYN(random_state=0, search="approximate"),
]


@needs_faiss
@pytest.mark.parametrize("sampler", SAMPLERS, ids=["smote", "borderline-1", "borderline-2", "adasyn"])
def test_samplers_say_what_they_did_and_do_it_again(eager, sampler, tmp_path):
    X, y = problem()
    plan = sampler.plan(X, y)
    rows = plan.rows()
    report = sampler.report_
    assert report.search.approximate > 0
    assert report.search.recall >= sampler.recall_target
    assert report.notes == report.search.notes
    assert any("faiss" in package for package in report.versions)
    assert "are approximate: " in report.notes[0]
    assert "lists probed, measured on 1,000 rows). The same call gives the same rows on this machine" in report.notes[0]
    assert np.array_equal(sampler.fit_resample(X, y)[0][len(X) :], rows)
    plan.save(tmp_path / "plan.npz")
    assert np.array_equal(Plan.load(tmp_path / "plan.npz", X).rows(), rows)
    origin = plan.origin()
    base, neighbor, gap = X[origin["base"]], X[origin["neighbor"]], origin["gap"][:, None]
    assert np.allclose(rows, base + gap * (neighbor - base), rtol=1e-6, atol=1e-5)


@needs_faiss
def test_small_classes_give_the_exact_rows():
    X, y = problem(300)
    approximately = SMOTE(random_state=0, search="approximate")
    assert np.array_equal(approximately.fit_resample(X, y)[0], SMOTE(random_state=0).fit_resample(X, y)[0])
    assert approximately.report_.notes[0].endswith("the exact search was used.")
    assert approximately.report_.search.recall is None


@needs_faiss
def test_random_generators_are_drawn_from_as_by_the_exact_search(eager):
    X, y = problem()
    states = []
    for how in ("exact", "approximate"):
        rng = np.random.default_rng(3)
        SMOTE(random_state=rng, search=how).fit_resample(X, y)
        states.append(rng.bit_generator.state)
    assert states[0] == states[1]


@pytest.mark.parametrize("wrong", [{"search": "fast"}, {"recall_target": 0}, {"recall_target": 1.5}])
def test_parameters_are_checked(wrong):
    X, y = problem(50)
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        SMOTE(**wrong).fit_resample(X, y)


def test_without_faiss_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    X, y = problem(50)
    with pytest.raises(
        MissingPackageError, match=r'search="approximate" needs FAISS on cpu \(FAISS: not installed'
    ) as e:
        SMOTE(search="approximate").fit_resample(X, y)
    assert e.value.hint == 'Install it: pip install faiss-cpu. Or use search="exact".'


def test_a_broken_or_other_faiss_is_told_of(monkeypatch, tmp_path):
    (tmp_path / "faiss.py").write_text("raise OSError('no libomp')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    with pytest.raises(MissingPackageError, match=r"\(FAISS: cannot be imported \(OSError: no libomp"):
        faiss_ivf.require(Backend())
    monkeypatch.setitem(sys.modules, "faiss", type(sys)("faiss"))
    with pytest.raises(MissingPackageError, match="installed without IndexIVFFlat"):
        faiss_ivf.require(Backend())


def test_the_exact_search_never_touches_faiss():
    code = (
        "import sys, numpy as np, gpusmote\n"
        "X = np.random.default_rng(0).standard_normal((3000, 4)); y = np.arange(3000) % 3 == 0\n"
        "gpusmote.SMOTE(device='cpu').fit_resample(X, y)\n"
        "gpusmote.BorderlineSMOTE(device='cpu').fit_resample(X, y)\n"
        "sys.exit(any(m in sys.modules for m in ('faiss', 'gpusmote.neighbors.approximate')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
