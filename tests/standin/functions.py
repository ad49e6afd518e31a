"""CuPy's functions by the NumPy functions of the same names.

To let gpusmote use another function, add its name here; test_standin.py holds the names against the real CuPy, and
each call is bound to the real function's signature where CuPy is installed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.standin.array import computed, flush, ndarray, unwrap, wrap
from tests.standin.machine import Sync, Transfer, machine
from tests.standin.streams import current_queue

__all__ = ["CONSTANTS", "FUNCTIONS", "SPECIAL", "delegate"]

FUNCTIONS = tuple(
    """
    abs absolute add all any append arange argmax argmin argsort argwhere array_equal atleast_1d
    bincount bitwise_and bitwise_or bitwise_xor broadcast_to ceil clip concatenate copyto count_nonzero cumsum
    diff divide dot einsum empty empty_like equal exp expand_dims flatnonzero flip floor floor_divide fmax fmin
    frexp full full_like greater greater_equal hstack invert isfinite isin isinf isnan ldexp left_shift less
    less_equal lexsort linspace log log2 logical_and logical_not logical_or matmul max maximum mean median min
    minimum mod moveaxis multiply negative nonzero not_equal ones ones_like power prod ravel remainder
    repeat reshape right_shift rint searchsorted sign sort split sqrt square squeeze stack std subtract sum
    swapaxes take take_along_axis tile trace transpose trunc unique var vstack where zeros zeros_like
    """.split()  # noqa: SIM905 (a list of quoted words is hard to read)
)
CONSTANTS = tuple(
    """
    bool_ dtype finfo float16 float32 float64 iinfo inf int8 int16 int32 int64 nan newaxis pi uint8 uint16
    uint32 uint64 result_type can_cast promote_types issubdtype integer floating
    """.split()  # noqa: SIM905 (a list of quoted words is hard to read)
)
SPECIAL = (
    "array",
    "asarray",
    "ascontiguousarray",
    "asnumpy",
    "from_dlpack",
    "shape",
    "ndim",
    "size",
    "get_array_module",
)

# The size of their result depends on data: CuPy asks the device for it.
_WAITING = {"argwhere", "bincount", "flatnonzero", "isin", "nonzero", "unique", "array_equal"}
_UFUNC_KEYWORDS = {"out", "dtype", "casting"}


def delegate(name: str, real: Any) -> Callable[..., Any]:
    """The NumPy function ``name`` over device arrays; ``real`` is CuPy's own, or None where CuPy is not installed."""
    function = getattr(np, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        _check_call(name, function, real, args, kwargs)
        if name in _WAITING or (name == "where" and len(args) == 1):
            machine.wait(Sync("size", machine.device, machine.stream))
        given = unwrap(args)
        result = computed(name, function, given, {key: unwrap(value) for key, value in kwargs.items()})
        if name in ("empty", "empty_like") and result.nbytes:
            result.reshape(-1).view(np.uint8)[...] = 0xFF  # not zeros, which would hide what nobody wrote
        return wrap(result)

    call.__name__ = name
    return call


def _check_call(name: str, function: Any, real: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if isinstance(function, np.ufunc):
        unknown = set(kwargs) - _UFUNC_KEYWORDS
        if unknown:
            raise TypeError(f"cupy.{name} has no argument {sorted(unknown)[0]}")
    elif inspect.isfunction(real):
        inspect.signature(real).bind(*args, **kwargs)
    refusals = {
        "repeat": lambda: isinstance((*args, kwargs.get("repeats"))[1], ndarray),  # only whole numbers and lists
        "lexsort": lambda: not isinstance(args[0], ndarray),
        "searchsorted": lambda: not all(isinstance(a, ndarray) for a in args[:2]),
        "argsort": lambda: kwargs.get("kind") not in (None, "stable"),
        "sort": lambda: kwargs.get("kind") not in (None, "stable"),
        "array_equal": lambda: not all(isinstance(a, ndarray) for a in args[:2]),
    }
    if name in refusals and refusals[name]():
        raise TypeError(f"cupy.{name} does not take these arguments, though NumPy does")


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: bool | None = None, blocking: bool = False
) -> ndarray:
    if isinstance(a, ndarray):
        if a._device_id == machine.device:
            return a.astype(dtype, copy=False) if dtype is not None else a
        machine.operate(a._device_id)
        machine.operate(machine.device)
        current_queue().enter()
        a._check_order()
        host = a._host.copy()
        machine.count(between=1, between_bytes=host.nbytes)
        return ndarray(host if dtype is None else flush(flush(host).astype(dtype)), machine.device)
    host = np.array(a, dtype=dtype, order=order or "K", copy=True)
    if host.dtype == object:
        raise ValueError(f"Unsupported dtype {host.dtype}")
    machine.operate(machine.device)
    current_queue().enter()
    machine.transfer(Transfer(False, host.nbytes, False, machine.device, machine.stream))
    return ndarray(host, machine.device)


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    found = asarray(obj, dtype)
    return found.copy() if copy and found is obj else found


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    found = asarray(a, dtype)
    return found if found.flags.c_contiguous else wrap(np.ascontiguousarray(found._host))


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    return a.get(stream, order, out, blocking=blocking) if isinstance(a, ndarray) else np.asarray(a)


def from_dlpack(x: Any, *, device: Any = None, copy: bool | None = None) -> ndarray:
    if not isinstance(x, ndarray):
        raise BufferError("the stand-in exchanges its own arrays only")
    return wrap(x._host[...], x._device_id)


def shape(a: ndarray) -> tuple[int, ...]:
    return a.shape


def ndim(a: ndarray) -> int:
    return a.ndim


def size(a: ndarray) -> int:
    return a.size


def get_array_module(*args: Any) -> Any:
    import cupy

    return cupy if any(isinstance(a, ndarray) for a in args) else np
