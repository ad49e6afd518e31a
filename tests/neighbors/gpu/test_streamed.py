"""A class larger than the device: the next rows go up while the last are searched."""

from __future__ import annotations

import numpy as np
import pytest

from gpusmote import ADASYN, SMOTE, BorderlineSMOTE
from gpusmote.backends import Backend, transfer
from gpusmote.backends.cpu import WorkingMemory
from gpusmote.errors import MemoryLimitError
from gpusmote.neighbors import NeighborSearch, SearchReport
from gpusmote.neighbors.gpu import streamed
from gpusmote.neighbors.gpu.streamed import StreamedSearch
from gpusmote.neighbors.search_set import DeviceWindow, SearchSet
from tests import reference
from tests.standin.install import cuda
from tests.standin.streams import queue_of

__all__ = ["cuda"]


@pytest.fixture(autouse=True)
def little_is_much(monkeypatch):
    monkeypatch.setattr(transfer, "BLOCK_BYTES", 1024)


def table(n, d=4, kind="plain", dtype=np.float32):
    values = np.random.default_rng(n).standard_normal((n, d))
    if kind == "ties":
        values = np.round(values)
    elif kind == "clusters":
        values[::2] += 1e4
    return values.astype(dtype)


def device(rows):
    """A device that has room for so many rows."""
    from gpusmote.backends.cuda import CudaBackend

    found = CudaBackend(0)
    found.memory = WorkingMemory(WorkingMemory.usual(), 0, rows, 1 << 20)
    return found


# The order of copies and searches


class Log:
    """When rows were sent and searched: by the numbers of what the searching stream had been asked by then."""

    def __init__(self, machine, stream, monkeypatch):
        self.main = queue_of((0, stream))
        self.begun, self.last, self.copies, self.waits = [], [], [], []
        real = machine.transfer, machine.wait, streamed.device_source

        def send(one):
            real[0](one)
            if one.pinned and not one.to_host:  # sent during which search, after what of the searching stream, bytes
                side = queue_of((one.device, one.stream))
                self.copies.append((len(self.begun), side.seen.get(self.main.key, 0), one.nbytes))

        def wait(sync):
            real[1](sync)
            if (sync.device, sync.stream) == self.main.key:
                self.waits.append((len(self.begun), len(self.copies)))

        def source(search_set):
            found = real[2](search_set)
            self.begun.append(self.main.number)
            self.last.append(self.main.number)
            return found

        def rerank(backend, *arguments):
            found = right(backend, *arguments)
            self.last[-1] = self.main.number
            return found

        from gpusmote.backends.cuda import CudaBackend

        right = CudaBackend.rerank
        monkeypatch.setattr(machine, "transfer", send)
        monkeypatch.setattr(machine, "wait", wait)
        monkeypatch.setattr(streamed, "device_source", source)
        monkeypatch.setattr(CudaBackend, "rerank", rerank)


@pytest.mark.parametrize("faiss", [True, False], ids=["faiss", "tiles"])
def test_rows_go_up_while_those_before_them_are_searched(cuda, monkeypatch, faiss):
    machine = cuda(faiss=faiss)
    import cupy

    values, n, rows = table(1_000), 1_000, 200  # ten parts of 100, of which two are there at once
    with cupy.cuda.Stream(non_blocking=True) as stream:
        log = Log(machine, stream.ptr, monkeypatch)
        asked = np.arange(150)
        found, passes = StreamedSearch(SearchSet(Backend(), values), device(rows), lambda name: None).nearest(
            asked, 5, 31
        )
    assert not passes.any()
    np.testing.assert_array_equal(found, reference.nearest(values, asked, 5))
    assert len(log.begun) == 10
    for part in range(1, 10):
        sent = [copy for copy in log.copies if copy[0] == part]
        assert len(sent) > 2
        for _, after, _ in sent:
            assert after <= log.begun[part - 1]  # not after the search that is going on,
            assert part < 2 or after >= log.last[part - 2]  # but after the one of the rows whose place they take
        # Nor did the host wait for the search before it sent them.
        assert [wait for wait in log.waits if wait[0] == part] == []
    # Each row once, and each query, with its norm; nothing after the last search has begun.
    assert sum(nbytes for _, _, nbytes in log.copies) == (n + len(asked)) * (values[0].nbytes + 8)
    assert not any(copy[0] == 10 for copy in log.copies)
    assert all(sync.kind != "device" for sync in machine.syncs)


def test_the_later_passes_overlap_as_well(cuda, monkeypatch):
    """Their copies do not wait for what was asked just before them, either."""
    cuda()
    import cupy

    values = table(600, 2)
    values[np.arange(600) % 60 > 0] = 0  # more equal rows in each part than a list holds
    began, sent = [], []
    send = transfer.upload

    def noted(xp, out, read, block_bytes=0, after=None):
        sent.append(None if after is None else after._number)
        began.append(queue_of((0, stream.ptr)).number)
        send(xp, out, read, block_bytes, after)

    monkeypatch.setattr(transfer, "upload", noted)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        searcher = StreamedSearch(SearchSet(Backend(), values), device(100), lambda name: None)
        found, passes = searcher.nearest(np.arange(80), 3, 31)
    assert 2 in passes
    np.testing.assert_array_equal(found, reference.nearest(values, np.arange(80), 3))
    behind = [before - after for before, after in zip(began, sent, strict=True) if after is not None]
    assert len(behind) == 2 * 3 * 12  # values and norms, three passes, twelve parts
    assert sum(gap > 5 for gap in behind) == 2 * 3 * 11  # all but the first part of a pass


def test_a_window_holds_no_more_than_it_says(cuda):
    machine = cuda()
    whole = SearchSet(Backend(), table(1_000, 6))
    backend = device(200)
    window = DeviceWindow(backend, whole, [(0, 100), (100, 200), (200, 290)], np.arange(50))
    assert machine.used <= (2 * 100 + 50) * (6 * 4 + 8) + 2 * 8 * 50 + 200
    for first, last in zip(window.each_span(), (100, 200, 290), strict=True):
        assert window.n == last - first
        assert window.values[: window.n].get().tobytes() == whole.values[first:last].tobytes()
        assert window.values[window.queries].get().tobytes() == whole.values[:50].tobytes()
        assert window.norms[window.queries].get().tobytes() == whole.norms[:50].tobytes()
        assert window.own_rows(window.queries).get().tolist() == [query - first for query in range(50)]
    assert DeviceWindow(backend, whole, [(0, 7)], np.arange(3)).values.shape == (10, 6)  # one span takes one place


@pytest.mark.parametrize(("n", "d"), [(2_000, 32), (1_500, 64)])
def test_no_peak_is_above_the_estimate(cuda, n, d):
    machine = cuda()
    X, y = table(n, d), (np.arange(n) < 0.4 * n).astype(int)
    sampler = SMOTE(random_state=0, device="cuda", memory_limit={"cuda": 1_800_000})
    estimate = sampler.estimate(n, d, "f4", y=y)
    assert estimate.memory.pool_rows is not None
    sampler.fit_resample(X, y)
    assert 0 < machine.peak <= estimate.total - estimate.memory.faiss


@pytest.mark.parametrize("kind", ["plain", "ties", "clusters"])
@pytest.mark.parametrize(("n", "rows", "k"), [(500, 64, 1), (301, 300, 20), (65, 64, 22), (400, 1_000, 5)])
def test_neighbors_are_the_nearest(cuda, n, rows, k, kind):
    values = table(n, 3, kind, np.float64)
    queries = np.random.default_rng(0).permutation(n)[: n // 2 + 1]
    expected = NeighborSearch(Backend(), values, SearchReport()).nearest(queries, k)
    cuda()
    found, _ = StreamedSearch(SearchSet(Backend(), values), device(rows), lambda name: None).nearest(queries, k, 31)
    np.testing.assert_array_equal(found, expected)


def data():
    rng = np.random.default_rng(1)
    y = rng.permutation(np.repeat([0, 1], [700, 400]))
    return (rng.normal(size=(1_100, 5)) + 0.7 * y[:, None]).astype(np.float32), y


SAMPLERS = [SMOTE(random_state=3), BorderlineSMOTE(random_state=3), ADASYN(random_state=3)]


def hosted(sampler, X, y):
    """With as little memory as works, which the error says."""
    with pytest.raises(MemoryLimitError) as caught:
        sampler.set_params(device="cuda", memory_limit={"cuda": 1}).plan(X, y)
    least = int(caught.value.hint.split("memory_limit=")[1].split()[0])
    return sampler.set_params(memory_limit={"cuda": least}).fit_resample(X, y)[0]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_a_sampler_makes_the_same_rows(cuda, sampler):
    X, y = data()
    expected = sampler.set_params(device="cpu", memory_limit=None).fit_resample(X, y)[0]
    cuda()
    found = hosted(sampler, X, y)
    assert found.tobytes() == expected.tobytes()
    assert sampler.device_ == "cuda:0"
    (note,) = sampler.report_.notes
    assert note.startswith("The rows do not fit on cuda:0")
    assert sampler.report_.search.queries == sum(
        getattr(sampler.report_.search, name) for name in ("certified_first", "certified_second", "certified_last")
    )


def test_rows_go_up_once_for_each_block_of_queries(cuda):
    values = table(900)
    row = values[0].nbytes + 8
    machine = cuda()
    for queries, blocks in ((900, 5), (400, 2), (90, 1)):
        machine.transfers.clear()
        searcher = StreamedSearch(SearchSet(Backend(), values), device(200), lambda name: None)
        found, passes = searcher.nearest(np.arange(queries), 5, 31)
        assert not passes.any()
        np.testing.assert_array_equal(found, reference.nearest(values, np.arange(queries), 5))
        up = sum(one.nbytes for one in machine.transfers if one.pinned and not one.to_host)
        assert up == (blocks * 900 + queries) * row
