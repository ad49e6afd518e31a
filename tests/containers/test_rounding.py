"""Values are rounded to float16 once: by NumPy, by an assignment in CuPy, and by CUDA's header."""

from __future__ import annotations

import ctypes
import importlib.util
import io
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gpusmote.containers.table import store
from tests.containers.helpers import halves
from tests.standin.install import cuda, real_cupy

__all__ = ["cuda"]

CHIPS = ("75", "80", "86", "89", "90", "100", "120")

# What CuPy 14 generates for ``out[...] = values``: the loop of the values' dtype, then an assignment to the other.
CAST = """
#include <cupy/carray.cuh>
#include <cupy/float16.cuh>
extern "C" __global__ void cupy_copy(const double* _raw_in0, float16* _raw_out0) {
    const double in0(_raw_in0[threadIdx.x]);
    double out0;
    out0 = in0;
    _raw_out0[threadIdx.x] = out0;
}
"""

# The header's form for the host; what it includes of the compiler's own headers comes with nvcc only.
HOST = """
#include <cuda_fp16.h>
extern "C" void direct(const double* in, __half* out, long long n) {
    for (long long i = 0; i < n; ++i) out[i] = __double2half(in[i]);
}
extern "C" void by_way_of_float(const double* in, __half* out, long long n) {
    for (long long i = 0; i < n; ++i) out[i] = __float2half(static_cast<float>(in[i]));
}
"""
DEFINES = """
#define __host__
#define __device__
#define __forceinline__ inline
#define __align__(n) __attribute__((aligned(n)))
#define __builtin_align__(n) __align__(n)
#define __device_builtin__
#define __cudart_builtin__
#define __dv(v)
#define CUDARTAPI
"""


def headers() -> list[str]:
    """Folders of CuPy's headers and of CUDA's."""
    cupy = real_cupy()
    if cupy is None:
        pytest.skip("CuPy is not installed")
    include = Path(cupy.__file__).parent / "_core" / "include"
    spec = importlib.util.find_spec("nvidia")
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    found = [found for place in places for found in place.glob("*/include")]
    for place in (*found, Path(os.environ.get("CUDA_PATH", "/usr/local/cuda")) / "include"):
        if (place / "cuda_fp16.h").is_file():
            return [str(include), str(include / "cupy" / "_cccl" / "libcudacxx"), str(place)]
    pytest.skip("cuda_fp16.h is not installed")


def rounded_by(xp, values):
    out = xp.empty(values.shape, np.float16)
    store(values, out, xp)
    return out


def test_numpy_rounds_once():
    values, expected = halves()
    assert len(values) == 2 * (4 * 0x7C00 - 3)
    assert rounded_by(np, values).tobytes() == expected.tobytes()
    twice = values.astype(np.float32).astype(np.float16)
    assert (twice != expected).sum() > 30_000  # what this test is here to tell
    assert rounded_by(np, np.array([65_519.9, 65_520.0, -1e300])).tolist() == [65_504.0, 65_504.0, -65_504.0]


def test_the_stand_in_rounds_once(cuda):
    cuda()
    import cupy

    values, expected = halves()
    assert rounded_by(cupy, cupy.asarray(values)).get().tobytes() == expected.tobytes()


def test_cupy_has_the_chip_round_once():
    """The PTX of the assignment has ``cvt.rn.f16.f64``, which rounds to the nearest, ties to even, in one step."""
    folders = headers()
    from cupy.cuda import compiler, nvrtc

    try:
        nvrtc.getVersion()
    except (RuntimeError, ImportError, OSError) as error:
        pytest.skip(f"NVRTC cannot be loaded: {error}")
    for chip in CHIPS:
        program = compiler._NVRTCProgram(CAST, "copy.cu", method="ptx")
        options = ("--std=c++17", *(f"-I{folder}" for folder in folders), "-ftz=true", f"-arch=compute_{chip}")
        ptx, _ = program.compile((*options, "--device-as-default-execution-space"), io.StringIO())
        assert re.findall(r"cvt\.\S*(?:f16|f32|f64)\S*", ptx.decode()) == ["cvt.rn.f16.f64"], chip


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: nothing can be built for the host")
def test_cudas_own_conversion_rounds_once(tmp_path):
    """The header is compiled for the host, where its functions do in software what the instruction does."""
    source, library = tmp_path / "half.cpp", tmp_path / "half.so"
    source.write_text(HOST)
    (tmp_path / "crt").mkdir()
    (tmp_path / "crt" / "host_defines.h").write_text(DEFINES)
    folders = (f"-isystem{folder}" for folder in (*headers(), tmp_path))
    flags = ("-std=c++17", "-O1", "-shared", "-fPIC", *folders)
    subprocess.run(["g++", *flags, str(source), "-o", str(library)], check=True, timeout=120)
    functions = ctypes.CDLL(str(library))
    values, expected = halves()
    for name, agrees in (("direct", True), ("by_way_of_float", False)):
        out = np.zeros(values.shape, np.float16)
        addresses = (ctypes.c_void_p(array.ctypes.data) for array in (values, out))
        getattr(functions, name)(*addresses, ctypes.c_longlong(len(values)))
        assert (out.tobytes() == expected.tobytes()) is agrees


@pytest.mark.parametrize("floats", ["f4", "f8"])
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_whole_numbers_are_kept_within_their_dtype(floats, dtype):
    """The largest integer of a wide dtype is not a float."""
    info, out = np.iinfo(dtype), np.empty(6, dtype)
    store(np.array([1e30, -1e30, 2.0**63, 2.0**31, 2.5, -0.5], floats), out)
    assert info.max - max(0, int(info.max) >> 23) <= int(out[0]) <= info.max
    assert out[1] == info.min
    assert int(out[2]) == min(2**63, int(out[0]))
    assert int(out[3]) == min(2**31, int(out[0]))
    assert out[4:].tolist() == [2, 0]
