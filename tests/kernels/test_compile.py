"""Every kernel, compiled for every chip with CuPy's options; warnings are errors."""

from __future__ import annotations

import io
import re

import pytest

from gpusmote.backends import kernels

CHIPS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
FILES = sorted(path.name for path in kernels.folder().iterdir() if path.suffix in (".cu", ".cuh"))

compiler = pytest.importorskip(
    "cupy.cuda.compiler", reason="CuPy is not installed: no NVRTC to compile with", exc_type=ImportError
)


@pytest.fixture(scope="module", autouse=True)
def nvrtc():
    from cupy.cuda import nvrtc

    try:
        return nvrtc.getVersion()
    except (RuntimeError, ImportError, OSError) as error:
        pytest.skip(f"NVRTC cannot be loaded: {error}")


def compiled(source: str, method: str, chip: str) -> tuple[bytes, str]:
    log = io.StringIO()
    program = compiler._NVRTCProgram(source, "kernel.cu", method=method)
    # What CuPy 14 passes for a RawKernel, in its order.
    options = (*kernels.OPTIONS, "-ftz=true", f"-arch={chip}", "--device-as-default-execution-space")
    binary, _ = program.compile(options, log)
    return binary, log.getvalue().strip("\0 \n")


def test_there_are_kernels():
    made = {"convert_values.cu", "draw_samples.cu", "interpolate_rows.cu", "rerank_distances.cu", "count_foreign.cu"}
    assert made <= set(FILES)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("file", FILES)
def test_compiles_alone_without_a_warning(file, chip):
    binary, log = compiled(kernels.source(file), "cubin", chip)
    assert log == ""
    assert binary.startswith(b"\x7fELF")


def test_a_warning_would_be_seen():
    _, log = compiled("__global__ void unused() { int variable; }", "cubin", "sm_90")
    assert "warning" in log


def test_an_error_names_file_and_line(tmp_path, monkeypatch):
    (tmp_path / "draw_samples.cu").write_text('\n#include "part.cuh"\nint good;\nint bad = missing;\n')
    (tmp_path / "part.cuh").write_text("int included;\nint worse = absent;\n")
    monkeypatch.setattr(kernels, "folder", lambda: tmp_path)
    kernels.source.cache_clear()
    try:
        with pytest.raises(compiler.CompileException) as caught:
            compiled(kernels.source("draw_samples.cu"), "cubin", "sm_90")
    finally:
        kernels.source.cache_clear()
    assert "kernels/part.cuh(2): error" in str(caught.value)
    assert "kernels/draw_samples.cu(4): error" in str(caught.value)


@pytest.mark.parametrize("file", [file for file in FILES if file.endswith(".cu")])
def test_ptx_rounds_each_operation(file):
    """No fused multiply-add on doubles, and no flushing of subnormals where float and double meet."""
    ptx = compiled(kernels.source(file), "ptx", "compute_90")[0].decode()
    assert re.findall(r"^.*\bfma\.\S*f64.*$", ptx, re.M) == []
    assert re.findall(r"^.*\bcvt\.\S*ftz.*$", ptx, re.M) == []
    assert re.findall(r"^.*\b(?:add|sub|mul|div|fma)\.\S*f32.*$", ptx, re.M) == []
    assert re.findall(r"^.*\b(?:add|sub|mul)\.f64.*$", ptx, re.M) == []  # without .rn the assembler may fuse


def test_a_plain_cast_would_flush():
    """Why the casts are written in assembler: what the test above would find without that."""
    plain = "__global__ void cast(const float* in, double* out) { *out = *in; }"
    ptx = compiled(plain, "ptx", "compute_90")[0].decode()
    assert re.search(r"\bcvt\.\S*ftz", ptx)
