"""Find, assemble, compile and launch the CUDA kernels of ``kernels/``."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from gpusmote.backends.translate_errors import SAME_ROWS, chip, translate
from gpusmote.errors import DeviceError

__all__ = ["OPTIONS", "folder", "launch", "source"]

OPTIONS = ("--std=c++17",)
"""Compiler options. CuPy adds the architecture, ``-ftz=true`` and ``--device-as-default-execution-space``."""

_PACKAGE = Path(__file__).resolve().parent.parent
_INCLUDE = re.compile(r'#include "([\w.]+)"')


def folder() -> Path:
    """The folder of the CUDA sources: inside the package (in a wheel) or next to it (in a checkout).

    Raises
    ------
    DeviceError
        If the sources are in neither place.
    """
    places = (_PACKAGE / "kernels", _PACKAGE.parent / "kernels")
    for place in places:
        if (place / "draw_samples.cu").is_file():
            return place
    raise DeviceError(
        f"The CUDA sources are neither in {places[0]} nor in {places[1]}.",
        'The installation is damaged: pip install --force-reinstall --no-deps "gpusmote[cuda12]".',
    )


@functools.cache
def source(name: str) -> str:
    """Return one source file with its includes inserted.

    CuPy stores compiled kernels on disk under a hash of the source text, so it would not notice a change in an included
    file. ``#line`` directives keep file names and line numbers in compile errors correct. The names are relative, so
    that the hash does not depend on the location of the package.

    Parameters
    ----------
    name : str
        Name of a file in ``kernels/``.
    """
    lines = [f'#line 1 "kernels/{name}"']
    for number, line in enumerate((folder() / name).read_text(encoding="utf-8").splitlines(), start=1):
        included = _INCLUDE.fullmatch(line.strip())
        if included is None:
            lines.append(line)
        else:
            lines += [source(included[1]), f'#line {number + 1} "kernels/{name}"']
    return "\n".join(lines)


@functools.cache
def _kernel(cupy: Any, file: str, name: str) -> Any:
    """The kernel. CuPy compiles it at the first launch on each device."""
    return cupy.RawKernel(source(file), name, OPTIONS)


def launch(
    cupy: Any, file: str, name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]
) -> None:
    """Launch a kernel on the current device and stream; it is compiled at its first use there.

    Parameters
    ----------
    cupy : module
    file : str
        Name of the file in ``kernels/`` that contains the kernel ``name``.
    grid, block : tuple of int
        Shapes of the grid (in blocks) and of a block (in threads).
    arguments : tuple
        Device arrays and NumPy scalars with the types of the kernel's parameters.

    Raises
    ------
    DeviceError
        If the kernel does not compile (with the compiler's log) or does not start.
    """
    kernel = _kernel(cupy, file, name)
    try:
        kernel(grid, block, arguments)
    except cupy.cuda.compiler.CompileException as error:
        raise DeviceError(
            f"kernels/{file} does not compile for {chip()}:\n{error}",
            'Please report this with what gpusmote.info() returns; device="cpu" gives the same rows.',
        ) from error
    except (RuntimeError, ImportError, OSError) as error:  # errors of CuPy, and of loading NVRTC
        said = f"The kernel {name} did not start on {chip()}: {type(error).__name__}: {error}"
        if isinstance(error, (ImportError, OSError)) or "nvrtc" in str(error).lower():
            hint = f'NVRTC compiles the kernels: pip install "gpusmote[cuda12]" installs it. {SAME_ROWS}'
            raise DeviceError(said, hint) from error
        raise (translate(error, chip()) or DeviceError(said, SAME_ROWS)) from error
