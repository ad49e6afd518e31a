"""CuPy arrays, and arrays of other libraries that support DLPack."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from gpusmote.backends import transfer
from gpusmote.backends.cpu import Array, Backend
from gpusmote.containers.checks import check_dtype, check_shape, check_values, type_name
from gpusmote.containers.numpy_table import NumpyTable
from gpusmote.containers.table import Table, Write, converted, store, work_dtype
from gpusmote.errors import DeviceError, InputTypeError
from gpusmote.messages import indefinite

__all__ = ["DeviceTable", "TakeOnDevice", "from_dlpack", "host_copy"]

_ON_HOST = (1, 3)  # kDLCPU, kDLCUDAHost
_ON_CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged


class DeviceTable(Table):
    """A CuPy array. The result is a CuPy array on the same device, allocated once.

    Parameters
    ----------
    X : cupy.ndarray of shape (n, d)
    restore : callable or None, default=None
        ``restore(array)`` converts an array of the result to the caller's container.
    """

    def __init__(self, X: Any, restore: Callable[[Any], Any] | None = None) -> None:
        check_dtype(X.dtype)
        check_shape(X.shape)
        self._X, self._restore = X, restore
        self.n_rows, self.n_features = X.shape
        self.work_dtype = work_dtype([X.dtype])
        self.itemsize = float(X.dtype.itemsize)
        self.device = f"cuda:{int(X.device.id)}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _on_device, (DeviceTable, *_to_host(self._X), self._restore)

    def take(self, rows: np.ndarray | slice | None, backend: Backend) -> Array:
        cupy = _cupy()
        rows = slice(None) if rows is None else rows
        if backend.name != "cpu":
            with self._X.device:
                where = rows if isinstance(rows, slice) else _on_current_device(cupy, rows)
                chosen = cupy.ascontiguousarray(self._X[where], dtype=self.work_dtype)
            return backend.asarray(chosen)
        # In blocks, because a copy of all rows may not fit on the device.
        numbers = np.arange(self.n_rows)[rows] if isinstance(rows, slice) else rows
        out = np.empty((len(numbers), self.n_features), self.work_dtype)
        step = max(1, backend.memory.size(transfer.BLOCK_BYTES) // (out.itemsize * self.n_features))
        with self._X.device:
            for start in range(0, len(numbers), step):
                block = self._X[cupy.asarray(numbers[start : start + step])]
                out[start : start + step] = cupy.asnumpy(block.astype(self.work_dtype, copy=False))
        return out

    def only(self, work: Array, backend: Backend) -> Any:
        cupy = _cupy()
        with self._X.device:
            return self._restored(converted(_on_current_device(cupy, work), self._X.dtype, cupy))

    def append(self, n_new: int, write: Write, backend: Backend) -> Any:
        cupy = _cupy()
        with self._X.device:
            out = cupy.empty((self.n_rows + n_new, self.n_features), self._X.dtype)
            out[: self.n_rows] = self._X
        new = out[self.n_rows :]
        with backend.active():
            if backend.name == self.device and new.dtype == self.work_dtype:
                write(0, n_new, new)
                return self._restored(out)
            # Rows that were made on another device (device="cpu"), or in another dtype, are copied in blocks.
            for start, stop, rows in self._blocks(n_new, write, backend, backend.xp):
                with self._X.device:
                    store(_on_current_device(cupy, rows), new[start:stop], cupy)
        return self._restored(out)

    def check_finite(self) -> None:
        with self._X.device:
            check_values(self._X, None, self.n_features, xp=_cupy())


def _on_current_device(cupy: Any, work: Array) -> Array:
    """A work array, copied to the current device if necessary."""
    return transfer.bring(cupy, work) if isinstance(work, cupy.ndarray) else cupy.asarray(work)


def from_dlpack(X: Any) -> Table:
    """Wrap an array that supports DLPack; the result is an array of its library, on its device, without gradient."""
    device = _device_type(X, "X")
    if device in _ON_CUDA:
        if isinstance(X, _cupy().ndarray):
            return DeviceTable(X)
        return DeviceTable(_exchange(X, _cupy().from_dlpack, "X"), _restorer(X))
    return NumpyTable(_exchange(X, np.from_dlpack, "X"), None, _restorer(X))


def host_copy(y: Any) -> np.ndarray:
    """The values of an array that supports DLPack, on the host."""
    if _device_type(y, "y") not in _ON_CUDA:
        return np.asarray(_exchange(y, np.from_dlpack, "y"))
    if hasattr(y, "cpu"):  # torch can copy to the host without CuPy
        return np.asarray(_exchange(y.detach().cpu(), np.from_dlpack, "y"))
    cupy = _cupy()
    return np.asarray(cupy.asnumpy(y if isinstance(y, cupy.ndarray) else _exchange(y, cupy.from_dlpack, "y")))


class TakeOnDevice:
    """Compute ``y[rows]`` for a CuPy array ``y``; can be pickled with the number of the device."""

    def __init__(self, y: Any) -> None:
        self._y = y

    def __reduce__(self) -> tuple[Any, ...]:
        return _on_device, (TakeOnDevice, *_to_host(self._y))

    def __call__(self, rows: np.ndarray) -> Any:
        with self._y.device:
            return self._y[_cupy().asarray(rows)]


def _device_type(array: Any, name: str) -> int:
    device = None
    with contextlib.suppress(Exception):  # what is raised for other devices differs between libraries
        device = int(array.__dlpack_device__()[0])
    if device in (*_ON_HOST, *_ON_CUDA):
        return device
    raise InputTypeError(
        f"{name} is on a device that gpusmote cannot read (DLPack type {device}).",
        "Copy it to the host (for a torch tensor: .cpu()).",
    )


def _exchange(array: Any, importer: Callable[[Any], Any], name: str) -> Any:
    """Pass an array to another library through DLPack, without a copy."""
    try:
        return importer(array.detach() if hasattr(array, "detach") else array)
    except Exception as error:  # BufferError, RuntimeError, TypeError or ValueError, depending on the library
        raise InputTypeError(
            f"{name} is {indefinite(type_name(array))} of dtype {getattr(array, 'dtype', 'unknown')} that DLPack "
            f"cannot export: {error}",
            "Convert it to a dense array with a dtype of NumPy, such as float32.",
        ) from error


def _restorer(X: Any) -> Callable[[Any], Any]:
    """A function that turns a NumPy or CuPy array into an array of X's library, without a copy."""
    library = sys.modules[type(X).__module__.partition(".")[0]]
    if hasattr(X, "__array_namespace__"):
        library = X.__array_namespace__()
    importer: Callable[[Any], Any] | None = getattr(library, "from_dlpack", None)
    if importer is None:
        raise InputTypeError(
            f"X is {indefinite(type_name(X))}, whose library has no from_dlpack to build the result with.",
            "Pass a NumPy or CuPy array.",
        )
    return importer


def _to_host(array: Any) -> tuple[np.ndarray, int]:
    """The values and the device number of a CuPy array, for pickling: CuPy does not pickle the device number."""
    with array.device:
        return _cupy().asnumpy(array), int(array.device.id)


def _on_device(kind: Callable[..., Any], values: np.ndarray, ordinal: int, *more: Any) -> Any:
    cupy = _cupy()
    with cupy.cuda.Device(ordinal):
        return kind(cupy.asarray(values), *more)


def _cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            f"An array is on a CUDA device, but CuPy, which is needed to read it, cannot be imported: {error}.",
            'pip install "gpusmote[cuda12]", or copy the array to the host.',
        ) from error
    return cupy
