"""Samplers on wide sparse matrices, whose rows stay sparse, make the rows that they make of the dense matrix."""

from __future__ import annotations

import contextlib
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.neighbors import NearestNeighbors

from gpusmote import ADASYN, SMOTE, BorderlineSMOTE, Plan, config_context
from gpusmote.containers import wrap_features
from gpusmote.errors import MemoryLimitError, TooFewRowsError
from tests.backends.peaks import peak_of
from tests.standin.install import cuda

__all__ = ["cuda"]

SAMPLERS = [SMOTE(), BorderlineSMOTE(), BorderlineSMOTE(kind="borderline-2"), ADASYN()]
FORMATS = [sp.csr_matrix, sp.csr_array, sp.csc_matrix, sp.csc_array, sp.coo_matrix, sp.coo_array]
ids = pytest.mark.parametrize("sampler", SAMPLERS, ids=["SMOTE", "borderline-1", "borderline-2", "ADASYN"])


def data(dtype="f8", n=160, d=300, seed=0):
    """Two classes that overlap, with at most 10 % of entries."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * 3 * (rng.random((n, d)) < 0.05)
    y = (np.arange(n) % 4 == 0).astype(int)
    X[y == 1, :3] += 0.5
    return (X != 0 if dtype == "?" else X.astype(dtype) + X.dtype.type(0).astype(dtype)), y  # without -0.0


def assert_same(found, expected):
    found = found.toarray() if sp.issparse(found) else np.asarray(found)
    assert found.dtype == expected.dtype
    assert found.tobytes() == (expected + 0).tobytes()  # toarray has no -0.0


@ids
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "?"])
def test_rows_are_those_of_the_dense_matrix(sampler, kind, dtype):
    X, y = data(dtype)
    sampler = clone(sampler).set_params(random_state=3)
    expected, expected_y = sampler.fit_resample(X, y)
    origins = sampler.sample_origins_
    matrix = kind(X)
    assert wrap_features(matrix).sparse
    found, found_y = sampler.fit_resample(matrix, y)
    assert type(found) is (kind if "coo" not in kind.__name__ else getattr(sp, kind.__name__.replace("coo", "csr")))
    if dtype == "?":
        assert np.array_equal(found.toarray(), expected)
    else:
        assert_same(found, expected)
    assert np.array_equal(found_y, expected_y)
    assert np.array_equal(sampler.sample_origins_, origins)


@ids
@pytest.mark.parametrize("bits", ["philox", "mt19937"])
def test_slices_batches_files_and_pickles(sampler, bits, tmp_path):
    X, y = data("f4")
    matrix = sp.csr_array(X)
    sampler = clone(sampler).set_params(random_state=1, bit_generator=bits)
    dense, plan = sampler.plan(X, y), sampler.plan(matrix, y)
    plan.save(tmp_path / "plan")
    loaded = Plan.load(tmp_path / "plan", matrix)
    dense.save(tmp_path / "dense")
    plans = [plan, loaded, pickle.loads(pickle.dumps(plan)), Plan.load(tmp_path / "dense", matrix)]
    for one in [*plans, Plan.load(tmp_path / "plan", X)]:
        assert_same(one.rows(), dense.rows())
        for start, stop in ((0, 0), (5, 9), (17, len(plan))):
            assert_same(one.rows(start, stop), dense.rows(start, stop))
        assert np.array_equal(one.origin(), dense.origin())
        assert_same(one.resample()[0], dense.resample()[0])
        for shuffle in (True, False):
            batches = one.batches(37, shuffle=shuffle, random_state=0)
            for (a, ay), (b, by) in zip(batches, dense.batches(37, shuffle=shuffle, random_state=0), strict=True):
                assert_same(a, b)
                assert np.array_equal(ay, by)


def test_an_approximate_search_is_exact():
    X, y = data()
    sampler = SMOTE(random_state=0, search="approximate")
    assert_same(sampler.fit_resample(sp.csr_array(X), y)[0], SMOTE(random_state=0).fit_resample(X, y)[0])
    assert sampler.report_.search.approximate == 0
    assert any("exact" in note for note in sampler.report_.notes)


def test_an_estimator_of_neighbors():
    X, y = data()
    sampler = SMOTE(k_neighbors=NearestNeighbors(n_neighbors=4, algorithm="brute"), random_state=0)
    expected = sampler.fit_resample(X, y)[0]
    assert_same(sampler.fit_resample(sp.csr_array(X), y)[0], expected)


def test_k_too_large():
    X, y = data()
    matrix = sp.csr_array(X)
    with pytest.raises(TooFewRowsError):
        SMOTE(k_neighbors=40).fit_resample(matrix, y)
    sampler = SMOTE(k_neighbors=40, shrink_k=True, random_state=0)
    assert_same(sampler.fit_resample(matrix, y)[0], sampler.fit_resample(X, y)[0])


def test_sparse_columns_of_pandas():
    pd = pytest.importorskip("pandas")
    X, y = data()
    frame = pd.DataFrame.sparse.from_spmatrix(sp.csr_array(X))
    found = SMOTE(random_state=0).fit_resample(frame, y)[0]
    assert (found.dtypes == frame.dtypes).all()
    assert np.array_equal(found.to_numpy(), SMOTE(random_state=0).fit_resample(X, y)[0])


@ids
def test_the_work_is_done_on_the_cpu(cuda, sampler):
    cuda()
    X, y = data()
    sampler = clone(sampler).set_params(random_state=0, device="cuda")
    found = sampler.fit_resample(sp.csr_array(X), y)[0]
    assert sampler.device_ == sampler.report_.device == "cpu"
    assert "sparse" in sampler.report_.reason
    assert_same(found, clone(sampler).set_params(device="cpu").fit_resample(X, y)[0])


def by_width(widths, d=100_000):
    """A row with so many entries for each width."""
    rng = np.random.default_rng(0)
    indices = np.concatenate([np.sort(rng.choice(d, width, replace=False)) for width in widths])
    indptr = np.concatenate([[0], np.cumsum(widths)])
    return sp.csr_array((rng.standard_normal(len(indices)), indices, indptr), shape=(len(widths), d))


N, FEW = 6_000, 600
Y = (np.arange(N) < FEW).astype(int)
WIDTHS = {
    "even": np.full(N, 40),
    "a few wide rows": np.where(np.isin(np.arange(N), [3, 700, 5000]), 5_000, 40),
    "wide rows in the class": np.where(np.arange(N) < 20, 5_000, 40),
    "a wide class": np.where(np.arange(N) < FEW, 1_000, 40),
    "one row with all columns": np.where(np.arange(N) == 5, 100_000, 40),
    "a wide other class": np.where(np.arange(N) < FEW, 10, 300),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*finds no seed")
@pytest.mark.parametrize("sampler", [SMOTE(), BorderlineSMOTE(kind="borderline-2"), ADASYN()], ids=["S", "B", "A"])
@pytest.mark.parametrize("kind", WIDTHS)
def test_no_peak_is_above_the_estimate(sampler, kind):
    X = by_width(WIDTHS[kind])
    sampler = clone(sampler).set_params(random_state=0)
    sampler.fit_resample(X[:700], Y[:700] * (np.arange(700) % 3 == 0))  # imports are not part of it
    _, peak = peak_of(lambda: sampler.fit_resample(X, Y))
    total = sampler.report_.bytes["total"]
    assert peak <= total
    if kind == "even":
        assert peak < 200e6
    for limit in (total // 4, total // 2):
        sampler.set_params(memory_limit=limit)

        def call():
            with contextlib.suppress(MemoryLimitError):
                sampler.fit_resample(X, Y)

        _, peak = peak_of(call)
        assert peak <= limit


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*finds no seed")
@pytest.mark.parametrize("sampler", [SMOTE(), ADASYN()], ids=["SMOTE", "ADASYN"])
@pytest.mark.parametrize("kind", ["binary", "equal", "empty", "offset"])
def test_no_peak_of_ties_is_above_the_limit(sampler, kind):
    """If all rows may be neighbors, all of them are compared exactly."""
    n, d = 2_000, 1_000
    X = sp.random_array((n, d), density=0.02, format="csr", random_state=0)
    if kind == "binary":
        X.data[:] = 1
    elif kind == "offset":
        X = X.tolil()
        X[:, 3] = 1e8 + np.random.default_rng(0).standard_normal((n, 1))
        X = X.tocsr()
    else:
        X = X[np.zeros(n, int)] if kind == "equal" else sp.csr_array((n, d))
    y = (np.arange(n) < 400).astype(int)
    sampler = clone(sampler).set_params(random_state=0)
    sampler.fit_resample(X[:700], y[:700] * (np.arange(700) % 3 == 0))  # imports are not part of it
    for limit in (None, 50_000_000, 15_000_000):
        sampler.set_params(memory_limit=limit)
        _, peak = peak_of(lambda: sampler.fit_resample(X, y))
        assert peak <= sampler.report_.bytes["total"]
        assert limit is None or sampler.report_.bytes["total"] <= limit


def test_duplicate_entries_add_up_as_in_a_dense_matrix():
    """In X's dtype, so bool values stay bool, and small integers may wrap around."""
    X, y = data("i1")
    X = np.where(X, 100, 0).astype("i1")
    once = sp.csr_array(X)
    for dtype in ("i1", "?", "f4"):
        parts = np.repeat(once.data, 2).astype(dtype), np.repeat(once.indices, 2), 2 * once.indptr
        twice = sp.csr_array(parts, shape=X.shape)
        expected = SMOTE(random_state=0).fit_resample(twice.toarray(), y)[0]
        assert np.array_equal(SMOTE(random_state=0).fit_resample(twice, y)[0].toarray(), expected)


def test_a_loaded_plan_needs_memory_for_its_entries_only(tmp_path):
    X = by_width(np.full(500, 40))
    y = np.arange(500) % 5 == 0
    plan = SMOTE(random_state=0).plan(X, y)
    plan.save(tmp_path / "plan")
    plan.memory_limit = 20_000_000  # a dense row has 0.8 MB
    rows = plan.rows()
    with config_context(memory_limit=20_000_000):
        found = Plan.load(tmp_path / "plan", X).rows()
    assert (rows != found).nnz == 0
    assert rows.nnz < 40 * 2 * len(plan)
