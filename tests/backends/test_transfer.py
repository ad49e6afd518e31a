"""What goes between host and device, how often anybody waits, and in which order: by the stand-in's counters."""

from __future__ import annotations

import sys
import threading
from collections import Counter

import numpy as np
import pytest

from gpusmote import ADASYN, SMOTE, BorderlineSMOTE
from gpusmote.backends import Backend, transfer
from gpusmote.backends.cuda import CudaBackend
from tests.standin.install import cuda
from tests.standin.machine import machine
from tests.standin.streams import queue_of

__all__ = ["cuda"]

BLOCK = 4096
ROWS, SMALL, COLUMNS = 1300, 300, 6
NEW = ROWS - 2 * SMALL


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(transfer, "BLOCK_BYTES", BLOCK)


def data(dtype):
    rng = np.random.default_rng(1)
    y = rng.permutation(np.repeat([0, 1], [ROWS - SMALL, SMALL]))
    return (rng.normal(size=(ROWS, COLUMNS)) + 0.7 * y[:, None]).astype(dtype), y


def blocks(nbytes, dtype):
    row = COLUMNS * np.dtype(dtype).itemsize
    return -(-nbytes // (BLOCK // row * row))


def resampled(machine, sampler, X, y):
    """The result, and what the machine has counted since: transfers by direction and kind, waits by kind."""
    sampler.set_params(device="cuda", random_state=0)
    machine.transfers.clear()
    machine.syncs.clear()
    found = sampler.fit_resample(X, y)[0]
    moved = Counter()
    for one in machine.transfers:
        moved["down" if one.to_host else "up", "pinned" if one.pinned else "small"] += one.nbytes
    return found, moved, Counter(sync.kind for sync in machine.syncs)


# Whole calls: the least bytes, and a bounded number of waits


@pytest.mark.parametrize("faiss", [True, False], ids=["faiss", "tiles"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sampler", [SMOTE(), BorderlineSMOTE(), ADASYN()], ids=str)
def test_host_input_moves_the_least_bytes(cuda, monkeypatch, sampler, dtype, faiss):
    """Up: the rows that are searched, once. Down: the synthetic rows, once. All of them through pinned memory."""
    machine = cuda(faiss=faiss)
    monkeypatch.setattr(sys.modules["gpusmote.backends.device"], "_cuda_major", lambda: 13)  # no advice about FAISS
    X, y = data(dtype)
    row = COLUMNS * X.itemsize
    expected = sampler.set_params(device="cpu", random_state=0).fit_resample(X, y)[0]
    found, moved, waits = resampled(machine, sampler, X, y)
    assert found.tobytes() == expected.tobytes()
    everything, shares = not isinstance(sampler, SMOTE), isinstance(sampler, ADASYN)
    searches = 1 + everything
    searched = (ROWS if everything else SMALL) * row
    assert moved["up", "pinned"] == searched
    assert moved["down", "pinned"] == NEW * row
    # The small extras. Up: positions of the class in two bytes each (less than 65,536 rows), classes in one byte each.
    # For counts of rows in proportion: how many seeds have 0 to 5 foreign neighbors go down, two tables of that up.
    tables = 6 * 8 * shares
    assert moved["up", "small"] == 2 * SMALL + ROWS * everything + 2 * tables
    # Down, for each search: half the largest range, the largest norm before and after scaling, and three counts; and
    # once whether float32 products have all their bits.
    # And the sum of the counts of rows.
    assert moved["down", "small"] == 6 * 8 * searches + tables + 8 * shares + 1
    # Waits: once a block for a copy, once at the end of sending, once a stage for its seconds.
    assert waits["event"] <= blocks(searched, dtype) + blocks(NEW * row, dtype)
    assert waits["stream"] == 1 + 2
    assert waits["copy"] == 6 * searches + 2 * shares + 1
    # Sizes that only the device knows: equal hashes, uncertain lists, seeds, their counts, the largest of the shares.
    assert waits["size"] == 2 * searches + everything + 2 * shares
    assert waits["device"] == 0
    assert sum(sync.kind == "device" or sync.stream == -1 for sync in machine.syncs) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sampler", [SMOTE(), BorderlineSMOTE(), ADASYN()], ids=str)
def test_device_input_makes_no_trip(cuda, sampler, dtype):
    machine = cuda()
    import cupy

    X, y = data(dtype)
    expected = sampler.set_params(device="cpu", random_state=0).fit_resample(X, y)[0]
    there, labels = cupy.asarray(X), cupy.asarray(y)
    found, moved, waits = resampled(machine, sampler, there, labels)
    assert found.get().tobytes() == expected.tobytes()
    everything, shares = not isinstance(sampler, SMOTE), isinstance(sampler, ADASYN)
    assert moved["up", "pinned"] == moved["down", "pinned"] == 0
    # Up: positions of the class and the classes, as above, and the row of each label of the result. Down: as above, the
    # labels, and whether all is finite and float32 products have all their bits.
    assert moved["up", "small"] == 2 * SMALL + ROWS * everything + 2 * 6 * 8 * shares + 8 * len(found)
    assert moved["down", "small"] == 6 * 8 * (1 + everything + shares) + 8 * shares + labels.nbytes + 2
    assert waits["event"] == waits["device"] == 0
    assert waits["stream"] == 2
    assert there.get().tobytes() == X.tobytes()


def test_waits_do_not_grow_but_by_blocks(cuda, monkeypatch):
    """With blocks that hold all rows, the number of waits does not depend on how many there are."""
    monkeypatch.setattr(transfer, "BLOCK_BYTES", 8 << 20)
    counts = []
    for scale in (1, 3):
        machine = cuda()
        X, y = data(np.float32)
        X, y = np.vstack([X + i / 7 for i in range(scale)]), np.tile(y, scale)
        _, _, waits = resampled(machine, SMOTE(), X, y)
        counts.append(waits)
    assert counts[0] == counts[1]


def test_slices_and_batches_bring_down_what_they_hold(cuda):
    machine = cuda()
    X, y = data(np.float32)
    row = COLUMNS * X.itemsize
    plan = SMOTE(random_state=0, device="cuda").plan(X, y)
    machine.transfers.clear()
    plan.rows(10, 110)
    assert sum(one.nbytes for one in machine.transfers) == 100 * row
    machine.transfers.clear()
    batches = list(plan.batches(256, random_state=0))
    assert sum(len(batch) for batch, _ in batches) == ROWS + NEW
    down = [one.nbytes for one in machine.transfers if one.to_host]
    up = [one.nbytes for one in machine.transfers if not one.to_host]
    assert sum(down) == NEW * row  # no original row makes a trip
    assert sum(up) <= 2 * NEW  # the numbers of the synthetic rows, in two bytes at most


def test_saved_plans_go_up_narrow(cuda, tmp_path):
    from gpusmote import Plan

    machine = cuda()
    X, y = data(np.float32)
    plan = SMOTE(random_state=0, device="cuda").plan(X, y)
    plan.save(tmp_path / "plan")
    machine.transfers.clear()
    again = Plan.load(tmp_path / "plan", X, device="cuda")
    assert sum(one.nbytes for one in machine.transfers) <= SMALL * COLUMNS * 4 + 2 * SMALL * (1 + 1 + 5)
    assert again.rows(0, 50).tobytes() == plan.rows(0, 50).tobytes()


def test_a_class_is_taken_from_all_rows_where_they_are_there(cuda):
    """Borderline reads X once for all its classes, from whatever container."""
    import pandas as pd

    machine = cuda()
    X, y = data(np.float32)
    y = np.where(np.arange(ROWS) % 5 == 0, 2, y)
    frame = pd.DataFrame(X)
    found, moved, _ = resampled(machine, BorderlineSMOTE(), frame, y)
    assert moved["up", "pinned"] == X.nbytes
    expected = BorderlineSMOTE(random_state=0, device="cpu").fit_resample(frame, y)[0]
    assert found.equals(expected)


# Streams


@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
@pytest.mark.parametrize("sampler", [SMOTE(), BorderlineSMOTE(kind="borderline-2")], ids=str)
def test_the_work_runs_on_the_callers_stream(cuda, sampler, on_device):
    """The stand-in refuses whatever is used on a stream that has not waited for the one that made it."""
    machine = cuda()
    import cupy

    X, y = data(np.float32)
    expected = sampler.set_params(device="cpu", random_state=0).fit_resample(X, y)[0]
    with cupy.cuda.Stream(non_blocking=True) as stream:
        given = cupy.asarray(X) if on_device else X
        machine.launches.clear()
        found = sampler.set_params(device="cuda").fit_resample(given, y)[0]
        assert {launch.stream for launch in machine.launches} == {stream.ptr}
        assert {search["stream"] for search in machine.searches} <= {stream.ptr}
        assert 0 not in {one.stream for one in machine.transfers}
        doubled = found * 2  # ready in the order of the stream
    copies = {one.stream for one in machine.transfers if one.pinned}
    assert stream.ptr not in copies
    assert bool(copies) is not on_device
    if on_device:
        with pytest.raises(AssertionError, match="without waiting for it"):
            doubled + 1
        stream.synchronize()
        assert (doubled.get() / 2).tobytes() == expected.tobytes()
    else:
        assert found.tobytes() == expected.tobytes()


def test_threads_each_on_a_stream_of_their_own(cuda):
    machine = cuda()
    import cupy

    X, y = data(np.float32)
    expected = {i: SMOTE(random_state=i, device="cpu").fit_resample(X, y)[0].tobytes() for i in range(6)}
    streams, wrong, start = {}, [], threading.Barrier(6)

    def work(i):
        with cupy.cuda.Stream(non_blocking=True) as stream:
            streams[i] = stream.ptr
            given = cupy.asarray(X) if i % 2 else X
            start.wait()
            found = SMOTE(random_state=i, device="cuda").fit_resample(given, y)[0]
            found = found.get() if i % 2 else found
            if found.tobytes() != expected[i]:
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(streams) == 6
    assert wrong == []
    assert {launch.stream for launch in machine.launches} == set(streams.values())


def test_arrays_of_another_device_are_ordered_both_ways(cuda):
    cuda(devices=2)
    import cupy

    with cupy.cuda.Device(1), cupy.cuda.Stream(non_blocking=True):
        there = cupy.arange(5)
        with cupy.cuda.Device(0), pytest.raises(AssertionError, match="without waiting for it"):
            cupy.asarray(there)
        here = CudaBackend(0).asarray(there)
    assert here.device.id == 0
    assert here.get().tolist() == [0, 1, 2, 3, 4]
    assert CudaBackend(0).asarray(here) is here


# The transfers by themselves


def reader(rows):
    def read(start, stop, buffer):
        buffer[...] = rows[start:stop]

    return read


@pytest.mark.parametrize("n", [0, 1, 170, 171, 1000])
def test_up_and_down_are_inverse(cuda, n):
    machine = cuda()
    rows = np.random.default_rng(n).normal(size=(n, 3))
    backend = CudaBackend(0)
    there = backend.upload(reader(rows), rows.shape, rows.dtype)
    back = np.empty_like(rows)

    def make(start, stop, target):
        target[...] = there[start:stop]

    backend.fill(back, make)
    assert back.tobytes() == rows.tobytes()
    assert machine.to_device_bytes == machine.to_host_bytes == rows.nbytes
    assert machine.pinned == 0  # given back


def test_buffers_do_not_grow_with_the_rows(cuda):
    machine = cuda()
    rows = np.zeros((10_000, 3))
    there = CudaBackend(0).upload(reader(rows), rows.shape, rows.dtype)
    assert machine.pinned_peak <= 2 * BLOCK
    machine.peak = machine.used
    CudaBackend(0).fill(np.empty_like(rows), lambda start, stop, target: target.fill(0))
    assert machine.peak - there.nbytes <= 2 * BLOCK
    assert machine.pinned_peak <= 2 * BLOCK


@pytest.mark.parametrize("early", [False, True])
def test_rows_are_sent_after_what_they_must_come_after(cuda, early):
    """All that the stream was asked; or an event, and what was asked since then goes on meanwhile."""
    cuda()
    import cupy

    with cupy.cuda.Stream(non_blocking=True) as stream:
        rows = np.arange(300.0).reshape(100, 3)
        out = cupy.empty(rows.shape)
        main, event = queue_of((0, stream.ptr)), transfer.record_event(cupy, stream)
        event_number = main.number
        cupy.arange(5)
        cupy.arange(5)
        asked, seen = main.number, set()

        def read(start, stop, buffer):
            buffer[...] = rows[start:stop]
            (side,) = [queue for queue in machine.queues.values() if main.key in queue.seen]
            seen.add(side.seen[main.key])

        transfer.upload(cupy, out, read, 480, event if early else None)
        assert seen == {event_number if early else asked}
        assert cupy.sum(out, axis=1).get().tolist() == rows.sum(axis=1).tolist()  # without another word


def test_rows_are_fetched_while_the_next_are_made(cuda):
    machine = cuda()
    import cupy

    order, out = [], np.empty((100, 3))

    def make(start, stop, target):
        order.append((start, sum(sync.kind == "event" for sync in machine.syncs)))
        target[...] = cupy.arange(3 * start, 3 * stop, dtype="f8").reshape(-1, 3)

    transfer.download(cupy, out, make, 480)
    assert out.ravel().tolist() == list(range(300))
    # A block is made before the host waits for the copy of the one before it.
    assert order == [(0, 0), (20, 0), (40, 1), (60, 2), (80, 3)]
    assert sum(sync.kind == "event" for sync in machine.syncs) == 5


@pytest.mark.parametrize("at", [0, 40, 80])
def test_an_error_on_the_way_leaves_nothing_behind(cuda, at):
    machine = cuda()
    import cupy

    def fail(start, stop, target):
        if start == at:
            raise ZeroDivisionError
        target[...] = 0

    out = cupy.empty((100, 3))
    with pytest.raises(ZeroDivisionError):
        transfer.upload(cupy, out, fail, 480)
    with pytest.raises(ZeroDivisionError):
        transfer.download(cupy, np.empty((100, 3)), fail, 480)
    del out
    assert machine.used == machine.pinned == 0
    cupy.cuda.Device().synchronize()  # what is still pending would complain that its memory is gone


def test_the_host_does_it_without_transfers():
    rows = np.random.default_rng(0).normal(size=(10, 3))
    assert Backend().upload(reader(rows), rows.shape, rows.dtype).tobytes() == rows.tobytes()
    assert Backend().integers(np.array([1, 2], np.uint8)).dtype == np.int64


@pytest.mark.parametrize(
    ("numbers", "width"), [([], 0), ([0, 255], 1), ([0, 256], 2), ([2**40], 8), ([-1, 3], 8), ([-(2**62)], 8)]
)
def test_integers_go_up_narrow_and_arrive_wide(cuda, numbers, width):
    machine = cuda()
    there = CudaBackend(0).integers(np.array(numbers, np.int64))
    assert there.dtype == np.int64
    assert there.get().tolist() == numbers
    assert machine.to_device_bytes == len(numbers) * width
