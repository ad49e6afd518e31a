"""The function that the command line and Python users call; what does the work is loaded when it is called."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from gpusmote.config import MemoryLimit
from gpusmote.errors import MissingPackageError
from gpusmote.files.report import FileReport

__all__ = ["Progress", "resample_file"]

Path = str | os.PathLike[str]
Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``; see :func:`resample_file`."""


def resample_file(
    source: Path,
    destination: Path,
    *,
    target: str,
    sampler: Any = None,
    percentage: float | None = None,
    dup_size: int | None = None,
    memory_limit: MemoryLimit | None = None,
    origins: Path | None = None,
    only_synthetic: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> FileReport:
    """Resample a table from file to file, without holding more of it than the classes that get rows.

    The rows are those that ``sampler.fit_resample`` gives for the same table in memory, to the bit: the originals in
    their order, then the synthetic rows class by class in sorted order. Columns, their order and types are kept, and
    so is the metadata of Parquet and Arrow schemas.

    Parameters
    ----------
    source : str or path-like
        A table; its form is told by the ending: ``.csv`` or ``.tsv`` (alone, or with ``.gz`` or ``.zst`` after it),
        ``.parquet``, ``.arrow`` or ``.feather``. Every column but ``target`` is a feature, numeric and finite.
    destination : str or path-like
        Where the result goes, in the form of its own ending. It appears whole or not at all.
    target : str
        Column of the labels; no label may be missing.
    sampler : sampler, optional
        An instance, such as ``BorderlineSMOTE(random_state=0)``. Default: ``SMOTE()``.
    percentage : float, optional
        Synthetic rows for every hundred rows of the minority, of two classes; instead of the sampler's
        ``sampling_strategy``. A fraction of a row is left out.
    dup_size : int, optional
        Synthetic rows for every row of the minority, of two classes, at least 1; likewise.
    memory_limit : int, float, str or dict, optional
        What this call may hold at most, beyond what the process holds before: bytes, text such as "1GB", or a share
        of what is free. Default: the sampler's, else the configuration's, else what is free.
    origins : str or path-like, optional
        A second file, a table of as many rows as there are synthetic ones: ``class``, ``base`` and ``neighbor``
        (rows of ``source``, counted from 0) and ``gap``.
    only_synthetic : bool, default=False
        Whether the originals are left out.
    force : bool, default=False
        Whether existing files are replaced.
    progress : callable, optional
        ``progress(stage, done, total)`` is called in this thread as the work goes on. Stages, in order: "scan" (the
        target; counted in bytes of the source), "read" (rows), "search" (0 of 1, then 1 of 1), "copy" (rows, for CSV
        to CSV bytes), "make" (synthetic rows). An exception from it ends the run and leaves nothing behind.

    Returns
    -------
    FileReport

    Raises
    ------
    FileError
        If a file cannot be read or written, or is not what its ending says.
    DestinationExistsError
        If ``destination`` or ``origins`` exists and ``force`` is not set.
    InputError
        If the table cannot be resampled; the message names column and row.
    ParameterError
        If a parameter has a value that is not allowed.
    DeviceError
        If the sampler's device is asked for by name and cannot be used; nothing was read.
    MemoryLimitError
        If the rows that must be held do not fit; nothing was written.
    MissingPackageError
        If pyarrow is not installed.

    See Also
    --------
    gpusmote.SMOTE : For tables in memory.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "Files are read and written by pyarrow, which is not installed.", 'pip install "gpusmote[files]" brings it.'
        ) from error
    from gpusmote.files.engine import Request, run

    return run(
        Request(
            source, destination, target, sampler, percentage, dup_size, memory_limit, origins, only_synthetic, force,
            progress,
        )
    )  # fmt: skip
