"""What fails on a device, provoked over the stand-in: a clear error, or the CPU and a warning that says why."""

from __future__ import annotations

import gc
import importlib
import sys
import types
import warnings

import numpy as np
import pytest

import gpusmote
from gpusmote import ADASYN, SMOTE, BorderlineSMOTE
from gpusmote.backends import detect, translate_errors
from gpusmote.errors import DeviceError, DeviceLostError, GpusmoteWarning, MemoryLimitError, MemoryShortageError
from tests.standin import faiss_standin
from tests.standin.install import cuda as stand_in
from tests.standin.machine import OutOfMemoryError
from tests.standin.runtime import CUDARuntimeError

__all__ = ["stand_in"]

PIP = 'pip install "gpusmote[cuda12]"'
needs_faiss = pytest.mark.skipif(not faiss_standin.available(), reason=faiss_standin.MISSING)


@pytest.fixture
def cuda(stand_in, monkeypatch):
    """A device that any work is large enough for, in a process that remembers no failure."""
    monkeypatch.setattr(importlib.import_module("gpusmote.backends.device"), "WORK_WORTH_A_DEVICE", 1.0)
    monkeypatch.setattr(translate_errors, "_failed", {})
    return stand_in


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((500, 6)).astype("f4"), rng.choice([0, 1], 500, p=[0.7, 0.3])


def rows_of_the_cpu(sampler):
    return sampler.set_params(device="cpu").fit_resample(*data())[0].tobytes()


def taken_over(sampler, why):
    """The call under device="auto": the CPU's rows, and a warning."""
    expected = rows_of_the_cpu(sampler)
    with pytest.warns(GpusmoteWarning, match=rf"done on the CPU, because cuda:0 failed: .*{why}"):
        found = sampler.set_params(device="auto").fit_resample(*data())[0]
    assert found.tobytes() == expected
    assert sampler.device_ == sampler.report_.device == "cpu"
    assert why.replace("\\", "") in sampler.report_.reason
    assert sampler.report_.notes == [sampler.report_.reason]


def refused(sampler, error, why):
    with pytest.raises(error, match=why) as caught:
        sampler.set_params(device="cuda").fit_resample(*data())
    return caught.value


def sticky():
    return CUDARuntimeError(700)


def lost():
    return CUDARuntimeError(46)


def operations(machine, sampler):
    """How much a whole call asks of the device, once everything is loaded."""
    for _ in range(2):
        before = machine.operations.get(0, 0)
        sampler.set_params(device="cuda").fit_resample(*data())
    return machine.operations[0] - before


@pytest.mark.parametrize("share", [0, 0.03, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize(("error", "why"), [(sticky, "every later call fails"), (lost, "does not respond any more")])
def test_a_device_that_fails_for_good(cuda, error, why, share):
    """Wherever in the call it happens, each later operation of the device fails as well."""
    machine = cuda()
    machine.break_device(0, int(share * operations(machine, SMOTE(random_state=1))), error)
    assert "new process" in refused(SMOTE(random_state=1), DeviceLostError, why).hint


@pytest.mark.parametrize(
    "sampler", [SMOTE(random_state=1), BorderlineSMOTE(random_state=1), ADASYN(random_state=1)], ids=str
)
@pytest.mark.parametrize("share", [0.03, 0.3, 0.6, 0.9, 0.99])
def test_the_cpu_takes_over(cuda, sampler, share):
    machine = cuda()
    machine.break_device(0, int(share * operations(machine, sampler)), sticky)
    taken_over(sampler, "every later call fails")


def test_the_process_remembers(cuda):
    machine = cuda()
    X, y = data()
    machine.break_device(0, 5, sticky)
    taken_over(SMOTE(random_state=1), "every later call fails")
    before = machine.operations[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = SMOTE(random_state=1)
        again.fit_resample(X, y)
    assert again.device_ == "cpu"
    assert "has failed in this process" in again.report_.reason
    assert machine.operations[0] == before
    # Whoever names the device has it tried.
    refused(SMOTE(), DeviceLostError, "every later call fails")
    assert machine.operations[0] > before


def test_an_explicit_call_is_remembered_where_the_device_is_lost(cuda):
    machine = cuda()
    machine.break_device(0, 5, sticky)
    refused(SMOTE(), DeviceLostError, "every later call fails")
    sampler = SMOTE()
    sampler.fit_resample(*data())
    assert "has failed in this process" in sampler.report_.reason


def test_a_configured_device_is_not_made_up_for(cuda):
    machine = cuda()
    machine.break_device(0, 5, sticky)
    with gpusmote.config_context(device="cuda"), pytest.raises(DeviceLostError):
        SMOTE(device="auto").fit_resample(*data())


def test_x_on_the_device_is_not_made_up_for(cuda):
    machine = cuda()
    import cupy

    X, y = data()
    there = cupy.asarray(X)
    machine.break_device(0, 5, sticky)
    with pytest.raises(DeviceLostError):
        SMOTE(device="auto").fit_resample(there, y)


def test_a_plan_tells_of_a_device_that_is_lost_later(cuda):
    machine = cuda()
    plan = SMOTE(random_state=1, device="cuda").plan(*data())
    machine.break_device(0, 0, lost)
    for work in (plan.rows, plan.origin, plan.resample, lambda: next(plan.batches(50))):
        with pytest.raises(DeviceLostError):
            work()


def not_compiling(cupy):
    def refuse(self, grid, block, args, **kwargs):
        raise cupy.cuda.compiler.CompileException("kernels/interpolate_rows.cu(7): error: no such thing", "", "", ())

    return refuse


def without_nvrtc(cupy):
    def refuse(self, grid, block, args, **kwargs):
        raise RuntimeError("CuPy failed to load libnvrtc.so.12: OSError: no such file")

    return refuse


@pytest.mark.parametrize(
    ("refusal", "why", "hint"),
    [
        (not_compiling, r"does not compile for cuda:0 \(compute capability 90\)", "report this"),
        (without_nvrtc, r"libnvrtc.so.12", PIP),
    ],
)
def test_kernels_that_cannot_be_had(cuda, monkeypatch, refusal, why, hint):
    cuda()
    import cupy

    monkeypatch.setattr(cupy.RawKernel, "__call__", refusal(cupy))
    error = refused(SMOTE(), DeviceError, why)
    assert hint in error.hint
    if refusal is not_compiling:
        assert "kernels/interpolate_rows.cu(7): error: no such thing" in error.message
    taken_over(SMOTE(random_state=1), why)
    sampler = SMOTE()
    sampler.fit_resample(*data())  # no second warning: a kernel that does not compile will not compile later
    assert "has failed in this process" in sampler.report_.reason


def test_cuda_headers_that_are_missing_are_found_out_beforehand(cuda, monkeypatch):
    """Without them CuPy compiles nothing, not even an addition."""
    cuda()
    asked = []
    pathfinder = types.ModuleType("cuda.pathfinder")
    pathfinder.find_nvidia_header_directory = asked.append
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", pathfinder)
    assert PIP in refused(SMOTE(), DeviceError, "NVRTC: 12.9, without the CUDA headers").hint
    sampler = SMOTE(random_state=1)
    with pytest.warns(GpusmoteWarning, match="cannot be used .*without the CUDA headers"):
        sampler.fit_resample(*data())
    assert sampler.device_ == "cpu"
    assert asked == ["cudart"]


@pytest.mark.parametrize(("folder", "found"), [("/usr/include", True), (None, False)])
def test_the_headers_are_where_cupy_looks(monkeypatch, folder, found):
    pathfinder = types.ModuleType("cuda.pathfinder")
    pathfinder.find_nvidia_header_directory = {"cudart": folder}.__getitem__
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", pathfinder)
    assert detect._headers_found() is found


def test_a_cupy_that_looks_for_headers_elsewhere_is_trusted(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", None)
    assert detect._headers_found()


@needs_faiss
def test_faiss_for_another_chip(cuda, monkeypatch):
    cuda()
    import faiss

    def refuse(resources, arguments):
        raise RuntimeError("CUDA error 209 no kernel image is available for execution on the device")

    monkeypatch.setattr(faiss, "bfKnn", refuse)
    why = r"FAISS was not built for cuda:0 \(compute capability 90\)"
    assert "Install a build for this chip" in refused(SMOTE(), DeviceError, why).hint
    taken_over(SMOTE(random_state=1), why)


def out_of_memory(times, monkeypatch, module, name, error):
    """Let a function fail so many times; returns what counts its calls."""
    real, calls = getattr(module, name), []

    def fail(*args, **kwargs):
        calls.append(args)
        if len(calls) <= times:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, fail)
    return calls


@pytest.mark.parametrize(
    "random_state",
    [lambda: 1, lambda: np.random.default_rng(5), lambda: np.random.RandomState(5)],
    ids=["int", "G", "RS"],
)
@pytest.mark.parametrize("bits", ["philox", "mt19937"])
def test_memory_that_runs_out_once_is_made_up_for(cuda, monkeypatch, random_state, bits):
    """The second attempt draws what the first one drew."""
    if bits == "mt19937" and isinstance(random_state(), np.random.Generator):
        pytest.skip("imbalanced-learn's stream has no Generator")
    X, y = data()
    expected = SMOTE(random_state=random_state(), bit_generator=bits, device="cpu").fit_resample(X, y)[0]
    cuda()
    from gpusmote.backends.cuda import CudaBackend

    calls = out_of_memory(
        1, monkeypatch, CudaBackend, "interpolate", OutOfMemoryError("Out of memory allocating 5 bytes")
    )
    state = random_state()
    sampler = SMOTE(random_state=state, bit_generator=bits, device="cuda")
    found = sampler.fit_resample(X, y)[0]
    assert found.tobytes() == expected.tobytes()
    assert sampler.device_ == "cuda:0"
    assert len(calls) > 1
    (note,) = sampler.report_.notes
    assert "Memory ran out on cuda:0" in note
    assert "a quarter of the working memory" in note
    if not isinstance(state, int):  # and the generator is left where one call leaves it
        other = random_state()
        SMOTE(random_state=other, bit_generator=bits, device="cpu").fit_resample(X, y)
        draw = (lambda g: g.random(3)) if hasattr(state, "random") else (lambda g: g.random_sample(3))
        assert draw(state).tolist() == draw(other).tolist()


def test_the_second_attempt_has_a_quarter_of_the_blocks_and_the_memory_of_the_first(cuda, monkeypatch):
    machine = cuda()
    from gpusmote.backends.cuda import CudaBackend

    seen = []
    real = CudaBackend.interpolate

    def fail(self, *arguments):
        gc.collect()
        seen.append((self.memory.scale, machine.used))
        if len(seen) == 1:
            raise OutOfMemoryError("Out of memory allocating 5 bytes")
        real(self, *arguments)

    monkeypatch.setattr(CudaBackend, "interpolate", fail)
    SMOTE(device="cuda").fit_resample(*data())
    assert seen[1][0] == seen[0][0] / 4
    assert seen[1][1] <= seen[0][1]  # nothing of the first attempt is left


@needs_faiss
def test_memory_that_faiss_does_not_get(cuda, monkeypatch):
    cuda()
    import faiss

    error = RuntimeError("Error: 'err == cudaSuccess' failed: Failed to cudaMalloc 5 bytes (error 2 out of memory)")
    calls = out_of_memory(1, monkeypatch, faiss, "bfKnn", error)
    sampler = SMOTE(device="cuda")
    sampler.fit_resample(*data())
    assert len(calls) > 1
    assert "Memory ran out on cuda:0" in sampler.report_.notes[0]


def test_memory_that_runs_out_twice(cuda, monkeypatch):
    cuda()
    from gpusmote.backends.cuda import CudaBackend

    error = OutOfMemoryError("Out of memory allocating 5 bytes")
    calls = out_of_memory(10**9, monkeypatch, CudaBackend, "interpolate", error)
    found = refused(SMOTE(), MemoryLimitError, r"ran out again; the call needs up to [\d,]+ bytes")
    assert not isinstance(found, MemoryShortageError)
    assert len(calls) == 2
    assert int(found.hint.split("memory_limit=")[1].split()[0]) > 0
    sampler = SMOTE(random_state=1)
    expected = rows_of_the_cpu(sampler)
    with pytest.warns(GpusmoteWarning, match="cuda:0 has too little memory"):
        assert sampler.set_params(device="auto").fit_resample(*data())[0].tobytes() == expected
    assert translate_errors.remembered("cuda:0") is None  # it may have more the next time


def test_memory_of_the_host_that_runs_out_once(monkeypatch):
    from gpusmote.backends import Backend

    X, y = data()
    expected = SMOTE(random_state=1, device="cpu").fit_resample(X, y)[0]
    calls = out_of_memory(1, monkeypatch, Backend, "interpolate", MemoryError("Unable to allocate 5 bytes"))
    sampler = SMOTE(random_state=1, device="cpu")
    assert sampler.fit_resample(X, y)[0].tobytes() == expected.tobytes()
    assert len(calls) > 1
    assert "Memory ran out on the host" in sampler.report_.notes[0]


@pytest.mark.parametrize("status", [*range(1, 16), 46, 100, 700, 719])
@pytest.mark.parametrize("kind", ["CUDARuntimeError", "CUDADriverError", "NVRTCError", "CUBLASError"])
def test_only_the_statuses_of_cuda_itself_tell_of_a_lost_device(kind, status):
    """Those of the libraries are other lists of numbers: NVRTC's 2 is no lack of memory, its 3 and 4 no lost device."""
    error = type(kind, (RuntimeError,), {"status": status})("it failed")
    if kind not in ("CUDARuntimeError", "CUDADriverError"):
        expected = DeviceError
    elif status == 2:
        expected = MemoryShortageError
    else:
        expected = DeviceLostError if status in (3, 4, 46, 100, 700, 719) else DeviceError
    assert type(translate_errors.translate(error, "cuda:0")) is expected


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError("x")])
def test_other_errors_are_left_as_they_are(cuda, monkeypatch, error):
    cuda()
    from gpusmote.backends.cuda import CudaBackend

    out_of_memory(10**9, monkeypatch, CudaBackend, "interpolate", error)
    with pytest.raises(type(error), match="x"):
        SMOTE(device="auto").fit_resample(*data())
