"""The CUDA backend's own Python over the stand-in: equal to the NumPy path to the bit, and strict about its input."""

from __future__ import annotations

import inspect
import pickle
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpusmote import random_stream
from gpusmote.backends import Backend, kernels
from gpusmote.backends import cuda as cuda_module
from gpusmote.backends.cpu import WorkingMemory
from gpusmote.backends.cuda import CudaBackend
from gpusmote.errors import DeviceError, InputError, InputTypeError
from tests.standin.install import cuda

__all__ = ["cuda"]

KEY = random_stream.class_key((11,), 2)
HOST = Backend()
quick = settings(
    derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
DTYPES = st.sampled_from([np.float32, np.float64])


def same_bits(device, host):
    got = device.get()
    return got.dtype == host.dtype and got.shape == host.shape and got.tobytes() == host.tobytes()


def overridden():
    return [
        name for name in vars(CudaBackend) if not name.startswith("_") and inspect.isfunction(vars(CudaBackend)[name])
    ]


@pytest.mark.parametrize("name", overridden())
def test_overrides_have_the_signatures_of_the_base(name):
    ours, base = (inspect.signature(getattr(kind, name)) for kind in (CudaBackend, Backend))
    assert [(p.name, p.kind, p.default, p.annotation) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default, p.annotation) for p in base.parameters.values()
    ]


def test_every_operation_is_overridden():
    """An operation that stayed NumPy's would fail on a device, or silently copy."""
    operations = {
        name for name in vars(Backend) if not name.startswith("_") and inspect.isfunction(vars(Backend)[name])
    }
    assert operations - {"within", "stack"} == set(overridden())


@quick
@given(
    start=st.one_of(st.integers(0, 50), st.integers(2**63 - 2000, 2**63 - 1000)),
    count=st.integers(0, 700),
    n=st.sampled_from([1, 7, 2**40]),
)
def test_draw(cuda, start, count, n):
    cuda()
    for device, host in zip(
        CudaBackend(0).draw(KEY, start, start + count, n), HOST.draw(KEY, start, start + count, n), strict=True
    ):
        assert same_bits(device, host)


@quick
@given(samples=st.lists(st.integers(0, 2**63 - 1), max_size=50))
def test_draw_at(cuda, samples):
    cuda()
    backend, samples = CudaBackend(0), np.array(samples, np.int64)
    found = backend.draw_at(KEY, backend.asarray(samples), 9)
    for device, host in zip(found, HOST.draw_at(KEY, samples, 9), strict=True):
        assert same_bits(device, host)


@quick
@given(seed=st.integers(0, 2**32 - 1), m=st.integers(0, 300), d=st.integers(1, 40), dtype=DTYPES)
def test_interpolate(cuda, seed, m, d, dtype):
    cuda()
    rng, backend = np.random.default_rng(seed), CudaBackend(0)
    values = (rng.normal(size=(20, d)) * 10.0 ** rng.integers(-44, 38, d)).astype(dtype)
    base, neighbor, gap = rng.integers(0, 20, m), rng.integers(0, 20, m), rng.random(m)
    expected, out = np.empty((m, d), dtype), backend.xp.empty((m, d), dtype)
    with np.errstate(all="ignore"):
        HOST.interpolate(values, base, neighbor, gap, expected)
    backend.interpolate(*(backend.asarray(a) for a in (values, base, neighbor, gap)), out)
    assert same_bits(out, expected)


@quick
@given(
    seed=st.integers(0, 2**32 - 1), m=st.integers(0, 20), width=st.integers(0, 70), d=st.integers(1, 70), dtype=DTYPES
)
def test_rerank(cuda, seed, m, width, d, dtype):
    cuda()
    rng, backend = np.random.default_rng(seed), CudaBackend(0)
    values = rng.normal(1e6, 1, (30, d)).astype(dtype)
    queries, candidates = rng.integers(0, 30, m), rng.integers(0, 30, (m, width))
    found = backend.rerank(*(backend.asarray(a) for a in (values, queries, candidates)))
    assert same_bits(found, HOST.rerank(values, queries, candidates))


@quick
@given(seed=st.integers(0, 2**32 - 1), m=st.integers(0, 600), k=st.integers(1, 9))
def test_count_foreign(cuda, seed, m, k):
    cuda()
    rng, backend = np.random.default_rng(seed), CudaBackend(0)
    codes, neighbors = rng.integers(0, 4, 80), rng.integers(0, 80, (m, k))
    found = backend.count_foreign(backend.asarray(codes), backend.asarray(neighbors), 2)
    assert same_bits(found, HOST.count_foreign(codes, neighbors, 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-38, 1e-41])
@pytest.mark.parametrize(("n", "d"), [(1, 1), (7, 3), (64, 2), (1000, 3), (257, 40), (5, 300)])
def test_conversion_and_ranges(cuda, monkeypatch, n, d, scale, dtype):
    """In one block and in many, with rows that fill the last block and rows that do not; strided input too."""
    cuda()
    X = (np.random.default_rng(n).normal(size=(n, d)) * scale).astype(dtype)
    host, device = Backend(), CudaBackend(0)
    there = device.asarray(X)
    for rows in (slice(None), slice(None, None, 3)):
        found, expected = device.to_float64(there[rows]), host.to_float64(X[rows])
        assert found.get().tobytes() == expected.tobytes()
        found += 1.0  # of its own memory
        assert there.get().tobytes() == X.tobytes()
    for converted, wide in ((1 << 20, 8_192), (300, 64), (1, 1)):
        monkeypatch.setattr(cuda_module, "_CONVERTED", converted)
        monkeypatch.setattr(cuda_module, "_SIDE_BY_SIDE", wide)
        for found, expected in zip(device.column_range(there), host.column_range(X), strict=True):
            assert found.get().tobytes() == expected.tobytes()


def test_narrow_tables_are_reduced_as_wide_ones(cuda, monkeypatch):
    """CuPy would otherwise leave nearly all multiprocessors without work."""
    cuda()
    import cupy

    widths, smallest = [], cupy.ndarray.min
    monkeypatch.setattr(
        cupy.ndarray, "min", lambda self, axis: widths.append(self.shape[-1]) or smallest(self, axis=axis)
    )
    device = CudaBackend(0)
    device.column_range(device.asarray(np.random.default_rng(0).normal(size=(20_000, 2))))
    assert min(widths[::2]) == 8_192


def test_a_small_grid_walks_over_everything(cuda, monkeypatch):
    """What only tables of millions of rows would reach: fewer threads than things to do."""
    machine = cuda()
    monkeypatch.setattr(cuda_module, "_MOST_BLOCKS", 2)
    rng, backend = np.random.default_rng(0), CudaBackend(0)
    values, base, neighbor = rng.normal(size=(50, 7)), rng.integers(0, 50, 999), rng.integers(0, 50, 999)
    gap, candidates = rng.random(999), rng.integers(0, 50, (999, 33))
    v, b, n, g, c = (backend.asarray(a) for a in (values, base, neighbor, gap, candidates))
    out, expected = backend.xp.empty((999, 7)), np.empty((999, 7))
    backend.interpolate(v, b, n, g, out)
    HOST.interpolate(values, base, neighbor, gap, expected)
    assert same_bits(out, expected)
    assert same_bits(backend.rerank(v, b, c), HOST.rerank(values, base, candidates))
    assert same_bits(backend.draw(KEY, 3, 4000, 10)[0], HOST.draw(KEY, 3, 4000, 10)[0])
    assert same_bits(backend.draw_at(KEY, b, 10)[1], HOST.draw_at(KEY, base, 10)[1])
    assert same_bits(backend.count_foreign(n, c, 7), HOST.count_foreign(neighbor, candidates, 7))
    narrow = rng.normal(size=(999, 3)).astype("f4")
    assert same_bits(backend.to_float64(backend.asarray(narrow)), HOST.to_float64(narrow))
    assert {launch.grid for launch in machine.launches} == {(2,)}


def test_tables_of_more_than_two_to_the_31_values(cuda, size):
    """Rows on both sides of value 2**31 of the table and of the output; of a small table over the stand-in."""
    cuda()
    rng, backend, d = np.random.default_rng(0), CudaBackend(0), 33
    xp, n = backend.xp, size(2**31 // d + 1000, 50)
    if backend.free_memory() < 2 * n * d * 4 + 24 * n + (1 << 20):
        pytest.skip(f"the device has no room for two tables of {n * d:,} values")
    values, out = xp.empty((n, d), np.float32), xp.full((n, d), np.nan, np.float32)
    block = rng.standard_normal((min(n, 1_000_003), d), np.float32)
    for start in range(0, n, len(block)):
        values[start : start + len(block)] = xp.asarray(block[: n - start])
    base = xp.arange(n)[::-1].copy()
    neighbor, gap = (base + 12_345) % n, xp.full(n, 0.375)
    backend.interpolate(values, base, neighbor, gap, out)
    edge = min(2**31 // d, n - 2)  # the row in which value 2**31 lies
    some = np.unique([0, 1, n // 2, edge - 1, edge, edge + 1, n - 2, n - 1, *range(7, n, max(1, n // 500))])
    pick, place = xp.asarray(some), np.arange(len(some))
    near = np.concatenate([values[base[pick]].get(), values[neighbor[pick]].get()])
    expected = np.empty((len(some), d), np.float32)
    HOST.interpolate(near, place, place + len(some), gap[pick].get(), expected)
    assert same_bits(out[pick], expected)
    assert not any(bool(xp.isnan(out[i : i + 4_000_000]).any()) for i in range(0, n, 4_000_000))
    rows = np.array([n - 1, n - 2, 0, edge, 1])
    found = backend.rerank(values, xp.asarray(rows[:2]), xp.asarray(rows[[[2, 0], [3, 4]]]))
    near = values[xp.asarray(rows)].get()
    assert same_bits(found, HOST.rerank(near, np.array([0, 1]), np.array([[2, 0], [3, 4]])))


def test_nothing_is_launched_for_nothing(cuda):
    machine = cuda()
    backend = CudaBackend(0)
    empty = backend.asarray(np.empty(0, np.int64))
    values = backend.asarray(np.ones((2, 3)))
    backend.interpolate(values, empty, empty, backend.asarray(np.empty(0)), backend.xp.empty((0, 3)))
    assert backend.rerank(values, empty, backend.xp.empty((0, 4), np.int64)).shape == (0, 4)
    assert backend.draw(KEY, 5, 5, 3)[0].size == backend.draw_at(KEY, empty, 3)[1].size == 0
    assert machine.launches == []


def test_the_host_never_waits_for_the_kernels(cuda):
    machine = cuda()
    backend = CudaBackend(0)
    values = backend.asarray(np.ones((9, 3)))
    pick, gap = backend.draw(KEY, 0, 9, 9)
    backend.interpolate(values, pick, pick, gap, backend.xp.empty((9, 3)))
    backend.count_foreign(pick, backend.rerank(values, pick, pick[:, None]).astype(np.int64), 0)
    assert (machine.waits, machine.to_host, machine.to_device) == (0, 0, 1)
    backend.synchronize()
    assert machine.waits == 1


def test_work_is_done_on_the_device_and_the_callers_stream(cuda):
    machine = cuda(devices=2)
    backend = CudaBackend(1)
    assert backend.name == "cuda:1"
    import cupy

    with cupy.cuda.Device(1):
        stream = cupy.cuda.Stream()
        stream.use()
    pick, _ = backend.draw(KEY, 0, 5, 3)
    assert pick.device.id == 1
    assert cupy.cuda.Device().id == 0
    assert (machine.launches[-1].device, machine.launches[-1].stream) == (1, stream.ptr)
    with backend.active():
        assert backend.xp.arange(2).device.id == 1


def arguments(backend):
    positions = backend.asarray(np.zeros(4, np.int64))
    return {
        "values": backend.asarray(np.ones((5, 3))),
        "base": positions,
        "neighbor": positions.copy(),
        "gap": backend.asarray(np.zeros(4)),
        "out": backend.xp.empty((4, 3)),
    }


@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        ("values", lambda a: a.astype(np.float16), InputTypeError, "float16; the kernels take float32 or float64"),
        ("values", lambda a: a.astype(np.int64), InputTypeError, "values is int64"),
        ("values", lambda a: a.get(), InputTypeError, r"values is of type numpy.ndarray, not an array on cuda:0"),
        ("values", lambda a: a.T.copy().T, InputError, "values is not C-contiguous"),
        ("values", lambda a: a[0], InputError, r"values has shape \(3,\)"),
        ("base", lambda a: a.astype(np.int32), InputTypeError, "base is int32; the kernels take int64"),
        ("neighbor", lambda a: a[:3], InputError, r"neighbor has shape \(3,\); it must be \(4\)"),
        ("gap", lambda a: a.astype(np.float32), InputTypeError, "gap is float32; the kernels take float64"),
        ("out", lambda a: a.astype(np.float32), InputTypeError, "out is float32; the kernels take float64"),
        ("out", lambda a: a.get(), InputTypeError, r"out is of type numpy.ndarray"),
        ("out", lambda a: a[:, :2].copy(), InputError, r"out has shape \(4, 2\); it must be \(4, 3\)"),
    ],
)  # fmt: skip
def test_what_the_kernels_cannot_take_is_refused(cuda, name, change, error, message):
    machine = cuda()
    given = arguments(CudaBackend(0))
    given[name] = change(given[name])
    with pytest.raises(error, match=message):
        CudaBackend(0).interpolate(**given)
    assert machine.launches == []


def test_arrays_of_another_device_are_refused(cuda):
    cuda(devices=2)
    with pytest.raises(InputError, match="values is on cuda:0, not on cuda:1"):
        CudaBackend(1).interpolate(**arguments(CudaBackend(0)))


def test_positions_that_are_strided_are_copied(cuda):
    cuda()
    backend = CudaBackend(0)
    wide = np.arange(40).reshape(8, 5) % 6
    codes = np.arange(6) % 2
    found = backend.count_foreign(backend.asarray(codes), backend.asarray(wide)[:, :3], 0)
    assert same_bits(found, HOST.count_foreign(codes, wide[:, :3], 0))


def test_transfers(cuda):
    machine = cuda()
    backend, host = CudaBackend(0), np.arange(6.0)
    a = backend.asarray(host)
    assert isinstance(a, backend.xp.ndarray)
    assert backend.asarray(a) is a
    assert backend.asarray(host, np.float32).dtype == np.float32
    assert backend.to_host(a).tolist() == host.tolist()
    assert backend.to_host(host) is host
    assert machine.to_host == 1


def test_free_memory(cuda):
    machine = cuda(memory=10_000)
    backend = CudaBackend(0)
    kept = backend.xp.zeros(500)
    assert backend.free_memory() == 10_000 - kept.nbytes
    machine.limit = 5000
    assert backend.free_memory() == 5000 - kept.nbytes


def test_a_backend_can_be_pickled(cuda):
    cuda(devices=2)
    assert pickle.loads(pickle.dumps(CudaBackend(1))).name == "cuda:1"


def test_threads_share_the_kernels(cuda):
    cuda()
    backend, expected = CudaBackend(0), HOST.draw(KEY, 0, 400, 7)[1]
    equal = []

    def work():
        equal.append(all(same_bits(backend.draw(KEY, 0, 400, 7)[1], expected) for _ in range(20)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert equal == [True] * 8


def test_a_kernel_that_does_not_compile_is_told_of_with_log_and_chip(cuda, monkeypatch):
    cuda()
    import cupy

    def refuse(self, grid, block, args, **kwargs):
        raise cupy.cuda.compiler.CompileException("kernels/draw_samples.cu(7): error: no such thing", "", "", ())

    monkeypatch.setattr(cupy.RawKernel, "__call__", refuse)
    with pytest.raises(
        DeviceError, match=r"draw_samples.cu does not compile for cuda:0 \(compute capability 90\)"
    ) as caught:
        CudaBackend(0).draw(KEY, 0, 2, 1)
    assert "kernels/draw_samples.cu(7): error" in str(caught.value)


@pytest.mark.parametrize("columns", [1, 8, 100])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_rows_on_the_device_are_made_in_large_blocks(cuda, columns, scale):
    """Small ones are bound by kernel launches, of which each block takes some ten, whatever its size."""
    cuda()
    import cupy

    backend, spans = CudaBackend(0), []
    backend.memory = WorkingMemory(int(scale * WorkingMemory.usual()))
    out = cupy.empty((20_000_000 // columns, columns), np.float32)
    backend.fill(out, lambda start, stop, target: spans.append((start, stop)))
    assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])]
    assert spans[-1][1] == len(out)
    held = [(stop - start) * (4 * columns + 64) for start, stop in spans]
    assert max(held) <= scale * (256 << 20)
    assert min(held[:-1], default=256 << 20) > 0.99 * scale * (256 << 20)


def test_a_kernel_that_does_not_start_is_told_of(cuda, monkeypatch):
    cuda()
    import cupy

    def refuse(self, grid, block, args, **kwargs):
        raise RuntimeError("CuPy failed to load libnvrtc.so.12")

    monkeypatch.setattr(cupy.RawKernel, "__call__", refuse)
    with pytest.raises(DeviceError, match=r"draw_slice did not start on cuda:0 .* libnvrtc.so.12") as caught:
        CudaBackend(0).draw(KEY, 0, 2, 1)
    assert 'pip install "gpusmote[cuda12]"' in caught.value.hint


def test_missing_sources_name_both_places(monkeypatch, tmp_path):
    monkeypatch.setattr(kernels, "_PACKAGE", tmp_path / "gpusmote")
    with pytest.raises(DeviceError) as caught:
        kernels.folder()
    assert str(tmp_path / "gpusmote" / "kernels") in caught.value.message
    assert str(tmp_path / "kernels") in caught.value.message


def test_sources_lie_in_the_package_or_beside_it(monkeypatch, tmp_path):
    monkeypatch.setattr(kernels, "_PACKAGE", tmp_path / "gpusmote")
    for place in (tmp_path / "kernels", tmp_path / "gpusmote" / "kernels"):
        place.mkdir(parents=True)
        (place / "draw_samples.cu").touch()
        assert kernels.folder() == place


def test_sources_are_self_contained():
    for path in kernels.folder().glob("*.cu*"):
        text = kernels.source(path.name)
        assert "#include" not in text
        assert text.startswith(f'#line 1 "kernels/{path.name}"')
