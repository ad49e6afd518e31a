"""Memory as a promise: limits that hold, errors that say what would do, and the same rows for every limit."""

from __future__ import annotations

import gc
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpusmote
from gpusmote import ADASYN, SMOTE, BorderlineSMOTE
from gpusmote.backends import memory
from gpusmote.backends.budget import Limit, Sizes, arrange
from gpusmote.backends.cpu import WorkingMemory
from gpusmote.errors import MemoryLimitError, ParameterError
from tests.backends.peaks import data, mixed, peak_of
from tests.standin.install import cuda

__all__ = ["cuda"]


def limits(least):
    """From the least that works to plenty."""
    return [least, int(1.5 * least), 4 * least, 20 * least]


def least_of(sampler, X, y):
    """The least limit that works, as the error says it."""
    with pytest.raises(
        MemoryLimitError, match=r"needs at least [\d,]+ bytes \(.*; memory_limit allows 1 byte "
    ) as caught:
        sampler.set_params(memory_limit=1).plan(X, y)
    return int(caught.value.hint.split("memory_limit=")[1].split()[0])


SAMPLERS = [SMOTE(random_state=3), BorderlineSMOTE(random_state=3, kind="borderline-2"), ADASYN(random_state=3)]


@pytest.mark.slow
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


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    n=st.integers(20, 3_000_000),
    d=st.integers(1, 500),
    share=st.floats(0.01, 0.45),
    new=st.floats(0.01, 3),
    all_rows=st.booleans(),
    where=st.sampled_from(["cpu", "cuda:0"]),
    output=st.booleans(),
    limit=st.integers(1, 10**11),
)
def test_what_is_arranged_is_within_the_limit(n, d, share, new, all_rows, where, output, limit):
    """And what is refused is told a limit that works, and no smaller one does."""
    rows = max(7, int(n * share))
    sizes = Sizes(n, d, 4, ((rows, int(rows * new)),), lambda m: (n + m) * d * 4, 5, all_rows)

    def arranged(limit):
        limits = {"cpu": Limit("cpu", limit, True), "cuda": Limit("cuda", limit, True)}
        return arrange(sizes, where, "cpu", limits, output=output)

    try:
        found = arranged(limit)
    except MemoryLimitError as error:
        if where == "cpu":
            least = int(re.search(r"memory_limit=(\d+) is the least", error.hint)[1])
            assert least > limit
            assert arranged(least).total <= least
            with pytest.raises(MemoryLimitError):
                arranged(least - 1)
    else:
        assert 0 < found.total <= limit
        assert found.host <= limit
        assert found.memory.bytes > 0


def test_blocks_are_cut_to_the_working_memory():
    usual = WorkingMemory.usual()
    assert WorkingMemory(10 * usual).size(1000) == 1000
    assert WorkingMemory(usual // 4).size(1000) == 250
    assert WorkingMemory(usual).quarter() == WorkingMemory(usual // 4, 0)


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
    least = least_of(sampler, X, y) + (8 * 5 + 48) * 900 * 2
    assert sampler.set_params(memory_limit=int(share * least)).fit_resample(X, y)[0].tobytes() == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:CuPy searches for neighbors")
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
        blocks.append(any("searched in blocks" in note for note in sampler.report_.notes))
    assert blocks[0]
    assert not blocks[-1]


@pytest.mark.slow
def test_a_class_larger_than_the_device(cuda):
    """The stand-in's device ends where its memory does, and no limit is given."""
    X, y = data(9_000, 400, "f4", 0.4)
    expected = SMOTE(random_state=0, device="cpu").fit_resample(X, y)[0].tobytes()
    own = 3_600 * 400 * 4
    machine = cuda(memory=own, faiss=True)
    sampler = SMOTE(random_state=0, device="cuda")
    assert sampler.fit_resample(X, y)[0].tobytes() == expected
    assert 0 < machine.peak < own
    assert sampler.device_ == "cuda:0"
    (note,) = [note for note in sampler.report_.notes if "searched in blocks" in note]
    assert "cuda:0" in note


def test_x_on_a_device_that_has_no_room_for_a_copy(cuda):
    X, y = data(4_000, 40, "f8", 0.45)
    expected = SMOTE(random_state=0, device="cpu").fit_resample(X, y)[0].tobytes()
    cuda(faiss=True)
    import cupy

    there = cupy.asarray(X)
    sampler = SMOTE(random_state=0, device="cuda", memory_limit={"cuda": X.nbytes + 2_100_000})
    assert sampler.fit_resample(there, y)[0].get().tobytes() == expected
    assert any("searched in blocks" in note for note in sampler.report_.notes)


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
        assert estimate.output == 1100 * 7 * 2 + 1100 * 48  # rows and labels
        assert estimate.where == "cpu"
    assert SMOTE(sampling_strategy="minority").estimate(1000, 7, y=y).output == 1300 * (7 * 8 + 48)
    with pytest.raises(ParameterError, match=r"The classes of y have 1,000 rows, X has 999"):
        SMOTE().estimate(999, 7, y={"a": 500, "b": 500})


def test_an_estimate_of_a_device(cuda):
    cuda(memory=1 << 28)
    estimate = SMOTE(device="cuda").estimate(2_000_000, 64, "f4", y={0: 10**6, 1: 10**6 - 5, 2: 5})
    assert estimate.where == "cuda:0"
    assert estimate.memory.pool_rows is not None
    assert estimate.total <= 0.9 * (1 << 28)
    assert estimate.output == 3 * 10**6 * (64 * 4 + 48)


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
        MemoryLimitError, match=r"memory_limit allows [\d,]+ bytes besides the [\d,]+ bytes of the plan"
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


@pytest.mark.parametrize("function", ["SMOTE", "BLSMOTE", "ADAS"])
def test_r_keeps_within_the_limit(monkeypatch, function):
    pytest.importorskip("pandas")
    from gpusmote import r

    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    X, y = mixed(6_000, 12, "f8", 0.3)
    run, size = getattr(r, function), {} if function == "ADAS" else {"dup_size": 2}
    expected = run(X, y, random_state=0, **size).syn_data
    with gpusmote.config_context(memory_limit=1), pytest.raises(MemoryLimitError) as told:
        run(X, y)
    limit = 2 * int(told.value.hint.split("memory_limit=")[1].split()[0]) + 16 * 12 * (6_000 + 3_600)
    with gpusmote.config_context(memory_limit=limit):
        result, peak = peak_of(lambda: run(X, y, random_state=0, **size))
    assert peak < limit
    assert result.syn_data.equals(expected)
    if size:
        with gpusmote.config_context(memory_limit=limit), pytest.raises(MemoryLimitError, match="Or ask for fewer"):
            run(X, y, dup_size=1_000)


def test_what_takes_the_most_is_told_first():
    y = {0: 900_000, 1: 100_000}
    with pytest.raises(
        MemoryLimitError, match=r"Making it needs at least [\d,]+ bytes \(the result 144,000,000"
    ) as told:
        SMOTE(memory_limit="1MB", device="cpu").estimate(1_000_000, 4, y=y)
    assert "memory_limit=" in told.value.hint
    assert "synthetic rows would fit" not in told.value.hint  # the originals alone are too many
    assert "plan.batches(size)" in told.value.hint


@pytest.mark.parametrize("how", ["plan", "fit_resample"])
def test_the_least_limit_that_is_named_works(how):
    """Where the result decides, too, beside which the plan is held to the byte."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20_000, 32)).astype("f4"), (rng.random(20_000) < 0.3).astype(int)
    sampler = SMOTE(random_state=0, device="cpu", memory_limit=1)
    with pytest.raises(MemoryLimitError) as refused:
        getattr(sampler, how)(X, y)
    least = int(re.search(r"memory_limit=(\d+) is the least", refused.value.hint)[1])
    getattr(sampler.set_params(memory_limit=least), how)(X, y)
    with pytest.raises(MemoryLimitError):
        getattr(sampler.set_params(memory_limit=least - 1), how)(X, y)
