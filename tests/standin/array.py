"""The stand-in's array: host memory that pretends to be out of the host's reach."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tests.standin.machine import Sync, Transfer, machine
from tests.standin.streams import copy_later, current_queue, pinned_owner, queue_of

__all__ = ["computed", "flush", "ndarray", "to_tf32", "unwrap", "wrap"]

_SMALLEST = np.finfo(np.float32).smallest_normal


class Pointer:
    """As cupy.cuda.MemoryPointer: the address that kernels and FAISS are given."""

    def __init__(self, ptr: int, device_id: int) -> None:
        self.ptr, self.device_id = ptr, device_id


class ndarray:  # noqa: N801 (CuPy's name)
    """A wrapper, not a subclass: NumPy functions cannot read it by mistake."""

    __array_ufunc__ = None  # a NumPy scalar on the left then asks the array on the right
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray, device_id: int) -> None:
        self._host, self._device_id = host, device_id
        queue = current_queue()
        self._made = queue.key, queue.enter()  # which stream made it, and when
        if host.base is None and host.nbytes:
            machine.own(host)

    # What an array knows without asking the device.
    dtype = property(lambda self: self._host.dtype)
    shape = property(lambda self: self._host.shape)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    T = property(lambda self: wrap(self._host.T, self._device_id))
    data = property(lambda self: Pointer(self._host.ctypes.data, self._device_id))

    @property
    def device(self) -> Any:
        from tests.standin.runtime import Device

        return Device(self._device_id)

    def __len__(self) -> int:
        return len(self._host)

    def __repr__(self) -> str:
        return f"<stand-in array {self.shape} {self.dtype} on cuda:{self._device_id}>"

    # What NumPy would like to do with it, and must not.
    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was called with an array on a device; use backend.xp")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._device_id

    def _check_order(self) -> None:
        """Raise unless the current stream comes after the one that made this array."""
        if not current_queue().sees(*self._made):
            raise AssertionError(f"an array that stream {self._made[0]} made is used without waiting for it")

    # What waits for the device.
    def get(self, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
        queue = queue_of((self._device_id, machine.stream)) if stream is None else stream._queue()
        pinned = None if out is None else pinned_owner(out)
        machine.operate(self._device_id)
        machine.transfer(Transfer(True, self.nbytes, pinned is not None, *queue.key))
        if out is not None and (out.dtype != self.dtype or out.shape != self.shape or not out.flags.c_contiguous):
            raise TypeError("out takes the array's own dtype and shape, C-contiguous")
        if not queue.sees(*self._made):
            raise AssertionError(f"an array that stream {self._made[0]} made is copied without waiting for it")
        if pinned is not None and not blocking:
            copy_later(queue, out, np.ascontiguousarray(self._host), pinned)
            return out
        queue.flush()
        if blocking or out is None:
            machine.wait(Sync("copy", *queue.key))
            queue.host_knows(queue.number, queue.seen)
        host = self._host.copy(order)
        if out is None:
            return host
        out[...] = host
        return out

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray) or arr.dtype != self.dtype or arr.shape != self.shape:
            raise TypeError("set takes a NumPy array of the same dtype and shape")
        queue = queue_of((self._device_id, machine.stream)) if stream is None else stream._queue()
        pinned = pinned_owner(arr)
        machine.operate(self._device_id)
        machine.transfer(Transfer(False, arr.nbytes, pinned is not None, *queue.key))
        if not queue.sees(*self._made):
            raise AssertionError(f"an array that stream {self._made[0]} made is written without waiting for it")
        if pinned is not None and self.flags.c_contiguous and arr.flags.c_contiguous:
            copy_later(queue, self._host, arr, pinned)
        else:
            queue.enter()
            self._host[...] = arr

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __index__(self) -> int:
        return operator.index(self.get())

    def __iter__(self) -> Any:
        return (wrap(row, self._device_id) for row in self._host)

    # Indexing: by slices, whole numbers, None and device arrays.
    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        if any(isinstance(part, ndarray) for part in keys):
            return wrap(unwrap(self)[_index(key)], self._device_id)
        view = wrap(self._host[_index(key)], self._device_id)  # nothing is asked of the device
        view._made = self._made
        return view

    def __setitem__(self, key: Any, value: Any) -> None:
        given = unwrap(value)
        if isinstance(given, np.ndarray) and given.dtype != self.dtype:
            given = flush(flush(given).astype(self.dtype))
        unwrap(self)[_index(key)] = given

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True) -> Any:
        unwrap(self)
        if np.dtype(dtype) == self.dtype:
            converted = self._host.astype(dtype, order=order, copy=copy)
        else:
            converted = flush(flush(self._host).astype(dtype, order=order))
        return self if converted is self._host else wrap(converted, self._device_id)


def flush(host: Any) -> Any:
    """Zeros for subnormal float32 numbers: CuPy compiles its own kernels with -ftz=true."""
    if not isinstance(host, (np.ndarray, np.generic)) or host.dtype != np.float32:
        return host
    tiny = (np.abs(host) < _SMALLEST) & (host != 0)
    return np.where(tiny, np.copysign(np.float32(0), host), host) if tiny.any() else host


def to_tf32(host: Any) -> Any:
    """float32 numbers rounded to 11 significant bits, ties away from zero."""
    if not isinstance(host, np.ndarray) or host.dtype != np.float32:
        return host
    return ((host.view(np.uint32) + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(np.float32)


def _in_tf32() -> bool:
    from tests.standin.runtime import get_cublas_handle, get_math_mode

    return "cupy" in machine.tf32 or get_math_mode(get_cublas_handle()) == 3


def _index(key: Any) -> Any:
    parts = key if isinstance(key, tuple) else (key,)
    if any(isinstance(part, list) for part in parts):
        raise TypeError("index with a list: an array on the device is meant")
    if any(isinstance(part, ndarray) and part.dtype == bool for part in parts):
        machine.wait(Sync("size", machine.device, machine.stream))  # only the device knows how many rows it chooses
    return unwrap(key)


def unwrap(value: Any) -> Any:
    """Host memory behind device arrays; host arrays are refused, as are arrays of another device."""
    if isinstance(value, ndarray):
        if value._device_id != machine.device:
            raise ValueError(f"an array on cuda:{value._device_id} is used while cuda:{machine.device} is current")
        machine.operate(machine.device)
        current_queue().enter()
        value._check_order()
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: a host array meets arrays on a device")
    if isinstance(value, (list, tuple)):
        return type(value)(unwrap(part) for part in value)
    return value


def wrap(value: Any, device_id: int | None = None) -> Any:
    """Device arrays for NumPy's arrays and scalars, also within tuples."""
    device_id = machine.device if device_id is None else device_id
    if isinstance(value, np.ndarray):
        return ndarray(value, device_id)
    if isinstance(value, np.generic):
        return ndarray(np.array(value), device_id)
    if isinstance(value, (list, tuple)):
        return type(value)(wrap(part, device_id) for part in value) if type(value) in (list, tuple) else _fields(value)
    return value


def _fields(value: Any) -> Any:
    return tuple(wrap(part) for part in value)  # NumPy's named results


METHODS = tuple(
    """
    all any argmax argmin argsort clip copy cumsum diagonal dot fill flatten max mean min nonzero
    prod ravel repeat reshape round searchsorted sort squeeze std sum swapaxes take trace transpose
    var view
    """.split()  # noqa: SIM905 (a list of quoted words is hard to read)
)
MOVING = frozenset(
    """
    append broadcast_to concatenate copy copyto diagonal empty empty_like expand_dims fill flatten flip full full_like
    hstack moveaxis ones ones_like ravel repeat reshape sort split squeeze stack swapaxes take take_along_axis tile
    transpose view vstack where zeros zeros_like
    """.split()  # noqa: SIM905 (a list of quoted words is hard to read)
)
"""What moves values without computing, so that subnormal numbers stay, unless the dtype changes."""


def computed(name: str, function: Any, args: Any, kwargs: Any) -> Any:
    """The result of a NumPy function as CuPy's kernels would give it: float32 subnormals are zero on the way."""
    if name in MOVING:
        result = function(*args, **kwargs)
        mixed = isinstance(result, np.ndarray) and any(
            isinstance(a, np.ndarray) and a.dtype.kind == "f" and a.dtype != result.dtype for a in _leaves(args)
        )
        if not mixed or name == "view":
            return result
    return flush(function(*(_flushed(a) for a in args), **kwargs))


def _flushed(value: Any) -> Any:
    return type(value)(_flushed(part) for part in value) if isinstance(value, (list, tuple)) else flush(value)


def _leaves(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift")
_COMPARE = ("lt", "le", "eq", "ne", "gt", "ge")
_UNARY = ("neg", "pos", "invert", "abs")


def _method(name: str) -> Any:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        if name == "nonzero":
            machine.wait(Sync("size", machine.device, machine.stream))
        if name in ("fill", "take", "searchsorted") or args or kwargs:
            args, kwargs = unwrap(args), {key: unwrap(value) for key, value in kwargs.items()}
        host = unwrap(self)  # on the current device?
        if name in MOVING:
            return wrap(getattr(host, name)(*args, **kwargs))
        return wrap(flush(getattr(flush(host), name)(*args, **kwargs)))

    method.__name__ = name
    return method


def _operator(name: str) -> Any:
    in_place = name.startswith("__i") and name[3:-2] in _BINARY

    def method(self: ndarray, *other: Any) -> Any:
        host = unwrap(self)
        if in_place:
            host[...] = flush(host)
        operands = [flush(value) for value in (host, *unwrap(other))]
        if "matmul" in name and _in_tf32():
            operands = [to_tf32(value) for value in operands]
        if in_place:
            operands[0] = host
        result = getattr(operands[0], name)(*operands[1:])
        if result is NotImplemented:
            return NotImplemented
        if in_place:
            host[...] = flush(host)
            return self
        return wrap(flush(result))

    method.__name__ = name
    return method


for _name in METHODS:
    setattr(ndarray, _name, _method(_name))
for _name in (*_BINARY, *(f"r{n}" for n in _BINARY), *(f"i{n}" for n in _BINARY), *_COMPARE, *_UNARY):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
