"""Approximate search on a device, as far as the stand-in goes: on the right stream, within what FAISS can do."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest

from gpusmote import SMOTE, BorderlineSMOTE
from gpusmote.backends import Backend, detect, failures, several
from gpusmote.backends.base import WorkingMemory
from gpusmote.backends.hosted import HostedBackend
from gpusmote.errors import DeviceError, GpusmoteWarning, MissingPackageError
from gpusmote.neighbours import Neighbourhood, SearchReport, approximate, faiss_gpu, inverted
from gpusmote.neighbours.pool import Pool
from tests.neighbours.approximately import NO_ROOM, brute_recall, clusters, eager, gaussian, problem, search
from tests.standin import faiss_standin
from tests.standin.install import cuda

__all__ = ["cuda", "eager"]

needs_gpu_build = pytest.mark.skipif(not faiss_standin.available(), reason=faiss_standin.MISSING)


@pytest.fixture
def device(cuda):
    machine = cuda()
    from gpusmote.backends.cuda import CudaBackend

    return machine, CudaBackend(0)


@pytest.fixture
def shared(monkeypatch):
    """Few queries are enough for several devices; and nobody remembers the devices of other tests."""
    monkeypatch.setattr(approximate, "LEAST_QUERIES", 10)
    monkeypatch.setattr(failures, "_failed", {})
    monkeypatch.setattr(several, "_workers", {})
    yield
    for worker in several._workers.values():
        worker._threads.shutdown()


@needs_gpu_build
def test_a_device_meets_the_target(device, eager):
    machine, backend = device
    table = clusters(4_000, 8)
    found, report = search(table, 0.9, backend=backend)
    (one,) = report.approximations
    assert one.source == "faiss-ivf-gpu"
    assert one.recall - 2 * one.error >= 0.9
    assert brute_recall(table, found, 5, np.arange(0, 4_000, 8)) > 0.87
    probes = [asked["nprobe"] for asked in machine.searches if "nprobe" in asked]
    assert probes[0] == 1
    assert probes[-1] == one.nprobe == max(probes)
    assert {asked["k"] for asked in machine.searches if "nprobe" in asked} == {32}
    again, _ = search(table, 0.9, backend=backend)
    assert np.array_equal(found, again)


@needs_gpu_build
def test_a_device_works_on_the_callers_stream_and_forgets_it(device, eager):
    machine, backend = device
    import cupy

    with cupy.cuda.Stream() as stream:
        search(clusters(3_000, 4), backend=backend)
    assert {asked["stream"] for asked in machine.searches} == {stream.ptr}
    assert faiss_gpu._of_thread.held[0].stream is None


@needs_gpu_build
def test_lists_longer_than_faiss_selects_are_searched_exactly(device, eager, monkeypatch):
    _, backend = device
    monkeypatch.setattr(inverted.DeviceLists, "most_found", 5)
    found, report = search(gaussian(1_500, 3), backend=backend)
    assert report.notes == ["FAISS finds 5 rows at most: the exact search served."]
    assert np.array_equal(found, Neighbourhood(Backend(), gaussian(1_500, 3), SearchReport()).nearest(None, 5))


@needs_gpu_build
def test_rows_that_go_through_a_device_in_parts_are_searched_exactly(device, eager):
    _, backend = device
    backend.memory = WorkingMemory(WorkingMemory.usual(), pool_rows=1_000)
    found, report = search(clusters(2_500, 4), backend=HostedBackend(backend))
    assert np.array_equal(found, Neighbourhood(Backend(), clusters(2_500, 4), SearchReport()).nearest(None, 5))
    assert report.notes == [NO_ROOM]


@needs_gpu_build
def test_a_failure_of_faiss_on_a_device_is_told_of(device, eager, monkeypatch):
    _, backend = device
    import faiss

    def fail(self, *arguments):
        raise RuntimeError("device function not found")

    monkeypatch.setattr(faiss.GpuIndexIVFFlat, "search_c", fail)
    with pytest.raises(
        DeviceError, match=r"FAISS failed on cuda:0 .*1,500 rows x 3 columns.*device function not found"
    ):
        search(gaussian(1_500, 3), backend=backend)


@needs_gpu_build
@pytest.mark.parametrize("sampler", [SMOTE, BorderlineSMOTE])
def test_each_of_several_devices_has_lists_and_a_part_of_the_queries(cuda, eager, shared, sampler):
    machine = cuda(devices=3)
    X, y = problem(2_000)
    smote = sampler(random_state=0, search="approximate", device="cuda:0")
    expected = smote.fit_resample(X, y)[0]
    one = smote.report_.search
    machine.searches.clear()
    for _ in range(2):  # no chance decides which device answers which queries
        found = smote.set_params(device="cuda:all").fit_resample(X, y)[0]
        assert found.tobytes() == expected.tobytes()
    assert smote.report_.search == one
    assert smote.report_.device == "cuda:0, cuda:1, cuda:2"
    asked = [(search["device"], search["m"]) for search in machine.searches if "nprobe" in search]
    parts = [sum(m for at, m in asked if at == device and m != approximate.SAMPLE) for device in range(3)]
    assert sum(parts) == 2 * one.approximate
    assert max(parts) - min(parts) <= 2 * 2 * len(one.approximations)
    assert {number for number, m in asked if m == approximate.SAMPLE} == {0}  # the recall is measured on the first


@needs_gpu_build
def test_a_device_that_fails_among_its_lists_leaves_its_part_to_the_others(cuda, eager, shared):
    X, y = problem(2_000)
    cuda(devices=3)
    smote = SMOTE(random_state=0, search="approximate", device="cuda:0")
    expected = smote.fit_resample(X, y)[0]
    failed = 0
    for after in (0, 30, 60, 90, 10_000):
        machine = cuda(devices=3)
        several._workers.clear()
        failures._failed.clear()
        import cupy

        machine.break_device(1, after, lambda: cupy.cuda.runtime.CUDARuntimeError(719))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = smote.set_params(device="cuda:all").fit_resample(X, y)[0]
        assert found.tobytes() == expected.tobytes()
        told = [one for one in caught if issubclass(one.category, GpusmoteWarning)]
        assert len(told) == (machine.operations[1] > after)
        failed += len(told)
    assert failed >= 3


@needs_gpu_build
def test_whole_samplers_on_a_device(device, eager):
    X, y = problem(2_000)
    smote = SMOTE(random_state=0, search="approximate", device="cuda")
    first, _ = smote.fit_resample(X, y)
    assert smote.report_.search.approximations[0].source == "faiss-ivf-gpu"
    assert np.array_equal(smote.fit_resample(X, y)[0], first)


def test_a_device_without_faiss(cuda, monkeypatch):
    cuda(faiss=False)
    X, y = problem(50)
    select = importlib.import_module("gpusmote.backends.select")
    monkeypatch.setattr(select, "_cuda_major", lambda: 13)  # there is no wheel to advise
    with pytest.raises(MissingPackageError, match=r"needs FAISS on cuda:0 \(FAISS: not installed"):
        SMOTE(search="approximate", device="cuda").fit_resample(X, y)


@needs_gpu_build
def test_the_wheel_has_what_the_stand_in_replaces():
    import faiss

    for name in ("train_c", "reserveMemory", "add_c", "search_c", "cp"):
        assert hasattr(faiss.GpuIndexIVFFlat, name)
    config = faiss.GpuIndexIVFFlatConfig()
    config.device, config.use_cuvs = 1, False
    assert (config.device, config.use_cuvs) == (1, False)
    assert detect.faiss_gpu()[0] is not None or faiss.get_num_gpus() == 0
    pool = Pool(Backend(), gaussian(100, 3))
    assert inverted.HostLists(pool, faiss).search(np.arange(3), 4, 1).shape == (3, 4)
