"""What the compiler says that each kernel takes of a multiprocessor: printed, and bounded."""

from __future__ import annotations

import io
import re

import pytest

from gpusmote.backends import kernels

# Registers of each kernel at most, bytes of shared memory exactly. Nothing spills.
BOUNDS = {
    "float32_to_float64": (32, 0),
    "draw_slice": (64, 0),
    "draw_gathered": (64, 0),
    "interpolate_rows_float32": (64, 0),
    "interpolate_rows_float64": (64, 0),
    "rerank_distances_float32": (64, 17_408),
    "rerank_distances_float64": (64, 34_816),
    "count_foreign": (40, 0),
}
CHIPS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
FILES = sorted(path.name for path in kernels.folder().glob("*.cu"))

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


def report(source: str, chip: str) -> dict[str, tuple[int, int, int, int]]:
    """Registers, stack, spills and shared memory of each kernel, from the assembler's own words."""
    log = io.StringIO()
    program = compiler._NVRTCProgram(source, "kernel.cu", method="cubin")
    program.compile((*kernels.OPTIONS, "-ftz=true", f"-arch={chip}", "--ptxas-options=-v"), log)
    found = {}
    for part in log.getvalue().split("Compiling entry function '")[1:]:
        name = part.partition("'")[0]
        stack, stores, loads = re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part
        ).groups()
        registers = re.search(r"Used (\d+) registers", part)[1]
        shared = re.search(r"(\d+) bytes smem", part)
        spilled = int(stack) + int(stores) + int(loads)
        found[name] = (int(registers), spilled, int(shared[1]) if shared else 0, part.count("warning"))
    return found


@pytest.mark.parametrize("chip", CHIPS)
def test_registers_and_spills(chip, record_property):
    found = {}
    for file in FILES:
        found |= report(kernels.source(file), chip)
    for name, (registers, spilled, shared, _) in found.items():
        line = f"{registers} registers, {spilled} bytes spilled, {shared} bytes of shared memory"
        print(f"{chip} {name}: {line}")
        record_property(name, line)
    assert set(found) == set(BOUNDS)
    assert {name: numbers[1] for name, numbers in found.items() if numbers[1]} == {}
    assert {name: numbers[0] for name, numbers in found.items() if numbers[0] > BOUNDS[name][0]} == {}
    assert {name: numbers[2] for name, numbers in found.items()} == {name: bound[1] for name, bound in BOUNDS.items()}


def test_a_spill_would_be_seen():
    """The report is read rightly: an array that is indexed by data lies in local memory."""
    hungry = """
    extern "C" __global__ void hungry(const int* which, double* out) {
        double kept[64];
        for (int i = 0; i < 64; ++i) kept[i] = out[i] * i;
        out[threadIdx.x] = kept[which[threadIdx.x]] + kept[which[threadIdx.x + 1]];
    }
    """
    (numbers,) = report(hungry, "sm_90").values()
    assert numbers[1] >= 512


@pytest.mark.parametrize("file", FILES)
def test_every_kernel_states_its_launch_bounds(file):
    text = (kernels.folder() / file).read_text(encoding="utf-8")
    assert len(re.findall(r"__global__", text)) == len(re.findall(r"__global__ void __launch_bounds__\(", text)) > 0


@pytest.mark.parametrize("file", FILES)
def test_no_atomics(file):
    """Their order would be another at every run; none of the kernels needs one."""
    assert "atomic" not in kernels.source(file)


def test_interpolation_moves_sixteen_bytes_at_once():
    program = compiler._NVRTCProgram(kernels.source("interpolate_rows.cu"), "kernel.cu", method="ptx")
    ptx = program.compile((*kernels.OPTIONS, "-ftz=true", "-arch=compute_90"), io.StringIO())[0].decode()
    parts = {part.partition("(")[0].strip(): part for part in ptx.split(".entry")[1:]}
    for name, wide in (("interpolate_rows_float32", r"v4\.\w32"), ("interpolate_rows_float64", r"v2\.\w64")):
        assert len(re.findall(rf"ld\.global\S*\.{wide}", parts[name])) == 2
        assert len(re.findall(rf"st\.global\S*\.{wide}", parts[name])) == 1
