"""Pickled plans give the same rows, labels, origins and batches, in containers of the same kinds."""

from __future__ import annotations

import concurrent.futures
import importlib
import multiprocessing
import os
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from gpusmote import ADASYN, SMOTE, BorderlineSMOTE, Plan
from gpusmote.backends.cpu import WorkingMemory
from gpusmote.backends.hosted import HostedBackend
from tests.standin.install import cuda  # noqa: F401 (a fixture)


def library(name):
    return pytest.importorskip(name, reason=f"{name} is not installed")


def columns(X):
    return {f"c{j}": X[:, j] for j in range(X.shape[1])}


def mixed_frame(X):
    pd = library("pandas")
    frame = pd.DataFrame(columns(X), index=np.arange(len(X)) * 3)
    return frame.assign(c0=X[:, 0].astype(np.int8), c1=pd.array(X[:, 1], "Float64"), c2=X[:, 2].astype(object))


def sparse_frame(X):
    pd = library("pandas")
    return pd.DataFrame(columns(X)).astype(pd.SparseDtype(np.float64, 0))


def frame_with_attrs(X):
    frame = library("pandas").DataFrame(columns(X), index=[f"row {i}" for i in range(len(X))])
    frame.attrs["source"] = "measured"
    return frame


FEATURES = {
    "float64": np.array,
    "float32": lambda X: X.astype(np.float32),
    "column-major": np.asfortranarray,
    "a strided view": lambda X: np.repeat(X, 2, axis=0)[::2],
    "the other byte order": lambda X: X.astype(np.dtype(np.float64).newbyteorder()),
    "int16": lambda X: (X * 100).astype(np.int16),
    "objects": lambda X: X.astype(object),
    "list": np.ndarray.tolist,
    "csr_matrix": sp.csr_matrix,
    "csc_array": sp.csc_array,
    "coo_array": sp.coo_array,
    "pandas": frame_with_attrs,
    "pandas, mixed": mixed_frame,
    "pandas, sparse": sparse_frame,
    "pandas, sparse and dense": lambda X: sparse_frame(X).assign(c0=X[:, 0]),
    "polars": lambda X: library("polars").DataFrame(columns(X)),
    "pyarrow": lambda X: library("pyarrow").table(columns(X)).replace_schema_metadata({"source": "measured"}),
    "torch": lambda X: library("torch").tensor(X, requires_grad=True) * 2,
}
LABELS = {
    "int64": np.array,
    "float32": lambda y: y.astype(np.float32),
    "the other byte order": lambda y: y.astype(np.dtype(np.int32).newbyteorder()),
    "text, the other byte order": lambda y: np.array(["no", "yes"], np.dtype("U3").newbyteorder())[y],
    "text": lambda y: np.array(["no", "yes"])[y],
    "StringDType": lambda y: np.array(["no", "yes"])[y].astype(np.dtypes.StringDType()),
    "objects": lambda y: np.array(["no", "yes"], object)[y],
    "dates": lambda y: np.array(["2020-01-01", "2021-01-01"], "M8[D]")[y],
    "list": np.ndarray.tolist,
    "one column": lambda y: y[:, None],
    "indicators": lambda y: np.eye(2, dtype=np.int8)[y],
    "sparse indicators": lambda y: sp.csc_array(np.eye(2)[y]),
    "pandas": lambda y: library("pandas").Series(y, name="kind", index=np.arange(len(y)) * 2),
    "pandas, categories": lambda y: library("pandas").Series(np.array(["no", "yes"])[y], dtype="category"),
    "pandas, one column": lambda y: library("pandas").DataFrame({"kind": y}),
    "polars": lambda y: library("polars").Series("kind", y),
    "polars, one column": lambda y: library("polars").DataFrame({"kind": y}),
    "pyarrow": lambda y: library("pyarrow").array(y),
    "pyarrow, dictionary": lambda y: library("pyarrow").array(np.array(["no", "yes"])[y]).dictionary_encode(),
    "pyarrow, chunks": lambda y: library("pyarrow").chunked_array([y[:7], y[7:]]),
    "pyarrow, one column": lambda y: library("pyarrow").table({"kind": y}),
    "torch": lambda y: library("torch").tensor(y),
    "torch, with a gradient": lambda y: library("torch").tensor(y * 1.0, requires_grad=True) * 1,
}


def assert_same(found, expected):
    """Type, dtypes, values and metadata are the same."""
    assert type(found) is type(expected)
    kind = type(expected).__module__.partition(".")[0]
    if isinstance(expected, (tuple, list)) and len(expected) and not isinstance(expected[0], (int, float, str)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif kind == "numpy":
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
    elif kind == "scipy":
        assert found.format == expected.format
        assert_same((found.data, found.indices, found.indptr), (expected.data, expected.indices, expected.indptr))
    elif kind == "pandas":
        testing = library("pandas").testing
        same = testing.assert_frame_equal if expected.ndim == 2 else testing.assert_series_equal
        same(found, expected, check_exact=True)
        assert found.attrs == expected.attrs
    elif kind in ("polars", "pyarrow"):
        assert found.equals(expected)
        schema = "schema" if hasattr(expected, "schema") else "dtype" if kind == "polars" else "type"
        assert getattr(found, schema) == getattr(expected, schema)
    elif kind == "torch":
        assert found.dtype == expected.dtype
        assert found.equal(expected)
    elif kind in ("cupy", "tests"):  # or the stand-in's
        assert found.device.id == expected.device.id
        with expected.device:
            assert_same(found.get(), expected.get())
    else:
        assert found == expected


def everything(plan):
    """All results of a plan."""
    batches = list(plan.batches(37, random_state=5))
    return plan.counts, plan.rows(), plan.rows(3, 9), plan.labels(2, 8), plan.origin(), batches, plan.resample()


def data():
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], [60, 25])
    X = rng.normal(size=(85, 4)) + y[:, None]
    return np.where(np.abs(X) < 0.4, 0.0, X), y  # sparse tables have something to leave out


def assert_pickles(plan):
    assert_same(everything(pickle.loads(pickle.dumps(plan))), everything(plan))


@pytest.mark.parametrize("container", FEATURES)
def test_every_container_of_rows(container):
    X, y = data()
    assert_pickles(SMOTE(random_state=0).plan(FEATURES[container](X), y))


@pytest.mark.parametrize("container", LABELS)
def test_every_container_of_labels(container):
    X, y = data()
    assert_pickles(SMOTE(random_state=0).plan(X, LABELS[container](y)))


def test_labels_beside_a_frame():
    X, y = data()
    assert_pickles(SMOTE(random_state=0).plan(mixed_frame(X), LABELS["pandas"](y)))


@pytest.mark.parametrize(
    "sampler",
    [
        SMOTE(random_state=0, bit_generator="mt19937"),
        BorderlineSMOTE(random_state=0, kind="borderline-2"),
        BorderlineSMOTE(random_state=0, kind="borderline-2", bit_generator="mt19937"),
        ADASYN(random_state=0),
    ],
    ids=str,
)
def test_every_kind_of_part(sampler):
    assert_pickles(sampler.plan(*data()))


def test_the_report_goes_with_the_plan():
    plan = SMOTE(random_state=0).plan(*data())
    assert pickle.loads(pickle.dumps(plan)).report == plan.report


def test_a_plan_of_a_pickled_plan_can_be_saved(tmp_path):
    X, y = data()
    plan = SMOTE(random_state=0).plan(X, y)
    pickle.loads(pickle.dumps(plan)).save(tmp_path / "plan")
    assert_same(everything(Plan.load(tmp_path / "plan", X)), everything(plan))


def _elsewhere(plan):
    return os.getpid(), everything(plan)


def test_in_a_process_that_was_spawned():
    plan = SMOTE(random_state=0).plan(*data())
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        process, found = pool.submit(_elsewhere, plan).result(timeout=120)
    assert process != os.getpid()
    assert_same(found, everything(plan))


@pytest.mark.parametrize("where", ["host", "device"])
def test_a_device(cuda, where):  # noqa: F811
    cuda()
    cupy = importlib.import_module("cupy")
    X, y = data()
    given = (X, y) if where == "host" else (cupy.asarray(X), cupy.asarray(y))
    plan = SMOTE(random_state=0, device="cuda").plan(*given)
    assert_pickles(plan)
    expected = SMOTE(random_state=0).plan(X, y)
    found = pickle.loads(pickle.dumps(plan)).rows()
    assert_same(found if where == "host" else cupy.asnumpy(found), expected.rows())


def test_the_device_of_the_same_number(cuda):  # noqa: F811
    cuda(devices=2)
    cupy = importlib.import_module("cupy")
    X, y = data()
    with cupy.cuda.Device(1):
        plan = SMOTE(random_state=0, device="cuda:1").plan(cupy.asarray(X), cupy.asarray(y))
    again = pickle.loads(pickle.dumps(plan))  # while device 0 is the current one
    assert again.rows().device.id == 1
    assert again.labels().device.id == 1
    assert_pickles(plan)


def test_a_backend_keeps_within_its_memory(cuda):  # noqa: F811
    cuda()
    backend = importlib.import_module("gpusmote.backends.cuda").CudaBackend(0)
    backend = backend.within(WorkingMemory(10**6, pool_rows=100))
    hosted = HostedBackend(backend).within(WorkingMemory(10**7))
    found = pickle.loads(pickle.dumps(hosted))
    assert (found.name, found.search_device.name) == ("cpu", "cuda:0")
    assert (found.memory, found.search_device.memory) == (hosted.memory, backend.memory)
