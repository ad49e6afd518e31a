"""The CUDA sources of ``kernels/``: found, made self-contained, compiled by CuPy on first use, launched."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from gpusmote.backends.translate_errors import SAME_ROWS, chip, translate
from gpusmote.errors import DeviceError

__all__ = ["OPTIONS", "folder", "launch", "source"]

OPTIONS = ("--std=c++17",)
"""What the kernels are compiled with; CuPy adds the chip, ``-ftz=true`` and ``--device-as-default-execution-space``."""

_PACKAGE = Path(__file__).resolve().parent.parent
_INCLUDE = re.compile(r'#include "([\w.]+)"')


def folder() -> Path:
    """Where the sources lie: within the package (a wheel) or beside it (a checkout).

    Raises
    ------
    DeviceError
        If they are in neither place.
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
    """One source with its includes written out where they stand.

    CuPy keeps compiled kernels on disk under a hash of the text that it is given, so a change in an included file
    would go unseen. ``#line`` lets compile errors name file and line all the same; the names are relative, so that
    the hash is the same wherever the package lies.

    Parameters
    ----------
    name : str
        A file of ``kernels/``.
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
    """The compiled kernel; CuPy keeps one for each device within it, and compiles at the first launch."""
    return cupy.RawKernel(source(file), name, OPTIONS)


def launch(
    cupy: Any, file: str, name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]
) -> None:
    """Start a kernel on the current device and stream, compiled at its first use there.

    Parameters
    ----------
    cupy : module
    file : str
        Of ``kernels/``, with a kernel of this ``name``.
    grid, block : tuple of int
        Blocks, and threads of a block.
    arguments : tuple
        Device arrays and NumPy scalars, of the types of the kernel's parameters.

    Raises
    ------
    DeviceError
        If it does not compile (with the compiler's log) or does not start.
    """
    kernel = _kernel(cupy, file, name)
    try:
        kernel(grid, block, arguments)
    except cupy.cuda.compiler.CompileException as error:
        raise DeviceError(
            f"kernels/{file} does not compile for {chip()}:\n{error}",
            'Please report this with the output of "python -m gpusmote info"; device="cpu" gives the same rows.',
        ) from error
    except (RuntimeError, ImportError, OSError) as error:  # CuPy's own errors, and those of loading NVRTC
        said = f"The kernel {name} did not start on {chip()}: {type(error).__name__}: {error}"
        if isinstance(error, (ImportError, OSError)) or "nvrtc" in str(error).lower():
            hint = f'NVRTC compiles the kernels: pip install "gpusmote[cuda12]" brings it; {SAME_ROWS}'
            raise DeviceError(said, hint) from error
        raise (translate(error, chip()) or DeviceError(said, SAME_ROWS)) from error
