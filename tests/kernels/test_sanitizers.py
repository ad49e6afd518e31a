"""Every kernel under g++'s sanitizers: bounds, undefined behavior, alignment and races; planted faults are reported."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gpusmote.backends import kernels
from tests.standin.host_kernels import HAS_COMPILER, NO_COMPILER, SHIM, signatures

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason=NO_COMPILER)

DRIVER = SHIM.with_name("sanitized.cpp")
SOURCES = {path.name: kernels.source(path.name) for path in sorted(kernels.folder().glob("*.cu"))}
KERNELS = [name for source in SOURCES.values() for name in signatures(source)]
MEMORY = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ALIGNMENT = ("-fsanitize=alignment", "-fno-sanitize-recover=all")
RACES = ("-fsanitize=thread",)
CHECK = re.compile(r"\bon_16_bytes\((\w+)\)")

BARRIERS = [
    f"kernels/{path.name}:{number}"
    for path in sorted(kernels.folder().glob("*.cu*"))
    if path.name in SOURCES or path.suffix == ".cuh"
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    if re.search(r"\b__sync\w+\(", line.partition("//")[0])
]


def compile_(folder: Path, checks: tuple[str, ...], *parts: str) -> Path:
    """Build a program from the shim and ``parts``."""
    program = folder / "program"
    source = program.with_suffix(".cpp")
    source.write_text("\n".join([f'#include "{SHIM}"', *parts, ""]))
    flags = ["-std=c++17", "-g", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-DSHIM_FIBERS"]
    done = subprocess.run(["g++", *flags, *checks, "-o", program, source], capture_output=True, text=True, check=False)
    if "cannot find" in done.stderr:  # what the linker says of a library
        pytest.skip(f"g++ has no library for {checks[0]}: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return program


def with_driver(sources: list[str]) -> list[str]:
    """The sources and the driver; each source's macros are undefined after it."""
    parts = []
    for source in sources:
        parts += [source, *(f"#undef {name}" for name in re.findall(r"^#define (\w+) ", source, re.M))]
    return [*parts, '#line 1 "sanitized.cpp"', DRIVER.read_text(encoding="utf-8")]


@functools.cache
def fixed_addresses() -> list[str]:
    """A command that turns off address space randomization: ThreadSanitizer does not start where that is wide."""
    command = [shutil.which("setarch") or "setarch", "-R"]
    try:
        return command if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0 else []
    except FileNotFoundError:
        return []


def run(program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # LeakSanitizer needs ptrace, which containers often refuse; leaks are not what is looked for.
    environment = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1", **environment}
    command = [*fixed_addresses(), program, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def races(program: Path, *arguments: str, **environment: str) -> bool:
    """Whether ThreadSanitizer reports a race in a kernel."""
    done = run(program, *arguments, TSAN_OPTIONS="halt_on_error=1", **environment)
    if "FATAL: ThreadSanitizer" in done.stderr:
        pytest.skip(f"ThreadSanitizer needs setarch -R, which is not installed or not allowed: {done.stderr.strip()}")
    assert (done.returncode, "WARNING: ThreadSanitizer: data race" in done.stderr) in ((0, False), (66, True)), (
        done.stderr
    )
    if done.returncode:
        assert re.search(r"^SUMMARY: ThreadSanitizer: data race kernels/", done.stderr, re.M), done.stderr
    return done.returncode != 0


def test_the_driver_runs_every_kernel():
    driver = DRIVER.read_text(encoding="utf-8")
    missing = [name for name in KERNELS if not re.search(rf"\b{name}\b", driver)]
    assert missing == [], f"{DRIVER.name} has no case for these kernels"


def test_bounds_and_undefined_behavior(tmp_path):
    done = run(compile_(tmp_path, MEMORY, *with_driver(list(SOURCES.values()))))
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def alignment(tmp_path_factory):
    """A program in which UNCHECKED=name in the environment removes the check of that pointer's alignment."""
    checked = (
        "#include <cstdlib>\n#include <cstring>\n"
        + """
        static bool is_checked(const char* name) {
            const char* const unchecked = std::getenv("UNCHECKED");
            return !unchecked || std::strcmp(name, unchecked) != 0;
        }"""
    )
    sources = [CHECK.sub(r'(\g<0> || !is_checked("\1"))', source) for source in SOURCES.values()]
    return compile_(tmp_path_factory.mktemp("alignment"), ALIGNMENT, checked, *with_driver(sources))


def test_a_removed_alignment_check_is_a_misaligned_access(alignment):
    """The driver starts the table and the output at every offset, so each check is needed."""
    assert run(alignment).returncode == 0
    names = [name for source in SOURCES.values() for name in CHECK.findall(source)]
    assert names
    for name in names:
        done = run(alignment, UNCHECKED=name)
        assert done.returncode != 0, name
        assert "misaligned address" in done.stderr


@pytest.fixture(scope="module")
def threads(tmp_path_factory):
    return compile_(tmp_path_factory.mktemp("threads"), RACES, *with_driver(list(SOURCES.values())))


def test_no_races(threads):
    assert not races(threads)


def test_blocks_that_take_the_same_work_race_in_every_kernel(threads):
    """They compute the right results, so a comparison of values cannot find this fault."""
    assert races(threads, SHIM_OVERLAP="1")
    # All of the reports, also of memory that an earlier kernel had a race in.
    reports = run(threads, SHIM_OVERLAP="1", TSAN_OPTIONS="suppress_equal_addresses=0").stderr
    assert [name for name in KERNELS if not re.search(rf"^ +#\d+ {name} kernels/", reports, re.M)] == []


@pytest.mark.parametrize("barrier", BARRIERS)
def test_a_removed_barrier_is_a_race(threads, barrier):
    assert races(threads, SHIM_WITHOUT=barrier)


# Kernels for two blocks of 64 threads: whether they have a race, and their code.
PLANTED = {
    "own_elements": (False, "out[64 * blockIdx.x + i] = i;"),
    "one_element_of_a_block": (True, "out[64 * blockIdx.x + i / 2] = i;"),
    "one_element_of_two_blocks": (True, "out[i] = i;"),
    "one_element_read_by_another_block": (
        True,
        "out[64 * blockIdx.x + i] = i; out[128 + 64 * blockIdx.x + i] = out[i];",
    ),
    "shared_memory": (False, "EXCHANGE(__syncthreads(), 63 - i)"),
    "shared_memory_of_a_warp": (False, "EXCHANGE(__syncwarp(), i ^ 31)"),
    "no_barrier": (True, "EXCHANGE(, i ^ 31)"),
    "barrier_of_a_warp_only": (True, "EXCHANGE(__syncwarp(), 63 - i)"),
    "written_after_the_barrier": (True, "EXCHANGE(__syncthreads(), 63 - i) met[i] = 0; __syncthreads();"),
    "written_after_a_second_barrier": (False, "EXCHANGE(__syncthreads(), 63 - i) __syncthreads(); met[i] = 0;"),
    "meeting_that_is_no_barrier": (True, "EXCHANGE(wait_for('w'), i ^ 31)"),
}
EXCHANGE = """
#define EXCHANGE(barrier, other) \\
    __shared__ long long met[64]; met[i] = i; barrier; out[64 * blockIdx.x + i] = met[other];
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A program that launches the kernel named by its argument twice; two launches on one stream do not race."""
    made = [
        f'extern "C" __global__ void {name}(long long* out) {{ const long long i = threadIdx.x; {text} }}'
        for name, (_, text) in PLANTED.items()
    ]
    chosen = [f'    if (name == "{name}") launch({name});' for name in PLANTED]
    main = [
        "#include <string>",
        "static void launch(void (*kernel)(long long*)) {",
        "    static long long out[256];",
        "    long long* given = out;",
        "    void* values[] = {&given};",
        "    const unsigned grid[] = {2, 1, 1}, block[] = {64, 1, 1};",
        "    for (int time = 0; time < 2; ++time) if (shim_launch(kernel, values, grid, block)) std::abort();",
        "}",
        "int main(int, char** arguments) {",
        "    const std::string name = arguments[1];",
        *chosen,
        "}",
    ]
    folder = tmp_path_factory.mktemp("planted")
    return compile_(folder, RACES, EXCHANGE, '#line 1 "kernels/planted.cu"', *made, *main)


@pytest.mark.parametrize(("name", "expected"), [(name, race) for name, (race, _) in PLANTED.items()])
def test_planted_races_are_reported_and_nothing_else(planted, name, expected):
    assert races(planted, name) == expected
