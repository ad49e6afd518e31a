"""Memory as a promise: estimates beside measured peaks, limits that hold, and the same rows for every limit."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

import gpusmote
from gpusmote import SMOTE, BorderlineSMOTE
from gpusmote.backends import memory
from gpusmote.backends.base import Cut
from gpusmote.errors import MemoryLimitError, ParameterError
from gpusmote.footprint import Shape, on_host
from gpusmote.footprint.sources import SOURCES
from tests.standin.install import cuda

__all__ = ["cuda"]


def data(n, d, dtype, share, kind="plain"):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)).astype(dtype)
    if kind == "ties":
        X = np.round(X)
    elif kind == "clusters":
        X[::2] += 3e4
    return X, (np.arange(n) < n * share).astype(np.int64)


def mixed(n, d, dtype, share):
    """The same, with the rows of both classes in any order."""
    X, y = data(n, d, dtype, share)
    return X, np.random.default_rng(1).permutation(y)


def peak_of(work):
    """What the call returns, and the most bytes that it held at any one time."""
    gc.collect()
    tracemalloc.start()
    try:
        result = work()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def counts(y):
    labels, number = np.unique(y, return_counts=True)
    return dict(zip(labels.tolist(), number.tolist(), strict=True))


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


def test_balls_that_are_tried_in_vain_are_in_the_estimate(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    X, y = mixed(40_000, 64, "f4", 0.075)
    sampler = clone(TWO).set_params(random_state=0, device="cpu")
    _, peak = peak_of(lambda: sampler.plan(X, y))
    assert sampler.report_.search.sources == ["tiles"]
    assert 0.85 * peak < sampler.report_.bytes["total"] < 1.15 * peak
    monkeypatch.setattr("gpusmote.footprint.host.tried", lambda asked: 0)
    sampler.plan(X, y)
    assert sampler.report_.bytes["total"] < 0.87 * peak


@pytest.mark.parametrize("kind", ["ties", "clusters", "binary", "copies", "equal", "apart"])
@pytest.mark.parametrize("sampler", [SMOTE(), ONE, TWO], ids=["SMOTE", "borderline-1", "borderline-2"])
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


ON_DEVICE = [(20_000, 32, "f4", 0.1), (20_000, 32, "f8", 0.2), (12_000, 4, "f8", 0.3), (12_000, 8, "f4", 0.3)]


@pytest.mark.filterwarnings("ignore:Neighbours are sought by tiles")
@pytest.mark.parametrize("faiss", [True, False], ids=["faiss", "tiles"])
@pytest.mark.parametrize(("n", "d", "dtype", "share"), ON_DEVICE)
def test_the_estimate_is_what_a_device_holds(cuda, n, d, dtype, share, faiss):
    """What libraries take for themselves is no array of ours: it is in the estimate, and not on the stand-in."""
    machine = cuda(faiss=faiss)
    X, y = data(n, d, dtype, share)
    sampler = SMOTE(random_state=0, device="cuda")
    estimate = sampler.estimate(n, d, dtype, y=counts(y))
    sampler.fit_resample(X, y)
    assert 0.85 * machine.peak < estimate.device.total - estimate.device.workspace < 1.15 * machine.peak
    assert sampler.report_.bytes["total"] == estimate.total == estimate.device.total


def limits(least):
    """From the least that works to plenty."""
    return [least, int(1.5 * least), 4 * least, 20 * least]


def least_of(sampler, X, y):
    """The least limit that works, as the error says it."""
    with pytest.raises(
        MemoryLimitError, match=r"needs at least [\d,]+ bytes, .*; memory_limit allows 1 bytes"
    ) as caught:
        sampler.set_params(memory_limit=1).plan(X, y)
    return int(caught.value.hint.split("memory_limit=")[1].split()[0])


SAMPLERS = [SMOTE(random_state=3), BorderlineSMOTE(random_state=3, kind="borderline-2")]


@pytest.mark.parametrize("kind", ["plain", "ties", "clusters"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_a_limit_holds_and_changes_no_row(monkeypatch, sampler, kind):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    X, y = data(3_000, 12, "f4", 0.3, kind)
    sampler = sampler.set_params(device="cpu", memory_limit=None)
    expected = sampler.plan(X, y).rows(0, 500).tobytes()
    for limit in limits(least_of(sampler, X, y)):
        plan, peak = peak_of(lambda limit=limit: sampler.set_params(memory_limit=limit).plan(X, y))
        assert peak <= limit
        assert plan.rows(0, 500).tobytes() == expected
    with pytest.raises(MemoryLimitError):
        sampler.set_params(memory_limit=limits(least_of(sampler, X, y))[0] - 1).plan(X, y)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    share=st.floats(1, 40),
    kind=st.sampled_from(["plain", "ties", "clusters"]),
    dtype=st.sampled_from(["f4", "f8", "i4"]),
    sampler=st.sampled_from(SAMPLERS),
)
def test_the_same_rows_for_every_limit(share, kind, dtype, sampler):
    X, y = data(900, 5, "f8", 0.3, kind)
    X = (10 * X).astype(dtype)
    sampler = sampler.set_params(device="cpu", memory_limit=None)
    expected = sampler.fit_resample(X, y)[0].tobytes()
    least = least_of(sampler, X, y) + 8 * 900 * 5 * 8
    assert sampler.set_params(memory_limit=int(share * least)).fit_resample(X, y)[0].tobytes() == expected


@pytest.mark.filterwarnings("ignore:Neighbours are sought by tiles")
@pytest.mark.parametrize("faiss", [True, False], ids=["faiss", "tiles"])
@pytest.mark.parametrize("kind", ["plain", "ties", "clusters"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_a_limit_of_the_device_holds_and_changes_no_row(cuda, sampler, kind, faiss):
    machine = cuda(faiss=faiss)
    X, y = data(900, 6, "f4", 0.3, kind)
    expected = sampler.set_params(device="cpu", memory_limit=None).fit_resample(X, y)[0].tobytes()
    sampler = sampler.set_params(device="cuda")
    blocks = []
    for limit in limits(least_of(sampler, X, y)):
        gc.collect()
        machine.peak = 0
        assert sampler.set_params(memory_limit=limit).fit_resample(X, y)[0].tobytes() == expected
        assert machine.peak <= limit
        assert sampler.device_ == "cuda:0"
        blocks.append(any("no room for all rows" in note for note in sampler.report_.notes))
    assert blocks[0]
    assert not blocks[-1]


def test_a_class_larger_than_the_device(cuda):
    """The stand-in's device ends where its memory does, and no limit is given."""
    X, y = data(3_000, 200, "f4", 0.4)
    expected = SMOTE(random_state=0, device="cpu").fit_resample(X, y)[0].tobytes()
    own = 1_200 * 200 * 4
    machine = cuda(memory=own, faiss=True)
    sampler = SMOTE(random_state=0, device="cuda")
    assert sampler.fit_resample(X, y)[0].tobytes() == expected
    assert 0 < machine.peak < own
    assert sampler.device_ == "cuda:0"
    (note,) = [note for note in sampler.report_.notes if "no room for all rows" in note]
    assert "cuda:0" in note


def test_x_on_a_device_that_has_no_room_for_a_copy(cuda):
    X, y = data(4_000, 40, "f8", 0.45)
    expected = SMOTE(random_state=0, device="cpu").fit_resample(X, y)[0].tobytes()
    cuda(faiss=True)
    import cupy

    there = cupy.asarray(X)
    sampler = SMOTE(random_state=0, device="cuda", memory_limit=X.nbytes + 1_000_000)
    assert sampler.fit_resample(there, y)[0].get().tobytes() == expected
    assert any("no room for all rows" in note for note in sampler.report_.notes)


def test_cupys_pool_is_left_as_it_was(cuda):
    machine = cuda()
    machine.limit = 1 << 30
    SMOTE(random_state=0, device="cuda", memory_limit="200MB").fit_resample(*data(900, 5, "f8", 0.3))
    assert machine.limit == 1 << 30


def test_two_kinds_of_memory_have_limits_of_their_own(cuda):
    cuda()
    X, y = data(900, 5, "f8", 0.3)
    with pytest.raises(MemoryLimitError, match=r"memory_limit allows 50,000 bytes on the host"):
        SMOTE(device="cuda", memory_limit={"cpu": 50_000}).fit_resample(X, y)
    with pytest.raises(MemoryLimitError, match=r"memory_limit allows 50,000 bytes on the device"):
        SMOTE(device="cuda", memory_limit={"cuda": 50_000}).fit_resample(X, y)
    SMOTE(device="cuda", memory_limit={"cpu": 0.5, "cuda": "1 GiB"}).fit_resample(X, y)


def test_where_the_limit_comes_from(monkeypatch):
    X, y = data(900, 5, "f8", 0.3)
    monkeypatch.setattr(memory, "available", lambda: 1_000_000)
    for limit, allowed in (
        (None, "950,000 bytes are free"),
        (0.5, "memory_limit allows 500,000"),
        ("8GB", "1,000,000 bytes are free"),
    ):
        with pytest.raises(MemoryLimitError, match=allowed):
            SMOTE(memory_limit=limit, sampling_strategy={1: 40_000}).fit_resample(X, y)
    monkeypatch.setattr(memory, "available", lambda: None)
    with gpusmote.config_context(memory_limit="900kB"), pytest.raises(MemoryLimitError, match="allows 900,000"):
        SMOTE(sampling_strategy={1: 40_000}).fit_resample(X, y)
    with gpusmote.config_context(memory_limit="900kB"):
        assert len(SMOTE(memory_limit="90MB").fit_resample(X, y)[0]) == 1260


def test_what_would_fit_fits():
    X, y = data(900, 5, "f8", 0.3)
    with pytest.raises(MemoryLimitError, match="synthetic rows would fit") as caught:
        SMOTE(memory_limit="40MB", sampling_strategy={1: 10**9}).fit_resample(X, y)
    fit = int(caught.value.hint.split("(")[1].split()[0].replace(",", ""))
    assert fit > 100_000
    made = SMOTE(memory_limit="40MB", sampling_strategy={1: 270 + fit - 1}).fit_resample(X, y)[0]
    assert len(made) == 900 + fit - 1


def test_a_plan_needs_no_room_for_the_result():
    X, y = data(900, 5, "f8", 0.3)
    sampler = SMOTE(random_state=0, memory_limit="40MB", sampling_strategy={1: 10**9})
    assert sampler.plan(X, y).rows(10**8, 10**8 + 3).shape == (3, 5)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "many", "8XB", True, {"gpu": 1}, {"cpu": 0}, float("nan")])
def test_limits_that_are_none(limit):
    X, y = data(90, 5, "f8", 0.3)
    with pytest.raises(ParameterError, match="memory_limit"):
        SMOTE(memory_limit=limit).fit_resample(X, y)
    with pytest.raises(ParameterError, match="memory_limit"):
        gpusmote.set_config(memory_limit=limit)


def test_an_estimate_knows_strategies_labels_and_dtypes():
    y = np.repeat(["a", "b", "c"], [500, 300, 200])
    for labels in (y, {"a": 500, "b": 300, "c": 200}):
        estimate = SMOTE(device="cpu", sampling_strategy={"b": 400}).estimate(1000, 7, "i2", y=labels)
        assert estimate.host.output == 1100 * 7 * 2
        assert estimate.device is None
    assert SMOTE(sampling_strategy="minority").estimate(1000, 7, y=y).host.output == 1300 * 7 * 8
    with pytest.raises(ParameterError, match=r"y has 1,000 rows in its classes, X has 999"):
        SMOTE().estimate(999, 7, y={"a": 500, "b": 500})


def test_an_estimate_of_a_device(cuda):
    cuda(memory=1 << 28)
    estimate = SMOTE(device="cuda").estimate(2_000_000, 64, "f4", y={0: 10**6, 1: 10**6 - 5, 2: 5})
    assert estimate.where == "cuda:0"
    assert estimate.cut.pool_rows is not None
    assert estimate.device.most <= 0.9 * (1 << 28)
    assert estimate.host.output == 3 * 10**6 * 64 * 4


def test_a_plans_rows_keep_within_the_limit(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    X, y = data(900, 5, "f8", 0.3)
    plan = SMOTE(random_state=0, device="cpu", sampling_strategy={1: 10**6}).plan(X, y)
    expected = plan.rows(0, 60_000)
    plan.memory_limit = 10_000_000
    rows, peak = peak_of(lambda: plan.rows(0, 60_000))
    assert peak + plan.report.bytes["plan"] <= plan.memory_limit
    np.testing.assert_array_equal(rows, expected)
    with pytest.raises(
        MemoryLimitError, match=r"memory_limit allows [\d,]+ bytes beside the [\d,]+ of the plan"
    ) as told:
        plan.rows()
    fit = int(told.value.hint.split("(")[1].split()[0].replace(",", ""))
    assert len(plan.rows(0, fit)) == fit > 60_000
    with pytest.raises(MemoryLimitError, match=r"would have 1,000,630 rows x 5 columns"):
        plan.resample()


def test_a_plan_from_a_file_keeps_within_the_limit(tmp_path):
    X, y = data(900, 5, "f8", 0.3)
    plan = SMOTE(random_state=0, device="cpu", sampling_strategy={1: 10**6}).plan(X, y)
    expected = plan.rows(0, 60_000)
    plan.save(tmp_path / "a.plan")
    with gpusmote.config_context(memory_limit="10MB"):
        again = gpusmote.Plan.load(tmp_path / "a.plan", X, device="cpu")
        rows, peak = peak_of(lambda: again.rows(0, 60_000))
        assert peak < 10_000_000
        np.testing.assert_array_equal(rows, expected)
        with pytest.raises(MemoryLimitError, match="synthetic rows would fit"):
            again.rows()
    with gpusmote.config_context(memory_limit=20_000), pytest.raises(MemoryLimitError, match="is the least that works"):
        gpusmote.Plan.load(tmp_path / "a.plan", X, device="cpu")


@pytest.mark.parametrize("function", ["SMOTE", "BLSMOTE"])
def test_r_keeps_within_the_limit(monkeypatch, function):
    pytest.importorskip("pandas")
    from gpusmote import r

    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    X, y = mixed(6_000, 12, "f8", 0.3)
    run = getattr(r, function)
    expected = run(X, y, dup_size=2, random_state=0).syn_data
    with gpusmote.config_context(memory_limit=1), pytest.raises(MemoryLimitError) as told:
        run(X, y)
    limit = 2 * int(told.value.hint.split("memory_limit=")[1].split()[0]) + 16 * 12 * (6_000 + 3_600)
    with gpusmote.config_context(memory_limit=limit):
        result, peak = peak_of(lambda: run(X, y, dup_size=2, random_state=0))
    assert peak < limit
    assert result.syn_data.equals(expected)
    with gpusmote.config_context(memory_limit=limit), pytest.raises(MemoryLimitError, match="Or ask for fewer rows"):
        run(X, y, dup_size=1_000)


def test_what_takes_the_most_is_told_first():
    y = {0: 900_000, 1: 100_000}
    with pytest.raises(
        MemoryLimitError, match=r"To make it takes at least [\d,]+ bytes, .* \(the result 57,600,000"
    ) as told:
        SMOTE(memory_limit="1MB", device="cpu").estimate(1_000_000, 4, y=y)
    assert "memory_limit=" in told.value.hint
    assert "synthetic rows would fit" not in told.value.hint  # the originals alone are too many
    assert "plan.batches(size)" in told.value.hint


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
