"""Approximate search on a device, as far as the stand-in goes: on the right stream, within what FAISS can do."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from gpusmote import SMOTE
from gpusmote.backends import Backend, detect
from gpusmote.backends.cpu import WorkingMemory
from gpusmote.backends.hosted import HostedBackend
from gpusmote.errors import DeviceError, MissingPackageError
from gpusmote.neighbors import NeighborSearch, SearchReport, approximate, faiss_ivf
from gpusmote.neighbors.gpu import faiss_gpu
from gpusmote.neighbors.search_set import SearchSet
from tests.neighbors.approximately import NO_ROOM, brute_recall, clusters, eager, gaussian, problem, search
from tests.standin import faiss_standin
from tests.standin.install import cuda

__all__ = ["cuda", "eager"]

needs_gpu_build = pytest.mark.skipif(not faiss_standin.available(), reason=faiss_standin.MISSING)


@pytest.fixture
def device(cuda):
    machine = cuda()
    from gpusmote.backends.cuda import CudaBackend

    return machine, CudaBackend(0)


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
    monkeypatch.setattr(approximate, "LARGEST_K", 5)
    found, report = search(gaussian(1_500, 3), backend=backend)
    assert report.notes == ["FAISS finds 5 rows at most for a query; the exact search was used."]
    assert np.array_equal(found, NeighborSearch(Backend(), gaussian(1_500, 3), SearchReport()).nearest(None, 5))


@needs_gpu_build
def test_rows_that_go_through_a_device_in_parts_are_searched_exactly(device, eager):
    _, backend = device
    backend.memory = WorkingMemory(WorkingMemory.usual(), pool_rows=1_000)
    found, report = search(clusters(2_500, 4), backend=HostedBackend(backend))
    assert np.array_equal(found, NeighborSearch(Backend(), clusters(2_500, 4), SearchReport()).nearest(None, 5))
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
def test_whole_samplers_on_a_device(device, eager):
    X, y = problem(2_000)
    smote = SMOTE(random_state=0, search="approximate", device="cuda")
    first, _ = smote.fit_resample(X, y)
    assert smote.report_.search.approximations[0].source == "faiss-ivf-gpu"
    assert np.array_equal(smote.fit_resample(X, y)[0], first)


def test_a_device_without_faiss(cuda, monkeypatch):
    cuda(faiss=False)
    X, y = problem(50)
    select = importlib.import_module("gpusmote.backends.device")
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
    search_set = SearchSet(Backend(), gaussian(100, 3))
    assert faiss_ivf.HostLists(search_set, faiss).search(np.arange(3), 4, 1).shape == (3, 4)
