"""No measured peak lies above its estimate: on the host, on the stand-in for a device, in every kind of container."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.base import clone

import gpusmote
from gpusmote import ADASYN, SMOTE, BorderlineSMOTE
from gpusmote.containers import wrap_features, wrap_target
from gpusmote.errors import GpusmoteWarning
from tests.backends.peaks import counts, mixed, peak_of
from tests.standin.install import cuda

__all__ = ["cuda"]

ONE, TWO = BorderlineSMOTE(kind="borderline-1"), BorderlineSMOTE(kind="borderline-2")
SIZES = [
    # each source of candidates, and rows in the making
    (SMOTE(), 100_000, 32, "f4", 0.1),
    (SMOTE(), 10_000, 8, "f8", 0.45),
    (SMOTE(), 60_000, 4, "f8", 0.3),
    (SMOTE(), 3_000, 4, "f4", 0.1),
    (SMOTE(), 40_000, 1, "f4", 0.45),
    (SMOTE(), 20_000, 100, "f4", 0.2),
    (SMOTE(), 400, 8_000, "f4", 0.4),
    (ONE, 40_000, 32, "f4", 0.075),
    (ONE, 40_000, 4, "f4", 0.075),
    (ONE, 3_000, 64, "f8", 0.1),
    (TWO, 40_000, 32, "f8", 0.075),
    (TWO, 10_000, 4, "f8", 0.45),
    (ADASYN(), 40_000, 4, "f4", 0.3),
    (ADASYN(n_neighbors=1), 20_000, 1, "f4", 0.3),
]


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize(("sampler", "n", "d", "dtype", "share"), SIZES, ids=str)
def test_no_peak_is_above_the_estimate(monkeypatch, sampler, n, d, dtype, share, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    X, y = mixed(n, d, dtype, share)
    sampler = clone(sampler).set_params(random_state=0, device="cpu")
    estimate = sampler.estimate(n, d, dtype, y=counts(y))
    sampler.fit_resample(*mixed(500, min(d, 9), dtype, 0.2))  # imports are no part of it
    _, peak = peak_of(lambda: sampler.fit_resample(X, y))
    assert peak <= estimate.total == sampler.report_.bytes["total"]
    plan, peak = peak_of(lambda: sampler.plan(X, y))
    assert peak <= sampler.report_.bytes["total"]
    assert plan.report.bytes["plan"] <= estimate.plan


def awkward(X, y, kind):
    """Rows that make searches hard: equal ones, equal distances, clusters, a class far from all others."""
    rng = np.random.default_rng(1)
    if kind == "ties":
        return np.round(X)
    if kind == "clusters":
        return X + np.float32(3e4) * (np.arange(len(X)) % 2 == 0)[:, None].astype("f4")
    if kind == "binary":
        return (X > 0).astype("f4")
    if kind == "copies":
        return X[rng.integers(0, len(X) // 4, len(X))]
    if kind == "equal":
        return np.ones_like(X)
    if kind == "plane":
        return (rng.standard_normal((len(X), 3)) @ rng.standard_normal((3, X.shape[1]))).astype("f4")
    return X + 100 * y[:, None].astype("f4")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ties", "clusters", "binary", "copies", "equal", "apart", "plane"])
@pytest.mark.parametrize("sampler", [SMOTE(), ONE, TWO, ADASYN()], ids=["SMOTE", "one", "two", "ADASYN"])
def test_no_peak_of_awkward_rows_is_above_the_estimate(monkeypatch, sampler, kind):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    n, d = (17_000, 16) if kind == "plane" else (2_000, 8)  # a plane is searched by balls of rows
    X, y = mixed(n, d, "f4", 0.4)
    X = awkward(X, y, kind)
    sampler = clone(sampler).set_params(random_state=0, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GpusmoteWarning)
        least = sampler._sizes(wrap_features(X), wrap_target(y, n), {1: n // 5}).least
        for limit in (None,) if kind == "plane" else (None, least + 60_000_000, least + 1_000_000):
            sampler.set_params(memory_limit=limit)
            _, peak = peak_of(lambda: sampler.plan(X, y))
            assert peak <= sampler.report_.bytes["total"]
            assert limit is None or sampler.report_.bytes["total"] <= limit


@pytest.mark.parametrize(
    "kind", ["list", "integers", "objects", "pandas", "pandas of two dtypes", "polars", "pyarrow", "by columns", "csr"]
)
@pytest.mark.parametrize(("n", "d"), [(20_000, 32), (40_000, 8)])
def test_no_peak_of_a_container_is_above_the_estimate(kind, n, d):
    X, y = mixed(n, d, "f8", 0.1)
    if kind == "list":
        X = X.tolist()
    elif kind == "integers":
        X = (100 * X).astype("i4")
    elif kind == "objects":
        X = X.astype(object)
    elif kind == "by columns":
        X = np.asfortranarray(X)
    elif kind == "csr":
        X = pytest.importorskip("scipy.sparse").csr_array(X * (X > 1))
    elif kind == "polars":
        X = pytest.importorskip("polars").DataFrame(X)
    elif kind == "pyarrow":
        X = pytest.importorskip("pyarrow").table({str(i): column for i, column in enumerate(X.T)})
    else:
        X = pytest.importorskip("pandas").DataFrame(X)
        X[0] = X[0] if kind == "pandas" else (10 * X[0]).astype("i4")
    sampler = SMOTE(random_state=0, device="cpu")
    sampler.fit_resample(X[:100], np.arange(100) % 5 == 0)  # imports are no part of it
    _, peak = peak_of(lambda: sampler.fit_resample(X, y))
    assert peak <= sampler.report_.bytes["total"]


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


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel of Linux says how large a process was")
def test_the_process_grows_by_no_more_than_estimated():
    done = subprocess.run([sys.executable, "-c", IN_A_PROCESS], capture_output=True, text=True, check=True)
    grown, estimated = json.loads(done.stdout)
    assert grown <= estimated


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:CuPy searches for neighbors")
@pytest.mark.parametrize("kind", ["even", "ties", "clusters", "equal"])
@pytest.mark.parametrize("faiss", [True, False], ids=["faiss", "tiles"])
@pytest.mark.parametrize("sampler", [SMOTE(), TWO, ADASYN()], ids=["SMOTE", "two", "ADASYN"])
def test_no_peak_of_a_device_is_above_the_estimate(cuda, sampler, faiss, kind):
    """What FAISS takes for itself is in the estimate, but the stand-in does not count it."""
    machine = cuda(faiss=faiss)
    n, d = 6_000, 16
    X, y = mixed(n, d, "f4", 0.2)
    X = X if kind == "even" else awkward(X, y, kind)
    sampler = clone(sampler).set_params(random_state=0, device="cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GpusmoteWarning)
        sampler.fit_resample(X, y)
    found = sampler.report_.bytes
    assert sampler.device_ == "cuda:0"
    assert machine.peak <= found["total"] - (found["working"] - sampler.estimate(n, d, "f4", y=counts(y)).memory.bytes)


def test_an_estimate_is_the_sum_of_its_parts():
    for where, y in (("cpu", {0: 900, 1: 100}), ("cpu", {0: 90_000, 1: 100, 2: 3_000})):
        found = SMOTE(device=where).estimate(sum(y.values()), 7, y=y)
        assert found.total == found.host == found.output + found.plan + found.pool + found.working
        assert gpusmote.SMOTE().estimate(sum(y.values()), 7, y=y, device="cpu") == found
