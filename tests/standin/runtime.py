"""Devices, streams, memory and kernels of the stand-in; names and signatures are CuPy's."""

from __future__ import annotations

import contextlib
import math
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.standin.array import ndarray
from tests.standin.host_kernels import Parameter, build, signatures
from tests.standin.machine import Launch, Sync, machine
from tests.standin.streams import current_queue

NAME = b"Stand-in device"


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"cudaError {status}")


class CUDADriverError(RuntimeError):
    pass


class CompileException(Exception):  # noqa: N818 (CuPy's name)
    def __init__(self, msg: str, source: str, name: str, options: Any, backend: str = "nvcc") -> None:
        super().__init__()
        self._msg = msg
        self.source, self.name, self.options, self.backend = source, name, options, backend

    def __str__(self) -> str:
        return self._msg


def get_device_count() -> int:
    if not machine.devices:
        raise CUDARuntimeError(100)  # cudaErrorNoDevice
    return machine.devices


class Device:
    """As cupy.cuda.Device."""

    def __init__(self, device: int | Device | None = None) -> None:
        self.id = machine.device if device is None else int(device)
        if not 0 <= self.id < machine.devices:
            raise CUDARuntimeError(101)  # cudaErrorInvalidDevice
        self._before: list[int] = []

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id

    def __enter__(self) -> Device:
        self._before.append(machine.device)
        machine.local.device = self.id
        return self

    def __exit__(self, *exception: object) -> None:
        machine.local.device = self._before.pop()

    def use(self) -> None:
        machine.local.device = self.id

    def synchronize(self) -> None:
        machine.operate(self.id)
        machine.wait(Sync("device", self.id, -1))
        for queue in [queue for key, queue in machine.queues.items() if key[0] == self.id]:
            queue.flush()
            queue.host_knows(queue.number, queue.seen)

    @property
    def mem_info(self) -> tuple[int, int]:
        return machine.memory - machine.used, machine.memory

    @property
    def compute_capability(self) -> str:
        return "90"


def get_cublas_handle() -> int:
    return 0xB1A5 + machine.device


def get_math_mode(handle: int) -> int:
    return machine.math_modes.get(handle, 0)


def set_math_mode(handle: int, mode: int) -> None:
    machine.math_modes[handle] = mode


class MemoryPool:
    """As cupy.cuda.MemoryPool, but that it keeps no freed blocks."""

    def used_bytes(self) -> int:
        return machine.used

    def free_bytes(self) -> int:
        return 0

    def total_bytes(self) -> int:
        return machine.used

    def get_limit(self) -> int:
        return machine.limit

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        machine.limit = int(size if size is not None else machine.memory * (fraction or 0))

    def free_all_blocks(self, stream: Any = None) -> None:
        pass


class MemoryHook:
    """As cupy.cuda.MemoryHook, but that it is told of new memory only, whichever thread asks for it."""

    name = "MemoryHook"

    def __enter__(self) -> MemoryHook:
        machine.hooks.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        machine.hooks.remove(self)

    def malloc_postprocess(self, **size: int) -> None:
        pass


@contextlib.contextmanager
def using_allocator(allocator: Any = None) -> Iterator[None]:
    """As cupy.cuda.using_allocator; here every array has memory of its own anyway."""
    yield


def benchmark(
    func: Callable[..., Any],
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    n_repeat: int = 10000,
    *,
    n_warmup: int = 10,
    max_duration: float = math.inf,
) -> Any:
    """As cupyx.profiler.benchmark, by the host's clock."""
    seconds: list[float] = []
    for turn in range(n_warmup + n_repeat):
        start = time.perf_counter()
        func(*args, **(kwargs or {}))
        if turn >= n_warmup:
            seconds.append(time.perf_counter() - start)
        if sum(seconds) > max_duration:
            break
    return types.SimpleNamespace(cpu_times=np.array(seconds), gpu_times=np.array([seconds]))


_pool = MemoryPool()


def get_default_memory_pool() -> MemoryPool:
    return _pool


_MOST_THREADS = 1024
_MOST_OF_BLOCK = (1024, 1024, 64)
_MOST_OF_GRID = (2**31 - 1, 65_535, 65_535)


class RawKernel:
    """As cupy.RawKernel: g++ compiles, and the arguments are held against the source's own declaration."""

    def __init__(
        self,
        code: str,
        name: str,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        *,
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        jitify: bool | None = None,
    ) -> None:
        if not isinstance(options, tuple):
            raise TypeError("Argument 'options' has incorrect type (expected tuple)")
        self.code, self.name, self.options, self.backend = code, name, options, backend

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, shared_mem: int = 0
    ) -> None:
        get_device_count()
        if self.name not in signatures(self.code):
            raise CUDADriverError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        _check_geometry(grid, block)
        kernel = build(self.code)[self.name]
        if len(args) != len(kernel.parameters):
            raise TypeError(f"{self.name} takes {len(kernel.parameters)} arguments, {len(args)} were given")
        machine.operate(machine.device)
        current_queue().enter()
        values = [_argument(self.name, *pair) for pair in zip(kernel.parameters, args, strict=True)]
        machine.launches.append(Launch(self.name, grid, block, machine.device, machine.stream))
        kernel.launch(grid, block, values)


class RawModule:
    """As cupy.RawModule."""

    def __init__(
        self,
        code: str | None = None,
        *,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Any = None,
        jitify: bool | None = None,
    ) -> None:
        if code is None or name_expressions is not None:
            raise NotImplementedError("the stand-in builds named kernels from source only")
        self.code, self.options = code, options

    def get_function(self, name: str) -> RawKernel:
        return RawKernel(self.code, name, self.options)


def _check_geometry(grid: tuple[int, ...], block: tuple[int, ...]) -> None:
    for sizes, limits in ((grid, _MOST_OF_GRID), (block, _MOST_OF_BLOCK)):
        if not all(isinstance(size, int) and 1 <= size <= limit for size, limit in zip(sizes, limits, strict=False)):
            raise CUDADriverError(f"CUDA_ERROR_INVALID_VALUE: {sizes}")
    if np.prod(block) > _MOST_THREADS:
        raise CUDADriverError(f"CUDA_ERROR_INVALID_VALUE: {block}")


def _argument(kernel: str, parameter: Parameter, value: Any) -> int | float:
    """The value that the kernel sees. CuPy does not check any of this; a device would read rubbish."""
    where = f"{kernel}: {parameter.name}"
    if not parameter.is_pointer:
        if not isinstance(value, np.generic) or value.dtype != parameter.dtype:
            raise TypeError(f"{where} is {parameter.dtype}, given {type(value).__name__}")
        return value.item()
    if not isinstance(value, ndarray):
        raise TypeError(f"{where}: Unsupported type {type(value)}")
    if value.dtype != parameter.dtype:
        raise TypeError(f"{where} points to {parameter.dtype}, given {value.dtype}")
    if not value.flags.c_contiguous:
        raise TypeError(f"{where}: strides do not reach a kernel")
    if value._device_id != machine.device:
        raise ValueError(f"{where} lies on cuda:{value._device_id}, the kernel runs on cuda:{machine.device}")
    value._check_order()
    return int(value.data.ptr)


def get_device_properties(device: int) -> dict[str, Any]:
    return {"name": NAME, "totalGlobalMem": machine.memory, "major": 9, "minor": 0}
