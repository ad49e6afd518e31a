"""What the stand-in cannot run: the device's clock and the watch on its memory, over a CuPy that plays them."""

from __future__ import annotations

import operator
import time
import types

import pytest
from proof import peak
from proof.clock import DeviceClock

from tests.standin.install import real_cupy

NAMES = """
cuda.Event cuda.get_elapsed_time cuda.get_current_stream cuda.MemoryHook cuda.Stream cuda.Device
cuda.alloc_pinned_memory
cuda.set_allocator cuda.runtime.memGetInfo cuda.runtime.getDeviceProperties cuda.runtime.driverGetVersion
cuda.runtime.runtimeGetVersion get_default_memory_pool ndarray.set ndarray.get matmul copyto
""".split()  # noqa: SIM905 (a list of quoted words is hard to read)


@pytest.mark.parametrize("name", NAMES)
def test_cupy_has_the_names_that_are_used(name):
    cupy = real_cupy()
    if cupy is None:
        pytest.skip("CuPy is not installed: its names cannot be compared")
    assert operator.attrgetter(name)(cupy) is not None


def test_cupys_hook_has_the_methods_that_are_overridden():
    cupy = real_cupy()
    if cupy is None:
        pytest.skip("CuPy is not installed: its names cannot be compared")
    hook = peak._hook(cupy, 100)
    ours = {name for name in vars(type(hook)) if name.endswith("_postprocess")}
    assert ours == {"malloc_postprocess", "free_postprocess"}
    assert all(hasattr(cupy.cuda.MemoryHook, name) for name in ours)
    hook.malloc_postprocess(device_id=0, size=10, mem_size=512, mem_ptr=1, pmem_id=1)
    hook.free_postprocess(device_id=0, mem_size=512, mem_ptr=1, pmem_id=1)
    hook.malloc_postprocess(device_id=0, size=10, mem_size=256, mem_ptr=1, pmem_id=1)
    assert (hook.used, hook.most) == (356, 612)


class Player:
    """A device whose every operation takes the time that it is told; it works while the host goes on."""

    def __init__(self) -> None:
        self.now, self.asked = 0.0, []

    def Event(self):  # noqa: N802 (CuPy's name)
        event = types.SimpleNamespace(at=None)

        def record(stream):
            event.at = self.now

        event.record, event.synchronize = record, lambda: self.asked.append("wait")
        return event

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.asked.append("work")

    @property
    def cupy(self):
        stream = types.SimpleNamespace(synchronize=lambda: self.asked.append("idle"))
        return types.SimpleNamespace(
            cuda=types.SimpleNamespace(
                Event=self.Event,
                get_current_stream=lambda: stream,
                get_elapsed_time=lambda first, last: 1000 * (last.at - first.at),
                Device=lambda: types.SimpleNamespace(synchronize=lambda: self.asked.append("idle")),
            )
        )


def test_the_clock_of_a_device():
    """The first turn, which compiles and loads, does not count; the host waits for each turn's second event."""
    player, times = Player(), [100.0, 3.0, 1.0, 2.0]
    taken = DeviceClock(player.cupy).device(lambda: player.work(times.pop(0)), turns=3)
    assert taken.turns == pytest.approx((3.0, 1.0, 2.0))
    assert taken.median == pytest.approx(2.0)
    assert player.asked == ["work", "idle", *["work", "wait"] * 3]


def test_the_clock_of_the_host_waits_on_both_sides():
    player = Player()
    taken = DeviceClock(player.cupy).wall(lambda: player.work(1.0), turns=2)
    assert len(taken.turns) == 2
    assert player.asked == ["work", *["idle", "work", "idle"] * 2]


def test_no_turn_starts_when_the_time_is_over():
    player = Player()
    taken = DeviceClock(player.cupy).wall(lambda: time.sleep(0.02), turns=50, longest=0.03, warm=False)
    assert 1 <= len(taken.turns) <= 3


def test_peaks_are_of_the_call_and_see_what_is_not_in_arrays():
    """100 bytes are held before; the call takes 700, gives 500 back; FAISS takes 1,000 that CuPy does not know of."""
    free, used, total = [10_000], [100], [100]

    class Hook:
        def __enter__(self):
            hooks.append(self)

        def __exit__(self, *exception):
            hooks.remove(self)

    hooks: list[Hook] = []

    class Device:
        mem_info = property(lambda self: (free[0], 10_000))

        def synchronize(self):
            pass

        def __enter__(self):
            pass

        def __exit__(self, *exception):
            pass

    def take(size):
        free[0], used[0], total[0] = free[0] - size, used[0] + size, total[0] + size
        for hook in hooks:
            hook.malloc_postprocess(mem_size=size)

    def give(size):
        used[0] -= size  # the pool keeps it
        for hook in hooks:
            hook.free_postprocess(mem_size=size)

    pool = types.SimpleNamespace(free_all_blocks=lambda: None, used_bytes=lambda: used[0], total_bytes=lambda: total[0])
    runtime = types.SimpleNamespace(memGetInfo=lambda: (free[0], 10_000))
    cuda = types.SimpleNamespace(Device=Device, MemoryHook=Hook, runtime=runtime)
    cupy = types.SimpleNamespace(cuda=cuda, get_default_memory_pool=lambda: pool)

    def work():
        take(700)
        give(500)
        free[0] -= 1000
        time.sleep(0.1)  # several looks of the watcher
        free[0] += 1000
        used[0] += 100  # of what the pool has kept

    def fail():
        raise MemoryError("as it was raised")

    assert peak.measured(cupy, work) == {"arrays": 700, "outside": 1000, "device": 1700}
    assert hooks == []
    with pytest.raises(MemoryError, match="as it was raised"):
        peak.measured(cupy, fail)
