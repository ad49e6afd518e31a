"""Candidates on the device over the stand-in: honest about their edge, on the right stream, within the budget."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpusmote import SMOTE
from gpusmote.backends import Backend, detect
from gpusmote.backends.cpu import WorkingMemory
from gpusmote.backends.cuda import CudaBackend
from gpusmote.backends.hosted import HostedBackend
from gpusmote.errors import DeviceError, DeviceLostError, MemoryShortageError
from gpusmote.neighbors import NeighborSearch, SearchReport, faiss_ivf, precision, product, selection
from gpusmote.neighbors.candidates import smallest_scores
from gpusmote.neighbors.certificate import FLOAT32, FLOAT64
from gpusmote.neighbors.gpu import faiss_gpu, streamed
from gpusmote.neighbors.gpu.faiss_gpu import FaissGpu, device_source
from gpusmote.neighbors.product import Product
from gpusmote.neighbors.search_set import SearchSet
from tests.neighbors.tables import AWKWARD
from tests.standin import faiss_standin
from tests.standin.faiss_standin import Resources
from tests.standin.install import cuda

__all__ = ["cuda"]

needs_faiss = pytest.mark.skipif(not faiss_standin.available(), reason=faiss_standin.MISSING)
SOURCES = [pytest.param("faiss", marks=needs_faiss), "product"]


def pool_on(ordinal, values):
    backend = CudaBackend(ordinal)
    with backend.active():
        return SearchSet(backend, backend.asarray(values))


def source(name, search_set):
    return Product(search_set, FLOAT32) if name == "product" else FaissGpu(search_set, detect.faiss_gpu()[0])


def table(rng, n, d, kind):
    values = rng.normal(size=(n, d))
    if kind == "ties":
        values = np.round(values)
    elif kind == "offset":
        values += 1e5
    return values


@pytest.mark.parametrize("name", SOURCES)
@settings(derandomize=True, deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([20, 33, 64, 300, 1500]),
    count=st.integers(1, 17),
    kind=st.sampled_from(["plain", "ties", "offset"]),
)
def test_candidates_keep_the_contract(cuda, name, seed, n, count, kind):
    cuda()
    rng = np.random.default_rng(seed)
    values, asked = table(rng, n, 4, kind), rng.permutation(n)[:19]
    search_set = pool_on(0, values)
    rows, edge = (a.get() for a in source(name, search_set).candidates(search_set.backend.asarray(asked), count))
    assert rows.shape == (len(asked), count)
    assert rows.dtype == np.int64
    assert edge.dtype == np.float64
    assert (np.sort(rows, axis=1)[:, 1:] > np.sort(rows, axis=1)[:, :-1]).all()
    assert not (rows == asked[:, None]).any()
    reduced = search_set.reduced(slice(0, n)).get()
    distance = ((reduced[asked][:, None] - reduced[None]) ** 2).sum(axis=2)
    distance[np.arange(len(asked)), asked] = np.inf
    np.put_along_axis(distance, rows, np.inf, axis=1)
    # No row outside the list is nearer than the edge, but for what float32 may err.
    assert (distance.min(axis=1) >= edge - 1e-5).all()


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("kind", ["plain", "ties", "offset"])
def test_the_nearest_are_those_of_the_cpu(cuda, monkeypatch, name, kind):
    """The whole search, at one tile's size and beyond it."""
    cuda(faiss=name == "faiss")
    monkeypatch.setattr(product, "_DEVICE", (512, 1280))
    values = table(np.random.default_rng(5), 900, 5, kind)
    expected = NeighborSearch(Backend(), values, SearchReport()).nearest(None, 5)
    backend, report = CudaBackend(0), SearchReport()
    found = NeighborSearch(backend, backend.asarray(values), report).nearest(None, 5)
    assert found.get().tolist() == expected.tolist()
    assert report.sources[0] == {"faiss": "faiss-gpu", "product": "product-float32"}[name]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("table", AWKWARD)
@pytest.mark.parametrize("name", SOURCES)
def test_awkward_tables(cuda, name, table, dtype):
    cuda(faiss=name == "faiss")
    X, backend = AWKWARD[table]().astype(dtype), CudaBackend(0)
    expected = NeighborSearch(Backend(), X, SearchReport()).nearest(None, 5)
    found = NeighborSearch(backend, backend.asarray(X), SearchReport()).nearest(None, 5)
    np.testing.assert_array_equal(backend.to_host(found), expected)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("scale", [1.0, 1e-36, 1e-37, 3e-38, 1e-38, 1e-41])
def test_a_pool_is_the_same_on_the_device(cuda, scale, dtype):
    """Reduced rows and range to the bit; of subnormal rows as well, which only a kernel of ours reads as they are."""
    cuda()
    X = (np.random.default_rng(0).normal(size=(300, 4)) * scale).astype(dtype)
    X[:, 1] = X[0, 1]
    here, there, zero = SearchSet(Backend(), X), pool_on(0, X), np.zeros(4)
    assert (there.half_range, there.unit) == (here.half_range, here.unit)
    for rows in (slice(10, 200), np.array([5, 0, 299])):
        asked = rows if isinstance(rows, slice) else there.backend.asarray(rows)
        found = there.reduced(asked, there.backend.asarray(zero)).get()
        assert found.tobytes() == here.reduced(rows, zero).tobytes()
    np.testing.assert_allclose(there.norms.get(), here.norms, rtol=1e-12)


@settings(derandomize=True, deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([1, 5, 31, 32, 64, 65, 500, 1003]),
    count=st.integers(1, 40),
    ties=st.booleans(),
)
def test_lowest_are_the_smallest_scores(cuda, seed, n, count, ties):
    cuda()
    import cupy

    rng = np.random.default_rng(seed)
    score = rng.integers(0, 9, (7, n)).astype("f4") if ties else rng.normal(size=(7, n))
    for xp, given_ in ((np, score), (cupy, cupy.asarray(score))):
        place, found = (np.asarray(a if xp is np else a.get()) for a in smallest_scores(xp, given_, count))
        assert place.shape == (7, min(count, n))
        np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(score, axis=1)[:, :count])
        np.testing.assert_array_equal(found, np.take_along_axis(score, place, axis=1))
        assert (np.diff(np.sort(place, axis=1), axis=1) > 0).all()


@needs_faiss
def test_faiss_works_on_the_callers_stream_and_forgets_it(cuda, monkeypatch):
    machine = cuda(devices=2)
    import cupy

    search_set = pool_on(1, np.random.default_rng(0).normal(size=(50, 3)))
    with cupy.cuda.Device(1), cupy.cuda.Stream() as stream:
        FaissGpu(search_set, detect.faiss_gpu()[0]).candidates(cupy.arange(7), 5)
    (search,) = machine.searches
    assert (search["device"], search["stream"]) == (1, stream.ptr)
    assert (search["k"], search["n"], search["m"]) == (6, 50, 7)
    assert faiss_gpu._of_thread.held[1].stream is None


@needs_faiss
def test_the_budget_of_faiss_is_a_share_of_what_is_free(cuda):
    machine = cuda(memory=1 << 30)
    search_set = pool_on(0, np.random.default_rng(0).normal(size=(50, 3)))
    FaissGpu(search_set, detect.faiss_gpu()[0]).candidates(search_set.xp.arange(7), 5)
    assert (1 << 30) // 10 < machine.searches[0]["temporary"] <= (1 << 30) // 8


@needs_faiss
def test_queries_go_in_blocks(cuda, monkeypatch):
    machine = cuda()
    monkeypatch.setattr(SearchSet, "block", lambda self, width: 20)
    search_set = pool_on(0, np.random.default_rng(0).normal(size=(50, 3)))
    FaissGpu(search_set, detect.faiss_gpu()[0]).candidates(search_set.xp.arange(50), 5)
    assert [search["m"] for search in machine.searches] == [20, 20, 10]


@needs_faiss
def test_resources_are_made_once_a_thread_and_device(cuda):
    cuda(devices=2)
    import faiss

    before = faiss.StandardGpuResources.made

    def work():
        for ordinal in (0, 1, 0, 1):
            search_set = pool_on(ordinal, np.random.default_rng(0).normal(size=(50, 3)))
            with search_set.backend.active():
                FaissGpu(search_set, faiss).candidates(search_set.xp.arange(3), 5)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faiss.StandardGpuResources.made - before == 6


@needs_faiss
def test_more_candidates_than_faiss_selects_come_from_products(cuda, monkeypatch):
    machine = cuda()
    for module in (selection, streamed):
        monkeypatch.setattr(module, "LARGEST_K", 20)
    X, backend = np.random.default_rng(0).normal(size=(300, 3)), CudaBackend(0)
    expected = NeighborSearch(Backend(), X, SearchReport()).nearest(None, 12)
    report = SearchReport()
    found = NeighborSearch(backend, backend.asarray(X), report).nearest(None, 12)
    np.testing.assert_array_equal(found.get(), expected)
    assert report.sources[0] == "product-float64"
    backend.memory = WorkingMemory(WorkingMemory.usual(), pool_rows=150)
    report = SearchReport()
    found = NeighborSearch(HostedBackend(backend), X, report).nearest(None, 12)
    np.testing.assert_array_equal(found, expected)
    assert report.sources[0] == "product-float64"
    assert machine.searches == []


@needs_faiss
def test_a_failure_of_faiss_is_told_of(cuda, monkeypatch):
    cuda()
    import faiss

    def fail(resources, arguments):
        raise RuntimeError("cublas failed (13)")

    monkeypatch.setattr(faiss, "bfKnn", fail)
    search_set = pool_on(0, np.random.default_rng(0).normal(size=(50, 3)))
    with pytest.raises(DeviceError, match=r"FAISS failed on cuda:0 \(7 queries, 50 rows x 3 columns\): cublas"):
        FaissGpu(search_set, faiss).candidates(search_set.xp.arange(7), 5)
    assert faiss_gpu._of_thread.held == {}


OUT_OF_MEMORY = (
    "Error in virtual void* faiss::gpu::StandardGpuResourcesImpl::allocMemory(const faiss::gpu::AllocRequest&) at "
    "StandardGpuResources.cpp:580: Error: 'err == cudaSuccess' failed: StandardGpuResources: alloc fail type "
    "TemporaryMemoryBuffer dev 0 space Device stream 0x5 size 9 bytes (cudaMalloc error out of memory [2])"
)
LOST = OUT_OF_MEMORY.replace("out of memory [2]", "misaligned address [716]")


@needs_faiss
@pytest.mark.parametrize("step", ["open", "setTempMemory", "setDefaultStream"])
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (RuntimeError(OUT_OF_MEMORY), MemoryShortageError),
        (MemoryError("std::bad_alloc"), MemoryShortageError),
        (RuntimeError("cublas failed (13)"), DeviceError),
        (RuntimeError(LOST), DeviceLostError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=str,
)
@pytest.mark.parametrize("search", ["exact", "lists"])
def test_resources_that_failed_are_not_used_again(cuda, search, step, failure, error):
    """Wherever FAISS fails, the error is gpusmote's, and the next call of the thread works with new resources."""
    cuda()
    import faiss

    search_set = pool_on(0, np.random.default_rng(0).normal(size=(200, 3)))

    def ask():
        asked = search_set.xp.arange(7)
        with search_set.backend.active():
            if search == "lists":
                return faiss_ivf.DeviceLists(search_set, faiss).search(asked, 5, 1)
            return FaissGpu(search_set, faiss).candidates(asked, 5)[0]

    expected = ask().get().tolist()
    if step == "open":  # the thread's first search
        faiss_gpu._of_thread.held.clear()
        failed = None
    else:
        failed = faiss_gpu._of_thread.held[0]
        search_set.backend.memory = WorkingMemory(WorkingMemory.usual(), faiss=1 << 20)
    Resources.failing[step] = failure
    with pytest.raises(error):
        ask()
    assert Resources.failing == {}
    assert faiss_gpu._of_thread.held == {}
    assert failed is None or failed.thisown == (error is not DeviceLostError)
    assert ask().get().tolist() == expected


@needs_faiss
def test_a_call_is_tried_again_where_faiss_had_no_memory(cuda):
    cuda()
    X, y = np.random.default_rng(0).normal(size=(300, 3)), np.repeat([0, 1], [200, 100])
    expected = SMOTE(random_state=0, device="cpu").fit_resample(X, y)[0]
    sampler = SMOTE(random_state=0, device="cuda")
    Resources.failing["open"] = RuntimeError(OUT_OF_MEMORY)
    assert sampler.fit_resample(X, y)[0].tobytes() == expected.tobytes()
    assert sampler.device_ == "cuda:0"
    assert "Memory ran out on cuda:0" in sampler.report_.notes[0]


@needs_faiss
def test_no_pinned_memory_is_kept(cuda):
    cuda()
    search_set = pool_on(0, np.random.default_rng(0).normal(size=(50, 3)))
    FaissGpu(search_set, detect.faiss_gpu()[0]).candidates(search_set.xp.arange(3), 5)
    assert faiss_gpu._of_thread.held[0].pinned == 0


@needs_faiss
def test_the_wheel_has_what_the_stand_in_claims():
    import faiss

    resources = faiss.StandardGpuResources()
    resources.setPinnedMemory(0)
    assert resources.thisown
    resources.thisown = False
    assert not resources.thisown


def test_the_source_is_what_the_device_has(cuda):
    cuda(faiss=False)
    search_set = pool_on(0, np.random.default_rng(0).normal(size=(50, 3)))
    assert device_source(search_set).name == "product-float32"


SETTINGS = {
    "none": lambda machine, cublas, handle: None,
    "CUPY_TF32": lambda machine, cublas, handle: machine.tf32.add("cupy"),
    "NVIDIA_TF32_OVERRIDE": lambda machine, cublas, handle: machine.tf32.update(("cupy", "faiss")),
    "math mode": lambda machine, cublas, handle: cublas.setMathMode(handle, 3),
}
# With FAISS, and without it.
USED = {
    "none": (("faiss-gpu", FLOAT32), ("product-float32", FLOAT32)),
    "CUPY_TF32": (("faiss-gpu", FLOAT32), ("product-float64", FLOAT64)),
    "NVIDIA_TF32_OVERRIDE": (("product-float64", FLOAT64), ("product-float64", FLOAT64)),
    "math mode": (("faiss-gpu", FLOAT32), ("product-float64", FLOAT64)),
}


@needs_faiss
@pytest.mark.parametrize("setting", SETTINGS)
def test_what_has_fewer_bits_than_float32_is_not_used(cuda, monkeypatch, setting):
    """By a product at run time: whatever the setting is called, and when it is made."""
    machine = cuda()
    import cupy

    search_set = pool_on(0, np.random.default_rng(0).normal(size=(50, 3)))
    assert precision.cupy_keeps_float32(cupy)  # found before the math mode is changed
    if setting != "math mode":
        precision._known.clear()  # the others are read when the process begins
    SETTINGS[setting](machine, cupy.cuda.cublas, cupy.cuda.get_cublas_handle())
    with_faiss, without = USED[setting]
    found = device_source(search_set)
    assert (found.name, found.arithmetic) == with_faiss
    monkeypatch.setattr(detect, "faiss_gpu", lambda: (None, "not installed"))
    for _ in range(2):
        found = device_source(search_set)
        assert (found.name, found.arithmetic) == without


@pytest.mark.parametrize("k", [5, 30])
@pytest.mark.parametrize("name", SOURCES)
def test_neighbors_are_right_in_tf32(cuda, monkeypatch, name, k):
    """Long lists too. Rows beside an offset: in TF32 most products would name other rows, and certify them."""
    machine = cuda(faiss=name == "faiss")
    machine.tf32.update(("cupy", "faiss"))
    monkeypatch.setattr(selection, "LARGEST_K", 36)
    X = np.random.default_rng(0).normal(size=(600, 3))
    X[:, 0] += np.repeat([0, 300], 300)
    expected = NeighborSearch(Backend(), X, SearchReport()).nearest(None, k)
    backend = CudaBackend(0)
    found = NeighborSearch(backend, backend.asarray(X), SearchReport()).nearest(None, k)
    np.testing.assert_array_equal(found.get(), expected)


def test_the_precision_is_found_once(cuda):
    machine = cuda()
    search_set = pool_on(0, np.random.default_rng(0).normal(size=(50, 3)))
    device_source(search_set)
    waits = machine.waits
    device_source(search_set)
    assert machine.waits == waits


@needs_faiss
def test_faiss_is_taken_where_it_sees_the_device(cuda, monkeypatch):
    cuda(devices=2)
    import faiss

    search_set = pool_on(1, np.random.default_rng(0).normal(size=(50, 3)))
    with search_set.backend.active():
        assert isinstance(device_source(search_set), FaissGpu)
        monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
        assert device_source(search_set).name == "product-float32"


def test_faiss_is_not_asked_where_it_would_end_the_process():
    """On a machine without a device the searches abort; detection must stop before them."""
    found, why = detect.faiss_gpu()
    if found is not None:
        pytest.skip("this machine has a device that FAISS can use")
    assert "sees no device" in why or "not installed" in why or "without GPU support" in why


def test_a_row_with_many_copies_is_searched_once_on_the_device_as_well(cuda):
    cuda()
    X = np.random.default_rng(0).normal(size=(3000, 3))
    X[:200] = X[0]
    backend = CudaBackend(0)
    with backend.active():
        rows = NeighborSearch(backend, backend.asarray(X), SearchReport())
        found = backend.to_host(rows.nearest(None, 5))
    assert rows._groups.n == 2801
    np.testing.assert_array_equal(found, NeighborSearch(Backend(), X, SearchReport()).nearest(None, 5))
