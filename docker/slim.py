#!/usr/bin/env python3
"""Makes the installed packages of an image small and quick to start; runs inside the build, with the image's Python.

Three steps, each checked. What gpusmote never opens is removed, by the list below; a rule that removes nothing is an
error, so that the list follows the packages. No shared library may lose one that it loaded before. Then the modules of
a run are imported once, which leaves their bytecode: the root file system of a container is often read-only, and each
start would compile them otherwise. Bytecode for everything would add another 20 MB that nobody reads.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

# Relative to site-packages. The left part must exist for the rule to count: a CPU image has no CUDA.
RULES = {
    "numpy": ["**/tests", "_core/include", "**/*.pyi", "**/*.pxd", "**/*.a"],
    "scipy": ["**/tests", "**/*.pyi", "**/*.pxd"],
    "sklearn": ["**/tests", "**/*.pyx", "**/*.pxd", "**/*.tp", "datasets/data", "datasets/images"],
    "joblib": ["test"],
    # Flight, the stores of three clouds, HDFS, Substrait, ORC: other ways to files than the ones gpusmote takes.
    "pyarrow": [
        "tests",
        "include",
        "src",
        "includes",
        "*.pyx",
        "*.pxi",
        "*.pxd",
        "*flight*",
        "*s3*",
        "*gcsfs*",
        "*azurefs*",
        "*hdfs*",
        "_substrait*",  # not libarrow_substrait: libarrow_python loads it
        "_pyarrow_cpp_tests*",
        "*orc*",
        "libarrow_python.so",
        "libarrow_python.so.*.*.*",
    ],
    # .alt is NVRTC a second time, for compilation by several threads at once; nvblas stands in for a Fortran BLAS.
    "nvidia/cuda_nvrtc": ["lib/*.alt.so*"],
    "nvidia/cublas": ["include", "lib/libnvblas*"],
    "nvidia/curand": ["include"],
    "nvidia/cuda_runtime": ["lib/*.a"],  # its include stays: CuPy compiles against it
    "faiss": ["contrib", "**/*.pyi"],
}

# What a run may come to import. Those that are not installed are passed over; one that fails ends the build.
IMPORTED = (
    *("numpy", "scipy.sparse", "scipy.spatial", "sklearn.base", "sklearn.utils", "joblib", "narwhals", "threadpoolctl"),
    *("pyarrow", "pyarrow.compute", "pyarrow.csv", "pyarrow.feather", "pyarrow.ipc", "pyarrow.parquet"),
    *("typer", "typer.main", "rich.console", "rich.markdown", "rich.progress", "rich.table", "rich.traceback"),
    *("cupy", "faiss"),
)


def remove(site: Path) -> int:
    """Apply RULES; give the bytes that went."""
    before = size(site)
    for package, patterns in RULES.items():
        if not (site / package).is_dir():
            continue
        for pattern in patterns:
            found = sorted((site / package).glob(pattern))
            if not found:
                raise SystemExit(f"slim.py: {package} has no {pattern} any more; mend the rule")
            for path in found:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)  # may have gone with its folder
    return before - size(site)


def missing_libraries(site: Path) -> set[tuple[str, str]]:
    """Pairs of a shared library and one that it asks for and that is not there.

    CuPy has some from the start: libraries of CUDA that gpusmote does not use, and the driver, which is the host's.
    """
    missing = set()
    for library in sorted(path for path in site.rglob("*.so*") if path.is_file()):
        listed = subprocess.run(["ldd", library], capture_output=True, text=True, check=False).stdout
        for line in listed.splitlines():
            name, arrow, where = line.strip().partition(" => ")
            if arrow and where.startswith("not found"):
                missing.add((str(library.relative_to(site)), name))
    return missing


def compile_imported() -> list[str]:
    """Import what a run imports, in a Python of its own, and give the names that are installed."""
    there = [name for name in IMPORTED if importlib.util.find_spec(name.partition(".")[0])]
    writing = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", "import " + ", ".join(there)], check=True, env=writing)
    return there


def size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def main() -> None:
    site = Path(sysconfig.get_path("purelib"))
    before = missing_libraries(site)
    removed = remove(site)
    lost = missing_libraries(site) - before
    if lost:
        raise SystemExit("slim.py: these lost a library that they load: " + ", ".join(f"{a} {b}" for a, b in lost))
    there = compile_imported()
    print(f"slim.py: removed {removed / 1e6:.0f} MB, left {size(site) / 1e6:.0f} MB; imports {len(there)} modules")


if __name__ == "__main__":
    main()
