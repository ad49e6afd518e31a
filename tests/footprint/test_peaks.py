"""Estimates beside measured peaks, of the host and of the stand-in for a device."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.base import clone

import gpusmote
from gpusmote import ADASYN, SMOTE, BorderlineSMOTE
from gpusmote.backends import Backend
from gpusmote.backends.base import WHOLE, Cut
from gpusmote.footprint import Shape, on_host
from gpusmote.footprint.sources import SOURCES, Asked, Held
from gpusmote.neighbours.pool import Pool
from gpusmote.neighbours.pruned import Pruned
from tests.footprint.helpers import counts, data, mixed, peak_of
from tests.standin.install import cuda

__all__ = ["cuda"]


ONE, TWO = BorderlineSMOTE(kind="borderline-1"), BorderlineSMOTE(kind="borderline-2")
SIZES = [
    # pairs, with many rows and few; a tree; tiles of few rows and of many; what is made takes the most
    (SMOTE(), 100_000, 32, "f4", 0.1),
    (SMOTE(), 10_000, 8, "f8", 0.45),
    (SMOTE(), 60_000, 4, "f8", 0.3),
    (SMOTE(), 3_000, 4, "f4", 0.1),
    (SMOTE(), 40_000, 32, "f4", 0.075),
    (SMOTE(), 20_000, 100, "f4", 0.2),
    # few queries among many rows, by tiles and by a tree
    (ONE, 40_000, 32, "f4", 0.075),
    (ONE, 10_000, 16, "f8", 0.45),
    (ONE, 40_000, 4, "f4", 0.075),
    (ONE, 3_000, 64, "f8", 0.1),
    (TWO, 40_000, 32, "f8", 0.075),
    (TWO, 40_000, 4, "f4", 0.075),
    (TWO, 10_000, 4, "f8", 0.45),
    # counts of each seed, which hardly show but in a plan of few columns
    (ADASYN(), 40_000, 32, "f4", 0.075),
    (ADASYN(), 10_000, 16, "f8", 0.45),
    (ADASYN(), 40_000, 4, "f4", 0.3),
    (ADASYN(n_neighbors=1), 20_000, 1, "f4", 0.3),
]


@pytest.mark.parametrize(("sampler", "n", "d", "dtype", "share"), SIZES)
def test_the_estimate_is_what_is_measured(monkeypatch, sampler, n, d, dtype, share):
    """On one thread, because it is chance which of several hold their blocks at once."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    X, y = mixed(n, d, dtype, share)
    sampler = clone(sampler).set_params(random_state=0, device="cpu")
    estimate = sampler.estimate(n, d, dtype, y=counts(y))
    sampler.fit_resample(*mixed(500, d, dtype, 0.2))  # what is imported is no part of it
    _, peak = peak_of(lambda: sampler.fit_resample(X, y))
    assert 0.85 * peak < estimate.total < 1.15 * peak
    assert sampler.report_.bytes["total"] == estimate.total
    plan, peak = peak_of(lambda: sampler.plan(X, y))
    assert 0.85 * peak < sampler.report_.bytes["total"] < 1.15 * peak
    if isinstance(sampler, SMOTE):
        assert 0.95 < estimate.host.plan / plan.report.bytes["plan"] < 1.05


@pytest.mark.parametrize("bits", ["philox", "mt19937"])
def test_counts_of_each_seed_are_in_the_estimate_of_the_plan(bits):
    """Few rows of the class have no other among their neighbours, and many are made from each: all are seeds."""
    X, y = mixed(20_000, 2, "f4", 0.05)
    sampler = ADASYN(random_state=0, device="cpu", bit_generator=bits, n_neighbors=3)
    plan = sampler.plan(X, y)
    assert 0.98 < sampler.estimate(20_000, 2, "f4", y=counts(y)).host.plan / plan.report.bytes["plan"] < 1.02


@pytest.mark.parametrize("kind", ["list", "integers", "pandas", "pandas of two dtypes", "by columns"])
@pytest.mark.parametrize(("n", "d"), [(20_000, 32), (40_000, 8)])
def test_the_estimate_knows_containers(monkeypatch, kind, n, d):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pd = pytest.importorskip("pandas") if "pandas" in kind else None
    X, y = mixed(n, d, "f8", 0.1)
    if kind == "list":
        X = X.tolist()
    elif kind == "integers":
        X = (100 * X).astype("i4")
    elif kind == "by columns":
        X = np.asfortranarray(X)
    elif pd is not None:
        X = pd.DataFrame(X)
        X[0] = X[0] if kind == "pandas" else (10 * X[0]).astype("i4")
    sampler = SMOTE(random_state=0, device="cpu")
    sampler.fit_resample(X[:100], np.arange(100) % 5 == 0)  # what is imported is no part of it
    _, peak = peak_of(lambda: sampler.fit_resample(X, y))
    assert 0.85 * peak < sampler.report_.bytes["total"] < 1.15 * peak


def sizes(n, d, rows, all_k=0):
    """Of a call that seeks the neighbours of so many of n rows among themselves, or among all."""
    return Shape(n, d, 4, 4.0, ((rows, rows),), 5, all_k)


@pytest.mark.parametrize(
    ("source", "shape", "copies", "without"),
    [
        ("pairs", sizes(12_000, 32, 6_000), 2, {"finding": 0}),
        ("pairs", sizes(32_000, 120, 16_000), 2, {"kept": 0, "made": 0}),
        ("tiles", sizes(6_000, 32, 3_000), 2, {"finding": 0}),
        ("tiles", sizes(80_000, 120, 2_000, 10), 2, {"kept": 0, "made": 0}),
        ("tree", sizes(200_000, 4, 100_000), 2, {"kept": 0, "made": 0}),  # to order what is found takes as much
        ("product", sizes(12_000, 32, 6_000), 0, {"finding": 0}),
    ],
)
def test_no_formula_could_be_left_out(monkeypatch, source, shape, copies, without):
    """The sum of a plan, which others hold against what is measured, would be off by too much."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    whole, formula = on_host(shape, Cut(1.0, copies), False).total, SOURCES[source]
    monkeypatch.setitem(SOURCES, source, lambda asked: dataclasses.replace(formula(asked), **without))
    assert on_host(shape, Cut(1.0, copies), False).total < 0.88 * whole


@pytest.mark.parametrize(("d", "dtype"), [(8, "f4"), (40, "f8")])
@pytest.mark.parametrize("tails", [False, True], ids=["even", "heavy tails"])
def test_balls_take_what_is_estimated(monkeypatch, d, dtype, tails):
    """They count towards the most only. How many there are depends on the rows; so does how many are met at once."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    n, rng = 20_000, np.random.default_rng(0)
    X = rng.standard_normal((n, 3)) @ rng.standard_normal((3, d))
    pool = Pool(Backend(), (np.exp(2 * X) if tails else X).astype(dtype))
    held = SOURCES["pruned"](Asked(n, d, 8, n, pool.values.itemsize, 4, False, WHOLE))
    source, made = peak_of(lambda: Pruned(pool))
    assert 0.85 * made < held.made < 1.15 * made
    levels = (source._balls.leaves, source._balls.branches, source._balls.cells)
    kept = sum(a.nbytes for level in levels for a in (level.starts, level.centres, level.radii)) + 2 * 8 * n
    assert kept < held.kept < 2 * kept
    _, finding = peak_of(lambda: source.candidates(np.arange(n), 8))
    assert finding < held.finding < 4 * finding


def test_rows_of_which_balls_are_made_take_no_more_than_most(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    n, d, rng = 40_000, 64, np.random.default_rng(0)
    X = (rng.standard_normal((n, 3)) @ rng.standard_normal((3, d))).astype("f4")
    y = (np.arange(n) < 0.45 * n).astype(np.int64)
    sampler = SMOTE(random_state=0, device="cpu")
    _, peak = peak_of(lambda: sampler.plan(X, y))
    assert sampler.report_.search.sources[0] == "pruned"
    estimate = sampler.estimate(n, d, "f4", y=counts(y))
    assert peak <= estimate.host.most
    monkeypatch.setitem(SOURCES, "pruned", lambda asked: Held(0, 0, 0))
    assert sampler.estimate(n, d, "f4", y=counts(y)).host.most < estimate.host.most


@pytest.mark.parametrize("kind", ["ties", "clusters", "binary", "copies", "equal", "apart"])
@pytest.mark.parametrize(
    "sampler", [SMOTE(), ONE, TWO, ADASYN()], ids=["SMOTE", "borderline-1", "borderline-2", "ADASYN"]
)
def test_rows_as_awkward_as_can_be_take_no_more_than_most(monkeypatch, sampler, kind):
    """Among them a class that is far from all others: none of its rows is in danger, and all are seeds."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    n, d, share = 8_000, 12, 0.4
    X, y = mixed(n, d, "f4", share)
    rng = np.random.default_rng(1)
    if kind == "ties":
        X = np.round(X)
    elif kind == "clusters":
        X[::2] += 3e4
    elif kind == "binary":
        X = (X > 0).astype("f4")
    elif kind == "copies":
        X = X[rng.integers(0, n // 4, n)]
    elif kind == "equal":
        X[:] = X[0]
    else:
        X[y == 1] += 100
    sampler = clone(sampler).set_params(random_state=0, device="cpu")
    most = sampler.estimate(n, d, "f4", y=counts(y)).host.most
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gpusmote.errors.GpusmoteWarning)
        _, peak = peak_of(lambda: sampler.plan(X, y))
    assert peak <= most


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("sampler", [SMOTE(), ONE], ids=["SMOTE", "borderline-1"])
def test_many_columns_keep_within_the_least_limit(monkeypatch, sampler, threads):
    """Where blocks cannot become smaller: so many pairs are compared at once all the same."""
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    n, d = 900, 1_277
    X, y = mixed(n, d, "f4", 0.4)
    sampler = clone(sampler).set_params(random_state=0, device="cpu", memory_limit=1)
    with pytest.raises(gpusmote.errors.MemoryLimitError) as refused:
        sampler.plan(X, y)
    least = int(re.search(r"memory_limit=(\d+) is the least", refused.value.hint)[1])
    _, peak = peak_of(lambda: sampler.set_params(memory_limit=least).plan(X, y))
    assert sampler.report_.bytes["total"] <= least
    assert peak <= least


def test_many_threads_hold_no_more_than_estimated(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    X, y = data(100_000, 32, "f4", 0.1)
    sampler = SMOTE(random_state=0, device="cpu")
    _, peak = peak_of(lambda: sampler.fit_resample(X, y))
    assert peak < 1.15 * sampler.report_.bytes["total"]


IN_A_PROCESS = """
import json
import numpy as np
from gpusmote import SMOTE
n, d = 100_000, 32
X = np.random.default_rng(0).standard_normal((n, d)).astype("f4")
y = (np.arange(n) < 10_000).astype(int)
sampler = SMOTE(random_state=0, device="cpu", sampling_strategy={1: 1_000_000})
SMOTE().fit_resample(X[::100], y[::100])
def highest():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return 1024 * int(line.split()[1])
before = highest()
sampler.fit_resample(X, y)
grown = highest() - before
print(json.dumps([grown, sampler.report_.bytes["total"]]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel of Linux says how large a process was")
def test_the_process_grows_by_what_was_estimated():
    done = subprocess.run([sys.executable, "-c", IN_A_PROCESS], capture_output=True, text=True, check=True)
    grown, estimated = json.loads(done.stdout)
    assert 0.85 * grown < estimated < 1.15 * grown


ON_DEVICE = [
    (SMOTE(), 20_000, 32, "f4", 0.1),
    (SMOTE(), 20_000, 32, "f8", 0.2),
    (SMOTE(), 12_000, 4, "f8", 0.3),
    (SMOTE(), 12_000, 8, "f4", 0.3),
    (ADASYN(), 12_000, 8, "f4", 0.1),
]


@pytest.mark.filterwarnings("ignore:Neighbours are sought by tiles")
@pytest.mark.parametrize("faiss", [True, False], ids=["faiss", "tiles"])
@pytest.mark.parametrize(("sampler", "n", "d", "dtype", "share"), ON_DEVICE)
def test_the_estimate_is_what_a_device_holds(cuda, sampler, n, d, dtype, share, faiss):
    """What libraries take for themselves is no array of ours: it is in the estimate, and not on the stand-in."""
    machine = cuda(faiss=faiss)
    X, y = data(n, d, dtype, share)
    sampler = clone(sampler).set_params(random_state=0, device="cuda")
    estimate = sampler.estimate(n, d, dtype, y=counts(y))
    sampler.fit_resample(X, y)
    assert 0.85 * machine.peak < estimate.device.total - estimate.device.workspace < 1.15 * machine.peak
    assert sampler.report_.bytes["total"] == estimate.total == estimate.device.total


IN_LISTS = """
import ctypes, gc, json, sys
import numpy as np
from gpusmote import SMOTE
n, d = 150_000, 32
rng = np.random.default_rng(0)
X = (rng.standard_normal((n, 4)) @ rng.standard_normal((4, d)) + 0.01 * rng.standard_normal((n, d))).astype("f4")
y = np.arange(n) < 0.45 * n
sampler = SMOTE(random_state=0, device="cpu", search="approximate", recall_target=0.9)
sampler.fit_resample(X[:31_000:10], y[:31_000:10] ^ (np.arange(3_100) % 5 > 0))
import faiss
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
def of(what):
    (line,) = [line for line in open("/proc/self/status") if line.startswith(what)]
    return 1024 * int(line.split()[1])
open("/proc/self/clear_refs", "w").write("5")
before = of("VmRSS")
sampler.plan(X, y)
grown = of("VmHWM") - before
assert sampler.report_.search.approximate
exact = sampler.set_params(search="exact").estimate(n, d, "f4", y=y)
print(json.dumps([grown, sampler.report_.bytes["total"], exact.total]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel of Linux says how large a process was")
def test_inverted_lists_are_in_the_estimate():
    """FAISS's memory is none that Python counts; an exact search of the same rows is estimated at less."""
    pytest.importorskip("faiss", reason="FAISS finds the lists")
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", IN_LISTS], capture_output=True, text=True, check=True, env=alone)
    grown, estimated, exact = json.loads(done.stdout)
    assert 0.85 * grown < estimated < 1.15 * grown
    assert exact < 0.85 * grown


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_inverted_lists_on_a_device_are_in_the_estimate(cuda, monkeypatch, dtype):
    pytest.importorskip("faiss", reason="FAISS finds the lists")
    monkeypatch.setattr("gpusmote.neighbours.approximate.SMALLEST_WORK", 1)
    machine = cuda(faiss=True)
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((14_000, 3)) @ rng.standard_normal((3, 16))).astype(dtype)
    y = (np.arange(14_000) < 6_000).astype(np.int64)
    sampler = SMOTE(random_state=0, device="cuda", search="approximate", recall_target=0.5)
    sampler.plan(X, y)
    assert sampler.report_.search.approximate
    found = sampler.estimate(14_000, 16, dtype, y=counts(y)).device
    assert 0.85 * machine.peak < found.total - found.workspace < 1.15 * machine.peak
    assert found.workspace > 6_000 * (4 * 16 + 8)
