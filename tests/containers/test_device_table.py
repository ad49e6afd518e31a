"""Arrays that support DLPack: of other libraries on the host, and of CuPy's stand-in on a device."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from gpusmote.backends import Backend
from gpusmote.backends.cuda import CudaBackend
from gpusmote.containers import wrap_features, wrap_target
from gpusmote.errors import DeviceError, InputError, InputTypeError
from tests.containers.helpers import BACKEND, append
from tests.standin.install import cuda  # noqa: F401 (a fixture)

DTYPES = ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool"]
X = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [7.0, 3.0, 0.0], [2.0, 2.0, 9.0]])
NEW = np.array([[0.5, 1.5, 0.75], [2.5, -0.25, 300.0]])


def writer(backend: Backend, new: np.ndarray = NEW):
    """A ``write`` function that writes rows on the backend's device, as a plan does."""

    def write(start, stop, out):
        assert isinstance(out, backend.xp.ndarray)
        assert out.dtype in (np.float32, np.float64)
        assert out.flags.c_contiguous
        out[...] = backend.asarray(new[start:stop].astype(out.dtype))

    return write


# Any library on the host


class Foreign:
    """An array of another library, which supports DLPack."""

    def __init__(self, host, namespace=None, device=1):
        self.host, self.device = host, device
        self.dtype = host.dtype
        if namespace is not None:
            self.__array_namespace__ = lambda: namespace

    def __dlpack_device__(self):
        return self.device, 0

    def __dlpack__(self, **options):
        return self.host.__dlpack__()


class Namespace:
    @staticmethod
    def from_dlpack(array):
        return Foreign(array, Namespace)


def test_other_libraries_give_back_their_own_arrays():
    back = append(Foreign(X, Namespace), NEW)
    assert type(back) is Foreign
    assert np.array_equal(back.host, np.vstack([X, NEW]))
    y = Foreign(np.array([0, 1, 0, 1]), Namespace)
    assert wrap_target_values(y) == [0, 1, 0, 1]


def wrap_target_values(y):
    target = wrap_target(y, 4)
    return target.classes[target.codes].tolist()


def test_libraries_that_cannot_give_an_array_back():
    with pytest.raises(InputTypeError, match="whose library has no from_dlpack to build the result with"):
        wrap_features(Foreign(X))
    with pytest.raises(InputTypeError) as caught:
        wrap_features(Foreign(X, Namespace, device=8))
    assert str(caught.value) == (
        "X is on a device that gpusmote cannot read (DLPack type 8). Copy it to the host (for a torch tensor: .cpu())."
    )


def test_a_device_array_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(
        DeviceError, match="An array is on a CUDA device, but CuPy, which is needed to read it"
    ) as caught:
        wrap_features(Foreign(X, Namespace, device=2))
    assert caught.value.hint == 'pip install "gpusmote[cuda12]", or copy the array to the host.'


# CuPy, by the stand-in


@pytest.fixture
def machine(cuda):  # noqa: F811
    return cuda(devices=2)


def on_device(host, ordinal=0):
    cupy = sys.modules["cupy"]
    with cupy.cuda.Device(ordinal):
        return cupy.asarray(host)


def on_host(array):
    with array.device:
        return array.get()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("works_on", ["cpu", "cuda:0", "cuda:1"])
def test_cupy_arrays_stay_on_their_device(machine, dtype, works_on):
    backend = Backend() if works_on == "cpu" else CudaBackend(int(works_on[-1]))
    host = X.astype(dtype)
    array = on_device(host, 1)
    table, same = wrap_features(array), wrap_features(host)
    table.check_finite()
    assert table.device == "cuda:1"
    assert (table.n_rows, table.n_features, table.work_dtype) == (4, 3, same.work_dtype)
    for rows in (None, slice(1, 3), np.array([3, 0, 3])):
        work = table.take(rows, backend)
        assert isinstance(work, backend.xp.ndarray)
        assert works_on == "cpu" or work.device.id == backend.ordinal
        assert work.flags.c_contiguous
        assert work.dtype == table.work_dtype
        assert np.array_equal(backend.to_host(work), same.take(rows, BACKEND))
    whole = table.append(2, writer(backend), backend)
    part = table.only(backend.asarray(NEW.astype(table.work_dtype)), backend)
    nothing = table.append(0, writer(backend), backend)
    expected = same.append(2, writer(BACKEND), BACKEND)
    for result, rows in ((whole, expected), (part, expected[4:]), (nothing, host)):
        assert result.device.id == 1
        assert result.dtype == host.dtype
        assert np.array_equal(on_host(result), rows)
    assert np.array_equal(on_host(array), host)
    assert table.fingerprint() == same.fingerprint()


def test_matching_dtypes_are_written_in_place(machine):
    """One allocation, no block of rows, no transfer between host and device."""
    backend, written = CudaBackend(0), []

    def write(start, stop, out):
        written.append((start, stop, out))
        out[...] = 5.0

    table = wrap_features(on_device(X))
    moved = machine.to_host_bytes, machine.to_device_bytes, machine.used
    whole = table.append(1000, write, backend)
    assert [(start, stop) for start, stop, _ in written] == [(0, 1000)]
    assert np.shares_memory(written[0][2]._host, whole._host)
    assert (machine.to_host_bytes, machine.to_device_bytes) == moved[:2]
    assert machine.peak == moved[2] + whole.nbytes


def test_errors_are_those_of_host_arrays(machine):
    bad = X.copy()
    bad[0, 1], bad[2, 1], bad[3, 2] = np.nan, np.inf, np.nan
    for values in (bad, np.array([[0, 1], [2**53 + 1, 2]]), np.array([[0, 1], [2, -(2**53) - 1]])):
        messages = []
        for table in (wrap_features(values), wrap_features(on_device(values))):
            with pytest.raises(InputError) as caught:
                table.check_finite()
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
    for values in (np.zeros(3), np.zeros((0, 2)), np.zeros((2, 2), complex)):
        messages = []
        for array in (values, on_device(values)):
            with pytest.raises(InputError) as caught:
                wrap_features(array)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


def test_labels_on_a_device(machine):
    y = on_device(np.array([3, 1, 3, 2], np.int16), 1)
    target = wrap_target(y, 4)
    assert target.classes.tolist() == [1, 2, 3]
    assert isinstance(target.codes, np.ndarray)
    whole = target.append(np.array([0, 1]))
    assert whole.device.id == 1
    assert whole.dtype == np.int16
    assert on_host(whole).tolist() == [3, 1, 3, 2, 1, 2]
    assert on_host(target.only(np.array([2]))).tolist() == [3]


def test_other_libraries_on_a_device(machine, monkeypatch):
    cupy = sys.modules["cupy"]
    monkeypatch.setattr(cupy, "from_dlpack", lambda array: on_device(array.host))

    class DeviceNamespace:
        @staticmethod
        def from_dlpack(array):
            return Foreign(on_host(array), DeviceNamespace, device=2)

    backend = CudaBackend(0)
    table = wrap_features(Foreign(X, DeviceNamespace, device=2))
    assert table.device == "cuda:0"
    back = table.append(2, writer(backend), backend)
    assert type(back) is Foreign
    assert np.array_equal(back.host, np.vstack([X, NEW]))
    y = Foreign(np.array([0, 1, 0, 1]), DeviceNamespace, device=2)
    assert wrap_target_values(y) == [0, 1, 0, 1]
