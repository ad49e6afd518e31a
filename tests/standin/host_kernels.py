"""The CUDA sources built for the host by g++, launched with the real grid."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np

SHIM = Path(__file__).with_name("shim.h")
HAS_COMPILER = shutil.which("g++") is not None
NO_COMPILER = "g++ is not installed: the kernels cannot be built for the host"

_FLAGS = ("-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror")
_ENTRY = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(([^)]*)\)')
_TYPES = {
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "long long": np.dtype(np.int64),
    "unsigned long long": np.dtype(np.uint64),
}


@dataclasses.dataclass(frozen=True)
class Parameter:
    name: str
    dtype: np.dtype
    is_pointer: bool
    is_const: bool


def signatures(source: str) -> dict[str, list[Parameter]]:
    """Kernels of a source and their parameters, as the source declares them."""
    found = {}
    for name, text in _ENTRY.findall(source):
        parameters = []
        for declared in text.split(","):
            kind, star, parameter = declared.rpartition("*") if "*" in declared else declared.rpartition(" ")
            words = kind.split()
            is_const = words[0] == "const"
            dtype = _TYPES[" ".join(words[is_const:])]
            parameter = parameter.replace("__restrict__", "").strip()
            parameters.append(Parameter(parameter, dtype, star == "*", is_const))
        found[name] = parameters
    return found


@dataclasses.dataclass(frozen=True)
class HostKernel:
    """One kernel of a library that g++ built."""

    name: str
    parameters: list[Parameter]
    entry: ctypes._CFuncPtr  # type: ignore[name-defined]

    def launch(self, grid: tuple[int, ...], block: tuple[int, ...], values: list[int | float]) -> None:
        """Run every thread of every block; pointers are given as addresses."""
        cells = [
            np.array(value, np.uint64 if p.is_pointer else p.dtype)
            for p, value in zip(self.parameters, values, strict=True)
        ]
        pointers = (ctypes.c_void_p * len(cells))(*(cell.ctypes.data for cell in cells))
        sizes = [(ctypes.c_uint * 3)(*(*size, 1, 1)[:3]) for size in (grid, block)]
        if self.entry(pointers, *sizes):
            raise AssertionError(f"{self.name}: lanes of one warp met different numbers of barriers")


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="gpusmote-host-kernels-")


_building = threading.Lock()


def build(source: str, *definitions: str) -> dict[str, HostKernel]:
    """Compile a self-contained source, once a session, whichever thread asks first.

    Parameters
    ----------
    source : str
        As the loader hands it to CuPy.
    *definitions : str
        Macros for the shim.
    """
    with _building:
        return _build(source, *definitions)


@functools.cache
def _build(source: str, *definitions: str) -> dict[str, HostKernel]:
    kernels = signatures(source)
    launchers = [
        f'extern "C" int launch_{name}(void** values, const unsigned* grid, const unsigned* block) '
        f"{{ return shim_launch({name}, values, grid, block); }}"
        for name in kernels
    ]
    if "__sync" in source:
        definitions = (*definitions, "SHIM_FIBERS")
    with tempfile.NamedTemporaryFile("w", suffix=".cpp", dir=_folder().name, delete=False) as file:
        file.write("\n".join([f'#include "{SHIM}"', source, *launchers, ""]))
    library = file.name.removesuffix(".cpp") + ".so"
    macros = [f"-D{definition}" for definition in definitions]
    command = ["g++", *_FLAGS, *macros, "-shared", "-fPIC", "-o", library, file.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"g++ refuses the kernels:\n{done.stderr}")
    # PyDLL keeps the interpreter's lock: the shim's geometry is global, so launches must not overlap.
    loaded = ctypes.PyDLL(library)
    return {
        name: HostKernel(name, parameters, getattr(loaded, f"launch_{name}")) for name, parameters in kernels.items()
    }
