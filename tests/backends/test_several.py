"""Several devices share the work, one of them fails in the middle: the same bytes, or an error that names it."""

from __future__ import annotations

import gc
import pickle
import sys
import threading
import warnings

import numpy as np
import pytest

import gpusmote
from gpusmote import ADASYN, SMOTE, BorderlineSMOTE, part
from gpusmote.backends import failures, select, several, transfer
from gpusmote.backends.several import CudaDevices
from gpusmote.errors import (
    DeviceError,
    DeviceLostError,
    GpusmoteWarning,
    InputError,
    MemoryShortageError,
    ParameterError,
)
from gpusmote.neighbours import neighbourhood
from tests.standin.install import cuda

__all__ = ["cuda"]

SAMPLERS = [
    SMOTE(random_state=3),
    SMOTE(random_state=3, bit_generator="mt19937"),
    BorderlineSMOTE(random_state=3),
    BorderlineSMOTE(random_state=3, kind="borderline-2"),
    ADASYN(random_state=3),
]
NAMES = "cuda:0, cuda:1, cuda:2"


@pytest.fixture(autouse=True)
def everything_is_shared(monkeypatch):
    """However little there is; and nobody remembers the devices of other tests."""
    monkeypatch.setattr(part, "SHARED_BYTES", 1)
    monkeypatch.setattr(neighbourhood, "LEAST_QUERIES", 10)
    monkeypatch.setattr(transfer, "BLOCK_BYTES", 2048)
    monkeypatch.setattr(failures, "_failed", {})
    monkeypatch.setattr(several, "_workers", {})
    yield
    for worker in several._workers.values():
        worker._threads.shutdown()


def data(dtype=np.float32, kind="plain"):
    rng = np.random.default_rng(1)
    y = rng.permutation(np.repeat([0, 1], [700, 60]))
    X = rng.normal(size=(760, 5)) + 0.7 * y[:, None]
    if kind == "ties":
        X = np.round(X)
    elif kind == "clusters":
        X[::2] += 1e4
    return X.astype(dtype), y


def on(device, sampler, X, y):
    return sampler.set_params(device=device).fit_resample(X, y)[0]


# The same bytes


@pytest.mark.parametrize("kind", ["plain", "ties", "clusters"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_rows_are_those_of_one_device(cuda, sampler, dtype, kind):
    X, y = data(dtype, kind)
    expected = on("cpu", sampler, X, y)
    machine = cuda(devices=3)
    found = on("cuda:all", sampler, X, y)
    assert found.tobytes() == expected.tobytes()
    assert sampler.device_ == sampler.report_.device == NAMES
    assert {launch.device for launch in machine.launches if launch.kernel.startswith("rerank")} == {0, 1, 2}
    assert sampler.report_.notes == []
    # Each of the rows that are searched went up once; the other devices have them from the first.
    everything = not isinstance(sampler, SMOTE)
    up = sum(one.nbytes for one in machine.transfers if one.pinned and not one.to_host)
    assert up == (len(X) if everything else 60) * X[0].nbytes
    down = sum(one.nbytes for one in machine.transfers if one.pinned and one.to_host)
    assert down == (len(found) - len(X)) * X[0].nbytes
    assert machine.between_bytes > 0


def test_every_device_takes_part(cuda):
    """Each has a first block set apart for it; each has FAISS's resources of its own."""
    X, y = data()
    machine = cuda(devices=3)
    on("cuda:all", SMOTE(random_state=3), X, y)
    for kernel in ("rerank_distances_float32", "interpolate_rows_float32", "draw_slice"):
        assert {launch.device for launch in machine.launches if launch.kernel == kernel} == {0, 1, 2}
    streams = {(launch.device, launch.stream) for launch in machine.launches}
    assert len({device for device, stream in streams if stream}) == 3
    assert {search["device"] for search in machine.searches} in ({0, 1, 2}, set())
    assert {one.device for one in machine.transfers if one.to_host and one.pinned} == {0, 1, 2}


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_rows_on_a_device_stay_there(cuda, sampler):
    X, y = data(np.float64)
    expected = on("cpu", sampler, X, y)
    machine = cuda(devices=3)
    import cupy

    with cupy.cuda.Device(1), cupy.cuda.Stream(non_blocking=True) as stream:
        given = cupy.asarray(X)
        machine.transfers.clear()
        found = on("cuda:all", sampler, given, y)
        assert found.device.id == 1
        assert sampler.device_ == "cuda:1, cuda:0, cuda:2"  # the first is where X lies
        assert not any(one.pinned for one in machine.transfers)
        assert found.get().tobytes() == expected.tobytes()
        assert stream.ptr in {launch.stream for launch in machine.launches}


def test_plans_slices_and_batches(cuda):
    X, y = data()
    expected = on("cpu", SMOTE(random_state=3), X, y)
    cuda(devices=3)
    plan = SMOTE(random_state=3, device="cuda:0,2").plan(X, y)
    assert plan.report.device == "cuda:0, cuda:2"
    assert plan.rows(17, 411).tobytes() == expected[len(X) + 17 : len(X) + 411].tobytes()
    assert plan.resample()[0].tobytes() == expected.tobytes()
    assert sum(len(batch) for batch, _ in plan.batches(200, random_state=0)) == len(expected)
    assert len(plan.origin(3, 30)) == 27


def test_threads_share_the_devices(cuda):
    X, y = data()
    expected = {i: on("cpu", SMOTE(random_state=i), X, y).tobytes() for i in range(4)}
    cuda(devices=3)
    import cupy

    wrong = []

    def work(i):
        with cupy.cuda.Stream(non_blocking=True):
            given = cupy.asarray(X) if i % 2 else X
            found = on("cuda:all", SMOTE(random_state=i), given, y)
            if (found.get() if i % 2 else found).tobytes() != expected[i]:
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_little_work_stays_on_the_first(cuda, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(several, "_workers", {})
    X, y = data()
    expected = on("cpu", SMOTE(random_state=3), X, y)
    machine = cuda(devices=3)
    sampler = SMOTE(random_state=3)
    assert on("cuda:all", sampler, X, y).tobytes() == expected.tobytes()
    assert sampler.report_.notes == ["Left out where there was too little to share: cuda:1, cuda:2."]
    assert {launch.device for launch in machine.launches} == {0}
    assert several._workers == {}


def test_nothing_is_kept(cuda):
    X, y = data()
    machine = cuda(devices=3)
    on("cuda:all", SMOTE(random_state=3), X, y)
    lose(machine, 2, 100)
    with pytest.warns(GpusmoteWarning, match="cuda:2 failed"):
        on("cuda:all", SMOTE(random_state=3), X, y)
    gc.collect()
    assert machine.used == machine.pinned == 0


def test_no_more_devices_than_blocks(cuda):
    """To bring rows to a device that has nothing to do would be a trip for nothing."""
    cuda(devices=3)
    asked = []

    def prepare(device):
        asked.append(device.name)
        return lambda start, stop: ()

    backend = CudaDevices((0, 1, 2))
    assert [piece[:2] for piece in backend.share(2, prepare, 1)] == [(0, 1), (1, 2)]
    assert sorted(asked) == ["cuda:0", "cuda:1"]
    assert backend.notes == ("Left out where there was too little to share: cuda:2.",)
    assert backend.share(0, prepare) == []
    assert len(backend.share(100, prepare)) == 12  # four blocks each
    assert len(asked) == 5
    assert backend.notes == ()


# Which devices


def test_one_device_is_one_device(cuda):
    cuda(devices=1)
    for name in ("cuda", "cuda:all", "cuda:0", "cuda:0,0"):
        backend, _ = select(name, 0.0, "cpu")
        assert backend.name == backend.label == "cuda:0"
        assert backend.members == ()


def test_auto_takes_one(cuda, monkeypatch):
    cuda(devices=3)
    monkeypatch.setattr(sys.modules["gpusmote.backends.select"], "WORK_WORTH_A_DEVICE", 1.0)
    monkeypatch.delenv("GPUSMOTE_DEVICE", raising=False)
    assert select("auto", 1e9, "cpu")[0].label == "cuda:0"
    with gpusmote.config_context(device="cuda:all"):
        assert select("auto", 1e9, "cpu")[0].label == NAMES


def test_devices_that_are_not_there(cuda):
    cuda(devices=2)
    with pytest.raises(DeviceError, match=r"there is no cuda:2\. The devices here: cuda:0, cuda:1"):
        select("cuda:0,2", 0.0, "cpu")
    for name in ("cuda:0,", "cuda:,", "cuda:all,0", "cuda:0,-1", "cpu:all"):
        with pytest.raises(ParameterError, match='"cuda:all"'):
            select(name, 0.0, "cpu")


def test_it_is_pickled_by_its_numbers(cuda):
    cuda(devices=3)
    again = pickle.loads(pickle.dumps(CudaDevices((2, 0))))
    assert again.name == "cuda:2"
    assert again.label == "cuda:2, cuda:0"


def test_the_fullest_device_bounds_the_memory(cuda, monkeypatch):
    cuda(devices=3)
    backend = CudaDevices((0, 1, 2))
    monkeypatch.setattr(backend.members[1], "free_memory", lambda: 1000)
    assert backend.free_memory() == 1000


# Failures


def lose(machine, device, after):
    import cupy

    machine.break_device(device, after, lambda: cupy.cuda.runtime.CUDARuntimeError(719))


@pytest.fixture(scope="module")
def undisturbed():
    X, y = data()
    return X, y, on("cpu", BorderlineSMOTE(random_state=3), X, y).tobytes()


@pytest.mark.parametrize("device", [1, 2])
def test_the_share_of_a_lost_device_is_done_by_the_others(cuda, undisturbed, device):
    """Wherever it fails: while rows are copied to it, in its search, before results are fetched, making rows."""
    X, y, expected = undisturbed
    failed = 0
    for after in [*range(0, 40, 3), *range(40, 2000, 60)]:
        machine = cuda(devices=3)
        several._workers.clear()
        failures._failed.clear()
        before = X.copy()
        lose(machine, device, after)
        sampler = BorderlineSMOTE(random_state=3, device="cuda:all")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = sampler.fit_resample(X, y)[0]
        assert found.tobytes() == expected
        assert X.tobytes() == before.tobytes()
        told = [str(one.message) for one in caught if issubclass(one.category, GpusmoteWarning)]
        if machine.operations.get(device, 0) <= after:
            assert told == []
            continue
        failed += 1
        assert len(told) == 1
        assert told[0].startswith(
            f"cuda:{device} failed, and its share is done by the other devices: cuda:{device} failed"
        )
        assert sampler.report_.notes == told
    assert failed > 20


def test_the_note_is_in_the_report(cuda, undisturbed):
    X, y, expected = undisturbed
    lose(cuda(devices=3), 2, 5)
    sampler = BorderlineSMOTE(random_state=3, device="cuda:all")
    with pytest.warns(GpusmoteWarning, match="cuda:2 failed"):
        assert sampler.fit_resample(X, y)[0].tobytes() == expected
    assert [note.partition(",")[0] for note in sampler.report_.notes] == ["cuda:2 failed"]
    # From now on this process does without it, silently.
    assert select("cuda:all", 0.0, "cpu")[0].label == "cuda:0, cuda:1"
    assert sampler.fit_resample(X, y)[0].tobytes() == expected


def test_a_first_device_that_is_lost_is_named(cuda, undisturbed):
    """All that is shared starts from it; whenever it fails, the call fails, or it had nothing left to do."""
    X, y, expected = undisturbed
    errors = 0
    for after in range(0, 4000, 90):
        machine = cuda(devices=3)
        several._workers.clear()
        failures._failed.clear()
        lose(machine, 0, after)
        found, told = None, "cuda:0"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GpusmoteWarning)
            try:
                found = on("cuda:all", BorderlineSMOTE(random_state=3), X, y)
            except DeviceError as error:
                told = error.message
        assert "cuda:0" in told
        assert found is None or found.tobytes() == expected
        errors += found is None
    assert errors > 10


def test_where_all_fail_all_are_named(cuda):
    machine = cuda(devices=3)
    backend = CudaDevices((0, 1, 2))

    def prepare(device):
        import cupy

        raise cupy.cuda.runtime.CUDARuntimeError(719)

    with pytest.warns(GpusmoteWarning), pytest.raises(DeviceLostError) as caught:
        backend.share(10, prepare, 1)
    for name in NAMES.split(", "):
        assert f"{name}: {name} failed" in caught.value.message
    assert machine.launches == []
    with pytest.raises(DeviceLostError, match="All of cuda:0, cuda:1, cuda:2 failed"):
        backend.share(10, lambda device: lambda start, stop: (), 1)
    with pytest.raises(DeviceError, match="this process has lost all of them"):
        select("cuda:all", 0.0, "cpu")


def test_a_device_without_memory_leaves_its_share(cuda):
    cuda(devices=2)
    import cupy

    backend = CudaDevices((0, 1))

    def prepare(device):
        if device.name == "cuda:1":
            raise cupy.cuda.memory.OutOfMemoryError("full")
        return lambda start, stop: (cupy.arange(start, stop),)

    with pytest.warns(GpusmoteWarning, match="cuda:1 failed.*Memory ran out on cuda:1"):
        pieces = backend.share(10, prepare, 3)
    assert [(start, stop, array.tolist()) for start, stop, (array,) in pieces] == [
        (0, 3, [0, 1, 2]),
        (3, 6, [3, 4, 5]),
        (6, 9, [6, 7, 8]),
        (9, 10, [9]),
    ]
    assert failures.remembered("cuda:1") is None  # there may be some next time
    with pytest.warns(GpusmoteWarning), pytest.raises(MemoryShortageError):
        CudaDevices((0, 1)).share(2, lambda device: (_ for _ in ()).throw(cupy.cuda.memory.OutOfMemoryError("x")), 1)


def test_an_error_of_the_work_is_no_failure_of_a_device(cuda):
    cuda(devices=3)
    backend = CudaDevices((0, 1, 2))

    def prepare(device):
        raise InputError("no")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="no"):
            backend.share(10, prepare, 1)
    assert [piece[:2] for piece in backend.share(4, lambda device: lambda start, stop: (), 2)] == [(0, 2), (2, 4)]


def test_memory_that_runs_out_on_all_of_them_is_made_up_for(cuda, monkeypatch):
    """Each device runs out once: the call is tried again on all of them, with smaller blocks."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(24_000, 4)), np.repeat([0, 1], [14_000, 10_000])
    expected = SMOTE(random_state=1, device="cpu").fit_resample(X, y)[0]
    cuda(devices=3)
    from gpusmote.backends.cuda import CudaBackend
    from tests.standin.machine import OutOfMemoryError

    real, ran_out = CudaBackend.rerank, set()

    def rerank(self, *arguments):
        if self.ordinal not in ran_out:
            ran_out.add(self.ordinal)
            raise OutOfMemoryError("Out of memory allocating 5 bytes")
        return real(self, *arguments)

    monkeypatch.setattr(CudaBackend, "rerank", rerank)
    sampler = SMOTE(random_state=1, device="cuda:all")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GpusmoteWarning)
        found = sampler.fit_resample(X, y)[0]
    assert ran_out == {0, 1, 2}
    assert found.tobytes() == expected.tobytes()
    assert sampler.device_ == "cuda:0, cuda:1, cuda:2"
    assert any("tried again with blocks of half the size" in note for note in sampler.report_.notes)
