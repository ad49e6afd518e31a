"""The stand-in is worth what it refuses, and its names must be CuPy's."""

from __future__ import annotations

import importlib
import inspect
import operator
import types

import numpy as np
import pytest

from tests.standin import functions, runtime
from tests.standin.array import METHODS, ndarray
from tests.standin.install import cuda, modules, real_cupy

__all__ = ["cuda"]

SOURCE = """
extern "C" __global__ void scale_values(const double* values, double factor, long long count, double* out) {
    const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < count) out[i] = __dmul_rn(values[i], factor);
}
"""


@pytest.fixture(scope="module")
def real():
    cupy = real_cupy()
    if cupy is None:
        pytest.skip("CuPy is not installed: its names cannot be compared")
    return cupy


def test_every_name_is_one_of_cupy(real):
    for name, module in modules(real).items():
        theirs = operator.attrgetter(name)(types.SimpleNamespace(cupy=real, cupyx=importlib.import_module("cupyx")))
        ours = {n for n in vars(module) if not n.startswith("__")} - {"is_stand_in"}
        assert [n for n in sorted(ours) if not hasattr(theirs, n)] == [], name


def test_every_method_is_one_of_cupy(real):
    ours = {name for name in vars(ndarray) if not name.startswith("_")} | set(METHODS)
    assert [name for name in sorted(ours) if not hasattr(real.ndarray, name)] == []


@pytest.mark.parametrize("name", sorted({*functions.SPECIAL} - {"from_dlpack", "size"}))  # those tell no signature
def test_signatures_are_those_of_cupy(real, name):
    expected = inspect.signature(getattr(real, name))
    ours = inspect.signature(getattr(functions, name))
    # Ours may lack what CuPy has at the end, but must not have what CuPy lacks.
    for parameter in ours.parameters.values():
        if parameter.kind is not parameter.VAR_POSITIONAL:
            assert parameter.name in expected.parameters
            assert parameter.kind == expected.parameters[parameter.name].kind


def test_the_benchmark_takes_what_cupys_takes(real):
    profiler = importlib.import_module("cupyx.profiler")
    assert set(inspect.signature(runtime.benchmark).parameters) <= set(inspect.signature(profiler.benchmark).parameters)
    assert {"cpu_times", "gpu_times"} <= set(dir(profiler._time._PerfCaseResult))


def test_the_memory_hook_is_told_what_cupys_is_told(cuda, real):
    assert all(hasattr(real.cuda.MemoryHook, name) for name in vars(runtime.MemoryHook) if name[0] != "_")
    cuda()
    import cupy

    told = []

    class Hook(cupy.cuda.MemoryHook):
        def malloc_postprocess(self, **size):
            told.append(size["mem_size"])

    with Hook():
        cupy.zeros(100)
    cupy.zeros(200)
    assert told == [800]


@pytest.mark.parametrize("name", ["RawKernel", "RawModule"])
def test_constructors_are_those_of_cupy(real, name):
    theirs = str(getattr(real, name).__doc__)
    for parameter in list(inspect.signature(getattr(runtime, name)).parameters):
        assert parameter in theirs


def test_no_silent_mixing_with_the_host(cuda):
    cuda()
    import cupy

    a, host = cupy.arange(3), np.arange(3)
    for attempt in (
        lambda: np.asarray(a),
        lambda: np.add(host, a),
        lambda: np.concatenate([a, a]),
        lambda: host + a,
        lambda: a + host,
        lambda: a == host,
        lambda: a[host],
        lambda: a[[0, 1]],
        lambda: a.__setitem__(slice(None), host),
        lambda: cupy.concatenate([a, host]),
        lambda: cupy.where(a > 1, a, host),
        lambda: a.take(host),
    ):
        with pytest.raises(TypeError):
            attempt()
    assert (2 * a + np.float64(0.5)).get().tolist() == [0.5, 2.5, 4.5]


def test_empty_memory_is_no_zeros(cuda):
    cuda()
    import cupy

    assert np.isnan(cupy.empty((2, 3)).get()).all()
    assert (cupy.empty(3, np.int64).get() == -1).all()


def test_reductions_stay_on_the_device(cuda):
    machine = cuda()
    import cupy

    total = cupy.arange(5).sum()
    assert isinstance(total, cupy.ndarray)
    assert machine.waits == machine.to_host == 0
    assert int(total) == 10
    assert machine.waits == machine.to_host == 1


def test_transfers_and_waits_are_counted(cuda):
    machine = cuda()
    import cupy

    a = cupy.asarray(np.ones(10))
    assert (machine.to_device, machine.to_device_bytes) == (1, 80)
    assert cupy.asarray(a) is a
    assert machine.to_device == 1
    cupy.nonzero(a)
    a[a > 0]
    cupy.cuda.get_current_stream().synchronize()
    assert machine.waits == 3
    cupy.asnumpy(a)
    assert (machine.to_host, machine.to_host_bytes, machine.waits) == (1, 80, 4)


def test_memory_is_counted_and_bounded(cuda):
    machine = cuda(memory=1000)
    import cupy

    a = cupy.zeros(100)
    view = a[:50]
    assert machine.used == 800
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
        cupy.zeros(100)
    del a
    assert machine.used == 800
    del view
    assert machine.used == 0
    assert machine.peak == 800


def test_arrays_belong_to_a_device(cuda):
    cuda(devices=2)
    import cupy

    a = cupy.arange(3)
    with cupy.cuda.Device(1):
        assert cupy.arange(3).device.id == 1
        with pytest.raises(ValueError, match="cuda:0 is used while cuda:1"):
            a + 1
        with pytest.raises(AssertionError, match="without waiting for it"):  # CuPy would copy, at some time or other
            cupy.asarray(a)
        cupy.cuda.Device(0).synchronize()
        assert cupy.asarray(a).device.id == 1
    assert (a + 1).device.id == 0
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError):
        cupy.cuda.Device(2)


def test_copies_are_done_when_somebody_waits(cuda):
    machine = cuda()
    import cupy

    side = cupy.cuda.Stream(non_blocking=True)
    memory = cupy.cuda.alloc_pinned_memory(80)
    pinned = np.frombuffer(memory, np.float64, 10)
    pinned[...] = 1
    a = cupy.zeros(10)
    side.wait_event(cupy.cuda.get_current_stream().record())
    a.set(pinned, stream=side)
    assert machine.waits == 0
    assert a.get().sum() == 0  # on the null stream, which a non-blocking one has nothing to do with
    cupy.cuda.get_current_stream().wait_event(side.record())
    assert int(a.sum()) == 10
    a += 1
    side.wait_event(cupy.cuda.get_current_stream().record())
    assert a.get(stream=side, out=pinned, blocking=False) is pinned
    assert pinned.tolist() == [1] * 10
    event = side.record()
    assert not event.done
    event.synchronize()
    assert event.done
    assert pinned.tolist() == [2] * 10
    assert [one.pinned for one in machine.transfers] == [True, False, False, True]
    assert [sync.kind for sync in machine.syncs] == ["copy", "copy", "event"]
    assert machine.pinned == 80
    del pinned, memory
    assert machine.pinned == 0


@pytest.mark.parametrize("dropped", ["host", "device"])
def test_memory_must_last_as_long_as_its_copies(cuda, dropped):
    cuda()
    import cupy

    side, memory = cupy.cuda.Stream(), cupy.cuda.alloc_pinned_memory(80)
    pinned, a = np.frombuffer(memory, np.float64, 10), cupy.empty(10)
    a.set(pinned, stream=side)
    if dropped == "host":
        del pinned, memory
    else:
        del a
    with pytest.raises(AssertionError, match="before the copy"):
        side.synchronize()


def test_streams_are_ordered_by_events_or_by_the_host(cuda):
    cuda()
    import cupy

    with cupy.cuda.Stream(non_blocking=True) as one:
        a = cupy.arange(3)
        event = one.record()
    with cupy.cuda.Stream(non_blocking=True) as two:
        with pytest.raises(AssertionError, match="without waiting for it"):
            a + 1
        two.wait_event(event)
        b = a + 1
    with cupy.cuda.Stream(non_blocking=True) as three:
        three.wait_event(two.record())
        assert (a + b).get(stream=three).tolist() == [1, 3, 5]  # what another has waited for counts, too
    with cupy.cuda.Stream(non_blocking=True) as four:
        d = cupy.arange(3)
    with pytest.raises(AssertionError, match="without waiting for it"):
        d + 1
    four.synchronize()
    assert (d + 1).get().tolist() == [1, 2, 3]
    with cupy.cuda.Stream():
        c = cupy.arange(3)
    assert c.get().tolist() == [0, 1, 2]  # the null stream waits for a stream that blocks


def test_a_device_that_breaks_stays_broken(cuda):
    machine = cuda(devices=2)
    import cupy

    error = cupy.cuda.runtime.CUDARuntimeError
    a = cupy.arange(3)
    machine.break_device(0, 1, lambda: error(719))
    a + 1
    for attempt in (lambda: a + 1, lambda: a.get(), lambda: cupy.asarray(np.ones(2)), cupy.cuda.Device(0).synchronize):
        with pytest.raises(error):
            attempt()
    with cupy.cuda.Device(1):
        assert cupy.arange(2).get().tolist() == [0, 1]


def test_subnormal_numbers_are_zero_to_cupys_own_kernels(cuda):
    """CuPy compiles with -ftz=true: only kernels that avoid it, and copies, keep them."""
    cuda()
    import cupy

    tiny = cupy.asarray(np.array([1e-40, 1.0], np.float32))
    assert (tiny != cupy.zeros(2, "f4")).tolist() == [False, True]
    assert tiny.astype("f8").tolist() == [0.0, 1.0]
    assert cupy.add(tiny, tiny).tolist() == [0.0, 2.0]
    assert (tiny * 1e-30).tolist()[0] == 0.0
    assert tiny[cupy.arange(2)].copy().get().tobytes() == tiny.get().tobytes() == np.array([1e-40, 1.0], "f4").tobytes()
    assert (tiny.astype("f8") + 1e-40).astype("f4").tolist() == [0.0, 1.0]
    assert tiny.min(axis=0).tolist() == cupy.min(tiny).tolist() == 0.0
    assert cupy.asarray(tiny, "f8").tolist() == cupy.concatenate([tiny, cupy.zeros(0)]).tolist() == [0.0, 1.0]
    wide = cupy.empty(2, "f8")
    wide[...] = tiny
    assert wide.tolist() == [0.0, 1.0]
    assert cupy.concatenate([tiny[:1], tiny[1:]]).get().tobytes() == tiny.take(cupy.arange(2)).get().tobytes()
    assert tiny.take(cupy.arange(1)).get()[0] == np.float32(1e-40)


def test_what_cupy_lacks_is_lacking(cuda):
    cuda()
    import cupy

    a = cupy.arange(3)
    for attempt in (
        lambda: cupy.repeat(a, a),
        lambda: cupy.lexsort((a, a)),
        lambda: cupy.searchsorted(a, 1),
        lambda: cupy.argsort(a, kind="quicksort"),
        lambda: cupy.add(a, a, where=a > 0),
    ):
        with pytest.raises(TypeError):
            attempt()


def test_a_launch_is_checked(cuda):
    machine = cuda()
    import cupy

    kernel = cupy.RawKernel(SOURCE, "scale_values", ("--std=c++17",))
    values, out = cupy.arange(5, dtype="f8"), cupy.empty(5)
    good = (values, np.float64(3), np.int64(5), out)
    with cupy.cuda.Stream() as stream:
        kernel((1,), (32,), good)
    assert out.get().tolist() == [0, 3, 6, 9, 12]
    launch = machine.launches[-1]
    assert (launch.kernel, launch.grid, launch.block, launch.stream) == ("scale_values", (1,), (32,), stream.ptr)
    for wrong in (
        good[:3],
        (values, 3.0, *good[2:]),
        (values, np.float32(3), *good[2:]),
        (values, np.float64(3), np.int32(5), out),
        (values.astype("f4"), *good[1:]),
        (values.get(), *good[1:]),
        (cupy.arange(10, dtype="f8")[::2], *good[1:]),
    ):
        with pytest.raises(TypeError):
            kernel((1,), (32,), wrong)
    for grid, block in (((0,), (32,)), ((2**31,), (32,)), ((1,), (2048,)), ((1, 65_536), (1,)), ((1,), (32, 64))):
        with pytest.raises(cupy.cuda.driver.CUDADriverError):
            kernel(grid, block, good)
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="NOT_FOUND"):
        cupy.RawKernel(SOURCE, "missing", ())((1,), (1,), good)


def test_the_real_cupy_is_back_afterwards(real):
    import cupy

    assert cupy is real
